//! Where the tasks of a process come from, as the kernel side tells before it names one first.

use std::collections::VecDeque;

use hashbrown::HashMap;
use wirespan_common::python::NOTE_IS_THREAD;
use wirespan_common::record::{TaskEvent, TaskNote};
use wirespan_protocols::heap;

/// Tasks that are remembered. ServedRequests are answered by tasks that are young.
const LINEAGES_MAX: usize = 8 * 1024;

/// Where a task comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descent {
    /// Its ancestors, the nearest first. Each is older than the one before.
    pub ancestors: Vec<u64>,
    /// The thread that gave it to somebody, where that had no context.
    pub giver: Option<u32>,
    /// It is a thread that was made for it.
    pub is_thread: bool,
    /// When that ended.
    pub ended_ns: Option<u64>,
}

/// Of a process.
#[derive(Debug, Default)]
pub(super) struct Descents {
    known: HashMap<u64, Descent>,
    order: VecDeque<u64>,
}

impl Descents {
    /// Takes a note.
    pub fn note(&mut self, event: TaskEvent, note: &TaskNote, ancestors: &[u64], now_ns: u64) {
        match event {
            TaskEvent::Born | TaskEvent::Given => {
                let giver = (event == TaskEvent::Given).then_some(note.other as u32);
                let lineage = Descent {
                    ancestors: ancestors.to_vec(),
                    giver,
                    is_thread: note.part == NOTE_IS_THREAD,
                    ended_ns: None,
                };
                if self.known.insert(note.task, lineage).is_none() {
                    self.order.push_back(note.task);
                }
                if self.order.len() > LINEAGES_MAX
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.known.remove(&oldest);
                }
            }
            TaskEvent::Ended => {
                if let Some(known) = self.known.get_mut(&note.task) {
                    known.ended_ns = Some(now_ns);
                }
            }
            // Those of other runtimes.
            _ => {}
        }
    }

    pub fn get(&self, task: u64) -> Option<&Descent> {
        self.known.get(&task)
    }

    /// A task and where it comes from, the nearest first.
    pub fn line(&self, task: u64) -> Vec<u64> {
        let mut line = vec![task];
        if let Some(known) = self.get(task) {
            line.extend_from_slice(&known.ancestors);
        }
        line
    }

    pub fn memory_bytes(&self) -> usize {
        heap::table::<(u64, Descent)>(self.known.capacity())
            + self.known.len() * heap::vec::<u64>(4)
            + heap::vec::<u64>(self.order.capacity())
    }
}
