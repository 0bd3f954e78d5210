//! What is done to a file while probes stand on it: who writes to it waits until they have gone,
//! and nobody else waits, or notices.

use std::fs::{File, OpenOptions, read_to_string};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::process::Command;

use rustix::fs::OFlags;
use rustix::process::Signal;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::tls::{self, Certificates, OwnLibrary, breakpoints, wait_for_probes};
use wirespan_tests::workload::{Server, curl, eventually};

const NAME: &str = "libssl.so.3";

/// No breakpoints.
const NONE: Option<Vec<u64>> = Some(Vec::new());

/// One request, answered.
fn ask(server: &Server, target: &str) {
    let said = curl(&[&tls::INSECURE[..], &[&server.url(target)]].concat());
    assert_eq!(said, ["200"], "{}", server.process.story());
}

/// A server on a library of its own.
fn start(certificates: &Certificates, own: &OwnLibrary) -> Server {
    serve(certificates, own, tied(&own.program))
}

/// The same, however it is started.
fn serve(certificates: &Certificates, own: &OwnLibrary, mut command: Command) -> Server {
    command.env("OVER", &own.library);
    command.env("NEXT", own.next.path().join("next"));
    tls::tls_server(certificates, command, &["plain"])
}

/// The same, in a mount namespace of its own, in which its folder is the lower layer of another
/// file system.
fn start_layered(certificates: &Certificates, own: &OwnLibrary) -> Server {
    let script = r#"
        mount --make-rprivate / && mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work &&
        mount -t overlay -o "lowerdir=$0,upperdir=/mnt/upper,workdir=/mnt/work" none "$0" &&
        exec "$0/openssl" "$@""#;
    let mut command = tied("unshare");
    command.args(["--mount", "sh", "-c", script]);
    command.arg(own.directory.path());
    serve(certificates, own, command)
}

/// What the kernel says from now on.
struct KernelLog(File);

impl KernelLog {
    fn open() -> Self {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let mut log = options.open("/dev/kmsg").expect("the kernel's log");
        log.seek(SeekFrom::End(0)).expect("its end");
        Self(log)
    }

    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = [0; 8192];
        loop {
            match self.0.read(&mut line) {
                Ok(len) => lines.push(String::from_utf8_lossy(&line[..len]).into_owned()),
                // Some were overwritten before they were read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return lines,
            }
        }
    }
}

/// Has the server overwrite its library and execute itself, again and again. The calls of the
/// library begin as soon as it is there again, within what it takes to put a probe away.
fn executes_itself(own: &OwnLibrary, mut server: Server) {
    let daemon = Daemon::for_port(server.port);
    let pid = server.process.pid();
    let mut before = wait_for_probes(pid, NAME);
    for turn in 1..7 {
        let next = own.next.path().join("next");
        std::fs::copy(&own.builds[turn % 2], next).expect("a copy");
        server.process.signal(Signal::USR1);
        eventually("it listens again", || {
            assert_eq!(server.process.status(), None, "in turn {turn}");
            let said = server.process.stdout.all();
            said.iter().filter(|line| *line == "listening").count() > turn
        });
        (0..5).for_each(|number| ask(&server, &format!("/early/{turn}/{number}")));
        let places = wait_for_probes(pid, NAME);
        assert_ne!(
            places, before,
            "the builds differ in nothing that matters here"
        );
        before = places;
        let target = format!("/late/{turn}");
        ask(&server, &target);
        daemon.wait_for("the last", |spans| {
            spans.iter().any(|span| span.target() == target)
        });
    }
    let _ = daemon.stop_uncounted();
}

#[test]
fn a_process_that_executes_itself_right_after_its_library_was_overwritten_lives() {
    let certificates = Certificates::create();
    let own = OwnLibrary::shifted();
    executes_itself(&own, start(&certificates, &own));
}

/// The first time the library is copied up: what is written is another file than what has probes.
#[test]
fn so_it_does_where_its_files_are_layers() {
    let certificates = Certificates::create();
    let own = OwnLibrary::shifted();
    executes_itself(&own, start_layered(&certificates, &own));
}

#[test]
fn who_writes_waits_for_the_probes_to_go_and_who_does_not_write_waits_for_nothing() {
    let certificates = Certificates::create();
    let own = OwnLibrary::create();
    let server = start(&certificates, &own);
    let daemon = Daemon::for_port(server.port);
    let pid = server.process.pid();
    let stand = wait_for_probes(pid, NAME);
    // Another name, other rights, a look at it.
    let other = own.directory.path().join("other");
    std::fs::hard_link(&own.library, &other).expect("a link");
    let another = own.directory.path().join("another");
    std::fs::rename(&other, &another).expect("renamed");
    let rights = std::fs::metadata(&own.library)
        .expect("a file")
        .permissions();
    std::fs::set_permissions(&own.library, rights).expect("set");
    assert!(std::fs::read(&own.library).is_ok());
    assert_eq!(breakpoints(pid, NAME), Some(stand));
    // It opens the file for writing, but not to wait, and does without.
    Process::start("touch", tied("touch").arg(&own.library)).succeed();
    let _ = wait_for_probes(pid, NAME);
    let mut kernel = KernelLog::open();
    let writer = File::options().write(true).open(&another);
    assert_eq!(breakpoints(pid, NAME), NONE);
    drop(writer.expect("opened"));
    let _ = wait_for_probes(pid, NAME);
    ask(&server, "/after");
    daemon.wait_for_count(1);
    // The process loses what its loader wrote into the library's data, and does nothing any longer.
    let writer = File::create(&own.library).expect("cut short");
    drop(writer);
    let _ = daemon.stop();
    let said = kernel.lines();
    let is_ours = |line: &&String| line.contains("uprobe");
    assert_eq!(said.iter().filter(is_ours).count(), 0, "{said:?}");
    let inode = std::fs::metadata(&own.library).expect("a file").ino();
    let locks = read_to_string("/proc/locks").expect("the kernel's locks");
    assert!(!locks.contains(&format!(":{inode} ")), "{locks}");
}
