//! What both sides agree on of the table in which Node's script (`wirespan-node.cjs`, which has the
//! same numbers) keeps the requests of a thread: for each descriptor, for whom the bytes are that
//! move on it; and, of streams of HTTP/2, which are many on a descriptor, the latest.

/// Bytes before the first slot: the thread's name, 16 bytes, then [`NODE_MAGIC`].
pub const NODE_HEADER: u64 = 64;
/// Descriptors that have a slot: 0 and those that follow.
pub const NODE_SLOTS: u32 = 64 * 1024;
/// Bytes of a slot: a word with [`NODE_MARK`] and a [`NodeSlot`], and the request's number, 32 bits
/// each.
pub const NODE_SLOT_SIZE: u64 = 8;
/// Where it is said how many streams were noted so far, 32 bits that begin anew.
pub const NODE_NOTED_AT: u64 = 32;
/// Where notes on streams begin, behind the last slot.
pub const NODE_NOTES_AT: u64 = NODE_HEADER + NODE_SLOT_SIZE * NODE_SLOTS as u64;
/// Notes that there is room for; the next one takes the place of the first.
pub const NODE_NOTES: u32 = 1024;
/// Bytes of a note: a word with [`NODE_MARK`] and [`NodeSlot::Taken`] or [`NodeSlot::Call`], the
/// descriptor, the stream, and the request's number, 32 bits each.
pub const NODE_NOTE_SIZE: u64 = 16;
/// Bytes of all of it.
pub const NODE_TABLE_SIZE: u64 = NODE_NOTES_AT + NODE_NOTE_SIZE * NODE_NOTES as u64;
/// Where [`NODE_MAGIC`] is.
pub const NODE_MAGIC_AT: u64 = 16;
/// What a table is known by; the number is that of its layout.
pub const NODE_MAGIC: [u8; 16] = *b"WIRESPAN-NODE-2\0";
/// Upper half of a slot's first word: "ws".
pub const NODE_MARK: u32 = 0x7773_0000;

/// What a slot says of its descriptor; the part that a chunk names of such a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NodeSlot {
    /// The request that is read next has the number.
    Next = 1,
    /// The request with the number has been read, and is not answered.
    Taken = 2,
    /// What is asked next is asked for the request with the number.
    Call = 3,
}

/// A task's number: the thread whose table it is in, and the request's number there.
#[must_use]
#[inline(always)]
pub const fn node_task(tid: u32, request: u32) -> u64 {
    (tid as u64) << 32 | request as u64
}
