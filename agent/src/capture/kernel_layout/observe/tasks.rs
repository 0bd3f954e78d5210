//! What threads have: numbers, memory of their own, how many there are of a process, how one ended.

use std::collections::BTreeMap;

use wirespan_common::config::Offsets;

use super::super::features::Feature;
use super::super::peek::{MemoryImage, Peek};
use super::super::search::{Undecided, only, places, places_of};
use super::super::specimens::{self, end_a_thread};
use super::super::window::{KernelWindow, LastLook, Trigger, own_tid};
use super::{ObserveError, TASK_LEN, on_own_thread, or_lacking};
use crate::arch;
use crate::discover::ProcRoot;

/// Bytes of a `struct signal_struct` that are looked at: its head.
const SIGNAL_LEN: usize = 32;

/// A thread that is looked at.
pub struct SeenThread {
    task: MemoryImage,
    tid: u32,
    /// Where its own memory is.
    memory: Option<u64>,
}

impl SeenThread {
    /// The one that calls this.
    pub fn own(window: &mut KernelWindow) -> Result<Self, ObserveError> {
        let address = window
            .task()
            .map_err(|error| ObserveError::Closed(error.to_string()))?;
        Ok(Self {
            task: MemoryImage::take(window, address, TASK_LEN),
            tid: own_tid(&ProcRoot::host()),
            memory: arch::thread_pointer(),
        })
    }

    /// Another one, which sees itself and has ended when this returns.
    pub fn another(trigger: Trigger) -> Result<Self, ObserveError> {
        on_own_thread(Some(trigger), Self::own)
    }
}

/// Finds a thread's numbers, by which two differ; returns the first one's task without what follows
/// it in memory.
///
/// # Errors
/// They show nowhere, or in several places.
pub fn identity(
    at: &mut Offsets,
    threads: &[SeenThread; 2],
    lacks: &mut Vec<(Feature, String)>,
) -> Result<MemoryImage, ObserveError> {
    let memory = threads
        .iter()
        .map(|it| Some((&it.task, it.memory?)))
        .collect::<Option<Vec<_>>>();
    let memory = memory.map(|memory| places_of(TASK_LEN, &memory));
    let memory = only("task_struct.thread", &memory.unwrap_or_default());
    // What depends on the processor stands last in it, so that hardly anything follows.
    const REST: usize = 64;
    let len = memory.as_ref().map_or(TASK_LEN, |end| end + REST);
    at.task_struct_fsbase = or_lacking(memory, Feature::ThreadMemory, lacks) as u32;
    let process = ProcRoot::host().own_pid();
    let tids = threads.each_ref().map(|it| (&it.task, it.tid));
    let processes = threads.each_ref().map(|it| (&it.task, process));
    let pid = only("task_struct.pid", &places_of(len, &tids))?;
    let mut tgids = places_of(len, &processes);
    if tgids.len() > 1 {
        // Other members have low numbers like those of a machine's first processes; a process's
        // stands beside its thread's.
        tgids.retain(|tgid| tgid.abs_diff(pid) == size_of::<u32>());
    }
    at.task_struct_pid = pid as u32;
    at.task_struct_tgid = only("task_struct.tgid", &tgids)? as u32;
    Ok(threads[0].task.first(len))
}

/// How often counts are looked at that a thread which ended is still in.
const ROUNDS: u32 = 20;

/// Finds how many threads of a process have not begun to end: of the counts that grow with each
/// thread, the one that is lower already as a thread is told to end. Where two are, either serves,
/// and the first is taken (`live`, and since 5.19 `quick_threads`).
///
/// # Errors
/// There is none, or in several structures.
pub fn counts_of_threads(
    peek: &mut impl Peek,
    ending: &mut ThreadEnding,
    at: &mut Offsets,
    task: &MemoryImage,
) -> Result<(), ObserveError> {
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        found = counts(peek, ending, task)
            .map_err(|error| ObserveError::Own("a thread to look at", error))?;
        if !found.is_empty() {
            break;
        }
        // One of the counts is late with threads that ended.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (signal, live) = only("signal_struct.live", &found)?;
    at.task_struct_signal = signal as u32;
    at.signal_struct_live = live as u32;
    Ok(())
}

fn counts(
    peek: &mut impl Peek,
    ending: &mut ThreadEnding,
    task: &MemoryImage,
) -> std::io::Result<Vec<(usize, usize)>> {
    let pointers: Vec<_> = task.pointers().collect();
    let mut heads = || -> Vec<MemoryImage> {
        let heads = pointers
            .iter()
            .map(|(_, it)| MemoryImage::take(peek, *it, SIGNAL_LEN));
        heads.collect()
    };
    let before = heads();
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let another = std::thread::Builder::new().spawn(move || wait.recv().is_ok())?;
    let during = heads();
    let mut found = Vec::new();
    for (index, (offset, address)) in pointers.iter().enumerate() {
        let (before, during) = (&before[index], &during[index]);
        let counts = grown(before, during);
        if counts.len() < 2 {
            continue;
        }
        let last = ending.of_thread(CODES[0], *address, SIGNAL_LEN, false)?;
        let count =
            |image: &MemoryImage, offset: &usize| image.at::<u32>(*offset).unwrap_or_default();
        let fell = counts
            .iter()
            .find(|it| count(&last, it) == count(during, it));
        let kept = counts
            .iter()
            .any(|it| count(&last, it) == count(during, it) + 1);
        found.extend(fell.filter(|_| kept).map(|fell| (*offset, *fell)));
    }
    drop(end);
    let _: Result<bool, _> = another.join();
    Ok(found)
}

