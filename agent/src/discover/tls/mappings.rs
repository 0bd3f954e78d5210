//! Files that a process runs code from: the executable mappings of `/proc/<pid>/maps`
//! (`show_map_vma` of the kernel's `fs/proc/task_mmu.c`), each file once. It opens them, and does
//! not look into them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::proc_root::{ProcRoot, without_deleted};
use super::FileId;
use super::image::OpenFile;

/// A mapped file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub file: FileId,
    /// Addresses in the process.
    start: u64,
    end: u64,
    /// Path as the process sees it.
    pub name: PathBuf,
}

/// What a file looked like when it was opened; whoever writes to it changes that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Version {
    len: u64,
    modified: (i64, i64),
}

/// Most bytes that are read: mappings of a JVM with a large heap take some megabytes.
const MAPS_LEN_MAX: u64 = 16 << 20;
/// Most files of one process; plug-ins and Python's modules make a few hundred.
const FILES_MAX: usize = 1024;

/// Files mapped executable, sorted. `None` if the process has gone or may not be looked at.
pub(super) fn of(root: &ProcRoot, pid: u32) -> Option<Vec<Mapping>> {
    let maps = File::open(root.dir(pid).join("maps")).ok()?;
    let mut lines = BufReader::with_capacity(64 * 1024, maps.take(MAPS_LEN_MAX));
    let mut line = Vec::new();
    let mut found: Vec<Mapping> = Vec::new();
    while lines.read_until(b'\n', &mut line).ok()? > 0 {
        if let Some(mapping) = executable(&line)
            && found.len() < FILES_MAX
            && found.iter().all(|known| known.file != mapping.file)
        {
            found.push(mapping);
        }
        line.clear();
    }
    found.sort_by_key(|mapping| mapping.file);
    Some(found)
}

/// A line's mapping, if code of a file is run from it.
fn executable(line: &[u8]) -> Option<Mapping> {
    // start-end perms offset major:minor inode, then a path after blanks
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut field = || std::str::from_utf8(fields.next()?).ok();
    let (start, end) = field()?.split_once('-')?;
    if field()?.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let _offset = field()?;
    let (major, minor) = field()?.split_once(':')?;
    let inode = field()?.parse().ok().filter(|inode| *inode != 0)?;
    let name = fields.next()?.trim_ascii();
    // Memory of devices, and shared memory without a file.
    if !name.starts_with(b"/") || name.starts_with(b"/dev/") || name.starts_with(b"/SYSV") {
        return None;
    }
    let hex = |digits: &str| u32::from_str_radix(digits, 16).ok();
    Some(Mapping {
        file: FileId {
            device: rustix::fs::makedev(hex(major)?, hex(minor)?),
            inode,
        },
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        name: without_deleted(PathBuf::from(std::ffi::OsStr::from_bytes(name))),
    })
}

impl Mapping {
    /// The path that leads to the mapped file itself, whatever has its name by now. It takes
    /// `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE` to follow it.
    pub fn open_path(&self, root: &ProcRoot, pid: u32) -> PathBuf {
        let range = format!("map_files/{:x}-{:x}", self.start, self.end);
        root.dir(pid).join(range)
    }

    /// Opens the mapped file. Who may not follow [`Mapping::open_path`] gets the file that has the
    /// name in the process's own file system, if it is the same one.
    pub fn open(&self, root: &ProcRoot, pid: u32) -> io::Result<(OpenFile, Version)> {
        let file = File::open(self.open_path(root, pid)).or_else(|error| {
            let named = self.name.strip_prefix("/").unwrap_or(&self.name);
            let file = File::open(root.dir(pid).join("root").join(named)).map_err(|_| error)?;
            let metadata = file.metadata()?;
            let is_same = metadata.ino() == self.file.inode && metadata.dev() == self.file.device;
            is_same
                .then_some(file)
                .ok_or_else(|| io::Error::other("another file has its name"))
        })?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let version = Version {
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        let len = metadata.len();
        Ok((OpenFile { file, len }, version))
    }

    /// The file's own name.
    pub fn file_name(&self) -> &Path {
        self.name.file_name().map_or(&self.name, Path::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_taken_from_maps() {
        let line = b"7f10a000-7f10b000 r-xp 00001000 08:02 1234    /usr/lib/lib a.so (deleted)\n";
        assert_eq!(
            executable(line),
            Some(Mapping {
                file: FileId {
                    device: 0x802,
                    inode: 1234
                },
                start: 0x7f10_a000,
                end: 0x7f10_b000,
                name: PathBuf::from("/usr/lib/lib a.so"),
            })
        );
        for line in [
            &b"7f10a000-7f10b000 r--p 00001000 08:02 1234 /usr/lib/liba.so\n"[..],
            b"7f10a000-7f10b000 r-xp 00000000 00:00 0 [vdso]\n",
            b"7f10a000-7f10b000 rwxp 00000000 00:00 0 \n",
            b"7f10a000-7f10b000 r-xs 00000000 00:06 11 /dev/nvidia0\n",
            b"7f10a000-7f10b000 r-xp\n",
            b"\xff-\xfe r-xp 0 08:02 1 /x\n",
            b"",
        ] {
            assert_eq!(executable(line), None, "{}", line.escape_ascii());
        }
    }
}
