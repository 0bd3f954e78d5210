//! Stories of one process. Times are births of contexts, too.

use wirespan_common::python::{NOTE_IS_THREAD, PythonPart};
use wirespan_common::record::{TaskEvent, TaskKind, TaskNote};
use wirespan_protocols::exchange::Ticket;

use super::super::{Actor, NodeId, Task};
use super::{Decision, Python, RequestRead};

const PID: u32 = 7;
/// A millisecond.
const MS: u64 = 1_000_000;

#[derive(Default)]
struct Story {
    python: Python,
}

fn node(number: u64) -> NodeId {
    NodeId::of(Ticket(number))
}

fn on(tid: u32, id: u64, part: PythonPart) -> Actor {
    let task = Task {
        kind: TaskKind::PythonContext,
        id,
        part: part as u32,
    };
    Actor {
        tgid: PID,
        tid,
        task: Some(task),
    }
}

fn context(id: u64) -> Actor {
    on(1, id, PythonPart::Context)
}

impl Story {
    fn reads(&mut self, number: u64, time_ns: u64, actor: Actor) {
        let read = RequestRead {
            node: node(number),
            // One for each ten.
            connection: 1 + number / 10,
            has_streams: false,
            time_ns,
        };
        self.python.reads(read, actor);
    }

    fn born(&mut self, task: u64, ancestors: &[u64]) {
        self.note(TaskEvent::Born, task, 0, 0, ancestors, task);
    }

    fn note(
        &mut self,
        event: TaskEvent,
        task: u64,
        other: u64,
        part: u32,
        ancestors: &[u64],
        now_ns: u64,
    ) {
        let note = TaskNote {
            task,
            other,
            part,
            event: event as u8,
            kind: TaskKind::PythonContext as u8,
            ancestors: ancestors.len() as u8,
            after_loss: 0,
        };
        self.python.note(PID, event, &note, ancestors, now_ns);
    }

    fn calls(&mut self, number: u64, time_ns: u64, actor: Actor) -> bool {
        self.python.calls(node(number), actor, time_ns)
    }

    fn answers(&mut self, number: u64, time_ns: u64, actor: Actor) {
        self.python.answers(node(number), PID, Some(actor), time_ns);
    }

    /// Calls that were decided, and the requests that they belong to.
    fn decided(&mut self) -> Vec<(u64, Option<u64>)> {
        self.decisions(false)
    }

    /// Calls that came after the requests that they come from, and those if they point at them.
    fn pointing(&mut self) -> Vec<(u64, Option<u64>)> {
        self.decisions(true)
    }

    fn decisions(&mut self, are_after: bool) -> Vec<(u64, Option<u64>)> {
        let mut found = Vec::new();
        while let Some(decision) = self.python.decisions() {
            let Decision {
                call,
                request,
                is_after,
            } = decision;
            assert_eq!(is_after, are_after, "{decision:?}");
            let request = request.map(|request| request.ticket().0);
            found.push((call.ticket().0, request));
        }
        found.sort_unstable();
        found
    }
}

#[test]
fn a_call_belongs_to_the_request_that_its_context_answers() {
    let mut story = Story::default();
    // Both are read by the loop, in a context that is older.
    story.reads(10, 100, context(50));
    story.reads(20, 101, context(50));
    story.born(110, &[50]);
    story.born(120, &[50]);
    // Tasks of the handlers, and one of a task.
    story.born(130, &[110, 50]);
    story.born(140, &[125, 120, 50]);
    assert!(story.calls(1, 150, context(130)));
    assert!(story.calls(2, 151, context(140)));
    assert!(story.calls(3, 152, context(120)));
    assert_eq!(story.decided(), []);
    story.answers(20, 160, context(120));
    assert_eq!(story.decided(), [(3, Some(20))]);
    story.answers(10, 161, context(110));
    // What was made for a request may outlive it.
    assert_eq!(story.decided(), []);
    story.python.tick(161 + 50 * MS);
    assert_eq!(story.decided(), [(1, Some(10)), (2, Some(20))]);
}

