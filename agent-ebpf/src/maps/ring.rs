//! Records on their way into the rings ([`super::rings`]), and who may write how much.

use core::ffi::c_void;
use core::mem::size_of;

use aya_ebpf::bindings::{
    BPF_NOEXIST, BPF_RB_CONS_POS, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_PROD_POS,
};
use aya_ebpf::helpers::generated::{bpf_ringbuf_output, bpf_ringbuf_query};
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use wirespan_common::legacy::NewsKey;
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{ANCESTORS_MAX, Header, Open, TaskNote};
use wirespan_common::shard::RING_BYTES;
use wirespan_common::share::{Ledger, Purse, Ring, ledger_key};
use zerocopy::{Immutable, IntoBytes};

use super::Wake;
use super::contexts::BirthRecord;
use super::rings::ring_of;
use super::scratch::{ChunkRecord, Scratch};
use super::sizes::PAYLOAD_ROOM;
use crate::memory::{Delivered, clamp};
use crate::sockets::PATH_MAX;

/// What each process wrote into each ring, by [`ledger_key`]. The least recently used gives way:
/// what it lost and nobody asked for is forgotten.
#[map]
static LEDGERS: LruHashMap<u32, Ledger> = LruHashMap::with_max_entries(16 * 1024, 0);

/// What is inserted there. Not on the stack, which the programs of TLS need.
static NEW_LEDGER: Ledger = Ledger {
    since: 0,
    held: 0,
    unlooked: 0,
    refused: 0,
    lost: 0,
};

/// Sends the chunk in the scratch buffer with the payload that was copied.
#[inline(always)]
pub fn send_chunk(scratch: &mut Scratch) -> Delivered<()> {
    let tgid = scratch.transfer.current.tgid;
    let shard = scratch.head.header.shard;
    let len = size_of::<ChunkRecord>() as u32 + scratch.copied;
    let key = ledger_key(tgid, shard);
    let admitted = if scratch.purse.pays(key, len) {
        RingAdmission::Given
    } else {
        settle(&mut scratch.purse);
        admit(tgid, shard, len)
    };
    let wake = match admitted {
        RingAdmission::Refused => {
            note_loss(tgid, shard);
            return Err(KernelLoss::RingShare);
        }
        RingAdmission::Given => Wake::Later,
        RingAdmission::GivenFilling => Wake::Now,
    };
    scratch.purse.open(key);
    let sent = {
        let payload = clamp::<PAYLOAD_ROOM>(u64::from(scratch.copied));
        // SAFETY: head and payload lie one behind the other.
        unsafe {
            send_bytes(
                &raw mut scratch.head,
                size_of::<ChunkRecord>() as u64 + payload,
                shard,
                wake,
            )
        }
    };
    if sent.is_err() {
        note_loss(tgid, shard);
    }
    sent
}

/// Whether the process may write a record of `len` bytes into the shard's ring, which it then does:
/// chunks are nearly all that is written, and who talks too much loses those. What else there is to
/// say is said as long as there is room.
#[inline(never)]
fn admit(tgid: u32, shard: u8, len: u32) -> RingAdmission {
    let Some(ledger) = ledger(tgid, shard) else {
        return RingAdmission::Given;
    };
    let len = u64::from(len);
    let mut admitted = RingAdmission::Given;
    if ledger.is_due(len, RING_BYTES.into()) {
        let ring = ring(shard);
        if !ledger.admits(ring) {
            return RingAdmission::Refused;
        }
        if ring.is_filling() {
            admitted = RingAdmission::GivenFilling;
        }
    }
    ledger.writes(len);
    admitted
}

/// What was paid from the purse is written into the ledger that it was of.
// Not by `admit`: there is no more stack for both.
#[inline(never)]
fn settle(purse: &mut Purse) {
    let (key, spent) = purse.empty();
    if let Some(ledger) = LEDGERS.get_ptr_mut(key) {
        // SAFETY: as for `ledger`.
        unsafe { (*ledger).writes(spent) };
    }
}

/// What comes of asking for room in a ring.
#[derive(Clone, Copy)]
enum RingAdmission {
    /// There is some.
    Given,
    /// There is some, and the reader should make more.
    GivenFilling,
    /// Others need it more.
    Refused,
}

