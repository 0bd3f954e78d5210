//! What is remembered of an HTTP/2 connection's frames: the value of the `FRAMES` map.

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
