//! Stands in for `trace.rs` and `carriers.rs` where nothing is carried to other nodes: programs
//! that change what is sent are younger than the kernels that the legacy object is for.

/// What was inserted into a connection: nothing ever is.
pub struct Inserted {
    /// All of it.
    pub total: u32,
    /// As much of it as was noted.
    pub noted: u32,
}

/// Whether anybody asks for it.
#[inline(always)]
pub fn propagates() -> bool {
    false
}

/// What was inserted into what a socket sends.
#[inline(always)]
pub fn widened(_sk: u64) -> Option<Inserted> {
    None
}

/// All that was inserted is noted.
#[inline(always)]
pub fn note_widened(_sk: u64) {}

/// The socket is closed.
#[inline(always)]
pub fn forget_widened(_sk: u64) {}
