//! What enrolled connections make of what programs send, with the kernel's own programs, on every
//! kernel that loads them: only reading from an enrolled socket is broken on some, and the other
//! end reads here. They take root.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::ops::Range;

use wirespan_common::carriers::{FIELD_LEN, HEAD_MAX, MODE_HEADERS, MODE_TRIAL, TRIAL_TRACE_ID};

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
    let layout = kernel_layout::described_by_kernel().expect("the kernel describes itself");
    let ebpf = object::load(
        object::KernelSide::Modern,
        &layout,
        &CaptureConfig::default(),
    )
    .expect("it loads");
    let set = Set::load(&object::maps(&ebpf), MODE_TRIAL | MODE_HEADERS);
    Some(set.expect("it loads"))
}

/// Where fields were inserted, as positions in what was sent; all else came as it was sent.
fn inserted(set: &Set, messages: &[&[u8]]) -> Vec<usize> {
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
    let came = reader.join().expect("no panic").expect("it comes");
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
    let layout = kernel_layout::described_by_kernel().expect("the kernel describes itself");
    let ebpf = object::load(
        object::KernelSide::Modern,
        &layout,
        &CaptureConfig::default(),
    )
    .expect("it loads");
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