/// The process lost a record of this shard.
#[inline(never)]
fn note_loss(tgid: u32, shard: u8) {
    if let Some(ledger) = ledger(tgid, shard) {
        ledger.lost += 1;
    }
}

/// Lends a process's ledger for the shard's ring. Several processors may use it at the same time,
/// and then some of what they count is missing.
#[inline(always)]
fn ledger(tgid: u32, shard: u8) -> Option<&'static mut Ledger> {
    let key = ledger_key(tgid, shard);
    let found = match LEDGERS.get_ptr_mut(key) {
        Some(known) => known,
        None => {
            // Somebody else may have been faster.
            let new: &Ledger = &NEW_LEDGER;
            let _: Result<(), i32> = LEDGERS.insert(key, new, u64::from(BPF_NOEXIST));
            LEDGERS.get_ptr_mut(key)?
        }
    };
    // SAFETY: elements of a preallocated map stay mapped; one that is reused meanwhile is another
    // process's, which is then charged with a record.
    Some(unsafe { &mut *found })
}

/// Where the ends of a shard's ring are now.
#[inline(always)]
fn ring(shard: u8) -> Ring {
    let ask = |what: u32| {
        // SAFETY: the map is a ring buffer.
        unsafe { bpf_ringbuf_query(ring_of(shard), u64::from(what)) }
    };
    // The reader first: what it takes meanwhile counts as there.
    let consumed = ask(BPF_RB_CONS_POS);
    Ring {
        size: RING_BYTES.into(),
        consumed,
        produced: ask(BPF_RB_PROD_POS),
    }
}

/// Sends the open record in the scratch buffer with `path_len` bytes of its path.
#[inline(always)]
pub fn send_open(scratch: &mut Scratch, path_len: u32) -> Delivered<()> {
    let len = (size_of::<Header>() + size_of::<Open>()) as u64;
    let path_len = clamp::<PATH_MAX>(u64::from(path_len));
    let shard = scratch.open.header.shard;
    // SAFETY: the path lies directly behind header and body.
    unsafe { send_bytes(&raw mut scratch.open, len + path_len, shard, Wake::Later) }
}

/// Sends a note on a task with so many of its ancestors.
#[inline(always)]
pub fn send_task(record: &BirthRecord, ancestors: u8) -> Delivered<()> {
    let len = (size_of::<Header>() + size_of::<TaskNote>()) as u64;
    let bytes = clamp::<{ 8 * ANCESTORS_MAX }>(8 * u64::from(ancestors));
    // SAFETY: ancestors lie directly behind header and body.
    unsafe { send_bytes(record, len + bytes, record.header.shard, Wake::Later) }
}

/// [`send`] from where an interrupt may have come, which a ring does not mind.
#[inline(always)]
pub fn send_from<T: IntoBytes + Immutable, const IN_INTERRUPT: bool>(
    record: &T,
    _key: NewsKey,
    shard: u8,
    wake: Wake,
) -> Delivered<()> {
    send(record, shard, wake)
}

/// A run ends: what it told is in the ring.
#[inline(always)]
pub fn flush(_context: *mut c_void) {}

/// Sends a record that is a single value, and says that it is for this shard.
#[inline(always)]
pub fn send<T: IntoBytes + Immutable>(record: &T, shard: u8, wake: Wake) -> Delivered<()> {
    // SAFETY: a value without holes (IntoBytes), all of it.
    unsafe { send_bytes(record, size_of::<T>() as u64, shard, wake) }
}

/// Sends `len` bytes from `record` on into the shard's ring.
///
/// # Safety
/// As many bytes must be readable there and initialised.
#[inline(always)]
unsafe fn send_bytes<T>(record: *const T, len: u64, shard: u8, wake: Wake) -> Delivered<()> {
    let flags = match wake {
        Wake::Now => BPF_RB_FORCE_WAKEUP,
        Wake::Later => BPF_RB_NO_WAKEUP,
    };
    // SAFETY: the caller vouches for the bytes; the map is one.
    let failed = unsafe {
        bpf_ringbuf_output(
            ring_of(shard),
            record.cast_mut().cast(),
            len,
            u64::from(flags),
        )
    };
    if failed != 0 {
        Err(KernelLoss::RingFull)
    } else {
        Ok(())
    }
}
