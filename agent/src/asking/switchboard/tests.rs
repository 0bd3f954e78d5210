//! Several nodes that ask each other, without a socket between them.

use super::*;
use crate::asking::frame::FrameReader;

const MS: u64 = 1_000_000;

fn key(at: u64) -> JoinKey {
    JoinKey { starts: [1, 2], at }
}

fn context(number: u8) -> CallerContext {
    CallerContext {
        trace_id: [number; 16],
        span_id: [number; 8],
        flags: 1,
        decided: None,
        randomness: None,
    }
}

fn from() -> Option<IpAddr> {
    "10.0.0.9".parse().ok()
}

/// Nodes that are connected, each to each; what one says, the other hears at once.
struct Net {
    nodes: Vec<Switchboard>,
    now_ns: u64,
}

impl Net {
    fn new(count: usize) -> Self {
        let mut net = Self {
            nodes: (0..count).map(|_| Switchboard::new(1 << 20)).collect(),
            now_ns: MS,
        };
        for node in 0..count {
            for other in (0..count).filter(|other| *other != node) {
                net.nodes[node].joins(other as u64, None);
            }
        }
        net
    }

    fn hear(&mut self, node: usize, what: ForPeers) -> &mut Self {
        self.nodes[node].hear_shard(3, what, self.now_ns);
        self
    }

    /// Carries all frames; how many.
    fn carry(&mut self) -> usize {
        let mut carried = 0;
        loop {
            let mut frames = Vec::new();
            for (node, board) in self.nodes.iter_mut().enumerate() {
                for (to, bytes) in board.take_frames(|_| true) {
                    frames.push((node as u64, to as usize, bytes));
                }
            }
            if frames.is_empty() {
                return carried;
            }
            for (from, to, bytes) in frames {
                let mut reader = FrameReader::default();
                reader.add(&bytes);
                while let Some(frame) = reader.next_frame().expect("a frame") {
                    carried += 1;
                    let heard = self.nodes[to].hear_peer(from, frame, self.now_ns);
                    assert_eq!(heard, Ok(()));
                }
            }
        }
    }

    fn pass(&mut self, ns: u64) -> &mut Self {
        self.now_ns += ns;
        for node in &mut self.nodes {
            node.tick(self.now_ns);
        }
        self
    }

    /// What a node's shard is told: places of requests, and traces by their first byte.
    fn told(&mut self, node: usize) -> Vec<(u64, Option<u8>)> {
        let mut callers = self.nodes[node].take_callers();
        let callers = callers.remove(&3).unwrap_or_default();
        let told = callers.iter().map(|caller| {
            let context = CallerContext::of(caller);
            (caller.at, context.map(|it| it.trace_id[0]))
        });
        told.collect()
    }
}

#[test]
fn who_made_a_call_tells_where_it_stands() {
    let mut net = Net::new(2);
    let mut derived = context(8);
    derived.span_id = key(2).span_id();
    net.hear(0, ForPeers::Stands(key(1), Some(context(7))))
        .hear(0, ForPeers::Stands(key(2), Some(derived)))
        .hear(1, ForPeers::Asks(key(1), from()))
        .hear(1, ForPeers::Asks(key(2), from()))
        .carry();
    let callers = net.nodes[1].take_callers().remove(&3).expect("told");
    let contexts: Vec<_> = callers.iter().filter_map(CallerContext::of).collect();
    assert_eq!(contexts, [context(7), derived]);
}

#[test]
fn who_does_not_know_yet_answers_as_soon_as_it_does() {
    let mut net = Net::new(2);
    // Its record may come later than the question.
    net.hear(1, ForPeers::Asks(key(1), from())).carry();
    net.pass(100 * MS).hear(0, ForPeers::Begins(key(1)));
    // It is made for a request of which it is not known who made that.
    net.pass(5_000 * MS).carry();
    assert_eq!(net.told(1), []);
    net.hear(0, ForPeers::Stands(key(1), Some(context(7))))
        .carry();
    assert_eq!(net.told(1), [(1, Some(7))]);
}

