//! What the kernel side takes from heads of requests: the trace that they name, that they name
//! none, or that it does not know.

use wirespan_kernel_side::head::{RequestHead, Said, is_request};

const TRACE: Said = Said::Trace([0x0af7_6519_16cd_43dd, 0x8448_eb21_1c80_319c], 1);
const VALUE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn said(head: &str) -> Said {
    let mut read = RequestHead::NEW;
    let _ = head.bytes().all(|byte| read.next(byte));
    read.said()
}

fn with(fields: &str) -> Said {
    said(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn a_field_is_taken_wherever_it_stands_and_however_its_name_is_written() {
    for name in ["traceparent: ", "TraceParent:", "TRACEPARENT:   "] {
        assert_eq!(with(&format!("{name}{VALUE}\r\n")), TRACE, "{name}");
        let among = format!("a: b\r\n{name}{VALUE}\r\ntracestate: c=d\r\n");
        assert_eq!(with(&among), TRACE, "{name}");
    }
}

#[test]
fn heads_that_name_no_trace() {
    for fields in [
        "",
        "x-traceparent: 1\r\n",
        "a: traceparent: b\r\n",
        "traceparents: 1\r\n",
    ] {
        assert_eq!(with(fields), Said::Nothing, "{fields:?}");
    }
    // A body is not looked at.
    let with_body = format!("POST / HTTP/1.1\r\n\r\n\r\ntraceparent: {VALUE}\r\n\r\n");
    assert_eq!(said(&with_body), Said::Nothing);
}

#[test]
fn what_is_not_as_expected_is_not_known() {
    let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    let no_parent = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
    for value in [
        zero,
        no_parent,
        "",
        "00",
        &VALUE.to_uppercase(),
        &VALUE.replace("00-0", "01-0"),
        &VALUE.replace('-', "_"),
        &format!("{VALUE}-00"),
        &format!("\t{VALUE}"),
        &VALUE[..VALUE.len() - 1],
    ] {
        let fields = format!("traceparent: {value}\r\n");
        assert_eq!(with(&fields), Said::Unknown, "{value:?}");
    }
    let twice = format!("traceparent: {VALUE}\r\ntraceparent: {VALUE}\r\n");
    assert_eq!(with(&twice), Said::Unknown);
    for others in [
        "b3: 0",
        "X-B3-TraceId: 1",
        "uber-trace-id: 1",
        "X-Amzn-Trace-Id: 1",
    ] {
        assert_eq!(with(&format!("{others}\r\n")), Said::Unknown, "{others}");
    }
}

#[test]
fn a_head_that_is_cut_anywhere_is_not_known() {
    let whole = format!("GET / HTTP/1.1\r\ntraceparent: {VALUE}\r\n\r\n");
    assert_eq!(said(&whole), TRACE);
    for cut in 0..whole.len() {
        assert_eq!(said(&whole[..cut]), Said::Unknown, "cut at {cut}");
    }
}

#[test]
fn answers_are_no_requests() {
    assert!(is_request(*b"GET ") && is_request(*b"POST"));
    assert!(!is_request(*b"HTTP") && !is_request([0x16, 3, 1, 2]) && !is_request(*b"PRI "));
}
