//! Servers of four kinds under curl: what they say that they answered is compared with their spans,
//! request by request.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::truth::{Exchange, assert_same};
use wirespan_tests::workload::{Server, curl};

/// Requests of all usual shapes, over connections that curl keeps or not.
fn visit(url: impl Fn(&str) -> String) -> usize {
    // One connection for all of them.
    let many: Vec<_> = (0..10)
        .map(|n| url(&format!("/kept/{n}?size={n}00")))
        .collect();
    let mut arguments: Vec<&str> = many.iter().map(String::as_str).collect();
    let outputs = vec!["--output"; 9];
    for output in outputs {
        arguments.extend([output, "/dev/null"]);
    }
    let _ = curl(&arguments);
    let _ = curl(&["--head", &url("/head?size=77")]);
    let _ = curl(&["--data-binary", "posted", &url("/posted")]);
    let upload = "u".repeat(100_000);
    let _ = curl(&[
        "--data-binary",
        &upload,
        "-H",
        "Expect: 100-continue",
        &url("/expected"),
    ]);
    let chunked = [
        "--data-binary",
        "in chunks",
        "-H",
        "Transfer-Encoding: chunked",
    ];
    let _ = curl(&[&chunked[..], &[&url("/chunked-upload")]].concat());
    let _ = curl(&[&url("/chunked?chunked=1&size=5000")]);
    let _ = curl(&[&url("/empty?status=204")]);
    let _ = curl(&[&url("/unmodified?status=304")]);
    let _ = curl(&[&url("/gone?status=404")]);
    let _ = curl(&[&url("/broken?status=503&size=0")]);
    let _ = curl(&["--request", "PUT", "--data-binary", "p", &url("/put")]);
    let _ = curl(&["--request", "DELETE", &url("/delete")]);
    let _ = curl(&["--http1.0", &url("/old?size=12")]);
    10 + 12
}

fn compare(server: &Server) {
    let daemon = Daemon::for_port(server.port);
    let count = visit(|target| server.url(target));
    let truth = server.truth(count);
    let finished = daemon.stop();
    assert_same(
        "server spans",
        truth,
        finished.spans.iter().map(Seen::exchange),
    );
    for span in &finished.spans {
        assert_eq!(span.kind, Kind::Server, "{span}");
    }
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let _ = Exchange::new;
}

#[test]
fn python_spans_are_what_python_served() {
    compare(&Server::python());
}

#[test]
fn node_spans_are_what_node_served() {
    compare(&Server::node());
}

#[test]
fn hyper_spans_are_what_hyper_served() {
    compare(&Server::hyper());
}