#[test]
fn what_nobody_saw_is_answered_soon_and_what_is_never_decided_in_the_end() {
    let mut net = Net::new(3);
    net.hear(0, ForPeers::Begins(key(2)));
    net.hear(1, ForPeers::Asks(key(1), from()))
        .hear(1, ForPeers::Asks(key(2), from()))
        .hear(0, ForPeers::Stands(key(3), None))
        .carry();
    net.pass(249 * MS).carry();
    assert_eq!(net.told(1), []);
    net.pass(MS).carry();
    assert_eq!(net.told(1), [(1, None)]);
    net.hear(1, ForPeers::Asks(key(3), from())).carry();
    net.pass(250 * MS).carry();
    assert_eq!(net.told(1), [(3, None)], "an SDK tells it");
    net.pass(20_000 * MS).carry();
    assert_eq!(net.told(1), [(2, None)]);
}

#[test]
fn a_chain_of_nodes_is_known_as_soon_as_its_first_is() {
    const NODES: usize = 6;
    let mut net = Net::new(NODES);
    // Each call is made for a request about which its node asks the one before.
    for node in 0..NODES {
        if node > 0 {
            let before = node as u64;
            net.hear(node, ForPeers::Asks(key(before), from()));
        }
        net.hear(node, ForPeers::Begins(key(node as u64 + 1)));
    }
    net.carry();
    net.hear(0, ForPeers::Stands(key(1), Some(context(9))));
    for node in 1..NODES {
        net.carry();
        assert_eq!(net.told(node), [(node as u64, Some(9))]);
        net.hear(
            node,
            ForPeers::Stands(key(node as u64 + 1), Some(context(9))),
        );
    }
}

#[test]
fn one_connection_is_asked_about_where_it_was_known() {
    let mut net = Net::new(4);
    for at in 1..=3 {
        net.hear(2, ForPeers::Stands(key(at), Some(context(7))));
    }
    net.carry();
    net.hear(0, ForPeers::Asks(key(1), from()));
    // Two of the three wait.
    assert_eq!(net.carry(), 3 + 1);
    assert_eq!(net.told(0), [(1, Some(7))]);
    net.hear(0, ForPeers::Asks(key(2), from()));
    assert_eq!(net.carry(), 1 + 1);
    assert_eq!(net.told(0), [(2, Some(7))]);
    // It is gone with all that it knew.
    net.nodes[0].leaves(2, MS);
    net.hear(0, ForPeers::Asks(key(3), from())).carry();
    net.pass(250 * MS).carry();
    assert_eq!(net.told(0), [(3, None)]);
}

#[test]
fn what_was_asked_on_a_stream_that_another_one_replaces_is_asked_again() {
    let mut boards = [Switchboard::new(1 << 20), Switchboard::new(1 << 20)];
    let carry = |boards: &mut [Switchboard; 2], on: StreamId| {
        for _ in 0..3 {
            for (node, other) in [(0, 1), (1, 0)] {
                for (stream, bytes) in boards[node].take_frames(|_| true) {
                    assert_eq!(stream, on, "nothing else is there");
                    let mut reader = FrameReader::default();
                    reader.add(&bytes);
                    while let Some(frame) = reader.next_frame().expect("a frame") {
                        assert_eq!(boards[other].hear_peer(on, frame, MS), Ok(()));
                    }
                }
            }
        }
    };
    boards.iter_mut().for_each(|it| it.joins(1, from()));
    boards[1].hear_shard(3, ForPeers::Begins(key(1)), MS);
    boards[0].hear_shard(3, ForPeers::Asks(key(1), from()), MS);
    carry(&mut boards, 1);
    for board in &mut boards {
        board.joins(2, from());
        board.moves(1, 2);
    }
    // It was not sent on the old one, and goes over the new one as it is.
    boards[0].hear_shard(3, ForPeers::Asks(key(2), from()), MS);
    carry(&mut boards, 2);
    for at in [1, 2] {
        boards[1].hear_shard(3, ForPeers::Stands(key(at), Some(context(7))), MS);
    }
    carry(&mut boards, 2);
    let told = boards[0].take_callers().remove(&3).expect("told");
    assert_eq!(told.iter().map(|it| it.at).collect::<Vec<_>>(), [1, 2]);
    assert!(told.iter().all(|it| CallerContext::of(it).is_some()));
}

