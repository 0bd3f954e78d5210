//! What is remembered of Python's contexts: by address, of items in queues, and of threads that
//! have none. All three evict; what fell out is a context that nobody knows.

use core::mem::size_of;

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{ANCESTORS_MAX, Header, Kind, TaskEvent, TaskKind, TaskNote};

use super::tls::ObjectKey;
use crate::memory::Delivered;

/// Contexts that were copied from others while probes stood, by address.
#[map]
static PYTHON_CONTEXTS: LruHashMap<ObjectKey, Lineage> = LruHashMap::with_max_entries(16 * 1024, 0);

/// On whose behalf items were put into queues, by the item's address.
#[map]
static PYTHON_ITEMS: LruHashMap<ObjectKey, Lineage> = LruHashMap::with_max_entries(4 * 1024, 0);

/// On whose behalf threads without a context of their own work, by thread.
#[map]
static PYTHON_WORK: LruHashMap<u32, Lineage> = LruHashMap::with_max_entries(4 * 1024, 0);

/// A note on a task with room for all ancestors.
#[repr(C)]
pub struct BirthRecord {
    /// Its `len` covers as many ancestors as there are.
    pub header: Header,
    /// What it says.
    pub note: TaskNote,
    /// The nearest first; 0 behind the last.
    pub ancestors: [u64; ANCESTORS_MAX],
}

/// Where a task comes from, kept as the record that tells of it. A task is known by when it was
/// born: an address is used again, a time is not.
#[repr(C)]
pub struct Lineage {
    /// What user space is told; who tells fills in when, and who.
    pub record: BirthRecord,
    /// 1 once it was.
    pub told: u64,
}

impl Lineage {
    /// A task that comes from another one, or from a thread that has none.
    // Member by member: the compiler copies structures by a function that moves bytes.
    #[inline(always)]
    pub fn born(id: u64, parent: Option<&Self>, giver: u32) -> Self {
        let mut new = Self {
            record: BirthRecord {
                header: Header {
                    len: (size_of::<Header>() + size_of::<TaskNote>()) as u32,
                    kind: Kind::Task as u8,
                    shard: 0,
                    reserved: [0; 2],
                    time_ns: 0,
                    tgid: 0,
                    tid: 0,
                },
                note: TaskNote {
                    task: id,
                    other: giver.into(),
                    part: 0,
                    event: TaskEvent::Given as u8,
                    kind: TaskKind::PythonContext as u8,
                    ancestors: 0,
                    after_loss: 0,
                },
                ancestors: [0; ANCESTORS_MAX],
            },
            told: 0,
        };
        if let Some(parent) = parent {
            let (from, to) = (&parent.record, &mut new.record);
            to.note.event = from.note.event;
            to.note.other = from.note.other;
            if from.note.event != TaskEvent::Given as u8 {
                to.note.other = from.note.task;
            }
            to.ancestors[0] = from.note.task;
            let mut index = 1;
            while index < ANCESTORS_MAX {
                to.ancestors[index] = from.ancestors[index - 1];
                index += 1;
            }
            to.note.ancestors = if (from.note.ancestors as usize) < ANCESTORS_MAX {
                from.note.ancestors + 1
            } else {
                ANCESTORS_MAX as u8
            };
            to.header.len += 8 * u32::from(to.note.ancestors);
        } else if giver == 0 {
            new.record.note.event = TaskEvent::Born as u8;
        }
        new
    }
}

/// Lends what is known of a context.
#[inline(always)]
pub fn context(tgid: u32, address: u64) -> Option<&'static mut Lineage> {
    let found = PYTHON_CONTEXTS.get_ptr_mut(ObjectKey::new(tgid, address))?;
    // SAFETY: elements of a preallocated map stay mapped; one that is reused meanwhile is another
    // context's, born too late to be mistaken for a request's.
    Some(unsafe { &mut *found })
}

/// A context was copied; whatever was at its address before is no more.
#[inline(always)]
pub fn remember_context(tgid: u32, address: u64, lineage: &Lineage) -> Delivered<()> {
    PYTHON_CONTEXTS
        .insert(ObjectKey::new(tgid, address), lineage, 0)
        .map_err(|_| KernelLoss::TasksFull)
}

/// An item was put into a queue.
#[inline(always)]
pub fn remember_item(tgid: u32, address: u64, lineage: &Lineage) -> Delivered<()> {
    PYTHON_ITEMS
        .insert(ObjectKey::new(tgid, address), lineage, 0)
        .map_err(|_| KernelLoss::TasksFull)
}

/// An item was taken from a queue by a thread, which works on it from now on, or on one of which
/// nothing is known. It is remembered still: one function may return what another one returned,
/// and that is seen twice.
#[inline(always)]
pub fn take_item(tgid: u32, address: u64, tid: u32) -> Delivered<()> {
    match PYTHON_ITEMS.get_ptr(ObjectKey::new(tgid, address)) {
        // SAFETY: as above; the helper copies from there.
        Some(found) => remember_work(tid, unsafe { &*found }),
        None => {
            forget_work(tid);
            Ok(())
        }
    }
}

/// Lends on whose behalf a thread works.
#[inline(always)]
pub fn work(tid: u32) -> Option<&'static mut Lineage> {
    let found = PYTHON_WORK.get_ptr_mut(tid)?;
    // SAFETY: as above.
    Some(unsafe { &mut *found })
}

/// A thread works on somebody's behalf.
#[inline(always)]
pub fn remember_work(tid: u32, lineage: &Lineage) -> Delivered<()> {
    PYTHON_WORK
        .insert(tid, lineage, 0)
        .map_err(|_| KernelLoss::TasksFull)
}

/// It does no longer.
#[inline(always)]
pub fn forget_work(tid: u32) {
    // Most have none.
    let _: Result<(), i32> = PYTHON_WORK.remove(tid);
}
