//! A file of a stranger that is held open: the very file that was looked into, whatever has its
//! name by now and whether or not a process still maps it. It reads nothing by itself.
//!
//! A file is opened in two steps. What a path leads to may be a device that acts when it is opened,
//! or a pipe whose writer waits for a reader, so it is first only found (`O_PATH`, which asks
//! neither) and opened for reading once it is known to be a regular file, and the one that is
//! wanted.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags, fstat, makedev, open, statx};

use super::FileId;
use super::image::BytesAt;

/// What a file looked like at one moment. Whoever writes to it changes that: the time of its change
/// can't be set by hand. (Before Linux 6.13 that clock ticks every few milliseconds only, so that
/// of two changes within a tick the second is not told from the first.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileVersion {
    /// As `stat` names its device, which is not on every file system what [`FileId`] says.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub len: u64,
    /// When its content was last changed: seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
    /// When it or what is known of it was last changed; the same units.
    pub changed: (i64, u32),
}

/// A regular file, open for reading, and its version when it was opened.
#[derive(Debug)]
pub struct HeldFile {
    file: File,
    /// The same file, opened once more and never read.
    for_leases: OwnedFd,
    version: FileVersion,
}

impl HeldFile {
    /// Its version when it was opened, which is that of all that was found in it.
    #[must_use]
    pub fn version(&self) -> FileVersion {
        self.version
    }

    /// Whether nobody has written to it since it was opened, as far as is known here: a server that
    /// has it on its disk is not asked, so that this does not wait for one.
    ///
    /// # Errors
    /// Its file system knows it no longer.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        Ok(FileVersion::of(&self.file)? == self.version)
    }

    /// BytesAt from `offset` on, at most `len`, fewer at its end; `None` if they can't be read.
    #[must_use]
    pub fn bytes_at(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let rest = self.version.len.checked_sub(offset)?;
        let mut bytes = vec![0; len.min(usize::try_from(rest).unwrap_or(len))];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// How long the file is now, in bytes.
    ///
    /// # Errors
    /// Its file system can't be asked any longer.
    pub fn len_now(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// A path that leads to this very file as long as it is held, for this process only.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_of(&self.file)
    }

    /// Opens what `found` was found to be.
    ///
    /// # Errors
    /// It may not be read, or its file system does not answer.
    pub(super) fn open(found: &FoundFile) -> io::Result<Self> {
        // Not by its path, which may lead elsewhere by now. A lease that somebody holds on the file
        // is not waited for (O_NONBLOCK).
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let path = path_of(&found.place);
        let file = File::from(open(&path, flags, Mode::empty())?);
        let for_leases = open(&path, flags, Mode::empty())?;
        let version = FileVersion::of(&file)?;
        Ok(Self {
            file,
            for_leases,
            version,
        })
    }

    /// What leases are taken by. Where overlayfs (5.10) finds one on a descriptor, it refuses to
    /// read from that, and complains of itself in the kernel's log.
    #[must_use]
    pub fn for_leases(&self) -> BorrowedFd<'_> {
        self.for_leases.as_fd()
    }

    /// Any file, as if its inode had this number.
    #[cfg(test)]
    pub(crate) fn for_tests(path: &Path, inode: u64) -> Self {
        let held = Self::open(&FoundFile::at(path).expect("found")).expect("opened");
        let version = FileVersion {
            inode,
            ..held.version
        };
        Self { version, ..held }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl BytesAt for HeldFile {
    fn len(&self) -> u64 {
        self.version.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        self.file.read_exact_at(into, offset).ok()
    }
}

/// What a path leads to, if it is a regular file; it is not open.
pub(super) struct FoundFile {
    place: OwnedFd,
    stat: Stat,
}

impl FoundFile {
    /// # Errors
    /// It is no regular file, or can't be asked.
    pub fn new(place: OwnedFd) -> io::Result<Self> {
        let stat = fstat(&place)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other(
                "another thing that is no file has its name",
            ));
        }
        Ok(Self { place, stat })
    }

    /// # Errors
    /// As [`FoundFile::new`], and where the path leads nowhere or may not be followed.
    pub fn at(path: &Path) -> io::Result<Self> {
        Self::new(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Which file `stat` says it is.
    pub fn id(&self) -> FileId {
        FileId {
            device: self.stat.st_dev,
            inode: self.stat.st_ino,
        }
    }
}

impl FileVersion {
    fn of(file: &File) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let stat = statx(file, c"", flags, StatxFlags::BASIC_STATS)?;
        let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Ok(Self {
            device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            len: stat.stx_size,
            modified: time(stat.stx_mtime),
            changed: time(stat.stx_ctime),
        })
    }
}

/// Where this process's own descriptors are found as files, by it and by the kernel on its behalf.
fn path_of(descriptor: &impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::from(0o600), 0)
            .expect("a pipe");
        assert!(FoundFile::at(&path).is_err());
        // A writer that waits for a reader is left waiting.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        assert_eq!(
            open(&path, flags, Mode::empty()).expect_err("no reader"),
            rustix::io::Errno::NXIO
        );
        let socket = directory.path().join("y");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        for path in [&socket, directory.path(), Path::new("/dev/null")] {
            assert!(FoundFile::at(path).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn a_held_file_is_read_whatever_becomes_of_its_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x");
        std::fs::write(&path, "one").expect("written");
        let held = HeldFile::open(&FoundFile::at(&path).expect("found")).expect("opened");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "two").expect("written");
        let mut bytes = [0; 3];
        assert_eq!(held.read_at(0, &mut bytes), Some(()));
        assert_eq!(&bytes, b"one");
        assert_eq!(std::fs::read(held.path()).expect("read"), b"one");
    }

    #[test]
    fn a_file_that_is_written_to_is_another_version() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x");
        std::fs::write(&path, "one").expect("written");
        let held = HeldFile::open(&FoundFile::at(&path).expect("found")).expect("opened");
        assert!(held.is_unchanged().expect("asked"));
        // Of the same length, and with its old time of modification. Older kernels' clock for files
        // ticks every few milliseconds, so that once may be too early.
        let modified = held.file.metadata().and_then(|it| it.modified());
        let modified = modified.expect("a time");
        let writer = File::options().write(true).open(&path).expect("opened");
        let deadline = Instant::now() + Duration::from_secs(10);
        while held.is_unchanged().expect("asked") {
            assert!(Instant::now() < deadline, "the change goes unnoticed");
            writer.write_all_at(b"two", 0).expect("written");
            writer.set_modified(modified).expect("set");
        }
    }
}
