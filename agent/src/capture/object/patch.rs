//! Writes constants into the instructions of the legacy object that stand for them, before it is
//! loaded: kernels before 5.2 know no global data.

use std::collections::HashSet;

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, SectionKind};
use wirespan_common::legacy::{CONSTANT_MARK, Constants};

/// Size of an instruction: `struct bpf_insn` (include/uapi/linux/bpf.h).
const INSTRUCTION_LEN: usize = 8;
/// `BPF_LD | BPF_IMM | BPF_DW`, which takes two.
const LOAD_WIDE: u8 = 0x18;

/// Sets all constants of an object, and returns how many places there were.
///
/// # Errors
/// In one line: it is no such object, or asks for a constant that there is not.
pub fn set(object: &mut [u8], constants: &Constants) -> Result<usize, String> {
    let places = places(object)?;
    for &(at, number) in &places {
        let value = constants.value(number);
        let value = value.ok_or_else(|| format!("there is no constant {number}"))?;
        let instructions = &mut object[at..at + 2 * INSTRUCTION_LEN];
        instructions[4..8].copy_from_slice(&value.to_le_bytes());
        instructions[12..16].fill(0);
    }
    Ok(places.len())
}

/// Where in the file a wide load of a constant stands, and of which.
fn places(object: &[u8]) -> Result<Vec<(usize, u32)>, String> {
    let file = ElfFile64::<Endianness>::parse(object).map_err(|error| error.to_string())?;
    let mut places = Vec::new();
    for section in file.sections() {
        if section.kind() != SectionKind::Text {
            continue;
        }
        let Some((begin, _)) = section.file_range() else {
            continue;
        };
        let code = section.data().map_err(|error| error.to_string())?;
        // What has a relocation is the address of a map.
        let addresses: HashSet<u64> = section.relocations().map(|(at, _)| at).collect();
        let mut at = 0;
        while let Some(pair) = code.get(at..at + 2 * INSTRUCTION_LEN) {
            if pair[0] != LOAD_WIDE {
                at += INSTRUCTION_LEN;
                continue;
            }
            let word = |at: usize| {
                u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]])
            };
            if word(12) == CONSTANT_MARK && !addresses.contains(&(at as u64)) {
                places.push((begin as usize + at, word(4)));
            }
            at += 2 * INSTRUCTION_LEN;
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirespan_common::config::Offsets;

    #[test]
    fn no_constant_of_the_legacy_object_is_left_unset() {
        let mut object = super::super::KernelSide::Legacy.object().expect("gzip");
        let constants = Constants {
            offsets: Offsets::default(),
            own_process: 1,
        };
        let count = set(&mut object, &constants).expect("it is set");
        assert!(count > 100, "{count} places");
        assert_eq!(places(&object).expect("an object"), []);
    }
}
