//! Integers with a prefix (RFC 7541 §5.1). Larger ones than anybody needs are refused.

use super::error::HpackError;

/// No index, length or table size is larger.
pub const INTEGER_MAX: u32 = 1 << 28;

/// Octets behind the prefix; five carry 35 bits, which allows for some needless zeros.
const OCTETS_MAX: usize = 5;

/// Reads the integer whose prefix fills the last `bits` bits of the octet at `at`, and moves `at`
/// behind it. The caller has seen that octet.
#[inline]
pub(super) fn read(block: &[u8], at: &mut usize, bits: u32) -> Result<usize, HpackError> {
    let full = ((1u16 << bits) - 1) as u8;
    let prefix = block.get(*at).ok_or(HpackError::Truncated)? & full;
    *at += 1;
    if prefix < full {
        return Ok(usize::from(prefix));
    }
    read_rest(block, at, full)
}

#[cold]
fn read_rest(block: &[u8], at: &mut usize, full: u8) -> Result<usize, HpackError> {
    let mut value = u64::from(full);
    for octet in 0..OCTETS_MAX {
        let byte = *block.get(*at).ok_or(HpackError::Truncated)?;
        *at += 1;
        value += u64::from(byte & 0x7f) << (7 * octet);
        if byte & 0x80 == 0 {
            return match value <= u64::from(INTEGER_MAX) {
                true => Ok(value as usize),
                false => Err(HpackError::IntegerTooLarge),
            };
        }
    }
    Err(HpackError::IntegerTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], bits: u32) -> Result<usize, HpackError> {
        let mut at = 0;
        let value = read(bytes, &mut at, bits)?;
        assert_eq!(at, bytes.len());
        Ok(value)
    }

    #[test]
    fn the_integers_of_appendix_c_1_are_read() {
        assert_eq!(whole(&[0b1110_1010], 5), Ok(10));
        assert_eq!(whole(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5), Ok(1337));
        assert_eq!(whole(&[0b0010_1010], 8), Ok(42));
    }

    #[test]
    fn a_cut_integer_is_truncated() {
        assert_eq!(whole(&[], 5), Err(HpackError::Truncated));
        assert_eq!(whole(&[0x1f], 5), Err(HpackError::Truncated));
        assert_eq!(whole(&[0x1f, 0x9a], 5), Err(HpackError::Truncated));
    }

    #[test]
    fn an_integer_above_the_bound_is_refused_and_never_wraps() {
        let max = [0x7f, 0x81, 0xff, 0xff, 0x7f];
        assert_eq!(whole(&max, 7), Ok(INTEGER_MAX as usize));
        let above = [0x7f, 0x82, 0xff, 0xff, 0x7f];
        assert_eq!(whole(&above, 7), Err(HpackError::IntegerTooLarge));
        let huge = [0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(whole(&huge, 7), Err(HpackError::IntegerTooLarge));
        let endless = [0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(whole(&endless, 7), Err(HpackError::IntegerTooLarge));
        assert_eq!(whole(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00], 7), Ok(127));
    }
}
