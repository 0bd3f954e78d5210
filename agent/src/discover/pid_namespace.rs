//! Whether `/proc` shows processes by the numbers that the kernel side tells, those of the initial
//! pid namespace. It changes nothing.
//!
//! What counts is the file system, not where the daemon itself runs: with the machine's `/proc`, a
//! pid namespace of its own does no harm. A container with `hostPID` on a node that is a container
//! itself (kind, Docker in Docker) shows that node's numbers, which are not the kernel's: there, no
//! setting helps but to run on the machine.

use std::fmt;
use std::fs;
use std::io;

use super::proc_root::ProcRoot;

/// What the link of the initial pid namespace says: `PROC_PID_INIT_INO` of the kernel's
/// `include/linux/proc_ns.h`, which is the same on every machine.
const INITIAL: &str = "pid:[4026531836]";

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// `/proc` shows other numbers than the kernel side tells.
#[derive(Debug, PartialEq, Eq)]
pub struct ForeignPids;

impl fmt::Display for ForeignPids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "/proc shows a pid namespace of its own, so that processes would be mistaken for \
             others: run with the host's (Kubernetes: hostPID: true; Docker, Podman: --pid=host); \
             on a node that is itself a container (kind, k3d, minikube's docker driver), run on \
             the machine",
        )
    }
}

impl std::error::Error for ForeignPids {}

impl ProcRoot {
    /// Checks that its numbers are those of the kernel side.
    ///
    /// # Errors
    /// They are not.
    pub fn check_pids(&self) -> Result<(), ForeignPids> {
        // The first process of a namespace lives in it.
        let of_first = fs::read_link(self.dir(1).join("ns/pid"));
        let is_initial = match of_first {
            Ok(namespace) => namespace.as_os_str() == INITIAL,
            // Without the right to look, there is another sign: only there the second one is the
            // kernel's.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let second = self.open(2).and_then(|process| process.stat().ok());
                second.is_some_and(|stat| stat.flags & KERNEL_THREAD != 0)
            }
            // A file system that is mounted with hidepid=2 hides it.
            Err(_) => fs::read_link(self.dir(self.own_pid()).join("ns/pid"))
                .map_or(true, |own| own.as_os_str() == INITIAL),
        };
        if is_initial { Ok(()) } else { Err(ForeignPids) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn with(links: &[(&str, &str)]) -> Result<(), ForeignPids> {
        let dir = tempfile::tempdir().expect("a directory");
        for (path, target) in links {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("created");
            symlink(target, path).expect("linked");
        }
        ProcRoot::at(dir.path()).check_pids()
    }

    #[test]
    fn the_first_process_tells_whose_numbers_they_are() {
        assert_eq!(with(&[("1/ns/pid", INITIAL)]), Ok(()));
        assert_eq!(with(&[("1/ns/pid", "pid:[4026532900]")]), Err(ForeignPids));
        // The daemon's own namespace matters not.
        let other = ("self", "7");
        let own = ("7/ns/pid", "pid:[4026532900]");
        assert_eq!(with(&[("1/ns/pid", INITIAL), other, own]), Ok(()));
    }

    #[test]
    fn where_the_first_process_is_hidden_the_daemon_itself_tells() {
        let other = ("self", "7");
        assert_eq!(with(&[other, ("7/ns/pid", INITIAL)]), Ok(()));
        let own = ("7/ns/pid", "pid:[4026532900]");
        assert_eq!(with(&[other, own]), Err(ForeignPids));
        assert_eq!(with(&[]), Ok(()), "nothing to check by");
    }

    #[test]
    fn the_remedy_is_one_line() {
        let text = ForeignPids.to_string();
        assert!(text.contains("hostPID: true") && text.contains("--pid=host"));
        assert_eq!(text.lines().count(), 1);
    }
}