#[test]
fn calls_of_a_context_that_outlives_its_request_are_not_that_ones() {
    let mut story = Story::default();
    story.reads(10, 100, context(50));
    story.reads(20, 101, context(50));
    story.born(110, &[50]);
    story.born(120, &[50]);
    // A worker, and another one that ends.
    story.born(130, &[110, 50]);
    story.born(131, &[110, 50]);
    assert!(story.calls(1, 150, context(130)));
    assert!(story.calls(2, 151, context(131)));
    story.answers(10, 160, context(110));
    assert!(story.calls(3, 165, context(130)));
    story.python.ends(node(10), PID, 170);
    // As long as the request is not over it may well be its own.
    assert_eq!(story.decided(), [(3, Some(10))]);
    story.born(132, &[130, 110, 50]);
    assert!(story.calls(4, 180, context(132)));
    assert_eq!(story.decided(), [(1, None)]);
    story.answers(20, 190, context(120));
    assert_eq!(story.decided(), []);
    story.python.tick(50 * MS + 160);
    assert_eq!(story.decided(), [(2, Some(10))]);
    // It is waited whether there are more.
    story.python.tick(1000 * MS + 179);
    assert_eq!(story.pointing(), []);
    story.python.tick(1001 * MS + 180);
    assert_eq!(story.pointing(), [(4, Some(10))]);
}

#[test]
fn a_context_that_goes_on_and_on_after_its_request_points_at_nothing() {
    let mut story = Story::default();
    story.reads(10, 100, context(50));
    story.born(110, &[50]);
    story.born(115, &[110, 50]);
    story.answers(10, 200, context(110));
    story.python.ends(node(10), PID, 210);
    // The request is forgotten, but not what came of it.
    story.python.tick(200 * MS);
    for number in 1..=8 {
        let is_one_of_few = number < 8;
        let waits = story.calls(number, 300 * MS + number, context(115));
        assert_eq!(waits, is_one_of_few, "{number}");
    }
    story.python.tick(2000 * MS);
    let pointing = story.pointing();
    assert_eq!(pointing.len(), 7);
    assert!(pointing.iter().all(|(_, request)| request.is_none()));
}

#[test]
fn what_nothing_accounts_for_belongs_to_nobody() {
    let mut story = Story::default();
    assert!(!story.calls(1, 50, context(40)), "nothing is served");
    story.reads(10, 100, context(50));
    story.born(110, &[50]);
    // A task of the program's own, which was there before, and a context that nobody knows.
    story.born(60, &[50]);
    assert!(story.calls(2, 150, context(60)));
    assert!(!story.calls(3, 151, on(1, 0xabc, PythonPart::Unknown)));
    story.reads(20, 155, context(50));
    story.answers(10, 160, context(110));
    // The other request was read later.
    assert_eq!(story.decided(), [(2, None)]);
}

#[test]
fn a_worker_that_a_request_started_is_not_its_own_when_that_is_over() {
    let mut story = Story::default();
    story.reads(10, 100, context(50));
    story.born(110, &[50]);
    story.born(115, &[110, 50]);
    story.answers(10, 200, context(110));
    // It streams.
    assert!(story.calls(1, 210, context(115)));
    assert_eq!(story.decided(), [(1, Some(10))]);
    story.python.ends(node(10), PID, 220);
    story.reads(20, 230, context(50));
    story.born(240, &[50]);
    assert!(story.calls(2, 250, context(115)));
    // What the request's own context does after the response.
    assert!(story.calls(3, 251, context(110)));
    assert_eq!(story.decided(), [(3, Some(10))]);
    story.answers(20, 260, context(240));
    assert_eq!(story.decided(), []);
    story.python.tick(300 * MS);
    story.reads(30, 301 * MS, context(50));
    assert!(story.calls(4, 302 * MS, context(110)));
    story.answers(30, 303 * MS, context(50));
    assert_eq!(story.decided(), []);
    story.python.tick(2000 * MS);
    assert_eq!(story.pointing(), [(2, Some(10)), (4, Some(10))]);
}

#[test]
fn a_context_that_serves_a_connection_owns_what_it_calls_meanwhile() {
    let mut story = Story::default();
    story.born(90, &[50]);
    for (number, time) in [(10, 100), (11, 200)] {
        story.reads(number, time, context(50));
        story.born(time + 10, &[90, 50]);
        assert!(story.calls(number + 100, time + 20, context(90)));
        assert!(story.calls(number + 200, time + 30, context(time + 10)));
        story.answers(number, time + 40, context(90));
        let belongs = Some(number);
        assert_eq!(
            story.decided(),
            [(number + 100, belongs), (number + 200, belongs)]
        );
    }
    // One that answers on another connection, too, serves many at a time.
    story.reads(20, 300, context(50));
    assert!(story.calls(1, 310, context(90)));
    story.answers(20, 320, context(90));
    assert_eq!(story.decided(), [(1, None)]);
}

