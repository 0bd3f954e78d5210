//! Soaks: a collector in all of its moods, one after the other, while spans come all the time;
//! within the protocol, and on the wire. Every span that was made was exported or is told as lost,
//! to the last one.

use std::time::Duration;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::moody::{Mood, Moody};
use wirespan_tests::receiver::{Receiver, Refusal, TlsFiles};
use wirespan_tests::soak::Soak;
use wirespan_tests::tls::Certificates;
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::Server;

/// Requests in each mood.
const REQUESTS: usize = 50;

/// As long as batches take to be sent.
const MOOD: Duration = Duration::from_millis(1_500);

/// Puts the collector into a mood; returns how many spans it refuses of those that it takes.
async fn change_mood(receiver: &mut Receiver, number: usize, grpc: bool) -> u64 {
    let over_http = |status, retry_after: Option<&str>| Refusal::Http {
        status,
        retry_after: retry_after.map(str::to_owned),
    };
    let over_grpc = |code, seconds: Option<u64>| Refusal::Grpc {
        code,
        retry_delay: seconds.map(Duration::from_secs),
    };
    receiver.release();
    let refusals = match (number % 9, grpc) {
        (0, _) => return 0,
        (1, false) => vec![over_http(503, None); 2],
        (1, true) => vec![over_grpc(tonic::Code::Unavailable, None); 2],
        (2, false) => vec![over_http(429, Some("1"))],
        (2, true) => vec![over_grpc(tonic::Code::ResourceExhausted, Some(1))],
        (3, false) => vec![over_http(400, None)],
        (3, true) => vec![over_grpc(tonic::Code::InvalidArgument, None)],
        (4, _) => {
            receiver.hold();
            return 0;
        }
        (5, _) => {
            receiver.go_away().await;
            tokio::time::sleep(MOOD).await;
            receiver.come_back().await.expect("its port");
            return 0;
        }
        (6, _) => {
            let message = "one too many".to_owned();
            receiver.refuse([Refusal::Partial {
                rejected: 1,
                message,
            }]);
            return 1;
        }
        (7, false) => vec![over_http(502, Some("Wed, 21 Oct 2015 07:28:00 GMT"))],
        (7, true) => vec![over_grpc(tonic::Code::Aborted, None)],
        (_, false) => vec![over_http(404, None), over_http(500, None)],
        (_, true) => vec![over_grpc(tonic::Code::Unauthenticated, None)],
    };
    receiver.refuse(refusals);
    0
}

