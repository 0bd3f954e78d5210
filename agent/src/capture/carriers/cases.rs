//! What enrolled connections make of what programs send, with the kernel's own programs, on every
//! kernel that loads them: only reading from an enrolled socket is broken on some, and the other
//! end reads here. They take root.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::ops::Range;

use wirespan_common::carriers::{
    FIELD_LEN, HEAD_MAX, LITERAL_LEN, MODE_HEADERS, MODE_TRIAL, TRIAL_TRACE_ID,
};

use super::set::Set;
use super::trial::sockets::EnrolledPair;
use super::try_out;
use crate::capture::{kernel_layout, object, strategy};
use crate::config::CaptureConfig;

const FIELD: Range<usize> = 0..FIELD_LEN as usize;

/// The programs; `None` where they can't be loaded: that takes root, and a kernel since 5.17.
fn set() -> Option<Set> {
    if !rustix::process::geteuid().is_root() || !strategy::can_walk() {
        return None;
    }
    let ebpf = loaded();
    let set = Set::load(&object::maps(&ebpf), MODE_TRIAL | MODE_HEADERS);
    Some(set.expect("it loads"))
}

fn loaded() -> aya::Ebpf {
    let layout = kernel_layout::described_by_kernel().expect("the kernel describes itself");
    let config = CaptureConfig::default();
    object::load(object::KernelSide::Modern, &layout, &config).expect("it loads")
}

/// Where fields were inserted, as positions in what was sent; all else came as it was sent.
fn inserted(set: &Set, messages: &[&[u8]]) -> Vec<usize> {
    let came = received(set, messages);
    let trace_id = TRIAL_TRACE_ID.map(|byte| format!("{byte:02x}")).concat();
    let begins = format!("traceparent: 00-{trace_id}-");
    let (mut at, mut left, mut found) = (0, came.as_slice(), Vec::new());
    let sent = messages.concat();
    let mut ids = std::collections::HashSet::new();
    while !left.is_empty() {
        if left.starts_with(begins.as_bytes()) {
            let field = std::str::from_utf8(&left[FIELD]).expect("text");
            assert!(field.ends_with("-01\r\n"), "{field:?}");
            let id = &field[begins.len()..][..16];
            assert_ne!(u64::from_str_radix(id, 16), Ok(0));
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            found.push(at);
            left = &left[FIELD.end..];
            continue;
        }
        // Whatever stands between two fields came as it is.
        let len = left
            .windows(begins.len())
            .position(|window| window == begins.as_bytes())
            .unwrap_or(left.len());
        assert!(
            left[..len] == sent[at..at + len],
            "{:?}",
            String::from_utf8_lossy(left)
        );
        (at, left) = (at + len, &left[len..]);
    }
    assert_eq!(at, sent.len());
    found
}

