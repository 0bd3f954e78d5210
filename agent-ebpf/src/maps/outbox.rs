//! Stands in for `ring.rs` and `rings.rs` where the kernel has no ring buffer: what a run tells
//! gathers in an outbox, which leaves by the processor's perf buffer when the run ends.
//!
//! Before 5.4 the kernel has one buffer for each processor in which it builds a sample, and nothing
//! that keeps a second program out of it (`bpf_perf_event_output`, kernel/trace/bpf_trace.c). So
//! what may run in an interrupt never touches an outbox: its news lie in a map, until the system
//! call that caused them ends or user space comes round.

use core::ffi::c_void;
use core::mem::size_of;

use aya_ebpf::bindings::BPF_F_CURRENT_CPU;
use aya_ebpf::helpers::generated::{bpf_perf_event_output, bpf_probe_read};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray, PerfEventByteArray};
use wirespan_common::legacy::{
    NEWS_MAX, NEWS_WORDS, NewsKey, NewsRecord, OUTBOX_RECORD_MAX, OUTBOX_STARTS, SAMPLE_MAX,
};
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{ConnectionId, Header, Open};
use wirespan_common::share::Ledger;
use zerocopy::{Immutable, IntoBytes};

use super::Wake;
use super::scratch::{ChunkRecord, Scratch};
use super::sizes::PAYLOAD_ROOM;
use crate::memory::{Delivered, clamp, current_process};
use crate::sockets::PATH_MAX;

/// Samples for user space, a buffer for each processor.
#[map]
static RECORDS: PerfEventByteArray = PerfEventByteArray::new(0);

/// What runs tell until they end, per processor: programs on functions can be preempted on newer
/// kernels.
#[map]
static OUTBOXES: PerCpuArray<Outbox> = PerCpuArray::with_max_entries(OUTBOXES_PER_CPU, 0);
const OUTBOXES_PER_CPU: u32 = 2;

/// NewsRecord that nobody has told yet.
#[map]
static NEWS: HashMap<NewsKey, NewsRecord> = HashMap::with_max_entries(NEWS_MAX, 0);

/// By thread, the news that came up last while it ran.
#[map]
static NEWS_OF: LruHashMap<u32, NewsKey> = LruHashMap::with_max_entries(NEWS_MAX, 0);

/// Nobody's share of a perf buffer is looked at: each processor has its own.
#[map]
static LEDGERS: LruHashMap<u32, Ledger> = LruHashMap::with_max_entries(1, 0);

/// Records of one run, one behind the other.
#[repr(C)]
struct Outbox {
    /// The thread whose run it is; 0 where it is free.
    owner: u32,
    /// Bytes that are in it.
    len: u32,
    /// The connection that the last chunk was of.
    connection: ConnectionId,
    bytes: [u8; SAMPLE_MAX],
}
// The kernel refuses larger per-processor values (PCPU_MIN_UNIT_SIZE, include/linux/percpu.h).
const _: () = assert!(size_of::<Outbox>() <= 32 * 1024);
const _: () = assert!(size_of::<ChunkRecord>() + PAYLOAD_ROOM >= OUTBOX_RECORD_MAX);

/// How many shards there are: one.
#[inline(always)]
pub fn shards() -> u8 {
    1
}

/// The shard for a process that begins to be watched.
#[inline(always)]
pub fn next_shard() -> u8 {
    0
}

/// Sends the chunk in the scratch buffer with the payload that was copied.
#[inline(always)]
pub fn send_chunk(scratch: &mut Scratch) -> Delivered<()> {
    let len = size_of::<ChunkRecord>() as u64 + u64::from(scratch.copied);
    let connection = scratch.head.chunk.connection;
    // SAFETY: head and payload lie one behind the other.
    unsafe { put((&raw const scratch.head).cast(), len, connection) }
}

/// Sends the open record in the scratch buffer with `path_len` bytes of its path.
#[inline(always)]
pub fn send_open(scratch: &mut Scratch, path_len: u32) -> Delivered<()> {
    let len = (size_of::<Header>() + size_of::<Open>()) as u64;
    let path_len = clamp::<PATH_MAX>(u64::from(path_len));
    let connection = scratch.open.open.connection;
    // SAFETY: the path lies directly behind header and body.
    unsafe { put((&raw const scratch.open).cast(), len + path_len, connection) }
}

/// Sends a record that is a single value.
#[inline(always)]
pub fn send<T: IntoBytes + Immutable>(record: &T, _shard: u8, _wake: Wake) -> Delivered<()> {
    // SAFETY: a value without holes (IntoBytes), all of it.
    unsafe { put((&raw const *record).cast(), size_of::<T>() as u64, 0) }
}

