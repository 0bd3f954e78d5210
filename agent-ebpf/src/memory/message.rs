//! A message on its way into a TCP socket, as a program on a sockhash is given it. Whatever changes
//! it takes the addresses that were read before away, and so each access reads them anew.

use aya_ebpf::bindings::{bpf_sock, sk_msg_md};
use aya_ebpf::helpers::generated;

use super::clamp;

/// Offsets that can be told apart, so that the verifier follows them.
const OFFSETS: usize = 8 * 1024 - 1;

/// A message.
#[derive(Clone, Copy)]
pub struct SentMessage(*mut sk_msg_md);

/// The kernel had no memory for it, or the message is not as it was taken to be.
pub struct NotDone;

impl SentMessage {
    /// What a program was given.
    #[inline(always)]
    pub fn new(message: *mut sk_msg_md) -> Self {
        Self(message)
    }

    /// Its bytes.
    #[inline(always)]
    pub fn size(self) -> u32 {
        // SAFETY: the context, which the verifier lets the program read.
        unsafe { core::ptr::read_volatile(&raw const (*self.0).size) }
    }

    /// The socket.
    #[inline(always)]
    pub fn sk(self) -> *mut bpf_sock {
        // SAFETY: as above.
        unsafe { (*self.0).__bindgen_anon_3.sk }
    }

    /// The bytes at `at`, if `LEN` of them can be seen there.
    // VERIFIER(6.1): the clamp stands right before its use.
    #[inline(always)]
    fn seen<const LEN: usize>(self, at: u32) -> Option<*mut u8> {
        let at = clamp::<OFFSETS>(at.into()) as usize;
        // SAFETY: as above.
        let (data, end) = unsafe {
            (
                core::ptr::read_volatile(&raw const (*self.0).__bindgen_anon_1.data),
                core::ptr::read_volatile(&raw const (*self.0).__bindgen_anon_2.data_end),
            )
        };
        let begins = data.cast::<u8>().wrapping_add(at);
        (begins.wrapping_add(LEN) <= end.cast()).then_some(begins)
    }

    /// A byte.
    #[inline(always)]
    pub fn byte(self, at: u32) -> Option<u8> {
        let byte = self.seen::<1>(at)?;
        // SAFETY: it was compared with the end.
        Some(unsafe { core::ptr::read_volatile(byte) })
    }

    /// Eight bytes, the first one lowest.
    #[inline(always)]
    pub fn word(self, at: u32) -> Option<u64> {
        let from = self.seen::<8>(at)?;
        let word: u64;
        // SAFETY: eight bytes that were compared with the end. An instruction, because a load of
        // what is not aligned is made into eight of a byte each.
        unsafe {
            core::arch::asm!(
                "{word} = *(u64 *)({from} + 0)",
                word = out(reg) word,
                from = in(reg) from,
                options(nostack, readonly),
            );
        }
        Some(word)
    }

    /// Writes words, the first byte of each lowest, at `at`.
    #[inline(always)]
    pub fn write<const WORDS: usize>(self, at: u32, words: [u64; WORDS]) -> Result<(), NotDone> {
        let mut index = 0;
        while index < WORDS {
            let to = self.seen::<8>(at + 8 * index as u32).ok_or(NotDone)?;
            // SAFETY: as above; the message is the program's to change.
            unsafe {
                core::arch::asm!(
                    "*(u64 *)({to} + 0) = {word}",
                    word = in(reg) words[index],
                    to = in(reg) to,
                    options(nostack),
                );
            }
            index += 1;
        }
        Ok(())
    }

    /// Lets the bytes from the first to `end` be seen.
    #[inline(always)]
    pub fn show(self, end: u32) -> Result<(), NotDone> {
        // SAFETY: the context.
        done(unsafe { generated::bpf_msg_pull_data(self.0, 0, end, 0) })
    }

    /// Makes room for `len` bytes at `at`.
    #[inline(always)]
    pub fn widen(self, at: u32, len: u32) -> Result<(), NotDone> {
        // SAFETY: as above.
        done(unsafe { generated::bpf_msg_push_data(self.0, at, len, 0) })
    }

    /// Takes `len` bytes at `at` away.
    #[inline(always)]
    pub fn narrow(self, at: u32, len: u32) -> Result<(), NotDone> {
        // SAFETY: as above.
        done(unsafe { generated::bpf_msg_pop_data(self.0, at, len, 0) })
    }

    /// What the program says holds for so many bytes; it is asked again for those that follow. 0:
    /// for this message. The kernel keeps what was said until so many went by.
    #[inline(always)]
    pub fn applies_to(self, bytes: u32) {
        // SAFETY: as above.
        unsafe { generated::bpf_msg_apply_bytes(self.0, bytes) };
    }
}

#[inline(always)]
fn done(result: i64) -> Result<(), NotDone> {
    if result == 0 { Ok(()) } else { Err(NotDone) }
}
