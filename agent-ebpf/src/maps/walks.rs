//! What is remembered of an HTTP/2 connection's frames: the value of the `FRAMES` map, and what
//! lies in the scratch buffer while a transfer is walked.

/// Length of a frame header.
pub const HEADER_LEN: u64 = 9;
/// Plausible frames in a row after which a walk is believed.
pub const PROOF: u8 = 4;
/// Places in a header that a copy can begin at: a power of two.
pub const HEADER_ROOM: usize = 16;
/// Room for a header and for what a copy of one may write behind it.
pub const HEADER_SIZE: usize = HEADER_ROOM + HEADER_LEN as usize + 3;

/// Where the frames of one direction are.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Walk {
    /// Bytes of the current frame's payload that are still to come.
    pub remaining: u32,
    /// How many of them are copied.
    pub wanted: u32,
    /// Plausible frames in a row, up to [`PROOF`].
    pub proved: u32,
    /// Valid bytes in `header`, fewer than a frame header has.
    pub header_len: u32,
    /// The frame header that is under way.
    pub header: [u8; HEADER_SIZE],
    reserved: [u8; 4],
}

/// Value of the `FRAMES` map.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Walks {
    /// Of what the process reads.
    pub ingress: Walk,
    /// Of what it writes.
    pub egress: Walk,
}

impl Walks {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        ingress: Walk::UNKNOWN,
        egress: Walk::UNKNOWN,
    };
}

impl Walk {
    const UNKNOWN: Self = Self {
        remaining: 0,
        wanted: 0,
        proved: 0,
        header_len: 0,
        header: [0; HEADER_SIZE],
        reserved: [0; 4],
    };

    /// What follows `preface_len` bytes is frames.
    #[inline(always)]
    pub fn begin(&mut self, preface_len: u32) {
        self.remaining = preface_len;
        self.wanted = preface_len;
        self.proved = PROOF.into();
        self.header_len = 0;
    }

    /// Nothing is known any more.
    #[inline(always)]
    pub fn lose(&mut self) {
        self.remaining = 0;
        self.wanted = 0;
        self.proved = 0;
        self.header_len = 0;
    }
}

/// What is remembered while one transfer is walked; part of the scratch buffer.
#[repr(C)]
pub struct Frames {
    /// Stream position of the next byte.
    pub position: u64,
    /// Stream position behind the transfer.
    pub end: u64,
    /// Bytes of the present part that were walked.
    pub done: u64,
    /// Where the stretch that is to be copied begins, in the stream.
    pub stretch_position: u64,
    /// Where it begins in memory.
    pub stretch_address: u64,
    /// When the transfer ended.
    pub now_ns: u64,
    /// Bytes of the stretch.
    pub stretch_len: u32,
    /// 1 if records are written: the walk was proved before.
    pub is_proved: u8,
    /// 1 if a frame was not plausible.
    pub is_lost: u8,
    /// 1 if nothing is left to be done for this transfer.
    pub is_dealt_with: u8,
    /// 1 if the stretch ends where the walk is.
    pub is_due: u8,
}
