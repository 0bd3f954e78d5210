//! Connections that are let go because not all can be followed, and followed again: an exchange is
//! told whole or not at all, nothing is paired with what it does not belong to, and no call gets a
//! parent that it may not have.

use proptest::prelude::*;
use wirespan::connections::ToKernel;
use wirespan::health::Loss;
use wirespan::links::Abstained;
use wirespan::span::Span;
use wirespan_common::record::{Direction, OBJECT_BIT, Polled, Stage, TaskKind};
use wirespan_common::watch::Verdict;

use crate::links::{FRONT, INNER, OUTER, all, chain, get, links, told};
use crate::records::{MS, Recorder};
use crate::{Bench, CLIENT, OK, SERVER, WALL_NS, attribute};

/// Everything is left out, but for what can't be.
const ALL: u32 = u32::MAX;

fn let_go(bench: &mut Bench) -> Vec<u64> {
    let wishes: Vec<_> = bench.pipeline.drain_to_kernel().collect();
    let gone = |wish: &ToKernel| match wish {
        ToKernel::Verdict {
            connection,
            verdict: Verdict::LeftOut,
        } => Some(*connection),
        _ => None,
    };
    let gone: Vec<_> = wishes.iter().filter_map(gone).collect();
    for id in &gone {
        let end = ToKernel::EndCopying { connection: *id };
        assert!(wishes.contains(&end), "{wishes:?}");
    }
    gone
}

fn paths(spans: &[Span]) -> Vec<String> {
    let path = |span| attribute(span, "url.path").expect("a server's");
    spans.iter().map(path).collect()
}

#[test]
fn a_connection_is_let_go_once_nothing_is_open_on_it() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, SERVER, CLIENT)
        .read(1, get("/0"))
        .write(1, OK)
        .read(1, get("/1"))
        .leave_out_below(ALL);
    bench.feed(&mut recorder);
    assert_eq!(let_go(&mut bench), [0u64; 0], "a request is open");
    bench.feed(recorder.write(1, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"));
    assert_eq!(let_go(&mut bench), [0u64; 0], "its answer is not over");
    recorder.count(1, Direction::Egress, 9, b"");
    bench.feed(recorder.progress(1, Stage::Asked));
    assert_eq!(let_go(&mut bench), [1]);
    // Until the kernel side has heard of it there are further records.
    recorder.read(1, get("/2")).write(1, OK).read(1, get("/3"));
    bench.feed(&mut recorder);
    // It speaks unheard, and is followed again in the middle of an answer.
    recorder.miss(1, Direction::Egress, 40);
    recorder.resumed().open_tcp(1, SERVER, CLIENT);
    recorder.write(1, "the rest of something");
    recorder.leave_out_below(0);
    recorder.read(1, get("/5")).write(1, OK);
    recorder.read(1, get("/6")).write(1, OK);
    bench.feed(&mut recorder).finish();
    assert_eq!(paths(&bench.spans), ["/0", "/1", "/5", "/6"]);
    assert!(bench.spans.iter().all(|span| crate::error(span).is_none()));
    assert_eq!(let_go(&mut bench), [0u64; 0]);
    for loss in [Loss::StreamGap, Loss::ConnectionEvicted, Loss::Unparsable] {
        assert_eq!(bench.health.losses(loss), 0, "{loss:?}");
    }
}

#[test]
fn who_was_let_go_and_ends_is_forgotten_in_silence() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.leave_out_below(ALL);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.read(1, get("/0")).write(1, OK);
    bench.feed(&mut recorder);
    assert_eq!(let_go(&mut bench), [1]);
    recorder.read(1, get("/unheard")).write(1, OK);
    recorder.count(1, Direction::Egress, 1000, b"");
    recorder.progress(1, Stage::Closed);
    bench.feed(&mut recorder);
    assert!((bench.pipeline.coverage()[0].ratio() - 1.0).abs() < 1e-9);
    assert_eq!(bench.pipeline.connections(), 0);
    // The number is another socket's.
    recorder.leave_out_below(0).open_tcp(1, SERVER, CLIENT);
    recorder.read(1, get("/1")).write(1, OK);
    bench.feed(&mut recorder).finish();
    assert_eq!(paths(&bench.spans), ["/0", "/1"]);
}

