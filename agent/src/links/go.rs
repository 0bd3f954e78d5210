//! Goroutines that go on after the request that they were made for. One that is made by the first
//! request that finds no idle worker, and serves whoever comes, has that request for good: what it
//! asks for then would be laid to the wrong one. It is told by what it does: it did something while
//! its request was under way, and does something after. From then on nothing is laid to requests
//! that goroutines of the same function were made for, in this process.
//!
//! Until then it may serve others while its own request is still under way. So what a goroutine
//! does first is laid to the request that it was made for, and so is what it does once, late; what
//! it does besides is once it has ended without serving anybody else.

use hashbrown::{HashMap, HashSet};
use wirespan_protocols::heap;

use super::NodeId;
use super::pruning::Pruning;

/// Functions that are remembered, of all processes, before remembering starts again.
const FUNCTIONS_MAX: usize = 4096;
/// Goroutines whose calls are in doubt, and calls of one of them.
const DOUBTED_MAX: usize = 64 * 1024;
const CALLS_MAX: usize = 1024;

/// A goroutine, by its process.
pub type Goroutine = (u32, u64);

/// What a goroutine has from the one that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// The function that it began with; see [`wirespan_common::record::TaskNote::part`].
    start: u32,
    /// It did something while its request was under way.
    was_used: bool,
    /// The one that made it, or one above, did something before, so that its end decides.
    doubt: Option<Goroutine>,
}

impl Inherited {
    /// Of one that begins, made by one for which that was known in this way.
    #[must_use]
    pub fn new(start: u32, doubt: Option<Goroutine>) -> Self {
        Self {
            start,
            was_used: false,
            doubt,
        }
    }
}

/// Whether what a goroutine does is done for the request that it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForItsRequest {
    /// It is.
    Yes,
    /// It is if this one ends without serving anybody else.
    IfEnds(Goroutine),
    /// That is not certain.
    No,
    /// The same, and never was: it has just been seen to serve others.
    NeverWas,
}

/// Functions of goroutines that served whoever came, by process.
#[derive(Debug, Default)]
pub struct Outliving {
    functions: HashSet<(u32, u32)>,
}

impl Outliving {
    /// What it is that a goroutine does now, while its request is over or not.
    pub fn look(
        &mut self,
        goroutine: Goroutine,
        inherited: &mut Inherited,
        is_over: bool,
    ) -> ForItsRequest {
        let function = (goroutine.0, inherited.start);
        if is_over && inherited.was_used {
            if self.functions.len() >= FUNCTIONS_MAX {
                self.functions.clear();
            }
            self.functions.insert(function);
            return ForItsRequest::NeverWas;
        }
        let own = inherited.was_used.then_some(goroutine);
        inherited.was_used |= !is_over;
        match inherited.doubt.or(own) {
            _ if self.functions.contains(&function) => ForItsRequest::No,
            Some(doubt) => ForItsRequest::IfEnds(doubt),
            None => ForItsRequest::Yes,
        }
    }

    /// Whether goroutines of its kind serve whoever comes.
    #[must_use]
    pub fn has(&self, goroutine: Goroutine, inherited: &Inherited) -> bool {
        self.functions.contains(&(goroutine.0, inherited.start))
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(u32, u32)>(self.functions.capacity())
    }
}

/// Calls, each with the request that it belongs to if a goroutine ends in time, or a task of which
/// the end is not told does nothing for others for some time.
#[derive(Debug, Default)]
pub struct Doubts {
    calls: HashMap<Goroutine, Vec<(NodeId, NodeId)>>,
    /// Of tasks whose end is not told: those with calls for a request.
    endless: HashMap<NodeId, Vec<Goroutine>>,
    pruning: Pruning,
}

impl Doubts {
    /// A call is made, for `request` or nobody that is known. Returns whether there was room.
    pub fn add(&mut self, goroutine: Goroutine, call: NodeId, request: NodeId) -> bool {
        if self.calls.len() >= DOUBTED_MAX && !self.calls.contains_key(&goroutine) {
            return false;
        }
        let calls = self.calls.entry(goroutine).or_default();
        let has_room = calls.len() < CALLS_MAX;
        if has_room {
            calls.push((call, request));
        }
        has_room
    }

    /// The same for a task of which the end is not told.
    pub fn add_endless(&mut self, task: Goroutine, call: NodeId, request: NodeId) -> bool {
        if !self.add(task, call, request) {
            return false;
        }
        let tasks = self.endless.entry(request).or_default();
        if !tasks.contains(&task) {
            tasks.push(task);
        }
        true
    }

    /// Whether tasks of which the end is not told have calls for a request.
    pub fn has_endless(&self, request: NodeId) -> bool {
        self.endless.contains_key(&request)
    }

    /// Those tasks; nothing is waited for any longer.
    pub fn take_endless(&mut self, request: NodeId) -> Vec<Goroutine> {
        match self.endless.is_empty() {
            true => Vec::new(),
            false => self.endless.remove(&request).unwrap_or_default(),
        }
    }

    /// It has ended, or is known for what it is.
    pub fn take(&mut self, goroutine: Goroutine) -> Vec<(NodeId, NodeId)> {
        match self.calls.is_empty() {
            true => Vec::new(),
            false => self.calls.remove(&goroutine).unwrap_or_default(),
        }
    }

    /// Forgets those of which nothing is open any more, if there are many.
    pub fn tidy(&mut self, is_open: impl Fn(NodeId) -> bool) {
        if self.pruning.is_due(self.calls.len(), DOUBTED_MAX / 2) {
            self.calls
                .retain(|_, calls| calls.iter().any(|(call, _)| is_open(*call)));
            self.endless.retain(|request, _| is_open(*request));
        }
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(Goroutine, Vec<(NodeId, NodeId)>)>(self.calls.capacity())
            + self.calls.len() * heap::vec::<(NodeId, NodeId)>(4)
            + heap::table::<(NodeId, Vec<Goroutine>)>(self.endless.capacity())
            + self.endless.len() * heap::vec::<Goroutine>(4)
    }
}

#[cfg(test)]
mod tests {
    use super::ForItsRequest::{IfEnds, NeverWas, No, Yes};
    use super::*;

    #[test]
    fn who_works_for_later_requests_is_told_from_who_is_late() {
        let mut outliving = Outliving::default();
        let (mut late, mut worker) = (Inherited::new(1, None), Inherited::new(2, None));
        assert_eq!(outliving.look((7, 1), &mut late, true), Yes);
        assert_eq!(outliving.look((7, 1), &mut late, true), Yes);
        assert_eq!(outliving.look((7, 2), &mut worker, false), Yes);
        assert_eq!(outliving.look((7, 2), &mut worker, false), IfEnds((7, 2)));
        assert_eq!(outliving.look((7, 2), &mut worker, true), NeverWas);
        // Nor are others that began with the same function, but for those of other processes.
        let mut new = |process, start, doubt| {
            let mut inherited = Inherited::new(start, doubt);
            outliving.look((process, 3), &mut inherited, false)
        };
        assert_eq!(new(7, 2, None), No);
        assert_eq!(new(8, 2, None), Yes);
        assert_eq!(new(7, 3, None), Yes);
        assert_eq!(new(7, 3, Some((7, 2))), IfEnds((7, 2)));
    }
}
