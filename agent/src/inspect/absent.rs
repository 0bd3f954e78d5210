//! Why a number is no process that could be explained: for who took it from a container, from a
//! list of threads, or from yesterday. It looks at `/proc`, and changes nothing.

use std::fmt;
use std::fs;

use crate::discover::ProcRoot;
use crate::visible::Visible;

/// `PF_KTHREAD` of the kernel's include/linux/sched.h.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// Processes that are named, of those that a container calls by the number.
const NAMED_MAX: usize = 8;

/// What a number is instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// A thread of this process.
    Thread(u32),
    /// One of the kernel's.
    Kernel,
    /// Nothing here; within pid namespaces of their own, these processes have it: their numbers
    /// here, and what the kernel calls them.
    Elsewhere(Vec<(u32, String)>),
    /// Nothing.
    Nobody,
}

impl Absent {
    /// Looks; `None` if it is a process.
    #[must_use]
    pub fn of(root: &ProcRoot, pid: u32) -> Option<Self> {
        let status = |pid: u32| fs::read_to_string(root.path().join(format!("{pid}/status"))).ok();
        let Some(own) = status(pid) else {
            let named = root.pids().filter_map(|other| {
                let status = status(other)?;
                let within = field(&status, "NSpid:")?.split_whitespace().next_back()?;
                let is_it = within.parse() == Ok(pid);
                is_it.then(|| (other, field(&status, "Name:").unwrap_or("?").to_owned()))
            });
            let named: Vec<_> = named.take(NAMED_MAX).collect();
            return Some(if named.is_empty() {
                Self::Nobody
            } else {
                Self::Elsewhere(named)
            });
        };
        let process = field(&own, "Tgid:").and_then(|it| it.parse().ok());
        match process {
            Some(process) if process != pid => Some(Self::Thread(process)),
            _ => is_of_kernel(root, pid).then_some(Self::Kernel),
        }
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim())
}

/// The flags are the seventh field behind the name, which may hold anything.
fn is_of_kernel(root: &ProcRoot, pid: u32) -> bool {
    let stat = fs::read_to_string(root.path().join(format!("{pid}/stat"))).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let flags = fields.split_whitespace().nth(6);
    flags.and_then(|it| it.parse().ok()).unwrap_or(0) & KERNEL_THREAD != 0
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(process) => write!(f, "it is a thread of process {process}"),
            Self::Kernel => f.write_str("it is a thread of the kernel, which serves nobody"),
            Self::Nobody => f.write_str("there is no such process"),
            Self::Elsewhere(named) => {
                f.write_str("there is no such process here; in a container, it is")?;
                for (index, (pid, name)) in named.iter().enumerate() {
                    let or = if index == 0 { "" } else { ", or" };
                    write!(f, "{or} {pid} ({})", Visible(name))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_no_process_is_told_by_what_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("created");
            fs::write(path, text).expect("written");
        };
        write("10/status", "Name:\tnginx\nTgid:\t10\nNSpid:\t10\t1\n");
        write("11/status", "Name:\tjava\nTgid:\t10\nNSpid:\t11\t7\n");
        write("20/status", "Name:\tjava\nTgid:\t20\nNSpid:\t20\t7\n");
        write("2/status", "Name:\tkthreadd\nTgid:\t2\nNSpid:\t2\n");
        write("2/stat", "2 (a) b) S 0 0 0 0 -1 2129984 0 0");
        let root = ProcRoot::at(dir.path());
        let said = |pid| Absent::of(&root, pid).map(|it| it.to_string());
        assert_eq!(said(10), None);
        assert_eq!(said(11).as_deref(), Some("it is a thread of process 10"));
        let kernel = said(2).expect("no process");
        assert!(kernel.starts_with("it is a thread of the kernel"));
        assert_eq!(
            Absent::of(&root, 1),
            Some(Absent::Elsewhere(vec![(10, "nginx".into())]))
        );
        let elsewhere = said(7).expect("no process");
        assert!(elsewhere.contains("in a container, it is ") && elsewhere.contains("20 (java)"));
        assert_eq!(said(99).as_deref(), Some("there is no such process"));
    }
}