/// Counts that are one more, and were the same. One that is late with threads that ended is
/// another.
fn grown(before: &MemoryImage, during: &MemoryImage) -> Vec<usize> {
    let count = |image: &MemoryImage, offset: usize| image.at::<u32>(offset).unwrap_or_default();
    let grown = places(SIGNAL_LEN, 4, |offset| {
        let was = count(before, *offset);
        (2..u32::MAX).contains(&was) && count(during, *offset) == was + 1
    });
    let mut alike: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for offset in grown {
        alike.entry(count(before, offset)).or_default().push(offset);
    }
    alike.into_values().max_by_key(Vec::len).unwrap_or_default()
}

/// Exit codes that a thread gets.
const CODES: [i32; 2] = [77, 78];

/// Sees what there is as a thread ends.
pub struct ThreadEnding(pub LastLook);

impl ThreadEnding {
    /// Has a thread end with this code; what is at an address then, or at an offset in its task.
    fn of_thread(
        &mut self,
        code: i32,
        address: u64,
        len: usize,
        is_within_task: bool,
    ) -> std::io::Result<MemoryImage> {
        self.0.expect(address, len, is_within_task)?;
        end_a_thread(code)?;
        let mut seen = MemoryImage::default();
        specimens::wait_until(|| {
            if let Some(bytes) = self.0.seen() {
                seen = MemoryImage::of(bytes);
            }
            Ok(seen.len() > 0)
        })?;
        Ok(seen)
    }
}

/// Finds the code that a thread ends with.
///
/// # Errors
/// It shows nowhere, or in several places.
pub fn exit_code(
    ending: &mut ThreadEnding,
    at: &mut Offsets,
    task_len: usize,
) -> Result<(), ObserveError> {
    const PART: usize = 2048;
    let told = |error| ObserveError::Own("a thread to look at", error);
    let mut found = Vec::new();
    for part in (0..task_len).step_by(PART) {
        let len = PART.min(task_len - part);
        let mut images = Vec::new();
        for code in CODES {
            let image = ending
                .of_thread(code, part as u64, len, true)
                .map_err(told)?;
            // As wait(2) tells it.
            images.push((image, (code as u32) << 8));
        }
        let images: Vec<_> = images.iter().map(|(image, code)| (image, *code)).collect();
        found.extend(places_of(len, &images).iter().map(|it| part + it));
    }
    at.task_struct_exit_code = only("task_struct.exit_code", &found)? as u32;
    Ok(())
}

/// Finds the stack that a task has in the kernel: at its end are the registers of the call that it
/// is in, and of the one that looks is known what is in them.
pub fn entry_registers(
    window: &mut KernelWindow,
    at: &mut Offsets,
    task: &MemoryImage,
    lacks: &mut Vec<(Feature, String)>,
) {
    let argument = window.second_argument();
    let stacks: Vec<_> = task
        .pointers()
        .filter(|(_, it)| it.is_multiple_of(4096))
        .collect();
    let mut found = Vec::new();
    for (offset, stack) in stacks {
        let register = stack.wrapping_add(arch::SECOND_ARGUMENT_IN_STACK);
        if window.value::<u64>(register) == Some(argument) {
            found.push(offset);
        }
    }
    let found = only("task_struct.stack", &found);
    at.task_struct_stack = or_lacking(found, Feature::EntryRegisters, lacks) as u32;
}

/// Finds where a task has its rings of `io_uring`: the word that is there once it has one.
pub fn rings(
    peek: &mut impl Peek,
    at: &mut Offsets,
    task: u64,
    len: usize,
    lacks: &mut Vec<(Feature, String)>,
) {
    let before = [
        MemoryImage::take(peek, task, len),
        MemoryImage::take(peek, task, len),
    ];
    let ring = match specimens::ring() {
        Ok(ring) => ring,
        // Nobody has any.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => return,
        Err(error) => {
            let why = ObserveError::Own("a ring", error).to_string();
            lacks.push((Feature::Rings, why));
            return;
        }
    };
    let after = [
        MemoryImage::take(peek, task, len),
        MemoryImage::take(peek, task, len),
    ];
    drop(ring);
    let found = places(len, 8, |offset| {
        let none = before.iter().all(|it| it.at::<u64>(*offset) == Some(0));
        let [one, other] = after.each_ref().map(|it| it.at::<u64>(*offset));
        none && one == other && one.is_some_and(super::super::peek::is_pointer)
    });
    let found: Result<usize, Undecided> = only("task_struct.io_uring", &found);
    at.task_struct_io_uring = or_lacking(found, Feature::Rings, lacks) as u32;
}
