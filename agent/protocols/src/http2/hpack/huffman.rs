//! The Huffman code (RFC 7541 §5.2 and appendix B), decoded by twelve bits at a time, which are
//! mostly two symbols. The tables are computed by the compiler from the lengths of the codes.

use super::error::HpackError;

/// Bits that one look at the table takes.
const LOOK_BITS: u32 = 12;

/// The longest code.
const CODE_BITS_MAX: usize = 30;

/// The symbol that must not occur.
const EOS: usize = 256;

/// A string of so many octets decodes to at most this: no code is shorter than five bits.
#[inline]
pub(super) const fn decoded_len_max(len: usize) -> usize {
    len * 8 / 5
}

/// Decodes a string, and appends it to `out`.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let start = out.len();
    // Each look writes two octets, of which the second may be for nothing.
    out.resize(start + decoded_len_max(coded.len()) + 2, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = decode_into(coded, room)?;
    out.truncate(start + written);
    Ok(())
}

/// Looks that are certainly within what [`Bits::refill`] leaves: 56 bits.
const LOOKS: usize = 4;

fn decode_into(coded: &[u8], room: &mut [u8]) -> Result<usize, HpackError> {
    let mut bits = Bits::new(coded);
    let mut written = 0;
    'words: while bits.refill_word() {
        for _ in 0..LOOKS {
            let look = &LOOKS_TABLE[bits.peek()];
            if look.symbols == 0 {
                // A long code; it may reach beyond what is held.
                if bits.held >= CODE_BITS_MAX as u32 {
                    put(room, &mut written, bits.take_long()?)?;
                }
                continue 'words;
            }
            let Some(pair) = room.get_mut(written..written + 2) else {
                return Err(HpackError::Huffman);
            };
            pair.copy_from_slice(&look.bytes);
            written += usize::from(look.symbols);
            bits.skip(u32::from(look.bits));
        }
    }
    loop {
        bits.refill();
        let look = &LOOKS_TABLE[bits.peek()];
        if look.symbols != 0 && u32::from(look.first_bits) <= bits.held {
            put(room, &mut written, look.bytes[0])?;
            bits.skip(u32::from(look.first_bits));
        } else if bits.is_padding() {
            return Ok(written);
        } else {
            put(room, &mut written, bits.take_long()?)?;
        }
    }
}

#[inline]
fn put(room: &mut [u8], written: &mut usize, byte: u8) -> Result<(), HpackError> {
    *room.get_mut(*written).ok_or(HpackError::Huffman)? = byte;
    *written += 1;
    Ok(())
}

/// The bits of a string, most significant first.
struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, from the top. Below the `held` ones stand zeros, or what follows them in the
    /// string.
    word: u64,
    held: u32,
}

impl<'a> Bits<'a> {
    fn new(coded: &'a [u8]) -> Self {
        Self {
            rest: coded,
            word: 0,
            held: 0,
        }
    }

    /// Holds at least 56 bits, if eight octets are left to take them from.
    #[inline]
    fn refill_word(&mut self) -> bool {
        let Some((eight, _)) = self.rest.split_first_chunk() else {
            return false;
        };
        self.word |= u64::from_be_bytes(*eight) >> self.held;
        let octets = (63 - self.held) >> 3;
        self.rest = self.rest.get(octets as usize..).unwrap_or_default();
        self.held += octets * 8;
        true
    }

    /// The same, by octets, as far as there are any.
    fn refill(&mut self) {
        while self.held <= 56
            && let Some((octet, rest)) = self.rest.split_first()
        {
            // What stands there already from a whole word is the same.
            self.word |= u64::from(*octet) << (56 - self.held);
            self.held += 8;
            self.rest = rest;
        }
    }

    #[inline]
    fn peek(&self) -> usize {
        (self.word >> (64 - LOOK_BITS)) as usize
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.word <<= bits;
        self.held -= bits;
    }

    /// Whether the end is reached: less than an octet is left, all ones (§5.2).
    fn is_padding(&self) -> bool {
        self.rest.is_empty() && self.held < 8 && self.word.leading_ones() >= self.held
    }