#[test]
fn everybody_is_asked_once_about_a_connection_and_then_whoever_knew_it() {
    let mut net = Net::new(4);
    for at in 1..=3 {
        net.hear(2, ForPeers::Stands(key(at), Some(context(7))));
    }
    for at in 1..=3 {
        net.hear(0, ForPeers::Asks(key(at), from()));
    }
    // Of one question three frames and an answer, of the others one each way.
    assert_eq!(net.carry(), 3 + 1 + 1 + 1);
    let all = [(1, Some(7)), (2, Some(7)), (3, Some(7))];
    assert_eq!(net.told(0), all);
    // Nor does one of which it is not known where it stands hold up others.
    let inside = |at| JoinKey { starts: [6, 7], at };
    net.hear(3, ForPeers::Begins(inside(1)));
    net.hear(3, ForPeers::Stands(inside(2), Some(context(9))));
    for at in 1..=2 {
        net.hear(0, ForPeers::Asks(inside(at), from()));
    }
    net.carry();
    assert_eq!(net.told(0), [(2, Some(9))]);
    net.hear(3, ForPeers::Stands(inside(1), Some(context(8))))
        .carry();
    assert_eq!(net.told(0), [(1, Some(8))]);
    net.pass(250 * MS).carry();
    assert_eq!(net.told(0), [], "others have nothing to add");
    // What nobody knows is asked about once more, and then not at all.
    let outside = |at| JoinKey { starts: [8, 9], at };
    for at in 1..=4 {
        net.hear(0, ForPeers::Asks(outside(at), from()));
    }
    assert_eq!(net.carry(), 3);
    net.pass(250 * MS);
    assert_eq!(net.carry(), 3 + 3);
    assert_eq!(net.told(0), [(1, None)]);
    net.pass(250 * MS).carry();
    assert_eq!(net.told(0), [(2, None), (3, None), (4, None)]);
}

#[test]
fn whose_address_it_is_is_asked_alone() {
    let mut net = Net::new(3);
    let address = from().expect("one");
    net.hear(2, ForPeers::Has(address))
        .hear(2, ForPeers::Stands(key(1), Some(context(7))))
        .carry();
    net.hear(0, ForPeers::Asks(key(1), from()));
    assert_eq!(net.carry(), 2);
    assert_eq!(net.told(0), [(1, Some(7))]);
}

#[test]
fn who_is_alone_knows_at_once_that_nobody_answers() {
    let mut net = Net::new(1);
    net.hear(0, ForPeers::Asks(key(1), from()));
    assert_eq!(net.told(0), [(1, None)]);
    // So does who loses the only one that might.
    let mut net = Net::new(2);
    net.hear(0, ForPeers::Asks(key(1), from()));
    net.nodes[0].leaves(1, MS);
    assert_eq!(net.told(0), [(1, None)]);
}

fn answer(number: u32) -> PeerFrame {
    let told = told_of(&context(66), &key(1));
    PeerFrame::Answers(vec![(number, ToldAnswer::Stands(told))])
}

