//! What stands in the memory of a process where it runs code of a file: byte for byte, as its
//! processor would take it. It compares nothing and writes nothing.
//!
//! Both `maps` and `mem` of a process belong to the memory that it had when they were opened: after
//! it has executed another program, or has ended, nothing is read through them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use super::super::proc_root::ProcRoot;
use super::FileId;
use super::mappings::{self, MappedPiece};

/// Code of one file in one process.
#[derive(Debug)]
pub struct MappedCode {
    memory: File,
    pieces: Vec<MappedPiece>,
}

/// Why nothing is known of what stands there.
#[derive(Debug)]
pub enum Unknown {
    /// The process has ended, has become another program, or no longer maps it.
    Gone,
    /// It may not be looked at.
    Refused(io::Error),
}

impl MappedCode {
    /// Finds where process `pid` maps code of `file`.
    ///
    /// # Errors
    /// See [`Unknown`].
    pub fn of(root: &ProcRoot, pid: u32, file: FileId) -> Result<Self, Unknown> {
        let open = |name| File::open(root.dir(pid).join(name)).map_err(Unknown::from);
        // In this order: what is found in `maps` may be younger than `memory`, and then it is not
        // there.
        let memory = open("mem")?;
        let lines = BufReader::with_capacity(64 * 1024, open("maps")?.take(mappings::MAPS_LEN_MAX));
        let mut pieces = Vec::new();
        for line in lines.split(b'\n') {
            pieces.extend(mappings::piece(&line.map_err(Unknown::from)?, file));
        }
        if pieces.is_empty() {
            return Err(Unknown::Gone);
        }
        Ok(Self { memory, pieces })
    }

    /// Where a place of the file, in bytes, is in the process's memory; of several mappings the
    /// first.
    #[must_use]
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        let mut found = self.pieces.iter().map(|piece| piece.address_of(offset));
        found.find_map(|address| address)
    }

    /// What stands at a place of the file, in bytes, wherever the process maps it; at most `len`
    /// bytes, fewer at the end of a mapping.
    ///
    /// # Errors
    /// See [`Unknown`].
    pub fn at(&self, offset: u64, len: usize) -> Result<Vec<Vec<u8>>, Unknown> {
        let mut found = Vec::new();
        for piece in &self.pieces {
            let Some(address) = piece.address_of(offset) else {
                continue;
            };
            let mut bytes = vec![0; len.min((piece.end - address) as usize)];
            match self.memory.read_at(&mut bytes, address) {
                // The memory is no longer anybody's.
                Ok(0) => return Err(Unknown::Gone),
                Ok(read) => bytes.truncate(read),
                Err(error) => return Err(error.into()),
            }
            found.push(bytes);
        }
        if found.is_empty() {
            return Err(Unknown::Gone);
        }
        Ok(found)
    }
}

/// Where code of this process lies in its file, in bytes.
#[must_use]
pub fn own_code_offset(address: u64) -> Option<u64> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let mut lines = maps.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (range, file) = mappings::file(line)?;
        let piece = mappings::piece(line, file).filter(|_| range.contains(&address))?;
        Some(address - piece.start + piece.offset)
    })
}

impl From<io::Error> for Unknown {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            // No such process, and memory that was unmapped.
            Some(Errno::SRCH | Errno::NOENT | Errno::IO | Errno::FAULT) => Self::Gone,
            _ => Self::Refused(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    extern "C" fn here() -> u64 {
        std::hint::black_box(0x1122_3344_5566_7788)
    }

    fn own_piece() -> (FileId, MappedPiece) {
        let maps = std::fs::read("/proc/self/maps").expect("a list");
        let address = here as *const () as u64;
        maps.split(|byte| *byte == b'\n')
            .filter_map(|line| {
                let (_, file) = mappings::file(line)?;
                Some((file, mappings::piece(line, file)?))
            })
            .find(|(_, piece)| (piece.start..piece.end).contains(&address))
            .expect("this test is mapped")
    }

    #[test]
    fn what_stands_in_memory_is_what_is_run() {
        let (file, piece) = own_piece();
        let address = here as *const () as u64;
        let code = MappedCode::of(&ProcRoot::host(), std::process::id(), file).expect("mapped");
        let found = code.at(address - piece.start + piece.offset, 16);
        // SAFETY: a function of this program, and code behind it.
        let expected = unsafe { std::slice::from_raw_parts(address as *const u8, 16) };
        assert_eq!(found.expect("read"), [expected]);
    }

    #[test]
    fn a_process_that_has_gone_and_a_file_that_is_not_mapped_are_nowhere() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("a process");
        let (file, _) = own_piece();
        let root = ProcRoot::host();
        assert!(matches!(
            MappedCode::of(&root, child.id(), file),
            Err(Unknown::Gone)
        ));
        let pid = child.id();
        let own = MappedCode::of(&root, std::process::id(), file).expect("mapped");
        assert!(matches!(own.at(u64::MAX - 100, 1), Err(Unknown::Gone)));
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert!(matches!(
            MappedCode::of(&root, pid, file),
            Err(Unknown::Gone)
        ));
    }
}
