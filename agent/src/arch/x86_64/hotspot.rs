//! What code of Java's virtual machine (HotSpot) says: where its thread-local memory is asked for,
//! and which numbers it writes into a table that it exports.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};

/// Bytes of a function in which its first call is looked for.
pub const HEAD_LEN: usize = 96;

/// The address that a function hands to what it calls first, which is `__tls_get_addr`: two words
/// in the table of global offsets (System V ABI for x86-64, "ELF Handling for Thread-Local
/// Storage").
#[must_use]
pub fn thread_local_asked_for(head: &[u8], address: u64) -> Option<u64> {
    let mut before = Instruction::default();
    for instruction in Decoder::with_ip(64, head, address, DecoderOptions::NONE) {
        if instruction.is_invalid() {
            return None;
        }
        match instruction.flow_control() {
            FlowControl::Next => before = instruction,
            FlowControl::Call | FlowControl::IndirectCall => break,
            _ => return None,
        }
    }
    let is_it = before.mnemonic() == Mnemonic::Lea
        && before.op0_register() == Register::RDI
        && before.is_ip_rel_memory_operand();
    is_it.then(|| before.memory_displacement64())
}

/// `movq $number, place(%rip)`: how it begins, and how long it is.
const STORE: [u8; 3] = [0x48, 0xc7, 0x05];
/// Length of such an instruction.
pub const STORE_LEN: usize = 11;

/// Calls `each` with the place and the number of whatever in some code may be the instruction that
/// writes a number to a place. It is not told from others that happen to have the same bytes
/// within them: who knows the places has to see whether two numbers are written to one.
pub fn numbers_stored(code: &[u8], address: u64, mut each: impl FnMut(u64, u64)) {
    for at in memchr::memmem::find_iter(code, &STORE) {
        let Some(bytes) = code.get(at..at + STORE_LEN) else {
            return;
        };
        let word = |from: usize| {
            let bytes = [0, 1, 2, 3].map(|index| bytes[from + index]);
            i64::from(i32::from_le_bytes(bytes)) as u64
        };
        let next = address.wrapping_add((at + STORE_LEN) as u64);
        each(next.wrapping_add(word(3)), word(7));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_call_is_for_what_was_loaded_right_before() {
        let head = [
            0x55, // push %rbp
            0x66, 0x48, 0x8d, 0x3d, 0xc7, 0x05, 0x00, 0x00, // data16 lea 0x5c7(%rip),%rdi
            0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0, // data16 data16 rex.W call
        ];
        assert_eq!(thread_local_asked_for(&head, 0x1000), Some(0x15d0));
        // Something in between, another register, a jump first, or no call at all.
        let mut other = head;
        other[0] = 0xc3;
        assert_eq!(thread_local_asked_for(&other, 0x1000), None);
        let mut other = head;
        other[4] = 0x35;
        assert_eq!(thread_local_asked_for(&other, 0x1000), None);
        assert_eq!(thread_local_asked_for(&head[9..], 0x1009), None);
    }

    #[test]
    fn what_is_written_where_is_read_from_the_instruction() {
        let code = [
            0x90, 0x48, 0xc7, 0x05, 0x10, 0, 0, 0, 0x20, 0x05, 0, 0, // movq $0x520,0x10(%rip)
            0x48, 0xc7, 0x05, 0xf0, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x48, 0xc7,
        ];
        let mut found = Vec::new();
        numbers_stored(&code, 0x1000, |place, number| found.push((place, number)));
        assert_eq!(found, [(0x101c, 0x520), (0x1007, 0)]);
    }
}