    /// A symbol whose code is longer than a look. There are few of them in text.
    #[cold]
    fn take_long(&mut self) -> Result<u8, HpackError> {
        let code = (self.word >> (64 - CODE_BITS_MAX)) as u32;
        let lengths = LENGTHS.iter().zip(0u32..).skip(LOOK_BITS as usize + 1);
        for (length, bits) in lengths.take_while(|(_, bits)| *bits <= self.held) {
            let beyond = (code >> (CODE_BITS_MAX as u32 - bits)).wrapping_sub(length.first_code);
            if beyond < length.count {
                self.skip(bits);
                // EOS has the last place.
                return match SYMBOLS[(length.first_place + beyond) as usize] {
                    symbol if usize::from(symbol) < EOS => Ok(symbol as u8),
                    _ => Err(HpackError::Huffman),
                };
            }
        }
        Err(HpackError::Huffman)
    }
}

/// What twelve bits begin with.
#[derive(Clone, Copy)]
struct Lookup {
    bytes: [u8; 2],
    /// Whole codes among them: 0 to 2.
    symbols: u8,
    /// What these take together, and the first of them alone.
    bits: u8,
    first_bits: u8,
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct CodeLength {
    first_code: u32,
    count: u32,
    /// Where its symbols begin in [`SYMBOLS`].
    first_place: u32,
}

/// The code is canonical: codes of one length count up with their symbols, and the next length
/// goes on where the last one ended.
const LENGTHS: [CodeLength; CODE_BITS_MAX + 1] = {
    let none = CodeLength {
        first_code: 0,
        count: 0,
        first_place: 0,
    };
    let mut lengths = [none; CODE_BITS_MAX + 1];
    let mut symbol = 0;
    while symbol <= EOS {
        lengths[CODE_BITS[symbol] as usize].count += 1;
        symbol += 1;
    }
    let mut bits = 1;
    while bits <= CODE_BITS_MAX {
        let before = lengths[bits - 1];
        lengths[bits].first_code = (before.first_code + before.count) << 1;
        lengths[bits].first_place = before.first_place + before.count;
        bits += 1;
    }
    lengths
};

/// All symbols, in the order of their codes.
static SYMBOLS: [u16; EOS + 1] = {
    let mut symbols = [0; EOS + 1];
    let mut next = [0; CODE_BITS_MAX + 1];
    let mut symbol = 0;
    while symbol <= EOS {
        let bits = CODE_BITS[symbol] as usize;
        symbols[LENGTHS[bits].first_place as usize + next[bits]] = symbol as u16;
        next[bits] += 1;
        symbol += 1;
    }
    symbols
};

static LOOKS_TABLE: [Lookup; 1 << LOOK_BITS] = {
    let none = Lookup {
        bytes: [0; 2],
        symbols: 0,
        bits: 0,
        first_bits: 0,
    };
    // First what each of them begins with,
    let mut single = [none; 1 << LOOK_BITS];
    let mut next = [0; CODE_BITS_MAX + 1];
    let mut symbol = 0;
    while symbol < EOS {
        let bits = CODE_BITS[symbol] as u32;
        let code = LENGTHS[bits as usize].first_code + next[bits as usize];
        next[bits as usize] += 1;
        if bits <= LOOK_BITS {
            let mut at = (code << (LOOK_BITS - bits)) as usize;
            let end = ((code + 1) << (LOOK_BITS - bits)) as usize;
            while at < end {
                single[at] = Lookup {
                    bytes: [symbol as u8, 0],
                    symbols: 1,
                    bits: bits as u8,
                    first_bits: bits as u8,
                };
                at += 1;
            }
        }
        symbol += 1;
    }
    // then what follows, if it is whole.
    let mut looks = single;
    let mut at = 0;
    while at < looks.len() {
        let first = single[at];
        if first.symbols == 1 {
            let second = single[(at << first.bits) & ((1 << LOOK_BITS) - 1)];
            if second.symbols == 1 && (first.bits + second.bits) as u32 <= LOOK_BITS {
                looks[at].bytes[1] = second.bytes[0];
                looks[at].symbols = 2;
                looks[at].bits += second.bits;
            }
        }
        at += 1;
    }
    looks
};

/// Bits of the code of each symbol (appendix B); the last one is EOS.
const CODE_BITS: [u8; EOS + 1] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