#[test]
fn only_who_was_asked_may_answer_and_only_once() {
    let mut net = Net::new(3);
    let address = from().expect("one");
    net.hear(1, ForPeers::Has(address)).carry();
    net.hear(0, ForPeers::Asks(key(1), from()));
    let board = &mut net.nodes[0];
    let [(1, _)] = board.take_frames(|_| true)[..] else {
        panic!("one is asked")
    };
    assert_eq!(board.hear_peer(2, answer(1), MS), Err(Violation::Unasked));
    assert_eq!(board.hear_peer(1, answer(2), MS), Err(Violation::Unasked));
    assert_eq!(board.hear_peer(1, answer(0), MS), Err(Violation::Unasked));
    assert!(board.take_callers().is_empty());
    assert_eq!(board.hear_peer(1, answer(1), MS), Ok(()));
    assert_eq!(board.take_callers().len(), 1);
    // The same again changes nothing.
    assert_eq!(board.hear_peer(1, answer(1), MS), Ok(()));
    assert!(board.take_callers().is_empty());
    let hello = PeerFrame::Hello {
        name: [1; 16],
        proof: None,
    };
    assert_eq!(board.hear_peer(1, hello, MS), Err(Violation::Hello));
    // Whoever was cut off is not heard.
    board.leaves(1, MS);
    assert_eq!(board.hear_peer(1, answer(1), MS), Ok(()));
}

#[test]
fn a_flood_of_questions_is_answered_without_being_kept() {
    let mut board = Switchboard::new(1 << 20);
    board.joins(1, None);
    for at in 0..100_000u32 {
        let request = AskedRequest {
            starts: [at, 2],
            at: at.into(),
        };
        let questions = PeerFrame::Questions(vec![(at, request)]);
        assert_eq!(board.hear_peer(1, questions, MS), Ok(()));
    }
    let bytes = board.memory_bytes();
    assert!(bytes < 16 << 20, "{bytes}");
    let mut tally = AskingTally::default();
    tally.count(PeerEvent::TooMany, 100_000 - 16 * 1024);
    tally.count(PeerEvent::NotKnown, 100_000 - 16 * 1024);
    assert_eq!(board.tally, tally);
    // Those of others are answered as ever.
    board.joins(2, None);
    board.hear_shard(0, ForPeers::Stands(key(1), Some(context(7))), MS);
    let questions = PeerFrame::Questions(vec![(1, asked(&key(1)))]);
    assert_eq!(board.hear_peer(2, questions, MS), Ok(()));
    let frames = board.take_frames(|_| true);
    assert_eq!(frames.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [1, 2]);
    board.leaves(1, MS);
    board.tick(1_000 * MS);
    assert!(board.take_frames(|_| true).is_empty());
}

#[test]
fn who_takes_nothing_is_told_what_gathered_and_then_cut_off() {
    let mut board = Switchboard::new(1 << 20);
    board.joins(1, None);
    board.hear_shard(0, ForPeers::Stands(key(1), Some(context(7))), MS);
    let questions: Vec<_> = (0..100).map(|it| (it, asked(&key(1)))).collect();
    let hear = |board: &mut Switchboard| {
        let heard = board.hear_peer(1, PeerFrame::Questions(questions.clone()), MS);
        assert_eq!(heard, Ok(()));
    };
    hear(&mut board);
    assert!(board.take_frames(|_| false).is_empty());
    hear(&mut board);
    let frames = board.take_frames(|_| true);
    assert_eq!(frames.len(), 1);
    assert!(frames[0].1.len() > 200 * 17, "all of it");
    for _ in 0..=LINE_MAX / 100 {
        hear(&mut board);
    }
    assert_eq!(board.overfull(), [1]);
}

#[test]
fn everybody_is_asked_only_so_often() {
    let mut net = Net::new(3);
    for connection in 0..3 * BROADCASTS_A_SECOND {
        let key = JoinKey {
            starts: [connection, 0],
            at: 0,
        };
        net.hear(0, ForPeers::Asks(key, from()));
    }
    let asked = BROADCASTS_A_SECOND / 2;
    let told = net.told(0).len() as u32;
    assert_eq!(told, 3 * BROADCASTS_A_SECOND - asked, "the others nobody");
    net.pass(1_000 * MS);
    net.hear(0, ForPeers::Asks(key(1), from()));
    assert_eq!(net.told(0), []);
}
