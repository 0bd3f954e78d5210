//! Whole conversations against the truth: a scripted sequence of exchanges is laid on the wire as
//! calls, captured as the kernel side would (or worse), partly lost, and what comes out is compared
//! with what was said. The path of each request and the status of its response carry its number, so
//! that a wrong pairing shows.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/told.rs"]
mod told;

use proptest::prelude::*;
use wirespan_protocols::conversation::{
    Chunk, Conversation, Direction, End, Extent, Understanding,
};
use wirespan_protocols::exchange::{Exchange, Outcome, Role};

use told::Told;

// === the script ===

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Empty,
    Counted(usize),
    Chunked(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Body(Body),
    /// To HEAD: a length without a body.
    Head,
    NoContent,
    NotModified,
    /// Interim heads first.
    Interim(Body),
    /// The last one only.
    UntilClose(usize),
}

#[derive(Clone, Copy, Debug)]
struct Said {
    request: Body,
    reply: Reply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Sequential,
    /// So many requests before their responses.
    Bursts(usize),
    /// A new request as soon as the first of two outstanding ones is answered.
    Sliding,
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        2 => Just(Body::Empty),
        2 => (1usize..3000).prop_map(Body::Counted),
        2 => (1usize..3000).prop_map(Body::Chunked),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let reply = prop_oneof![
        6 => body().prop_map(Reply::Body),
        1 => Just(Reply::Head),
        1 => Just(Reply::NoContent),
        1 => Just(Reply::NotModified),
        1 => body().prop_map(Reply::Interim),
    ];
    (body(), reply).prop_map(|(request, reply)| Said { request, reply })
}

fn script() -> impl Strategy<Value = Vec<Said>> {
    let last = prop_oneof![Just(None), (0usize..2000).prop_map(Some)];
    (prop::collection::vec(said(), 1..12), last).prop_map(|(mut script, last)| {
        if let Some(size) = last {
            script.last_mut().unwrap().reply = Reply::UntilClose(size);
        }
        script
    })
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![Just(Style::Sequential), (2usize..5).prop_map(Style::Bursts)]
}

