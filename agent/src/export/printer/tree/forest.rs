//! Traces that are held until they can be shown: which, and how long. It draws nothing, and knows
//! the time only as it is told.
//!
//! A span whose parent was found on this node will be followed by that parent, once it is over. So
//! a trace is complete when no such parent is missing and nothing came for a moment; what is not
//! complete is given a while. Memory has a bound: the longest held are shown first, as they are.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::branch::Branch;

/// How long a complete trace waits for more: what is told late (a description, a link that follows
/// from an answer) comes within it as a rule.
pub(super) const QUIET: Duration = Duration::from_millis(250);
/// How long a trace is held at most. Requests that take longer are shown in pieces.
pub(super) const HELD_FOR: Duration = Duration::from_secs(30);
/// Spans that are held.
pub(super) const SPANS_MAX: usize = 16 * 1024;

type TraceId = [u8; 16];

/// The traces, each span with something that is held with it.
#[derive(Debug)]
pub(super) struct Forest<H> {
    traces: HashMap<TraceId, Growing<H>>,
    spans: usize,
}

/// A trace as far as it is known.
#[derive(Debug)]
struct Growing<H> {
    branches: Vec<Branch>,
    held: Vec<H>,
    first: Instant,
    last: Instant,
    /// Whether no parent is missing; `None` if that was not looked at since the last span came.
    is_whole: Option<bool>,
}

/// A trace to be shown.
#[derive(Debug)]
pub(super) struct GrownTree<H> {
    pub trace: TraceId,
    /// At least one.
    pub branches: Vec<Branch>,
    pub held: Vec<H>,
}

impl<H> Default for Forest<H> {
    fn default() -> Self {
        Self {
            traces: HashMap::new(),
            spans: 0,
        }
    }
}

impl<H> Forest<H> {
    /// A span was told.
    pub fn add(&mut self, trace: TraceId, branch: Branch, held: H, now: Instant) {
        let growing = self.traces.entry(trace).or_insert_with(|| Growing {
            branches: Vec::new(),
            held: Vec::new(),
            first: now,
            last: now,
            is_whole: None,
        });
        growing.branches.push(branch);
        growing.held.push(held);
        growing.last = now;
        growing.is_whole = None;
        self.spans += 1;
    }

    /// When the next trace is to be shown, if nothing more comes.
    pub fn next_due(&mut self) -> Option<Instant> {
        self.traces.values_mut().map(Growing::due).min()
    }

    /// Those that are to be shown by now, oldest first, and if there are too many, or it
    /// `is_crowded`, those that were held longest.
    pub fn take_due(&mut self, now: Instant, is_crowded: impl Fn() -> bool) -> Vec<GrownTree<H>> {
        let due = self.traces.extract_if(|_, growing| growing.due() <= now);
        let mut trees: Vec<_> = due.map(GrownTree::of).collect();
        self.spans -= trees.iter().map(GrownTree::len).sum::<usize>();
        if self.spans > SPANS_MAX || is_crowded() {
            trees.extend(self.take_longest_held());
        }
        in_order(trees)
    }

    /// All of them, oldest first.
    pub fn take_all(&mut self) -> Vec<GrownTree<H>> {
        self.spans = 0;
        in_order(self.traces.drain().map(GrownTree::of).collect())
    }

    /// A quarter of the traces, at least one: looking for the oldest costs a look at all.
    fn take_longest_held(&mut self) -> Vec<GrownTree<H>> {
        let mut begun: Vec<_> = self.traces.iter().map(|(id, it)| (it.first, *id)).collect();
        begun.sort_unstable();
        begun.truncate(begun.len().div_ceil(4));
        let taken = begun.iter().filter_map(|(_, id)| {
            let growing = self.traces.remove_entry(id)?;
            self.spans -= growing.1.branches.len();
            Some(GrownTree::of(growing))
        });
        taken.collect()
    }
}

fn in_order<H>(mut trees: Vec<GrownTree<H>>) -> Vec<GrownTree<H>> {
    trees.sort_by_key(|tree| tree.branches.iter().map(|it| it.start_unix_ns).min());
    trees
}