/// The same; from where an interrupt may have come, it waits among the news.
#[inline(always)]
pub fn send_from<T: IntoBytes + Immutable, const IN_INTERRUPT: bool>(
    record: &T,
    key: NewsKey,
    shard: u8,
    wake: Wake,
) -> Delivered<()> {
    const { assert!(size_of::<T>() <= size_of::<NewsRecord>()) }
    if !IN_INTERRUPT {
        return send(record, shard, wake);
    }
    let mut news = NewsRecord {
        record: [0; NEWS_WORDS],
    };
    // SAFETY: there is room for a T, which has no holes.
    unsafe {
        core::ptr::write(
            news.record.as_mut_ptr().cast::<T>(),
            core::ptr::read(record),
        )
    };
    NEWS.insert(key, news, 0)
        .map_err(|_| KernelLoss::RingFull)?;
    // Without room user space tells it.
    let _: Result<(), i32> = NEWS_OF.insert(current_process().tid, key, 0);
    Ok(())
}

/// A system call of the thread ends that may have made news: they are told now, in order with what
/// else it tells.
#[inline(always)]
pub fn tell_news(tid: u32) -> Delivered<()> {
    let Some(key) = NEWS_OF.get_ptr(tid) else {
        return Ok(());
    };
    // SAFETY: elements of a preallocated map stay mapped.
    let key = unsafe { *key };
    let _: Result<(), i32> = NEWS_OF.remove(tid);
    let Some(news) = NEWS.get_ptr(key) else {
        return Ok(());
    };
    // SAFETY: elements of a preallocated map stay mapped; the header's length is a word of it.
    let len = unsafe { *news.cast::<u32>() };
    let len = clamp::<{ size_of::<NewsRecord>() }>(len.into());
    // SAFETY: no more than there is.
    unsafe { put(news.cast(), len, 0)? };
    if NEWS.remove(key).is_err() {
        // User space came first.
        let outbox = own_outbox()?;
        outbox.len = outbox.len.saturating_sub(len as u32);
    }
    Ok(())
}

/// The outbox of the run that is under way, on this processor, or one that becomes its.
#[inline(always)]
fn own_outbox() -> Delivered<&'static mut Outbox> {
    let tid = current_process().tid;
    if let Some(first) = outbox::<0>(tid) {
        return Ok(first);
    }
    outbox::<1>(tid).ok_or(KernelLoss::ScratchBusy)
}

/// The outbox of this number, if it is the thread's or nobody's.
#[inline(always)]
fn outbox<const NUMBER: u32>(tid: u32) -> Option<&'static mut Outbox> {
    let found = OUTBOXES.get_ptr_mut(NUMBER)?;
    // SAFETY: a per-processor slot that is never freed; its owner keeps other threads out.
    let found = unsafe { &mut *found };
    if found.owner != 0 && found.owner != tid {
        return None;
    }
    found.owner = tid;
    Some(found)
}

/// Appends `len` bytes from `record` on, which concern a connection or, being 0, none.
///
/// # Safety
/// As many bytes must be readable there and initialised.
#[inline(never)]
unsafe fn put(record: *const u8, len: u64, connection: ConnectionId) -> Delivered<()> {
    let outbox = own_outbox()?;
    if connection != 0 {
        outbox.connection = connection;
    }
    let at = u64::from(outbox.len);
    if at > OUTBOX_STARTS as u64 {
        return Err(KernelLoss::RingFull);
    }
    let at = clamp::<OUTBOX_STARTS>(at);
    let len = clamp::<OUTBOX_RECORD_MAX>(len);
    // SAFETY: at + len <= SAMPLE_MAX; the helper reads any memory of the kernel.
    let failed = unsafe {
        let to = (&raw mut outbox.bytes).cast::<u8>().add(at as usize);
        bpf_probe_read(to.cast(), len as u32, record.cast())
    };
    if failed != 0 {
        return Err(KernelLoss::RingFull);
    }
    outbox.len = (at + len) as u32;
    Ok(())
}

/// The run ends: sends what it told. Its context goes with the sample.
#[inline(always)]
pub fn flush(context: *mut c_void) {
    let tid = current_process().tid;
    flush_one::<0>(context, tid);
    flush_one::<1>(context, tid);
}

#[inline(always)]
fn flush_one<const NUMBER: u32>(context: *mut c_void, tid: u32) {
    let Some(outbox) = OUTBOXES.get_ptr_mut(NUMBER) else {
        return;
    };
    // SAFETY: as above.
    let outbox = unsafe { &mut *outbox };
    if outbox.owner != tid {
        return;
    }
    let len = clamp::<SAMPLE_MAX>(outbox.len.into());
    if len != 0 {
        // SAFETY: the map is one of perf events; as many bytes are there.
        let failed = unsafe {
            bpf_perf_event_output(
                context,
                (&raw const RECORDS).cast_mut().cast(),
                BPF_F_CURRENT_CPU,
                (&raw mut outbox.bytes).cast(),
                len,
            )
        };
        // The perf buffer counts it; user space marks all connections. Kernels before 5.1 don't
        // even tell.
        if failed != 0
            && let Some(connection) = super::connection(outbox.connection)
        {
            connection.lost = 1;
        }
    }
    outbox.len = 0;
    outbox.connection = 0;
    // SAFETY: a field of the slot; volatile, so that it is free last.
    unsafe { core::ptr::write_volatile(&raw mut outbox.owner, 0) };
}