#[test]
fn two_requests_at_a_time_on_a_connection_are_not_told_apart_by_it() {
    let mut story = Story::default();
    story.born(90, &[50]);
    story.reads(10, 100, context(50));
    story.reads(11, 101, context(50));
    assert!(story.calls(1, 110, context(90)));
    story.answers(10, 120, context(90));
    story.answers(11, 130, context(90));
    assert_eq!(story.decided(), [(1, None)]);
}

#[test]
fn a_thread_that_does_one_thing_at_a_time_is_known_by_that() {
    for part in [PythonPart::Thread, PythonPart::Own] {
        let mut story = Story::default();
        let thread = |tid| on(tid, 0x1000, part);
        story.reads(10, 100, thread(1));
        story.reads(20, 101, thread(2));
        assert!(story.calls(1, 110, thread(1)));
        assert!(story.calls(2, 111, thread(2)));
        story.answers(20, 120, thread(2));
        story.answers(10, 121, thread(1));
        assert_eq!(story.decided(), [(1, Some(10)), (2, Some(20))]);
    }
}

#[test]
fn a_loop_without_contexts_is_not() {
    let mut story = Story::default();
    let thread = on(1, 0, PythonPart::Thread);
    story.reads(10, 100, thread);
    story.reads(20, 101, thread);
    assert!(story.calls(1, 110, thread));
    story.answers(10, 120, thread);
    // Though it has only one by now.
    assert!(story.calls(2, 130, thread));
    story.answers(20, 140, thread);
    assert_eq!(story.decided(), [(1, None), (2, None)]);
}

#[test]
fn greenlets_are_known_by_their_own_contexts() {
    let mut story = Story::default();
    let greenlet = |address| on(1, address, PythonPart::Own);
    story.reads(10, 100, on(1, 0, PythonPart::Thread));
    story.reads(20, 101, greenlet(0x2000));
    assert!(story.calls(1, 110, greenlet(0x1000)));
    assert!(story.calls(2, 111, greenlet(0x2000)));
    assert!(story.calls(3, 112, greenlet(0x3000)));
    story.answers(20, 120, greenlet(0x2000));
    story.answers(10, 121, greenlet(0x1000));
    assert_eq!(story.decided(), [(1, Some(10)), (2, Some(20)), (3, None)]);
}

#[test]
fn work_that_a_thread_gave_away_is_that_threads() {
    let mut story = Story::default();
    let own = on(1, 0x1000, PythonPart::Own);
    story.reads(10, 100, own);
    story.note(TaskEvent::Given, 110, 1, 0, &[], 110);
    assert!(story.calls(1, 120, on(9, 110, PythonPart::Work)));
    // It was given before the request was read.
    story.note(TaskEvent::Given, 90, 1, 0, &[], 90);
    assert!(story.calls(2, 121, on(8, 90, PythonPart::Work)));
    story.answers(10, 130, own);
    assert_eq!(story.decided(), [(1, Some(10)), (2, None)]);
}

#[test]
fn a_thread_that_was_made_for_a_request_has_to_end_with_it() {
    let mut story = Story::default();
    let made = |story: &mut Story, task: u64| {
        story.note(TaskEvent::Born, task, 0, NOTE_IS_THREAD, &[110, 50], task);
    };
    let ended = |story: &mut Story, task: u64, now_ns: u64| {
        story.note(TaskEvent::Ended, task, 0, NOTE_IS_THREAD, &[], now_ns);
    };
    story.reads(10, 100, context(50));
    story.born(110, &[50]);
    for (number, tid) in [(1, 11), (2, 12), (3, 13)] {
        let task = 119 + number;
        made(&mut story, task);
        assert!(story.calls(number, 130, on(tid, task, PythonPart::Work)));
    }
    ended(&mut story, 120, 140);
    story.answers(10, 200, context(110));
    assert_eq!(story.decided(), [(1, Some(10))]);
    // Not before the answer, but with it.
    ended(&mut story, 121, 200 + MS);
    assert_eq!(story.decided(), [(2, Some(10))]);
    story.python.tick(200 + 11 * MS);
    assert_eq!(story.decided(), [(3, None)]);
}