fn get(fields: &str) -> String {
    format!("GET /a?b HTTP/1.1\r\nHost: shop\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    let len = body.len();
    format!("POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: {len}\r\n{fields}\r\n{body}")
}

/// Where the empty line of a head without a body begins.
fn end(head: &str) -> usize {
    head.len() - 2
}

#[test]
fn a_request_gets_a_field_wherever_its_head_is_split_but_in_its_end() {
    let Some(set) = set() else { return };
    let head = get("Accept: */*\r\n");
    let line = head.find('\n').expect("a line") + 1;
    let mut whole = 0;
    for at in 1..head.len() {
        let (first, second) = head.as_bytes().split_at(at);
        let found = inserted(&set, &[first, second]);
        let is_cut = at < 8 || (at < line && line - at < 10) || at == end(&head) + 1;
        // A head is passed over where the cut hides what it is, and only there.
        let expected = if is_cut { vec![] } else { vec![end(&head)] };
        assert_eq!(found, expected, "cut at {at}");
        whole += usize::from(!is_cut);
    }
    assert!(whole > 20);
}

#[test]
fn pipelined_requests_get_one_each() {
    let Some(set) = set() else { return };
    for count in [1, 3, 50] {
        let head = get("");
        let all = head.repeat(count);
        let expected: Vec<_> = (0..count).map(|it| it * head.len() + end(&head)).collect();
        assert_eq!(inserted(&set, &[all.as_bytes()]), expected);
        let again = inserted(&set, &[all.as_bytes(), head.as_bytes()]);
        assert_eq!(again.len(), count + 1);
    }
}

#[test]
fn bodies_go_by() {
    let Some(set) = set() else { return };
    let inner = get("");
    let long = "GET / HTTP/1.1\r\n\r\n".repeat(600_000);
    for body in ["", "x", &inner, &long] {
        let request = post("", body);
        let head = request.len() - body.len();
        let both = [request.as_bytes(), inner.as_bytes()].concat();
        let expected = vec![head - 2, request.len() + end(&inner)];
        assert_eq!(inserted(&set, &[&both]), expected);
        let apart = [
            &request.as_bytes()[..head],
            body.as_bytes(),
            inner.as_bytes(),
        ];
        assert_eq!(inserted(&set, &apart), expected);
        let (first, second) = both.split_at(head + body.len() / 2);
        assert_eq!(inserted(&set, &[first, second]), expected);
    }
}

#[test]
fn a_request_that_names_a_trace_is_left_as_it_is() {
    let Some(set) = set() else { return };
    let plain = get("");
    for field in [
        "traceparent: 00-0-0-00\r\n",
        "TraceParent:00-0-0-00\r\n",
        "TRACEPARENT : 00-0-0-00\r\n",
        "tracestate: a=b\r\n",
        "b3: 0\r\n",
        "X-B3-TraceId: 1\r\n",
        "uber-trace-id: 1\r\n",
        "X-Amzn-Trace-Id: 1\r\n",
    ] {
        let head = get(&format!("Accept: */*\r\n{field}X: y\r\n"));
        let both = [head.as_bytes(), plain.as_bytes()].concat();
        let expected = vec![head.len() + end(&plain)];
        assert_eq!(inserted(&set, &[&both]), expected, "{field}");
        let name = head.find(field).expect("there") + 1;
        let (first, second) = both.split_at(name);
        assert_eq!(inserted(&set, &[first, second]), expected, "{field}, cut");
    }
    let other = get("traceparents: 1\r\nx-traceparent: 1\r\nb33: 1\r\n");
    assert_eq!(inserted(&set, &[other.as_bytes()]), vec![end(&other)]);
}

#[test]
fn what_is_not_understood_is_left_alone_for_good() {
    let Some(set) = set() else { return };
    let plain = get("");
    let long = get(&format!("Cookie: {}\r\n", "x".repeat(HEAD_MAX as usize)));
    for first in [
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/0.9\r\n\r\n",
        "GET /\r\n\r\n",
        "*1\r\n$4\r\nPING\r\n",
        &get("X: y\r\n traceparent: folded\r\n"),
        &get("no name\r\n"),
        &get("Content-Length: 1\r\nContent-Length: 2\r\n"),
        &get("Content-Length: 1 2\r\n"),
        &get("Content-Length: +1\r\n"),
        &get("Content-Length:\r\n"),
        &get("Content-Length: 99999999999999999999\r\n"),
        &long,
    ] {
        let messages = [first.as_bytes(), plain.as_bytes()];
        assert_eq!(inserted(&set, &messages), [0; 0], "{first:.60?}");
    }
}

#[test]
fn what_follows_without_a_length_is_left_alone() {
    let Some(set) = set() else { return };
    let plain = get("");
    for field in ["Transfer-Encoding: chunked\r\n", "Upgrade: websocket\r\n"] {
        let head = get(field);
        let messages = [head.as_bytes(), plain.as_bytes()];
        assert_eq!(inserted(&set, &messages), vec![end(&head)], "{field}");
    }
}

/// Kernels of which it is known: those of the virtual machines that the tests run in, and one that
/// tells of no bytes on an enrolled socket.
#[test]
fn a_kernel_on_which_readers_would_wait_for_ever_is_refused() {
    if set().is_none() {
        return;
    }
    let ebpf = loaded();
    let tried = try_out(&object::maps(&ebpf)).map_err(|refusal| refusal.to_string());
    let told = rustix::system::uname();
    let release = told.release().to_string_lossy().into_owned();
    if release.starts_with("6.18.44") {
        let reason = tried.expect_err("it tells of no bytes");
        assert!(
            reason.contains("FIONREAD on an enrolled socket tells 0"),
            "{reason}"
        );
    } else if release.contains("-amd64") || release.contains("+deb") {
        tried.expect("Debian's kernels do as they should");
    }
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    let head = [&len[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// A block of fields: `:method: GET`, and others as literals.
fn block(names: &[&[u8]]) -> Vec<u8> {
    let literal = |name: &&[u8]| [&[0x40, name.len() as u8], *name, b"\x01v"].concat();
    let rest: Vec<u8> = names.iter().flat_map(literal).collect();
    [&[0x82], rest.as_slice()].concat()
}

fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&[b"user-agent"]))
}

/// What came at the other end.
fn received(set: &Set, messages: &[&[u8]]) -> Vec<u8> {
    let mut pair = EnrolledPair::enrolled(set).expect("a connection");
    let mut peer = pair.peer.try_clone().expect("a descriptor");
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    for message in messages {
        pair.own.0.write_all(message).expect("it is sent");
    }
    pair.own.0.shutdown(Shutdown::Write).expect("it ends");
    reader.join().expect("no panic").expect("it comes")
}

/// The streams whose block got a field; all else came as it was sent.
fn widened(set: &Set, messages: &[&[u8]]) -> Vec<u32> {
    const LEN: usize = LITERAL_LEN as usize;
    let came = received(set, messages);
    let sent = messages.concat();
    let (mut streams, mut ids) = (Vec::new(), std::collections::HashSet::new());
    let trace_id = TRIAL_TRACE_ID.map(|byte| format!("{byte:02x}")).concat();
    let begins = format!("\x10\x0btraceparent\x3700-{trace_id}-");
    let mut rest = sent.strip_prefix(PREFACE).expect("a preface");
    let mut left = came.strip_prefix(PREFACE).expect("a preface");
    while !rest.is_empty() {
        let len_of = |frame: &[u8]| u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
        let (len, came_len) = (len_of(rest), len_of(left));
        let (was, is) = (&rest[..9 + len], &left[..9 + came_len]);
        (rest, left) = (&rest[9 + len..], &left[9 + came_len..]);
        assert_eq!(was[3..9], is[3..9]);
        if came_len == len {
            assert_eq!(was, is);
            continue;
        }
        assert_eq!(came_len, len + LEN);
        let padding = if was[4] & 8 != 0 { was[9] as usize } else { 0 };
        let at = was.len() - padding;
        assert_eq!((&was[9..at], &was[at..]), (&is[9..at], &is[at + LEN..]));
        let field = std::str::from_utf8(&is[at..at + LEN]).expect("text");
        let id = field.strip_prefix(&begins).expect("a field");
        assert!(id.ends_with("-01"), "{field:?}");
        assert_ne!(u64::from_str_radix(&id[..16], 16), Ok(0));
        assert!(ids.insert(id.to_owned()), "{id} is there twice");
        streams.push(u32::from_be_bytes([is[5], is[6], is[7], is[8]]));
    }
    assert!(left.is_empty());
    streams
}

#[test]
fn requests_of_http2_get_a_literal() {
    let Some(set) = set() else { return };
    let settings = frame(SETTINGS, 0, 0, &[0; 6]);
    let start = [PREFACE, &settings].concat();
    let small = frame(DATA, 1, 1, b"body");
    let large = frame(DATA, 0, 1, &[b'x'; 16_384]);
    let update = frame(8, 0, 0, &[0, 0, 0, 1]);
    let trailers = frame(HEADERS, END_HEADERS | 1, 1, &block(&[b"grpc-status"]));
    let priority = [&[0, 0, 0, 0, 15], block(&[b"a"]).as_slice()].concat();
    let padded = [&[7], priority.as_slice(), &[0; 7]].concat();
    let padded = frame(HEADERS, END_HEADERS | 0x20 | 8, 5, &padded);
    let one = request(1);
    let whole = |parts: &[&[u8]]| widened(&set, &[&[&start, &parts.concat()[..]].concat()]);
    assert_eq!(whole(&[&one]), [1]);
    assert_eq!(whole(&[&one, &small]), [1]);
    assert_eq!(
        whole(&[&update, &one, &small, &request(3), &update]),
        [1, 3]
    );
    assert_eq!(
        whole(&[&one, &large, &large, &trailers, &request(3)]),
        [1, 3]
    );
    assert_eq!(whole(&[&one, &padded]), [1, 5]);
    let many: Vec<u8> = (0..50).flat_map(|it| request(2 * it + 1)).collect();
    let all: Vec<u32> = (0..50).map(|it| 2 * it + 1).collect();
    assert_eq!(whole(&[&many]), all);
    let updates = update.repeat(400);
    assert_eq!(whole(&[&updates, &one, &updates, &request(3)]), [1, 3]);
    let apart = |parts: &[&[u8]]| widened(&set, &[&[&start[..]], parts].concat());
    assert_eq!(
        apart(&[&one, &large, &small, &request(3), &trailers]),
        [1, 3]
    );
    let (first, second) = large.split_at(5);
    assert_eq!(apart(&[&one, first, second, &request(3)]), [1, 3]);
    let (first, second) = large.split_at(9000);
    assert_eq!(
        apart(&[&one, first, &[second, &request(3)].concat()]),
        [1, 3]
    );
}

#[test]
fn http2_of_which_not_all_is_known_is_left_alone_for_good() {
    let Some(set) = set() else { return };
    let settings = frame(SETTINGS, 0, 0, &[0; 6]);
    let start = [PREFACE, &settings].concat();
    let one = request(1);
    let names = |names: &[&[u8]]| frame(HEADERS, END_HEADERS, 3, &block(names));
    let cut = frame(HEADERS, 0, 3, &block(&[b"a"]));
    let cut = [cut, frame(CONTINUATION, END_HEADERS, 3, &block(&[b"b"]))].concat();
    let long = block(&[[b'n'; 100].as_slice()].repeat(60));
    let huffman = [
        &[0x82, 0x40, 0x88][..],
        &[0x4d, 0x83, 0x21, 0x6b, 0x1d, 0x85, 0xa9, 0x3f],
        b"\x01v",
    ]
    .concat();
    for second in [
        names(&[b"traceparent"]),
        names(&[b"a", b"tracestate"]),
        names(&[b"x-b3-traceid", b"a"]),
        names(&[b"b3"]),
        names(&[b"uber-trace-id"]),
        names(&[b"x-amzn-trace-id"]),
        frame(HEADERS, END_HEADERS, 3, &huffman),
        frame(
            HEADERS,
            END_HEADERS,
            3,
            &[0x82, 0x40, 0x82, 0x8d, 0x9f, 1, b'0'],
        ),
        cut,
        frame(HEADERS, END_HEADERS, 3, &long),
    ] {
        let whole = [&start[..], &one, &second, &request(5)].concat();
        assert_eq!(widened(&set, &[&whole]), [1], "{second:.40?}");
        let apart = [&start[..], &one, &second, &request(5)];
        assert_eq!(widened(&set, &apart), [1], "{second:.40?}, apart");
    }
    let (first, second) = one.split_at(12);
    assert_eq!(widened(&set, &[&start, first, second, &request(3)]), [0; 0]);
    // Without SETTINGS it is something else that begins so.
    let other = [PREFACE, &one].concat();
    assert_eq!(widened(&set, &[&other]), [0; 0]);
}
