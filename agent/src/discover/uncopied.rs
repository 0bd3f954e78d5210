//! Why bytes of a process are not read, as far as `/proc` tells: ways of making calls that the
//! kernel side does not follow. What such a process moves in the ordinary way is read all the same.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde::{Deserialize, Serialize};

use super::proc_root::ProcRoot;

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncopied {
    /// It holds a ring of io_uring: calls that it submits there have no registers of their own, so
    /// nobody knows where their bytes are.
    IoUring,
    /// It is a 32-bit program: its calls have other numbers, registers and structures.
    #[serde(rename = "32_bit")]
    ThirtyTwoBit,
}

impl Uncopied {
    /// What is the matter, as the rest of a sentence about the process.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::IoUring => {
                "it uses io_uring, and what it sends and receives that way is not read"
            }
            Self::ThirtyTwoBit => "it is a 32-bit program, whose calls are not read",
        }
    }
}

/// What there is of them in a process now; a ring may be made later. Nothing if it has gone.
#[must_use]
pub fn uncopied(root: &ProcRoot, pid: u32) -> Vec<Uncopied> {
    let mut found = Vec::new();
    if holds_ring(root, pid) {
        found.push(Uncopied::IoUring);
    }
    if auxiliary_vector(root, pid).is_some_and(|vector| is_32_bit(&vector)) {
        found.push(Uncopied::ThirtyTwoBit);
    }
    found
}

/// The name of its file (`io_uring_get_file`, io_uring/io_uring.c).
const RING: &str = "anon_inode:[io_uring]";

/// Descriptors that are looked at: a ring is made before connections are accepted.
const DESCRIPTORS_MAX: usize = 4096;

fn holds_ring(root: &ProcRoot, pid: u32) -> bool {
    fs::read_dir(root.dir(pid).join("fd"))
        .into_iter()
        .flatten()
        .take(DESCRIPTORS_MAX)
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|link| link.as_os_str() == RING)
}

/// More than any kernel writes there (`AT_VECTOR_SIZE`, include/linux/mm_types.h).
const VECTOR_BYTES_MAX: u64 = 4096;

/// `/proc/PID/auxv`: unlike the executable it is memory of the kernel, and can't keep us waiting.
fn auxiliary_vector(root: &ProcRoot, pid: u32) -> Option<Vec<u8>> {
    let file: File = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(root.dir(pid).join("auxv"))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(VECTOR_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// `AT_PHENT` (include/uapi/linux/auxvec.h): size of an entry of the program's header table.
const AT_PHENT: u32 = 4;
/// `sizeof(Elf32_Phdr)`; of 64-bit programs it is 56.
const PHENT_32: u32 = 32;

/// Whether a vector of pairs holds that of a 32-bit program: pairs of four bytes, not eight.
fn is_32_bit(vector: &[u8]) -> bool {
    vector.chunks_exact(8).any(|pair| {
        let (kind, value) = pair.split_at(4);
        kind == AT_PHENT.to_ne_bytes() && value == PHENT_32.to_ne_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_both_kinds_are_told_apart() {
        // AT_SYSINFO_EHDR, AT_PHDR, AT_PHENT, AT_NULL.
        let short: Vec<u8> = [33, 0xf7f0_0000, 3, 0x5655_5034, 4, 32, 0, 0u32]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert!(is_32_bit(&short));
        let long: Vec<u8> = [33, 0x7fff_0000_0000, 3, 0x5555_0000_0040, 4, 56, 0, 0u64]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert!(!is_32_bit(&long));
        assert!(!is_32_bit(&[]));
    }

    #[test]
    fn nothing_is_the_matter_with_this_process() {
        assert_eq!(uncopied(&ProcRoot::host(), std::process::id()), []);
    }
}
