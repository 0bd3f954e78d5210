//! What searches and checks see of the kernel's memory: bytes at an address, or nothing. Where
//! they come from is not known here, so that a test can make them up.

use zerocopy::FromBytes;

/// Reads the kernel's memory.
pub trait Peek {
    /// Fills `buffer` from `address`; `false` if some of it can't be read, and then the buffer
    /// holds nothing that means anything.
    fn peek(&mut self, address: u64, buffer: &mut [u8]) -> bool;

    /// The value at an address, in the machine's byte order.
    fn value<T: FromBytes>(&mut self, address: u64) -> Option<T>
    where
        Self: Sized,
    {
        let mut buffer = vec![0; size_of::<T>()];
        let is_read = self.peek(address, &mut buffer);
        is_read.then(|| T::read_from_bytes(&buffer).ok()).flatten()
    }
}

/// Bytes that an image is read by which crosses into memory that is not there: it ends before that.
const IMAGE_STEP: usize = 256;

/// What stood behind an address at one moment.
#[derive(Clone, Debug, Default)]
pub struct MemoryImage(Vec<u8>);

impl MemoryImage {
    /// Takes it, as far as it can be read.
    pub fn take(peek: &mut impl Peek, address: u64, len: usize) -> Self {
        let mut whole = vec![0; len];
        if peek.peek(address, &mut whole) {
            return Self(whole);
        }
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let mut part = vec![0; IMAGE_STEP.min(len - bytes.len())];
            let at = address.wrapping_add(bytes.len() as u64);
            if !peek.peek(at, &mut part) {
                break;
            }
            bytes.append(&mut part);
        }
        Self(bytes)
    }

    /// Bytes that were read already.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The same, without what begins at `len`.
    #[must_use]
    pub fn first(&self, len: usize) -> Self {
        Self(self.0[..len.min(self.0.len())].to_vec())
    }

    /// How many bytes could be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What stands at an offset, in the machine's byte order; `None` behind the end.
    #[must_use]
    pub fn at<T: FromBytes>(&self, offset: usize) -> Option<T> {
        Some(T::read_from_prefix(self.0.get(offset..)?).ok()?.0)
    }

    /// Bytes at an offset; `None` if they are not all there.
    #[must_use]
    pub fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.0.get(offset..offset.checked_add(len)?)
    }

    /// Offset and value of each word that looks like an address of the kernel's.
    pub fn pointers(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let words = self.0.chunks_exact(size_of::<u64>()).enumerate();
        words.filter_map(|(index, word)| {
            let word = u64::read_from_bytes(word).ok()?;
            is_pointer(word).then_some((index * size_of::<u64>(), word))
        })
    }
}

/// Whether a word may be the address of a structure of the kernel's: in the upper half, aligned,
/// and no error number (`IS_ERR`, include/linux/err.h).
#[must_use]
pub fn is_pointer(word: u64) -> bool {
    /// Where the kernel's half begins with five levels of page tables, the most there are.
    const KERNEL: u64 = 0xff00_0000_0000_0000;
    const ERRORS: u64 = u64::MAX - 4095;
    (KERNEL..ERRORS).contains(&word) && word.is_multiple_of(8)
}
