//! Requests of all shapes to a server that knows `status`, `size` and `chunked` as query
//! parameters, and what has to hold for the spans that come of them.

use crate::spans::{Kind, Seen};
use crate::truth::{Exchange, assert_same, forgiving_long_chunked};
use crate::wire::Wire;
use crate::workload::curl;

/// Requests of all usual shapes, over connections that curl keeps or not; returns how many.
#[must_use]
pub fn visit(url: impl Fn(&str) -> String) -> usize {
    visit_with(&[], url)
}

/// The same with options of curl's.
#[must_use]
pub fn visit_with(options: &[&str], url: impl Fn(&str) -> String) -> usize {
    let curl = |arguments: &[&str]| curl(&[options, arguments].concat());
    let many: Vec<_> = (0..10)
        .map(|n| url(&format!("/kept/{n}?size={n}00")))
        .collect();
    let mut arguments: Vec<&str> = many.iter().map(String::as_str).collect();
    arguments.extend(std::iter::repeat_n(["--output", "/dev/null"], 9).flatten());
    let _ = curl(&arguments);
    let _ = curl(&["--head", &url("/head?size=77")]);
    let _ = curl(&["--data-binary", "posted", &url("/posted")]);
    let upload = "u".repeat(100_000);
    let wait = ["--data-binary", &upload, "-H", "Expect: 100-continue"];
    let _ = curl(&[&wait[..], &[&url("/expected")]].concat());
    let chunked = [
        "--data-binary",
        "in chunks",
        "-H",
        "Transfer-Encoding: chunked",
    ];
    let _ = curl(&[&chunked[..], &[&url("/chunked-upload")]].concat());
    let _ = curl(&[&url("/chunked?chunked=1&size=50")]);
    let _ = curl(&[&url("/chunked?chunked=1&size=5000")]);
    let _ = curl(&[&url("/large?size=3000000")]);
    let _ = curl(&[&url("/empty?status=204")]);
    let _ = curl(&[&url("/unmodified?status=304")]);
    let _ = curl(&[&url("/gone?status=404")]);
    let _ = curl(&[&url("/broken?status=503&size=0")]);
    let _ = curl(&["--request", "PUT", "--data-binary", "p", &url("/put")]);
    let _ = curl(&["--request", "DELETE", &url("/delete")]);
    let _ = curl(&["--http1.0", &url("/old?size=12")]);
    10 + 14
}

/// A client that libraries are not: heads byte by byte, pipelines, chunks with
/// trailers. Returns how many requests.
#[must_use]
pub fn visit_rawly(port: u16) -> usize {
    let mut wire = Wire::connect(port);
    wire.send_in_pieces(1, "GET /bytewise?size=30 HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.answer(false);
    let post = "POST /split HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789";
    wire.send_in_pieces(7, post);
    wire.answer(false);
    let chunked = "PUT /trailers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: GET / HTTP/1.1\r\n\r\n";
    wire.send_in_pieces(5, chunked);
    wire.answer(false);
    let pipeline: String = (0..30)
        .map(|n| {
            let (status, size) = ([200, 404, 204][n % 3], n * 10);
            format!("GET /line/{n}?status={status}&size={size} HTTP/1.1\r\nHost: h\r\n\r\n")
        })
        .collect();
    wire.send(&pipeline);
    for _ in 0..30 {
        wire.answer(false);
    }
    wire.send_in_pieces(100, pipeline.replace("/line/", "/cut-line/"));
    for _ in 0..30 {
        wire.answer(false);
    }
    wire.send("HEAD /head?size=9 HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.answer(true);
    wire.send("GET /last?size=8 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    wire.answer(false);
    wire.finish();
    wire.read_to_end();
    3 + 30 + 30 + 1 + 1
}

/// Spans against truth; and what holds for every span of a server that nothing happened to.
///
/// # Panics
/// Something differs; the message lists it.
pub fn assert_told(what: &str, truth: Vec<Exchange>, spans: &[&Seen]) {
    let came: Vec<_> = spans.iter().map(|span| span.exchange()).collect();
    assert_same(what, forgiving_long_chunked(truth, &came), came);
    for span in spans {
        let status: u16 = span
            .exchange()
            .status
            .unwrap_or_else(|| panic!("no status: {span}"));
        let fails = match span.kind {
            Kind::Server => status >= 500,
            Kind::Client => status >= 400,
        };
        assert_eq!(span.failed, fails, "{span}");
        let error = fails.then(|| status.to_string());
        assert_eq!(span.get("error.type"), error.as_deref(), "{span}");
        assert_eq!(Some(&*span.name), span.get("http.request.method"), "{span}");
        assert!(span.start_ns <= span.end_ns, "{span}");
    }
}
