//! Files that a process runs code from: the executable mappings of `/proc/<pid>/maps`
//! (`show_map_vma` of the kernel's `fs/proc/task_mmu.c`), each file once. It
//! opens none of them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::proc_root::{ProcRoot, without_deleted};
use super::FileId;

/// A mapped file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub file: FileId,
    /// Addresses in the process: the first, and the one behind the last.
    pub range: (u64, u64),
    /// Path as the process sees it.
    pub name: PathBuf,
}

/// Most bytes that are read: mappings of a JVM with a large heap take some megabytes.
pub(super) const MAPS_LEN_MAX: u64 = 16 << 20;
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

/// A stretch of a file that is run from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MappedPiece {
    /// Its first address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
}

impl MappedPiece {
    /// Where a place of the file lies, if it is in this piece.
    pub fn address_of(self, offset: u64) -> Option<u64> {
        let address = self.start.checked_add(offset.checked_sub(self.offset)?)?;
        (address < self.end).then_some(address)
    }
}

/// Which file a line is about, and the addresses that it is mapped to.
pub(super) fn file(line: &[u8]) -> Option<(Range<u64>, FileId)> {
    let fields = LineFields::of(line)?;
    Some((fields.range, fields.file))
}

/// A line's mapping, if code of `file` is run from it.
pub(super) fn piece(line: &[u8], file: FileId) -> Option<MappedPiece> {
    let fields = LineFields::of(line)?;
    let is_code = fields.file == file && fields.permissions.get(2) == Some(&b'x');
    is_code.then_some(MappedPiece {
        start: fields.range.start,
        end: fields.range.end,
        offset: fields.offset,
    })
}

/// What a line says.
struct LineFields<'a> {
    range: Range<u64>,
    permissions: &'a [u8],
    offset: u64,
    file: FileId,
    name: &'a [u8],
}

impl<'a> LineFields<'a> {
    /// `None` for memory without a file.
    fn of(line: &'a [u8]) -> Option<Self> {
        // start-end perms offset major:minor inode, then a path after blanks
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut field = || std::str::from_utf8(fields.next()?).ok();
        let (start, end) = field()?.split_once('-')?;
        let permissions = field()?.as_bytes();
        let offset = field()?;
        let (major, minor) = field()?.split_once(':')?;
        let inode = field()?.parse().ok().filter(|inode| *inode != 0)?;
        let address = |digits: &str| u64::from_str_radix(digits, 16).ok();
        let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
        Some(Self {
            range: address(start)?..address(end)?,
            permissions,
            offset: address(offset)?,
            file: FileId {
                device: rustix::fs::makedev(number(major)?, number(minor)?),
                inode,
            },
            name: fields.next()?.trim_ascii(),
        })
    }
}

/// A line's mapping, if code of a file is run from it.
fn executable(line: &[u8]) -> Option<Mapping> {
    let LineFields {
        range,
        permissions,
        file,
        name,
        ..
    } = LineFields::of(line)?;
    // Memory of devices, and shared memory without a file.
    if permissions.get(2) != Some(&b'x')
        || !name.starts_with(b"/")
        || name.starts_with(b"/dev/")
        || name.starts_with(b"/SYSV")
    {
        return None;
    }
    Some(Mapping {
        file,
        range: (range.start, range.end),
        name: without_deleted(PathBuf::from(std::ffi::OsStr::from_bytes(name))),
    })
}

impl Mapping {
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
                range: (0x7f10_a000, 0x7f10_b000),
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
