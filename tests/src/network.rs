//! Network namespaces of a test's own, and what leads from one to another. They end with their
//! threads, and everything in them with them; the machine's own network is not touched.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::{Process, tied};
use crate::workload::eventually;

/// A thread in a network namespace of its own. What it starts is in there, too, and ends with it.
#[derive(Debug)]
pub struct Host {
    /// Whose namespace it is.
    pid: u32,
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

type Work = Box<dyn FnOnce() + Send>;

impl Host {
    /// One with a loopback device and nothing else.
    ///
    /// # Panics
    /// It can't be had.
    #[must_use]
    pub fn new() -> Self {
        let (work, todo) = channel::<Work>();
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            let owner = owner();
            let namespace = File::open(of(owner.pid())).expect("a namespace");
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).expect("a namespace");
            tell.send(owner.pid()).expect("it waits");
            todo.iter().for_each(|work| work());
        });
        let host = Self {
            pid: told.recv().expect("a namespace"),
            work: Some(work),
            thread: Some(thread),
        };
        host.ip("link set lo up");
        host
    }

    /// Does something in there.
    ///
    /// # Panics
    /// It panics.
    pub fn run<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let work = Box::new(move || drop(tell.send(what())));
        let to = self.work.as_ref().expect("until it is dropped");
        to.send(work).expect("it works");
        told.recv().expect("it did not panic")
    }

    /// Its namespace, for whoever enters it by a file.
    #[must_use]
    pub fn namespace(&self) -> PathBuf {
        of(self.pid).into()
    }

    /// `ip` with these arguments.
    pub fn ip(&self, arguments: &str) {
        let mut ip = tied("ip");
        ip.args(arguments.split(' '));
        self.succeed("ip", ip);
    }

    /// Rules of nftables.
    pub fn nft(&self, rules: &str) {
        let mut nft = tied("nft");
        nft.arg(rules);
        self.succeed("nft", nft);
    }

    fn succeed(&self, name: &'static str, mut command: Command) {
        self.run(move || drop(Process::start(name, &mut command).succeed()));
    }

    /// A cable to another one, whose ends have these addresses, each with the length of its
    /// network.
    pub fn connect(&self, other: &Self, ends: [&str; 2], device: &str) {
        let pid = other.pid;
        self.ip(&format!(
            "link add {device} type veth peer name {device} netns {pid}"
        ));
        for (host, address) in [self, other].into_iter().zip(ends) {
            // Else an address of IPv6 is not used before nobody else was found to have it.
            let flags = if address.contains(':') { " nodad" } else { "" };
            host.ip(&format!("address add {address} dev {device}{flags}"));
            host.ip(&format!("link set {device} up"));
        }
    }
}

/// A process that does nothing but be in a namespace of its own.
fn owner() -> Process {
    let mut command = tied("unshare");
    command.args(["--net", "sleep", "infinity"]);
    let owner = Process::start("unshare", &mut command);
    let link = |path: String| std::fs::read_link(path).expect("it runs");
    let here = link("/proc/thread-self/ns/net".to_owned());
    eventually("a namespace", || link(of(owner.pid())) != here);
    owner
}

fn of(pid: u32) -> String {
    format!("/proc/{pid}/ns/net")
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}
