//! Header compression that began before anybody listened, with and without another connection of
//! the same programs.

use wirespan::discover::Process;
use wirespan_common::record::ConnectionId;

use crate::records::{MS, Recorder};
use crate::{Bench, WALL_NS, attribute, error};

const CALLS: usize = 20;
const METHOD: &str = "wirespan.test.Shapes/Unary";
const HIDDEN: &str = "wirespan.http2.headers_incomplete";
const INFERRED: &str = "wirespan.http2.headers_inferred";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal that is inserted, with a name of its own (RFC 7541 §6.2.1).
fn insert(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0x40);
    for text in [name, value] {
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    }
}

/// What grpc-go sends: everything inserted by the first call, and then referred to.
struct Caller {
    id: ConnectionId,
    calls: u32,
    status: &'static str,
    method: &'static str,
}

impl Caller {
    fn new(id: ConnectionId, method: &'static str, status: &'static str) -> Self {
        let calls = 0;
        Self {
            id,
            calls,
            status,
            method,
        }
    }

    /// One call; `seen` by somebody who listens.
    fn call(&mut self, recorder: &mut Recorder, seen: bool) {
        let stream = 2 * self.calls + 1;
        let is_first = self.calls == 0;
        self.calls += 1;
        // :method POST, :scheme http
        let mut request = vec![0x83, 0x86];
        // :status 200
        let mut head = vec![0x88];
        let mut trailers = Vec::new();
        if is_first {
            insert(&mut request, ":path", &format!("/{}", self.method));
            insert(&mut request, ":authority", "shop:50051");
            insert(&mut request, "content-type", "application/grpc");
            insert(&mut request, "te", "trailers");
            insert(&mut head, "content-type", "application/grpc");
            insert(&mut trailers, "grpc-status", self.status);
            insert(&mut trailers, "grpc-message", "");
        } else {
            request.extend([0xc1, 0xc0, 0xbf, 0xbe]);
            head.push(0xc0);
            trailers.extend([0xbf, 0xbe]);
        }
        let message = [0, 0, 0, 0, 1, b'x'];
        let mut sent = Vec::new();
        if is_first {
            sent.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            sent.extend(frame(4, 0, 0, &[]));
        }
        sent.extend(frame(1, 4, stream, &request));
        sent.extend(frame(0, 1, stream, &message));
        let mut answered = Vec::new();
        if is_first {
            answered.extend(frame(4, 0, 0, &[]));
        }
        answered.extend(frame(1, 4, stream, &head));
        answered.extend(frame(0, 0, stream, &message));
        answered.extend(frame(1, 5, stream, &trailers));
        if seen {
            recorder.at(recorder.now_ns + MS).read(self.id, &sent);
            recorder.at(recorder.now_ns + MS).write(self.id, &answered);
        }
    }
}

/// What a span says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    method: String,
    status: String,
    is_incomplete: bool,
}

/// What the spans of a connection say that was joined after a call, with these others from their
/// start.
fn joined(mut own: Caller, others: &mut [Caller]) -> Vec<Said> {
    let mut recorder = Recorder::new(WALL_NS);
    let process = Process {
        pid: recorder.tgid,
        executable: "/usr/bin/shop".into(),
        ..Process::default()
    };
    recorder.process(&process);
    for other in others {
        let client = format!("10.0.0.2:{}", 40_000 + other.id);
        recorder.open_tcp(other.id, "10.0.0.1:50051", &client);
        for _ in 0..3 {
            other.call(&mut recorder, true);
        }
    }
    recorder.open_tcp(own.id, "10.0.0.1:50051", "10.0.0.2:39999");
    own.call(&mut recorder, false);
    let begun_ns = recorder.now_ns + WALL_NS as u64;
    for _ in 0..CALLS {
        own.call(&mut recorder, true);
    }
    let mut bench = Bench::seeded();
    bench.feed(&mut recorder).finish();
    let spans = bench
        .spans
        .iter()
        .filter(|span| span.start_unix_ns > begun_ns);
    let said = spans.map(|span| {
        let of = |name| attribute(span, name).unwrap_or_default();
        let said = Said {
            method: of("rpc.method"),
            status: of("rpc.status_code"),
            is_incomplete: attribute(span, HIDDEN).is_some(),
        };
        let is_marked = attribute(span, INFERRED).is_some();
        let infers = !said.method.is_empty() || !said.status.is_empty();
        assert!(is_marked || !infers, "what is inferred is marked");
        assert_eq!(of("rpc.system.name"), "grpc");
        assert_eq!(error(span), None);
        said
    });
    let said: Vec<Said> = said.collect();
    assert_eq!(said.len(), CALLS);
    said
}

/// Calls of which something is known; `""` is not known.
fn said(method: &str, status: &str, calls: usize) -> Vec<Said> {
    let said = Said {
        method: method.into(),
        status: status.into(),
        is_incomplete: method.is_empty() || status.is_empty(),
    };
    vec![said; calls]
}

#[test]
fn a_connection_that_was_joined_alone_is_told_as_calls_without_method_and_status() {
    let alone = joined(Caller::new(1, METHOD, "0"), &mut []);
    assert_eq!(alone, said("", "", CALLS));
}

#[test]
fn another_connection_tells_the_method_at_once_and_the_status_after_eight_calls() {
    let mut others = [Caller::new(2, METHOD, "0")];
    let told = joined(Caller::new(1, METHOD, "0"), &mut others);
    let wanted = [said(METHOD, "", 8), said(METHOD, "OK", CALLS - 8)].concat();
    assert_eq!(told, wanted);
}

#[test]
fn three_connections_tell_the_status_at_once() {
    let mut others = [2, 3, 4].map(|id| Caller::new(id, METHOD, "0"));
    let told = joined(Caller::new(1, METHOD, "0"), &mut others);
    assert_eq!(told, said(METHOD, "OK", CALLS));
}

#[test]
fn connections_that_disagree_tell_neither_method_nor_status() {
    let mut others = [
        Caller::new(2, METHOD, "0"),
        Caller::new(3, "wirespan.test.Shapes/Bidi", "13"),
    ];
    let told = joined(Caller::new(1, METHOD, "0"), &mut others);
    assert_eq!(told, said("", "", CALLS));
}

#[test]
fn a_failure_that_happened_on_one_other_connection_is_not_taken_for_that_of_this_one() {
    let mut others = [Caller::new(2, METHOD, "13")];
    let told = joined(Caller::new(1, METHOD, "0"), &mut others);
    assert_eq!(told, said(METHOD, "", CALLS));
}