impl<H> Growing<H> {
    fn due(&mut self) -> Instant {
        let given_up = self.first + HELD_FOR;
        let branches = &self.branches;
        if *self.is_whole.get_or_insert_with(|| is_whole(branches)) {
            given_up.min(self.last + QUIET)
        } else {
            given_up
        }
    }
}

/// Whether every parent that was found here has come.
fn is_whole(branches: &[Branch]) -> bool {
    let known: HashSet<_> = branches.iter().map(|branch| branch.span).collect();
    let mut linked = branches.iter().filter(|branch| branch.link.is_some());
    linked.all(|branch| branch.parent.is_none_or(|parent| known.contains(&parent)))
}

impl<H> GrownTree<H> {
    fn of((trace, growing): (TraceId, Growing<H>)) -> Self {
        let Growing { branches, held, .. } = growing;
        Self {
            trace,
            branches,
            held,
        }
    }

    fn len(&self) -> usize {
        self.branches.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(span: u8, parent: Option<u8>, link: Option<&'static str>) -> Branch {
        Branch {
            span: [span; 8],
            parent: parent.map(|parent| [parent; 8]),
            link,
            start_unix_ns: span.into(),
            end_unix_ns: 9,
            is_failed: false,
            text: Vec::new(),
        }
    }

    /// The spans of each tree that is due.
    fn due(forest: &mut Forest<()>, now: Instant) -> Vec<Vec<u8>> {
        let trees = forest.take_due(now, || false);
        let spans = |tree: GrownTree<()>| tree.branches.iter().map(|it| it.span[0]).collect();
        trees.into_iter().map(spans).collect()
    }

    #[test]
    fn a_trace_is_shown_when_every_parent_has_come() {
        let mut forest = Forest::default();
        let begin = Instant::now();
        let nobody: Vec<Vec<u8>> = Vec::new();
        forest.add([1; 16], branch(2, Some(1), Some("goroutine")), (), begin);
        forest.add([2; 16], branch(7, Some(6), None), (), begin);
        // Who names a parent elsewhere waits for nothing.
        assert_eq!(forest.next_due(), Some(begin + QUIET));
        assert_eq!(due(&mut forest, begin + QUIET), [[7]]);
        let later = begin + 3 * QUIET;
        assert_eq!(due(&mut forest, later), nobody);
        forest.add([1; 16], branch(1, None, None), (), later);
        assert_eq!(due(&mut forest, later), nobody, "more may come");
        assert_eq!(due(&mut forest, later + QUIET), [[2, 1]]);
        assert_eq!((forest.next_due(), forest.spans), (None, 0));
    }

    #[test]
    fn a_parent_that_does_not_come_is_waited_for_so_long() {
        let mut forest = Forest::default();
        let begin = Instant::now();
        forest.add([1; 16], branch(2, Some(1), Some("thread")), (), begin);
        assert_eq!(forest.next_due(), Some(begin + HELD_FOR));
        assert_eq!(due(&mut forest, begin + HELD_FOR), [[2]]);
        // Nor is a trace held for ever by always going on.
        let mut now = begin;
        while now < begin + HELD_FOR {
            forest.add([3; 16], branch(1, None, None), (), now);
            assert!(due(&mut forest, now).is_empty());
            now += QUIET / 2;
        }
        assert_eq!(due(&mut forest, now).len(), 1);
    }

    #[test]
    fn beyond_the_bound_the_longest_held_are_shown_as_they_are() {
        let mut forest = Forest::default();
        let begin = Instant::now();
        let mut shown = 0;
        for number in 0..4 * SPANS_MAX as u64 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            let now = begin + Duration::from_nanos(number);
            forest.add(id, branch(2, Some(1), Some("thread")), (), now);
            if number % 256 == 255 {
                shown += due(&mut forest, now).len();
                assert!(forest.spans <= SPANS_MAX);
            }
        }
        assert_eq!(shown + forest.take_all().len(), 4 * SPANS_MAX);
        // One trace may be all there is.
        for _ in 0..=SPANS_MAX {
            forest.add([1; 16], branch(2, Some(1), Some("thread")), (), begin);
        }
        assert_eq!(due(&mut forest, begin).len(), 1);
        forest.add([1; 16], branch(2, Some(1), Some("thread")), (), begin);
        assert_eq!(forest.take_due(begin, || true).len(), 1, "memory is scarce");
    }
}
