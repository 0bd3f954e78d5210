//! Connections that the kernel side forgot, because its table was full, and announces again: what
//! was open on them is neither an error nor completed with another's answer.

use wirespan::connections::ToKernel;
use wirespan::health::Loss;
use wirespan::span::Status;
use wirespan_common::record::{Direction, OBJECT_BIT, Stage};

use crate::records::{MS, Recorder};
use crate::{Bench, CLIENT, GET, OK, SERVER, WALL_NS, attribute, error, spans_of};

fn recorder() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder
}

#[test]
fn an_exchange_goes_on_where_nothing_was_missed() {
    let mut recorder = recorder();
    for round in 0..3 {
        recorder.at((1 + 3 * round) * MS).read(1, GET);
        recorder.again().open_tcp(1, SERVER, CLIENT);
        recorder.at((2 + 3 * round) * MS).write(1, OK);
        recorder.again().open_tcp(1, SERVER, CLIENT);
    }
    let mut bench = Bench::seeded();
    bench.feed(&mut recorder).finish();
    assert_eq!(bench.spans.len(), 3);
    for span in &bench.spans {
        assert_eq!(error(span), None);
        let status = attribute(span, "http.response.status_code");
        assert_eq!(status.as_deref(), Some("200"));
        assert_eq!(span.end_unix_ns - span.start_unix_ns, MS);
    }
    assert_eq!(bench.health.losses(Loss::StreamGap), 0);
    let coverage = bench.pipeline.coverage();
    assert_eq!(coverage[0].understood_bytes, coverage[0].seen_bytes);
}

#[test]
fn a_body_that_is_only_counted_goes_on_too() {
    let mut recorder = recorder();
    recorder.at(MS).read(1, GET);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    recorder.at(2 * MS).write(1, head);
    recorder.again().open_tcp(1, SERVER, CLIENT);
    recorder.at(3 * MS).count(1, Direction::Egress, 1000, b"");
    recorder.at(4 * MS).progress(1, Stage::Asked);
    recorder.at(5 * MS).read(1, GET).write(1, OK);
    let spans = spans_of(&mut recorder);
    let sizes: Vec<_> = spans
        .iter()
        .map(|span| attribute(span, "http.response.body.size"))
        .collect();
    assert_eq!(sizes, [Some("1000".into()), Some("2".into())]);
}

#[test]
fn what_was_open_when_bytes_were_missed_is_not_observed_and_no_error() {
    let mut recorder = recorder();
    recorder.at(MS).read(1, GET);
    recorder.miss(1, Direction::Egress, OK.len() as u32);
    recorder.miss(1, Direction::Ingress, GET.len() as u32);
    recorder.again().open_tcp(1, SERVER, CLIENT);
    // The answer to the request that nobody saw, and a request while that was outstanding.
    recorder.at(2 * MS).read(1, GET.replace("/a", "/b"));
    recorder.at(3 * MS).write(1, OK).write(1, OK);
    recorder.at(4 * MS).read(1, GET.replace("/a", "/c"));
    recorder.at(5 * MS).write(1, OK);
    let mut bench = Bench::seeded();
    bench.feed(&mut recorder).finish();
    let told: Vec<_> = bench
        .spans
        .iter()
        .map(|span| {
            assert_eq!(span.status, Status::Unset);
            let path = attribute(span, "url.path").expect("known");
            (path, error(span).unwrap_or_default())
        })
        .collect();
    let missed = "response_not_observed";
    // Where the second one begins nobody knows: it is counted, not told.
    let expected = [("/a", missed), ("/c", "")];
    assert_eq!(
        told,
        expected.map(|(path, error)| (path.into(), error.into()))
    );
    assert!(bench.health.losses(Loss::StreamGap) > 0, "counted");
}

#[test]
fn a_silent_connection_that_comes_back_is_as_good_as_new() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_unix(1, b"/run/shop.sock");
    recorder.at(MS).read(1, GET).write(1, OK);
    recorder.again().open_unix(1, b"/run/shop.sock");
    recorder.at(2 * MS).read(1, GET).write(1, OK);
    // Here something is open, and nobody knows what was missed.
    recorder.at(3 * MS).read(1, GET);
    recorder.again().open_unix(1, b"/run/shop.sock");
    recorder.at(4 * MS).write(1, OK);
    recorder.at(5 * MS).read(1, GET).write(1, OK);
    let errors: Vec<_> = spans_of(&mut recorder).iter().map(error).collect();
    let missed = Some("response_not_observed".to_owned());
    assert_eq!(errors, [None, None, missed, None]);
}

#[test]
fn another_socket_with_the_same_number_is_new() {
    let mut recorder = recorder();
    recorder.at(MS).read(1, GET);
    recorder.at(2 * MS).open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, OK);
    let errors: Vec<_> = spans_of(&mut recorder).iter().map(error).collect();
    assert_eq!(errors, [Some("connection_closed".into()), None]);
}

#[test]
fn a_tls_object_that_was_forgotten_is_not_read_as_if_it_went_on() {
    let id = OBJECT_BIT | 7;
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.open_on(1, id, SERVER, CLIENT);
    recorder.at(MS).read(id, GET).write(id, OK);
    recorder.again().open_on(1, id, SERVER, CLIENT);
    recorder.at(2 * MS).read(id, GET).write(id, OK);
    let spans = spans_of(&mut recorder);
    let errors: Vec<_> = spans.iter().map(error).collect();
    assert_eq!(errors, [None, None]);
    let scheme = attribute(&spans[1], "url.scheme");
    assert_eq!(scheme.as_deref(), Some("https"));
}

#[test]
fn the_kernel_side_is_told_again_what_it_forgot() {
    let mut recorder = recorder();
    recorder.at(MS).read(1, GET).write(1, OK);
    let mut bench = Bench::seeded();
    let verdicts = |bench: &mut Bench| {
        let told = bench.pipeline.drain_to_kernel();
        told.filter(|what| matches!(what, ToKernel::Verdict { .. }))
            .count()
    };
    bench.feed(&mut recorder);
    assert_eq!(verdicts(&mut bench), 1);
    recorder.again().open_tcp(1, SERVER, CLIENT);
    recorder.at(2 * MS).read(1, GET).write(1, OK);
    bench.feed(&mut recorder);
    assert_eq!(verdicts(&mut bench), 1);
    assert_eq!(bench.spans.len(), 2);
}
