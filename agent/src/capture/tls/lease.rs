//! A read lease (`F_SETLEASE`, fcntl(2)) on a file with probes: whoever opens it for writing, or
//! cuts it short, waits in the kernel until the lease is given back, and the kernel says that
//! somebody waits (SIGIO). So no byte of the file changes under a probe. Who reads, maps, renames,
//! deletes or replaces it does not wait. It decides nothing, and has no handler for SIGIO.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use rustix::io::Errno;

use crate::discover::tls::HeldFile;

/// Given back when it is dropped.
#[derive(Debug)]
pub struct Lease {
    file: Arc<HeldFile>,
}

/// Why there is no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLease {
    /// Somebody has the file open for writing.
    Written,
    /// The file system has none, the file is another user's (`CAP_LEASE` helps), or leases are
    /// switched off.
    NotHere(Errno),
}

impl Lease {
    /// Takes it.
    ///
    /// # Errors
    /// See [`NoLease`].
    pub fn take(file: &Arc<HeldFile>) -> Result<Self, NoLease> {
        match control(file, libc::F_SETLEASE, libc::F_RDLCK) {
            Ok(_) => Ok(Self {
                file: Arc::clone(file),
            }),
            Err(Errno::AGAIN) => Err(NoLease::Written),
            Err(error) => Err(NoLease::NotHere(error)),
        }
    }

    /// Whether somebody waits for it to be given back.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        // While it is being broken, the kernel names what it is to become.
        control(&self.file, libc::F_GETLEASE, 0).is_ok_and(|kind| kind != libc::F_RDLCK)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that was taken away has been given back.
        let _ = control(&self.file, libc::F_SETLEASE, libc::F_UNLCK);
    }
}

fn control(file: &HeldFile, command: i32, argument: i32) -> Result<i32, Errno> {
    // SAFETY: the descriptor is open as long as the file is borrowed, and both commands take an
    // integer and touch no memory of this process.
    let result = unsafe { libc::fcntl(file.for_leases().as_raw_fd(), command, argument) };
    if result < 0 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::Path;

    use super::*;

    /// Opens for writing without waiting for a lease.
    fn write(path: &Path) -> std::io::Result<File> {
        // What the kernel tells us of it would end the tests.
        let _ = signal_hook::flag::register(libc::SIGIO, Arc::default());
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        options.open(path)
    }

    #[test]
    fn who_writes_waits_until_it_is_given_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x");
        std::fs::write(&path, "one").expect("written");
        let held = Arc::new(HeldFile::for_tests(&path, 1));
        let lease = Lease::take(&held).expect("a lease");
        let other = Lease::take(&Arc::new(HeldFile::for_tests(&path, 2))).expect("another");
        assert!(!lease.is_wanted());
        // Who reads, renames or deletes does not want it.
        assert_eq!(std::fs::read(&path).expect("read"), b"one");
        let renamed = directory.path().join("y");
        std::fs::rename(&path, &renamed).expect("renamed");
        assert!(!lease.is_wanted());
        let refused = write(&renamed).expect_err("it would wait");
        assert_eq!(refused.raw_os_error(), Some(libc::EWOULDBLOCK));
        assert!(lease.is_wanted() && other.is_wanted());
        drop(lease);
        assert!(write(&renamed).is_err());
        drop(other);
        let writer = write(&renamed).expect("opened");
        assert_eq!(Lease::take(&held).expect_err("none"), NoLease::Written);
        drop(writer);
        assert!(Lease::take(&held).is_ok());
    }
}