#[test]
fn what_is_in_tls_is_let_go_by_its_object() {
    const OBJECT: u64 = OBJECT_BIT | 7;
    let hello = [0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3, 9, 9, 9, 9, 9, 9];
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.leave_out_below(ALL).open_tcp(1, SERVER, CLIENT);
    recorder.write(1, hello);
    bench.feed(&mut recorder);
    assert_eq!(let_go(&mut bench), [0u64; 0], "who carries is not");
    recorder.open_on(1, OBJECT, SERVER, CLIENT);
    recorder.read(OBJECT, get("/0")).write(OBJECT, OK);
    bench.feed(&mut recorder);
    assert_eq!(let_go(&mut bench), [OBJECT]);
    recorder.leave_out_below(0);
    recorder.resumed().open_on(1, OBJECT, SERVER, CLIENT);
    recorder.write(OBJECT, "of an answer that nobody saw begin");
    recorder.read(OBJECT, get("/1")).write(OBJECT, OK);
    bench.feed(&mut recorder).finish();
    assert_eq!(paths(&bench.spans), ["/0", "/1"]);
}

/// Clients of Redis send ahead as a rule.
#[test]
fn what_may_answer_something_unseen_is_not_believed() {
    let get = "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
    for is_unix in [false, true] {
        let mut recorder = Recorder::new(WALL_NS);
        recorder.resumed();
        match is_unix {
            true => recorder.open_unix(1, b"/run/it"),
            false => recorder.open_tcp(1, SERVER, CLIENT),
        };
        recorder.read(1, get).write(1, "$1\r\na\r\n");
        let spans = crate::spans_of(&mut recorder);
        let is_unpaired = |span| crate::error(span).as_deref() == Some("response_not_observed");
        assert!(spans.iter().all(is_unpaired), "{spans:?}");
    }
}

/// The links of a request that is passed on, each thing done by `prepare`'s task, where others are
/// left out from the beginning.
fn linked_by(kind: TaskKind, part: u32, prepare: impl Fn(&mut Recorder)) -> [Option<String>; 3] {
    let mut recorder = all();
    prepare(&mut recorder);
    links(&chain(&mut recorder, |recorder, _| {
        recorder.of(FRONT).on_thread(7).as_task(kind, 7, part);
    }))
}

#[test]
fn what_rests_on_all_requests_being_seen_is_not_believed_while_some_are_not() {
    const CONNECTION: Option<&str> = Some("connection");
    let none_left_out = |_: &mut Recorder| {};
    let some_left_out = |recorder: &mut Recorder| {
        recorder.leave_out_below(1);
    };
    let just_ended = |recorder: &mut Recorder| {
        recorder.leave_out_below(1).leave_out_below(0);
    };
    let long_ended = |recorder: &mut Recorder| {
        recorder.leave_out_below(1).leave_out_below(0);
        recorder.at(20_000 * MS);
    };
    let by_thread =
        |prepare: &dyn Fn(&mut Recorder)| linked_by(TaskKind::Thread, Polled::No as u32, prepare);
    let linked = told([CONNECTION, Some("thread"), CONNECTION]);
    let apart = told([CONNECTION, None, CONNECTION]);
    assert_eq!(by_thread(&none_left_out), linked);
    assert_eq!(by_thread(&some_left_out), apart);
    assert_eq!(by_thread(&just_ended), apart);
    assert_eq!(by_thread(&long_ended), linked);
    // A goroutine says itself whom it serves.
    let by_goroutine = linked_by(TaskKind::Goroutine, 0, some_left_out);
    assert_eq!(
        by_goroutine,
        told([CONNECTION, Some("goroutine"), CONNECTION])
    );
}

#[test]
fn a_call_for_what_is_left_out_has_no_parent() {
    let mut recorder = all();
    recorder.leave_out_below(1);
    let goroutine = |recorder: &mut Recorder, id| {
        recorder.of(FRONT).on_thread(7);
        recorder.as_task(TaskKind::Goroutine, id, 0);
    };
    goroutine(&mut recorder, 1);
    recorder.read(OUTER[1], get("/seen")).write(OUTER[1], OK);
    // The same goroutine serves somebody unseen, and asks for him.
    recorder.at(3 * MS);
    recorder
        .write(INNER[0], get("/for-another"))
        .read(INNER[0], OK);
    let mut bench = Bench::seeded();
    bench.feed(&mut recorder).finish();
    let call = bench
        .spans
        .iter()
        .find(|span| format!("{:?}", span.attributes).contains("/for-another"))
        .expect("the call");
    assert_eq!(call.parent_span_id, None);
    assert_eq!(bench.health.links.abstained(Abstained::LeftOut), 1);
}