fn framed(head: String, body: Body) -> Vec<u8> {
    let mut bytes = head.into_bytes();
    match body {
        Body::Empty => bytes.extend(b"Content-Length: 0\r\n\r\n"),
        Body::Counted(size) => {
            bytes.extend(format!("Content-Length: {size}\r\n\r\n").bytes());
            bytes.extend(content(size));
        }
        Body::Chunked(size) => {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for part in content(size).chunks(700) {
                bytes.extend(format!("{:x}\r\n", part.len()).bytes());
                bytes.extend(part);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
    bytes
}

/// Bytes that are not HTTP wherever one begins to read.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| b"{\"a\": 1},\n"[at % 10]).collect()
}

fn request_bytes(number: usize, said: &Said) -> Vec<u8> {
    let method = match (said.reply, said.request) {
        (Reply::Head, _) => "HEAD",
        (_, Body::Empty) => "GET",
        _ => "POST",
    };
    let head = format!("{method} /{number} HTTP/1.1\r\nHost: here\r\nUser-Agent: test\r\n");
    framed(head, said.request)
}

fn status(number: usize, said: &Said) -> u16 {
    match said.reply {
        Reply::NoContent => 204,
        Reply::NotModified => 304,
        _ => 400 + number as u16,
    }
}

fn response_bytes(number: usize, said: &Said) -> Vec<u8> {
    let line = format!("HTTP/1.1 {} So\r\nServer: test\r\n", status(number, said));
    match said.reply {
        Reply::Body(body) => framed(line, body),
        Reply::Head => format!("{line}Content-Length: 77\r\n\r\n").into_bytes(),
        Reply::NoContent | Reply::NotModified => format!("{line}\r\n").into_bytes(),
        Reply::Interim(body) => {
            let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n";
            [interim.as_bytes(), &framed(line, body)].concat()
        }
        Reply::UntilClose(size) => [format!("{line}\r\n").as_bytes(), &content(size)].concat(),
    }
}

fn size(body: Body) -> u64 {
    match body {
        Body::Empty => 0,
        Body::Counted(size) | Body::Chunked(size) => size as u64,
    }
}

fn response_size(said: &Said) -> u64 {
    match said.reply {
        Reply::Body(body) | Reply::Interim(body) => size(body),
        Reply::UntilClose(size) => size as u64,
        Reply::Head | Reply::NoContent | Reply::NotModified => 0,
    }
}

// === the wire ===

#[derive(Clone, Debug)]
struct Call {
    is_request: bool,
    bytes: Vec<u8>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Which call brings the first byte of each request and the last byte of each response.
#[derive(Debug, Default)]
struct Times {
    first: Vec<usize>,
    last: Vec<usize>,
}

fn wire(script: &[Said], style: Style, random: &mut Random) -> (Vec<Call>, Times) {
    let mut order = Vec::new();
    let numbers: Vec<usize> = (0..script.len()).collect();
    match style {
        Style::Sequential => order.extend(numbers.iter().flat_map(|&n| [(true, n), (false, n)])),
        Style::Bursts(len) => {
            for burst in numbers.chunks(len) {
                order.extend(burst.iter().map(|&n| (true, n)));
                order.extend(burst.iter().map(|&n| (false, n)));
            }
        }
        Style::Sliding => {
            order.push((true, 0));
            for &n in &numbers {
                if n + 1 < script.len() {
                    order.push((true, n + 1));
                }
                order.push((false, n));
            }
        }
    }
    let (mut calls, mut times) = (Vec::new(), Times::default());
    for (is_request, number) in order {
        let bytes = if is_request {
            request_bytes(number, &script[number])
        } else {
            response_bytes(number, &script[number])
        };
        if is_request {
            times.first.push(calls.len());
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let len = match random.below(4) {
                0 => 1 + random.below(rest.len().min(20)),
                1 => 1 + random.below(rest.len()),
                _ => rest.len(),
            };
            calls.push(Call {
                is_request,
                bytes: rest[..len].to_vec(),
            });
            rest = &rest[len..];
        }
        if !is_request {
            times.last.push(calls.len() - 1);
        }
    }
    (calls, times)
}

// === the capture ===

#[derive(Clone, Copy, Debug)]
struct Capture {
    /// Bytes of the first call of a turn, of each later one, and of all.
    first: usize,
    later: usize,
    turn: usize,
    /// Of a hundred records.
    lost: usize,
}

const ALL: Capture = Capture {
    first: usize::MAX,
    later: usize::MAX,
    turn: usize::MAX,
    lost: 0,
};

#[derive(Default)]
struct Observed {
    told: Told,
    verdict: Option<Understanding>,
    /// What was observed, for who has to find out why.
    log: Vec<String>,
}

impl std::ops::Deref for Observed {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.told
    }
}

fn tail(call: &[u8]) -> ([u8; 8], u8) {
    let len = call.len().min(8);
    let mut tail = [0; 8];
    tail[8 - len..].copy_from_slice(&call[call.len() - len..]);
    (tail, len as u8)
}

fn observe(
    calls: &[Call],
    role: Role,
    capture: Capture,
    end: End,
    random: &mut Random,
) -> Observed {
    let mut told = Observed::default();
    let mut conversation = Conversation::new();
    let mut extents = [Extent::default(); 2];
    let (mut latest, mut in_turn, mut after_loss) = (None, 0, false);
    let direction_of = |is_request: bool| match (role, is_request) {
        (Role::Server, true) | (Role::Client, false) => Direction::Ingress,
        (Role::Server, false) | (Role::Client, true) => Direction::Egress,
    };
    for (at, call) in calls.iter().enumerate() {
        let time_ns = at as u64 + 1;
        let budget = if latest == Some(call.is_request) {
            capture.later.min(capture.turn.saturating_sub(in_turn))
        } else {
            in_turn = 0;
            capture.first
        };
        latest = Some(call.is_request);
        let captured = call.bytes.len().min(budget);
        in_turn += captured;
        let this = usize::from(call.is_request);
        let position = extents[this].position;
        let (tail, tail_len) = tail(&call.bytes);
        extents[this] = Extent {
            position: position + call.bytes.len() as u64,
            last_ns: time_ns,
            tail,
            tail_len,
        };
        if captured == 0 {
            if random.below(4) == 0 {
                for is_request in [true, false] {
                    let extent = extents[usize::from(is_request)];
                    conversation.extent(direction_of(is_request), extent, &mut told.told);
                }
            }
            continue;
        }
        if random.below(100) < capture.lost {
            after_loss = true;
            continue;
        }
        told.log.push(format!(
            "{time_ns}: {} at {position}, {captured} of {}: {:?}",
            if call.is_request {
                "request"
            } else {
                "response"
            },
            call.bytes.len(),
            String::from_utf8_lossy(&call.bytes[..captured.min(30)]),
        ));
        let opposite = extents[usize::from(!call.is_request)];
        conversation.extent(direction_of(!call.is_request), opposite, &mut told.told);
        conversation.chunk(
            Chunk {
                direction: direction_of(call.is_request),
                position,
                len: call.bytes.len() as u64,
                bytes: &call.bytes[..captured],
                tail,
                tail_len,
                time_ns,
                tid: 9,
                after_loss: std::mem::take(&mut after_loss),
            },
            &mut told.told,
        );
    }
    for is_request in [true, false] {
        let extent = extents[usize::from(is_request)];
        conversation.extent(direction_of(is_request), extent, &mut told.told);
    }
    let end_ns = calls.len() as u64 + 1;
    if role == Role::Client && end == End::Closed {
        conversation.end(End::Ingress, end_ns, &mut told.told);
    }
    conversation.end(end, end_ns, &mut told.told);
    told.verdict = Some(conversation.verdict());
    told
}

/// Which request this is, by when it began; its target must agree.
fn number(exchange: &Exchange, times: &Times) -> Option<usize> {
    let request = told::request(exchange);
    let began = |&first: &usize| first as u64 + 1 == exchange.start_ns;
    let number = times.first.iter().position(began)?;
    let target = format!("/{number}");
    let agrees =
        *request.target == *target || request.truncated && target.starts_with(&*request.target);
    agrees.then_some(number)
}

/// Holds whatever was lost: no request is told twice or made up, no response is another's, and no
/// size is wrong.
fn nothing_is_wrong(script: &[Said], told: &Observed, times: &Times) -> Result<(), TestCaseError> {
    let mut numbers = Vec::new();
    for exchange in &told.exchanges {
        let number = number(exchange, times);
        prop_assert!(number.is_some(), "made up: {:?} {:#?}", exchange, told.log);
        numbers.extend(number);
    }
    let in_order = numbers.clone();
    numbers.sort_unstable();
    let all = numbers.len();
    numbers.dedup();
    prop_assert_eq!(all, numbers.len(), "told twice");
    for (exchange, number) in told.exchanges.iter().zip(in_order) {
        let said = &script[number];
        let request = told::request(exchange);
        prop_assert!(exchange.start_ns <= exchange.end_ns);
        prop_assert!(
            request
                .body_size
                .is_none_or(|told| told == size(said.request))
        );
        if let Some(response) = told::response(exchange) {
            prop_assert_eq!(
                response.status,
                status(number, said),
                "of {}: {:#?} {:?} {:?}",
                number,
                told.log,
                told.discards,
                told.exchanges
            );
            prop_assert!(
                response
                    .body_size
                    .is_none_or(|told| told == response_size(said))
            );
        }
        if exchange.outcome == Outcome::Complete {
            prop_assert!(told::response(exchange).is_some());
        }
    }
    Ok(())
}

/// Holds where nothing that matters was lost.
fn all_is_told(script: &[Said], told: &Observed, times: &Times) -> Result<(), TestCaseError> {
    prop_assert_eq!(told.verdict, Some(Understanding::Understood));
    prop_assert_eq!(told.exchanges.len(), script.len());
    prop_assert!(told.discards.is_empty(), "{:?}", told.discards);
    for (number, exchange) in told.exchanges.iter().enumerate() {
        prop_assert_eq!(self::number(exchange, times), Some(number));
        prop_assert_eq!(exchange.outcome, Outcome::Complete, "of {}", number);
        prop_assert_eq!(exchange.tid, 9);
        prop_assert_eq!(exchange.end_ns, times.last[number] as u64 + 1);
    }
    Ok(())
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn without_loss_exactly_the_truth_is_told(
        script in script(),
        style in prop_oneof![style(), Just(Style::Sliding)],
        role in role(),
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let (calls, times) = wire(&script, style, &mut random);
        let told = observe(&calls, role, ALL, End::Closed, &mut random);
        nothing_is_wrong(&script, &told, &times)?;
        all_is_told(&script, &told, &times)?;
        for (exchange, said) in told.exchanges.iter().zip(&script) {
            let request = told::request(exchange);
            prop_assert_eq!(request.body_size, Some(size(said.request)));
            let response = told::response(exchange).unwrap();
            prop_assert_eq!(response.body_size, Some(response_size(said)));
        }
    }

    #[test]
    fn bodies_that_are_only_counted_change_nothing_but_what_is_known_of_chunked_ones(
        script in script(),
        role in role(),
        later in 0usize..64,
        seed in 1u64..,
    ) {
        // Heads are within the first 200 bytes here, if they come in one call.
        let mut random = Random(seed);
        let (calls, times) = wire(&script, Style::Sequential, &mut Random(1));
        let whole: Vec<Call> = join(&calls);
        let times = remapped(&times, &calls, &whole);
        let capture = Capture { first: 200, later, turn: 500, lost: 0 };
        let told = observe(&whole, role, capture, End::Closed, &mut random);
        nothing_is_wrong(&script, &told, &times)?;
        all_is_told(&script, &told, &times)?;
    }

    #[test]
    fn whatever_is_captured_nothing_is_wrong(
        script in script(),
        style in style(),
        role in role(),
        first in 1usize..300,
        later in 0usize..100,
        turn in 0usize..1000,
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let (calls, times) = wire(&script, style, &mut random);
        let capture = Capture { first, later, turn, lost: 0 };
        let told = observe(&calls, role, capture, End::Closed, &mut random);
        nothing_is_wrong(&script, &told, &times)?;
    }

    #[test]
    fn whatever_is_lost_nothing_is_wrong(
        script in script(),
        style in style(),
        role in role(),
        lost in 1usize..60,
        is_budgeted in any::<bool>(),
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let (calls, times) = wire(&script, style, &mut random);
        let budget = if is_budgeted { 250 } else { usize::MAX };
        let capture = Capture { first: budget, later: budget / 4, turn: budget, lost };
        let told = observe(&calls, role, capture, End::Closed, &mut random);
        nothing_is_wrong(&script, &told, &times)?;
    }

    #[test]
    fn a_connection_cut_anywhere_leaves_every_request_with_a_fate(
        script in script(),
        role in role(),
        end in prop_oneof![Just(End::Reset), Just(End::ProcessExited), Just(End::Evicted)],
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let (mut calls, times) = wire(&script, Style::Sequential, &mut random);
        calls.truncate(1 + random.below(calls.len()));
        let told = observe(&calls, role, ALL, end, &mut random);
        nothing_is_wrong(&script, &told, &times)?;
        let complete = times.last.iter().filter(|&&last| last < calls.len()).count();
        let until_close = matches!(script.last().unwrap().reply, Reply::UntilClose(_))
            && complete == script.len();
        let is_complete = |e: &&Exchange| e.outcome == Outcome::Complete;
        let told_complete = told.exchanges.iter().filter(is_complete).count();
        prop_assert_eq!(told_complete, complete - usize::from(until_close));
        prop_assert!(told.exchanges.len() <= told_complete + 1);
    }
}

/// One call for each message.
fn join(calls: &[Call]) -> Vec<Call> {
    let mut whole: Vec<Call> = Vec::new();
    for call in calls {
        match whole.last_mut() {
            Some(last) if last.is_request == call.is_request => last.bytes.extend(&call.bytes),
            _ => whole.push(call.clone()),
        }
    }
    whole
}

fn remapped(times: &Times, calls: &[Call], whole: &[Call]) -> Times {
    assert_eq!(whole.len(), 2 * times.first.len(), "{}", calls.len());
    Times {
        first: (0..times.first.len()).map(|n| 2 * n).collect(),
        last: (0..times.first.len()).map(|n| 2 * n + 1).collect(),
    }
}