async fn in_all_moods(protocol: &str, soak: Soak, part: f64) {
    let mut receiver = Receiver::start().await.expect("a port");
    let server = Server::hyper();
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
        ("BEYLA_TRACE_PRINTER", "counter"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &format!("http://{}", receiver.address()),
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
    ]);
    let mut asked = 0;
    let mut rejected = 0;
    let mut number = 0;
    while soak.is_before(part) || number % 9 != 0 || number == 0 {
        rejected += change_mood(&mut receiver, number, protocol == "grpc").await;
        let mut wire = Wire::connect(server.port);
        for _ in 0..REQUESTS {
            wire.send("GET /mood HTTP/1.1\r\nHost: h\r\n\r\n");
            wire.answer(false);
            asked += 1;
        }
        tokio::time::sleep(MOOD).await;
        number += 1;
    }
    receiver.release();
    // Whatever is in its queue goes out, or is told as lost, within its time for an end.
    let finished = tokio::task::spawn_blocking(|| daemon.stop_uncounted());
    let finished = finished.await.expect("it ends well");
    let (exported, lost) = finished.delivered("OTLP");
    let came = receiver.spans().len();
    println!("{protocol}: {asked} made in {number} moods, {exported} exported, {lost} lost");
    assert_eq!(finished.made(), asked, "{}", finished.summary());
    assert_eq!(exported + lost, asked, "{}", finished.summary());
    // A partial success takes all but those rejected; a request that timed out may have been taken.
    let refused = usize::try_from(rejected).expect("a few");
    assert!(
        came + refused >= exported,
        "{came} came, {}",
        finished.summary()
    );
    assert!(exported > asked / 2, "{}", finished.summary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a soak"]
async fn what_was_made_was_exported_or_is_told_as_lost() {
    let soak = Soak::begin();
    in_all_moods("http/protobuf", soak, 0.33).await;
    in_all_moods("grpc", soak, 0.67).await;
    in_all_moods("http/json", soak, 1.0).await;
}

/// Asks so often, and gives batches the time to be sent.
fn ask(server: &Server) -> usize {
    let mut wire = Wire::connect(server.port);
    for _ in 0..REQUESTS {
        wire.send("GET /mood HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.answer(false);
    }
    std::thread::sleep(MOOD);
    REQUESTS
}

fn exporting(server: &Server, settings: &[(&str, &str)]) -> Daemon {
    let port = server.port.to_string();
    let mut all = vec![
        ("BEYLA_OPEN_PORT", &*port),
        ("BEYLA_TRACE_PRINTER", "counter"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
    ];
    all.extend_from_slice(settings);
    Daemon::start(&all)
}

#[test]
#[ignore = "a soak"]
fn a_collector_that_misbehaves_on_the_wire_gets_what_is_told_as_exported() {
    let soak = Soak::begin();
    let server = Server::hyper();
    let mut rounds = 0;
    while soak.goes_on() || rounds == 0 {
        rounds += 1;
        let collector = Moody::start("127.0.0.1");
        let endpoint = format!("http://127.0.0.1:{}", collector.port);
        let coding = ["none", "gzip"][rounds % 2];
        let daemon = exporting(
            &server,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", coding),
            ],
        );
        let mut asked = 0;
        // A good moment after each mood shows that nothing of it stays.
        for mood in Mood::ALL {
            collector.be(mood);
            asked += ask(&server);
            collector.be(Mood::Good);
            asked += ask(&server);
        }
        let finished = daemon.stop_uncounted();
        let (exported, lost) = finished.delivered("OTLP");
        let got = collector.got();
        println!("{coding}: {asked} made, {exported} exported, {lost} lost, {got} came");
        assert_eq!(finished.made(), asked, "{}", finished.summary());
        assert_eq!(exported + lost, asked, "{}", finished.summary());
        assert!(got >= exported, "{got} came, {}", finished.summary());
        // At least all that was made while it was in a good mood.
        assert!(exported >= asked / 2, "{}", finished.summary());
    }
}

#[test]
#[ignore = "a soak"]
fn where_no_collector_can_be_had_all_is_told_as_lost() {
    let server = Server::hyper();
    let made_of = |endpoint: &str, settings: &[(&str, &str)]| {
        let mut all = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("BEYLA_SHUTDOWN_TIMEOUT", "2s"),
        ];
        all.extend_from_slice(settings);
        let daemon = exporting(&server, &all);
        let asked = ask(&server);
        let finished = daemon.stop_uncounted();
        assert_eq!(finished.made(), asked, "{}", finished.summary());
        let (exported, lost) = finished.delivered("OTLP");
        println!("{endpoint}: {exported} exported, {lost} lost");
        assert_eq!(exported + lost, asked, "{}", finished.summary());
        exported
    };
    // Of these, one is there.
    let six = Moody::start("::1");
    let exported = made_of(&format!("http://[::1]:{}", six.port), &[]);
    assert_eq!((exported, six.got()), (REQUESTS, REQUESTS));
    // RFC 6761 §6.4: no such name is ever known.
    assert_eq!(made_of("http://collector.invalid:4318", &[]), 0);
    // RFC 5737: nobody has this address.
    assert_eq!(made_of("http://192.0.2.1:4318", &[]), 0);
    // Only the other family.
    assert_eq!(made_of(&format!("http://127.0.0.1:{}", six.port), &[]), 0);
    // Plaintext where TLS is spoken to.
    assert_eq!(made_of(&format!("https://[::1]:{}", six.port), &[]), 0);
    // A certificate of yesterday.
    let certificates = Certificates::expired();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).expect("PEM");
    let files = TlsFiles {
        chain: read(certificates.certificate()),
        key: read(certificates.key()),
        client_ca: None,
    };
    let receiver = runtime
        .block_on(Receiver::start_tls(&files))
        .expect("a port");
    let authority = certificates.authority().display().to_string();
    let trusting = [("OTEL_EXPORTER_OTLP_CERTIFICATE", &*authority)];
    let endpoint = format!("https://localhost:{}", receiver.address().port());
    assert_eq!(made_of(&endpoint, &trusting), 0);
    assert_eq!(receiver.spans().len(), 0);
}
