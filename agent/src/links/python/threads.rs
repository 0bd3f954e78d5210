//! What threads of a process read and have not answered yet, and which of them do several things at
//! a time, so that nothing is known by the thread.

use hashbrown::HashMap;
use wirespan_protocols::heap;

use super::super::NodeId;
use super::super::pruning::Pruning;

/// PythonThreads and contexts of their own that are remembered.
const REMEMBERED_MAX: usize = 16 * 1024;

/// Of a process.
#[derive(Debug, Default)]
pub(super) struct PythonThreads {
    threads: HashMap<u32, PythonThread>,
    /// Contexts of threads and greenlets, by thread and address.
    owns: HashMap<(u32, u64), OwnContext>,
    /// Of `threads`.
    pruning: Pruning,
}

#[derive(Debug, Default)]
struct PythonThread {
    /// ServedRequests that it read and that are not answered.
    open: Vec<NodeId>,
    /// It read one before it had answered another.
    is_loop: bool,
}

#[derive(Clone, Copy, Debug)]
struct OwnContext {
    answered_ns: u64,
    is_loop: bool,
}

impl PythonThreads {
    pub fn reads(&mut self, tid: u32, node: NodeId) {
        if self.pruning.is_due(self.threads.len(), REMEMBERED_MAX) {
            let in_use = |_: &u32, thread: &mut PythonThread| !thread.open.is_empty();
            self.threads.retain(in_use);
        }
        let thread = self.threads.entry(tid).or_default();
        thread.is_loop |= !thread.open.is_empty();
        thread.open.push(node);
    }

    /// A request that `tid` read is answered, or over.
    pub fn done(&mut self, tid: u32, node: NodeId) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.open.retain(|open| *open != node);
        }
    }

    /// Those that a thread read and that are not answered.
    pub fn open(&self, tid: u32) -> &[NodeId] {
        self.threads
            .get(&tid)
            .map(|thread| thread.open.as_slice())
            .unwrap_or_default()
    }

    /// The only one, of a thread that does one thing at a time.
    pub fn only(&self, tid: u32) -> Option<NodeId> {
        let thread = self.threads.get(&tid).filter(|thread| !thread.is_loop)?;
        match thread.open[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// A context of a thread's own answers a request that was read at `read_ns`; whether it does
    /// one thing at a time, as far as is known.
    pub fn answers(&mut self, tid: u32, address: u64, read_ns: u64, now_ns: u64) -> bool {
        if self.owns.len() >= REMEMBERED_MAX {
            self.owns.clear();
        }
        let own = self.owns.entry((tid, address)).or_insert(OwnContext {
            answered_ns: 0,
            is_loop: false,
        });
        own.is_loop |= read_ns < own.answered_ns;
        own.answered_ns = now_ns;
        !own.is_loop
    }

    pub fn memory_bytes(&self) -> usize {
        heap::table::<(u32, PythonThread)>(self.threads.capacity())
            + self.threads.len() * heap::vec::<NodeId>(2)
            + heap::table::<((u32, u64), OwnContext)>(self.owns.capacity())
    }
}
