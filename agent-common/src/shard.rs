//! How many shards there can be. A shard takes records from a ring of its own, in a thread of its
//! own; which one a process or a connection belongs to is decided once, on the kernel side.

/// Most shards: the kernel side has so many rings. One is the rule.
pub const SHARDS_MAX: usize = 8;

/// Bytes of the ring of a shard that is there.
pub const RING_BYTES: u32 = 4 * 1024 * 1024;
