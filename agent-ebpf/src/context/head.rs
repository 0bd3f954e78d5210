//! The field `traceparent` (W3C Trace Context) in the head of a request of HTTP/1.x, byte by byte.
//! It reads no memory and asks no map, so that it is tried out on the host (`tests/kernel_side`).
//!
//! It is strict where user space is generous: what it does not take as it stands is not known, and
//! then nothing is said of the request, which is not the same as that it names no trace.

/// Where a value has its end: `00-<32>-<16>-<2>`.
const VALUE_LEN: u32 = 55;
const TRACE_ID: u32 = 3;
const TRACE_ID_END: u32 = 35;
const PARENT_ID: u32 = 36;
const PARENT_ID_END: u32 = 52;
const FLAGS: u32 = 53;
/// In [`RequestHead::at`]: in no value.
const OUTSIDE: u32 = u32::MAX;

/// What is known of a head so far. Integers alone, because the verifier follows them.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RequestHead {
    /// The last 16 bytes in lower case, the last one lowest, the later half first.
    window: [u64; 2],
    /// The trace's id, the first byte highest.
    pub trace: [u64; 2],
    /// The parent's.
    parent: u64,
    /// Where in the value it is.
    at: u32,
    /// Flags of the trace.
    pub flags: u32,
    /// Fields that were taken.
    taken: u32,
    /// 1: another field names a trace, or this one is not as expected.
    is_doubtful: u32,
    /// 1: the empty line was seen.
    is_over: u32,
    /// Zero.
    reserved: u32,
}

/// What a head says of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It names none.
    Nothing,
    /// It names this one, with these flags: the halves of its id.
    Trace([u64; 2], u8),
    /// That is not known.
    Unknown,
}

impl RequestHead {
    /// Nothing was read.
    pub const NEW: Self = Self {
        window: [0; 2],
        trace: [0; 2],
        parent: 0,
        at: OUTSIDE,
        flags: 0,
        taken: 0,
        is_doubtful: 0,
        is_over: 0,
        reserved: 0,
    };

    /// The next byte. Returns whether the head goes on.
    #[inline(always)]
    pub fn next(&mut self, byte: u8) -> bool {
        if self.at != OUTSIDE {
            self.value(byte);
        }
        let lower = if byte.is_ascii_uppercase() {
            byte | 0x20
        } else {
            byte
        };
        self.window[1] = self.window[1] << 8 | self.window[0] >> 56;
        self.window[0] = self.window[0] << 8 | u64::from(lower);
        if byte == b':' {
            self.name();
        } else if byte == b'\n' && self.window[0] as u32 == u32::from_be_bytes(*b"\r\n\r\n") {
            self.is_over = 1;
            return false;
        }
        true
    }

    /// A colon was read: whether it ends the name of a field that names a trace.
    #[inline(always)]
    fn name(&mut self) {
        const TRACEPARENT: [u64; 2] = [
            u64::from_be_bytes(*b"eparent:"),
            u64::from_be_bytes(*b"\0\0\0\ntrac"),
        ];
        const FIVE: u64 = 0xff_ffff_ffff;
        let [last, before] = self.window;
        if last == TRACEPARENT[0] && before & FIVE == TRACEPARENT[1] {
            self.at = 0;
            return;
        }
        // uber-trace-id and x-amzn-trace-id, x-b3-traceid, b3.
        let others = last == u64::from_be_bytes(*b"race-id:")
            || last == u64::from_be_bytes(*b"traceid:")
            || last as u32 == u32::from_be_bytes(*b"\nb3:");
        if others {
            self.is_doubtful = 1;
        }
    }

    #[inline(always)]
    fn value(&mut self, byte: u8) {
        let at = self.at;
        if at == 0 && byte == b' ' {
            return;
        }
        self.at = at + 1;
        if at == VALUE_LEN {
            self.at = OUTSIDE;
            self.taken += 1;
            if byte != b'\r' {
                self.is_doubtful = 1;
            }
            return;
        }
        let is_fixed = at < TRACE_ID || at == TRACE_ID_END || at == PARENT_ID_END;
        if is_fixed {
            let expected = if at < 2 { b'0' } else { b'-' };
            if byte != expected {
                self.fail();
            }
            return;
        }
        let Some(digit) = digit(byte) else {
            return self.fail();
        };
        if at < TRACE_ID_END {
            self.trace[0] = self.trace[0] << 4 | self.trace[1] >> 60;
            self.trace[1] = self.trace[1] << 4 | digit;
        } else if (PARENT_ID..PARENT_ID_END).contains(&at) {
            self.parent = self.parent << 4 | digit;
        } else if at >= FLAGS {
            self.flags = self.flags << 4 | digit as u32;
        }
    }

    #[inline(always)]
    fn fail(&mut self) {
        self.at = OUTSIDE;
        self.is_doubtful = 1;
    }

    /// Whether its empty line was read.
    #[inline(always)]
    pub fn is_over(&self) -> bool {
        self.is_over != 0
    }

    /// What all of it said.
    #[inline(always)]
    pub fn said(&self) -> Said {
        if self.is_over == 0 || self.is_doubtful != 0 || self.taken > 1 {
            return Said::Unknown;
        }
        if self.taken == 0 {
            return Said::Nothing;
        }
        if self.trace[0] | self.trace[1] == 0 || self.parent == 0 {
            return Said::Unknown;
        }
        Said::Trace(self.trace, self.flags as u8)
    }
}

/// The value of a hexadecimal digit in lower case.
#[inline(always)]
fn digit(byte: u8) -> Option<u64> {
    let of_number = byte.wrapping_sub(b'0');
    let of_letter = byte.wrapping_sub(b'a');
    if of_number < 10 {
        Some(of_number.into())
    } else if of_letter < 6 {
        Some(u64::from(of_letter) + 10)
    } else {
        None
    }
}

/// Whether what was read may be a request of HTTP/1.x, by its first four bytes.
#[inline(always)]
pub fn is_request(first: [u8; 4]) -> bool {
    matches!(
        &first,
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"PATC" | b"OPTI"
    )
}