/// How the request with this number is answered: no two nearby alike.
fn status_of(number: u32) -> u16 {
    const STATUSES: [u16; 7] = [200, 201, 202, 400, 404, 410, 503];
    STATUSES[number as usize % STATUSES.len()]
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next request, cut in two if so.
    Request { is_cut: bool },
    /// The answer to the oldest request without one.
    Answer,
    /// Connections below this number are left out from now on.
    Below(u32),
    /// The kernel side has heard that the connection is let go.
    LeftOut,
    /// It follows it again, if it has left it out.
    Resume,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<bool>().prop_map(|is_cut| Step::Request { is_cut }),
        6 => Just(Step::Answer),
        1 => prop_oneof![Just(0), Just(ALL)].prop_map(Step::Below),
        2 => Just(Step::LeftOut),
        2 => Just(Step::Resume),
    ];
    prop::collection::vec(step, 1..120)
}

/// What a program does, and as much of it as the kernel side tells.
struct Told {
    recorder: Recorder,
    is_left_out: bool,
}

impl Told {
    fn moved(&mut self, direction: Direction, bytes: &[u8]) {
        self.recorder.at(self.recorder.now_ns + MS);
        if self.is_left_out {
            self.recorder.miss(1, direction, bytes.len() as u32);
        } else {
            self.recorder.chunk(1, direction, bytes, bytes.len());
        }
    }
}

proptest! {
    /// Whenever a connection is let go, the kernel side hears of that, and follows it again: what
    /// is told of a request is its own answer, and that it was not observed otherwise.
    #[test]
    fn nothing_is_paired_with_the_answer_to_another_request(steps in steps()) {
        let mut bench = Bench::seeded();
        let mut told = Told { recorder: Recorder::new(WALL_NS), is_left_out: false };
        told.recorder.open_tcp(1, SERVER, CLIENT);
        let (mut asked, mut answered) = (0, 0);
        let mut may_leave_out = false;
        for step in steps {
            match step {
                // Of who sends ahead, nobody who joins in the middle knows how many are open.
                Step::Request { .. } if answered < asked => {}
                Step::Request { is_cut } => {
                    let request = get(&format!("/{asked}"));
                    let (first, rest) = request.split_at(if is_cut { 9 } else { request.len() });
                    told.moved(Direction::Ingress, first.as_bytes());
                    if is_cut {
                        told.moved(Direction::Ingress, rest.as_bytes());
                    }
                    asked += 1;
                }
                Step::Answer if answered < asked => {
                    let status = status_of(answered);
                    let head = format!("HTTP/1.1 {status} It\r\nContent-Length: 2\r\n\r\nhi");
                    told.moved(Direction::Egress, head.as_bytes());
                    answered += 1;
                }
                Step::Answer => {}
                Step::Below(below) => {
                    told.recorder.leave_out_below(below);
                }
                Step::LeftOut => told.is_left_out |= may_leave_out,
                Step::Resume if told.is_left_out => {
                    (told.is_left_out, may_leave_out) = (false, false);
                    told.recorder.resumed().open_tcp(1, SERVER, CLIENT);
                }
                Step::Resume => {}
            }
            bench.feed(&mut told.recorder);
            may_leave_out |= !let_go(&mut bench).is_empty();
        }
        bench.finish();
        let mut seen = std::collections::BTreeSet::new();
        for span in &bench.spans {
            let path = attribute(span, "url.path").expect("a server's");
            let number: u32 = path[1..].parse().expect("of the test");
            prop_assert!(seen.insert(number), "told twice: {}", number);
            let status = attribute(span, "http.response.status_code");
            if let Some(status) = status {
                prop_assert_eq!(status, status_of(number).to_string(), "of {}", number);
            }
        }
    }
}
