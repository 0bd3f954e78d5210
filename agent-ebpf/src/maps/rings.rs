//! The rings, one for each shard, and which process gets which shard. Where there is one shard, the
//! verifier knows that there is (the number is set before loading), and drops what is for others.

use core::ffi::c_void;

use aya_ebpf::Global;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, RingBuf};
use wirespan_common::shard::RING_BYTES;

/// How many shards there are, at least 1; set before loading.
#[unsafe(no_mangle)]
static SHARDS: Global<u8> = Global::new(1);

/// Records for user space.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Least that a ring can have: a page, or what the loader makes of it. Those that are used are
/// enlarged before loading.
const UNUSED_BYTES: u32 = 4096;

#[map]
static RECORDS_1: RingBuf = RingBuf::with_byte_size(UNUSED_BYTES, 0);
#[map]
static RECORDS_2: RingBuf = RingBuf::with_byte_size(UNUSED_BYTES, 0);
#[map]
static RECORDS_3: RingBuf = RingBuf::with_byte_size(UNUSED_BYTES, 0);
#[map]
static RECORDS_4: RingBuf = RingBuf::with_byte_size(UNUSED_BYTES, 0);
#[map]
static RECORDS_5: RingBuf = RingBuf::with_byte_size(UNUSED_BYTES, 0);
#[map]
static RECORDS_6: RingBuf = RingBuf::with_byte_size(UNUSED_BYTES, 0);
#[map]
static RECORDS_7: RingBuf = RingBuf::with_byte_size(UNUSED_BYTES, 0);

/// How many processes got a shard.
#[map]
static SHARDS_GIVEN: Array<u32> = Array::with_max_entries(1, 0);

/// How many shards there are, at least 1.
#[inline(always)]
pub fn shards() -> u8 {
    SHARDS.load()
}

/// A shard for a process that begins to be watched: the next one's turn. Two processes that begin
/// at the same moment may get the same.
#[inline(always)]
pub fn next_shard() -> u8 {
    let shards = shards();
    if shards <= 1 {
        return 0;
    }
    let Some(given) = SHARDS_GIVEN.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the only slot, which the map lent and never frees.
    let number = unsafe { *given };
    // SAFETY: as above.
    unsafe { *given = number.wrapping_add(1) };
    (number % u32::from(shards)) as u8
}

/// The ring of a shard; the first one's if there is none of that number.
#[inline(always)]
pub fn ring_of(shard: u8) -> *mut c_void {
    let shards = shards();
    let first = address(&RECORDS);
    if shards <= 1 {
        return first;
    }
    let ring = select::<1>(first, shard, address(&RECORDS_1));
    if shards <= 2 {
        return ring;
    }
    let ring = select::<2>(ring, shard, address(&RECORDS_2));
    let ring = select::<3>(ring, shard, address(&RECORDS_3));
    if shards <= 4 {
        return ring;
    }
    let ring = select::<4>(ring, shard, address(&RECORDS_4));
    let ring = select::<5>(ring, shard, address(&RECORDS_5));
    let ring = select::<6>(ring, shard, address(&RECORDS_6));
    select::<7>(ring, shard, address(&RECORDS_7))
}

#[inline(always)]
fn address(ring: &'static RingBuf) -> *mut c_void {
    (&raw const *ring).cast_mut().cast()
}

/// `own` if the shard is `NUMBER`, else `other`. Written out, because the optimiser makes a table
/// of addresses of a choice among maps, and the kernel has no such tables.
#[expect(
    clippy::pointers_in_nomem_asm_block,
    reason = "addresses are moved, and nothing at them is read or written"
)]
#[inline(always)]
fn select<const NUMBER: u8>(other: *mut c_void, shard: u8, own: *mut c_void) -> *mut c_void {
    let mut ring = other;
    // SAFETY: two instructions on registers, no memory.
    unsafe {
        core::arch::asm!(
            "if {shard} != {number} goto +1",
            "{ring} = {own}",
            shard = in(reg) u64::from(shard),
            number = const NUMBER,
            ring = inout(reg) ring,
            own = in(reg) own,
            options(nomem, nostack, pure),
        );
    }
    ring
}
