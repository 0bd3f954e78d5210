//! What stands on standard output, and what happens when nobody reads it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use wirespan::config::{OtlpProtocol, PrinterFormat};
use wirespan::export::printer::Output;
use wirespan::export::{ExportConfig, Exporters};
use wirespan::health::{Destination, Health, Loss};
use wirespan::memory::Ledger;
use wirespan::span::{Span, Value};
use wirespan_tests::receiver::Receiver;

use crate::sample::{
    SOON, exporting, failed_client_span, lost_in_export, otlp, request_of, resource, server_span,
    server_spans,
};

/// Standard output, seen from outside.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn printed(format: PrinterFormat, colours: bool, spans: Vec<Span>) -> String {
    let paper = Paper::default();
    let health = Arc::new(Health::default());
    let output = Output {
        to: paper.clone(),
        terminal: colours,
        colours,
    };
    let config = ExportConfig::new(None, format);
    let (queue, exporters) = Exporters::start_with_output(config, &health, output).unwrap();
    let count = spans.len() as u64;
    queue.push(spans);
    exporters.drain(SOON).await;
    assert_eq!(
        (
            health.spans_exported(Destination::Printer),
            lost_in_export(&health)
        ),
        (count, 0)
    );
    String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
}

#[tokio::test]
async fn text_is_one_readable_line_per_span() {
    let shop = resource("shop");
    let mut call = failed_client_span(&shop);
    call.attributes = vec![
        ("http.request.method", Value::Static("POST")),
        (
            "url.full",
            Value::Owned("http://pay.example.com/\x1b[2Jcharge".into()),
        ),
        ("server.address", Value::Static("pay.example.com")),
        ("server.port", Value::Int(443)),
        ("error.type", Value::Static("timeout")),
    ];
    let mut failed = server_span(&shop, 2);
    failed.end_unix_ns = failed.start_unix_ns + 61_000_000_000;
    failed.attributes[4].1 = Value::Int(500);
    failed.attributes.push(("error.type", Value::Static("500")));
    call.start_unix_ns = 1_709_164_799_999_999_999; // the last nanosecond of 28 February 2024
    call.end_unix_ns = call.start_unix_ns + 86_400_000_000_000;

    let spans = vec![server_span(&shop, 1), call, failed];
    let text = printed(PrinterFormat::Text, false, spans.clone()).await;
    let expected = "\
2026-11-18T11:06:40.123457Z    1.234ms SERVER shop GET /catalogue/items/1 200 <- 10.20.30.40
2024-02-28T23:59:59.999999Z 86400.000s CLIENT shop POST http://pay.example.com/\\u{1b}[2Jcharge \
error=timeout -> pay.example.com:443
2026-11-18T11:06:40.123458Z    61.000s SERVER shop GET /catalogue/items/2 500 <- 10.20.30.40
";
    assert_eq!(text, expected);

    let coloured = printed(PrinterFormat::Text, true, spans).await;
    let lines: Vec<_> = coloured.lines().collect();
    assert!(!lines[0].contains("\x1b[31m"));
    assert!(
        lines[1].contains("\x1b[31m error=timeout\x1b[0m"),
        "{}",
        lines[1]
    );
}

#[tokio::test]
async fn a_database_span_shows_its_query_and_its_code() {
    let mut span = failed_client_span(&resource("shop"));
    span.attributes = vec![
        ("db.system.name", Value::Static("redis")),
        ("db.operation.name", Value::Static("INCR")),
        ("db.query.text", Value::Static("INCR ?")),
        ("server.address", Value::Static("10.0.0.1")),
        ("server.port", Value::Int(6379)),
        ("db.response.status_code", Value::Static("WRONGTYPE")),
        ("error.type", Value::Static("WRONGTYPE")),
    ];
    let text = printed(PrinterFormat::Text, false, vec![span]).await;
    let shown = "CLIENT shop redis INCR ? WRONGTYPE -> 10.0.0.1:6379\n";
    assert!(text.ends_with(shown), "{text}");
}

/// A request at nginx that orders answers.
fn trace_of_three() -> Vec<Span> {
    let (nginx, orders) = (resource("nginx"), resource("orders"));
    let of = |span: Span, id: u8, parent: u8, link: Option<&'static str>| {
        let mut span = span;
        span.trace_id = [0xab; 16];
        span.span_id = [id; 8];
        span.parent_span_id = (parent != 0).then_some([parent; 8]);
        span.start_unix_ns = 1_795_000_000_000_000_000 + u64::from(id) * 1_000_000;
        span.end_unix_ns = 1_795_000_000_000_000_000 + u64::from(20 - id) * 1_000_000;
        let link = link.map(|link| ("wirespan.link", Value::Static(link)));
        span.attributes.extend(link);
        span
    };
    let mut call = failed_client_span(&nginx);
    call.attributes = vec![
        ("http.request.method", Value::Static("GET")),
        ("url.full", Value::Owned("http://o/\x1b[2J\u{202e}".into())),
        ("error.type", Value::Static("timeout")),
    ];
    vec![
        of(server_span(&orders, 1), 3, 2, Some("connection")),
        of(call, 2, 1, Some("proxy_request")),
        of(server_span(&nginx, 1), 1, 0, None),
    ]
}

#[tokio::test]
async fn a_trace_is_a_tree_in_which_nothing_steers_the_terminal() {
    let text = printed(PrinterFormat::Tree, false, trace_of_three()).await;
    let expected = "\
trace abababababababababababababababab  2026-11-18T11:06:40.001000Z   18.000ms  3 spans, 1 failed
  ━━━━━━━━━━━━━━━━━━━━━━━━   18.000ms  nginx SERVER GET /catalogue/items/1 200
!  ━━━━━━━━━━━━━━━━━━━━━━    16.000ms  └─ nginx CLIENT GET http://o/\\u{1b}[2J\\u{202e} \
error=timeout [proxy_request]
    ━━━━━━━━━━━━━━━━━━━━     14.000ms     └─ orders SERVER GET /catalogue/items/1 200 [connection]

";
    assert_eq!(text, expected, "\n{text}");
    let coloured = printed(PrinterFormat::Tree, true, trace_of_three()).await;
    let failed = coloured.lines().nth(2).expect("a line");
    assert!(failed.starts_with("!  \x1b[31m━"), "{failed}");
}

#[tokio::test]
async fn a_tree_is_printed_when_it_is_whole_and_its_memory_is_counted_until_then() {
    let paper = Paper::default();
    let health = Arc::new(Health::default());
    let output = Output {
        to: paper.clone(),
        terminal: false,
        colours: false,
    };
    let config = ExportConfig::new(None, PrinterFormat::Tree);
    let memory = config.memory.clone();
    let (queue, exporters) = Exporters::start_with_output(config, &health, output).unwrap();
    let mut spans = trace_of_three();
    let root = spans.pop().expect("a root");
    let soon = tokio::time::Instant::now() + SOON;
    queue.push(spans);
    // As long as something of it is missing.
    queue.push(server_spans(&resource("other"), 0..1));
    while paper.0.lock().unwrap().is_empty() && tokio::time::Instant::now() < soon {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let other = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    assert_eq!(other.matches("SERVER").count(), 1, "{other}");
    assert!(other.contains("other SERVER"), "{other}");
    assert!(memory.held() > 0);
    queue.push(vec![root]);
    while memory.held() > 0 && tokio::time::Instant::now() < soon {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let both = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    assert!(both.contains("  3 spans, 1 failed\n"), "{both}");
    assert_eq!(health.spans_exported(Destination::Printer), 4);
    exporters.drain(SOON).await;
    assert_eq!(health.spans_exported(Destination::Printer), 4);
}

#[tokio::test]
async fn trees_that_nobody_may_hold_are_printed_as_they_come() {
    // Room for some hundreds of spans.
    let config = ExportConfig {
        memory: Ledger::new(4 << 20),
        ..ExportConfig::new(None, PrinterFormat::Tree)
    };
    let paper = Paper::default();
    let health = Arc::new(Health::default());
    let output = Output {
        to: paper.clone(),
        terminal: false,
        colours: false,
    };
    let (queue, exporters) = Exporters::start_with_output(config, &health, output).unwrap();
    let shop = resource("shop");
    for start in (0..3000).step_by(100) {
        let mut spans = server_spans(&shop, start..start + 100);
        for span in &mut spans {
            span.parent_span_id = Some([1; 8]);
            span.attributes
                .push(("wirespan.link", Value::Static("thread")));
        }
        let spans_len = spans.len();
        let (waiting, pushing) = (queue.clone(), spans);
        let pushed = tokio::task::spawn_blocking(move || waiting.push_waiting(pushing));
        tokio::time::timeout(SOON, pushed)
            .await
            .expect("there is room in time")
            .unwrap();
        assert_eq!(spans_len, 100);
    }
    exporters.drain(SOON).await;
    assert_eq!(health.spans_exported(Destination::Printer), 3000);
    assert_eq!(lost_in_export(&health), 0);
}

#[tokio::test]
async fn json_is_a_document_a_line_that_reads_back() {
    let (shop, cart) = (resource("shop"), resource("cart"));
    let mut spans = server_spans(&shop, 0..700);
    spans.push(failed_client_span(&cart));
    let text = printed(PrinterFormat::Json, false, spans.clone()).await;
    let documents: Vec<TracesData> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        text.lines()
            .all(|line| line.starts_with(r#"{"resourceSpans":["#))
    );
    let printed = documents
        .into_iter()
        .flat_map(|document| document.resource_spans);
    let mut printed: Vec<_> = printed
        .flat_map(|r| r.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    let expected = request_of(&spans.iter().collect::<Vec<_>>())
        .resource_spans
        .into_iter();
    let mut expected: Vec<_> = expected
        .flat_map(|r| r.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    printed.sort_by(|a, b| a.span_id.cmp(&b.span_id));
    expected.sort_by(|a, b| a.span_id.cmp(&b.span_id));
    assert_eq!(printed, expected);
}

#[tokio::test]
async fn indented_json_is_the_same_document_over_many_lines() {
    let spans = server_spans(&resource("shop"), 0..3);
    let expected = request_of(&spans.iter().collect::<Vec<_>>());
    let text = printed(PrinterFormat::JsonIndent, false, spans).await;
    let document: TracesData = serde_json::from_str(&text).unwrap();
    assert_eq!(document.resource_spans, expected.resource_spans);
    assert!(text.lines().count() > 30);
}

#[tokio::test]
async fn the_counter_ends_with_the_final_number() {
    let spans = server_spans(&resource("shop"), 0..1234);
    assert_eq!(
        printed(PrinterFormat::Counter, false, spans.clone()).await,
        "1234 spans\n"
    );
    assert_eq!(
        printed(PrinterFormat::Counter, true, spans).await,
        "\r1234 spans\n"
    );
}

/// Each destination took or lost every span.
fn assert_adds_up(health: &Health, made: u64) {
    for destination in Destination::ALL {
        let lost = Loss::ALL.map(|loss| health.spans_lost(destination, loss));
        let lost: u64 = lost.into_iter().sum();
        let exported = health.spans_exported(destination);
        assert_eq!(exported + lost, made, "{destination:?}");
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_closed_output_ends_the_printing_and_nothing_else() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let config = ExportConfig {
        printer: PrinterFormat::Text,
        ..exporting(otlp(OtlpProtocol::HttpProtobuf, receiver.address()))
    };
    let output = Output {
        to: Closed,
        terminal: false,
        colours: false,
    };
    let (queue, exporters) = Exporters::start_with_output(config, &health, output).unwrap();
    for start in (0..3000).step_by(100) {
        queue.push(server_spans(&resource("shop"), start..start + 100));
    }
    receiver
        .wait_for(|spans| spans.len() == 3000, SOON)
        .await
        .unwrap();
    assert!(!health.is_deserted(), "somebody else takes spans");
    exporters.drain(SOON).await;
    assert_eq!(health.spans_exported(Destination::Otlp), 3000);
    let not_printed = health.spans_lost(Destination::Printer, Loss::ExportFailed);
    assert_eq!(not_printed, 3000, "and said so");
    assert_adds_up(&health, 3000);
}

/// Blocks in `write` until the test ends.
struct Stuck(mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_blocks_costs_prints_but_no_delivery_and_no_shutdown() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let config = ExportConfig {
        printer: PrinterFormat::Json,
        queue_spans_cap: 2000,
        ..exporting(otlp(OtlpProtocol::HttpProtobuf, receiver.address()))
    };
    let (release, stuck) = mpsc::channel();
    let output = Output {
        to: Stuck(stuck),
        terminal: false,
        colours: false,
    };
    let (queue, exporters) = Exporters::start_with_output(config, &health, output).unwrap();
    for start in (0..5000).step_by(100) {
        queue.push(server_spans(&resource("shop"), start..start + 100));
        let enough = usize::try_from(start).unwrap() + 100;
        receiver
            .wait_for(|spans| spans.len() >= enough, SOON)
            .await
            .unwrap();
    }
    exporters.drain(Duration::from_millis(100)).await;
    assert_eq!(health.spans_exported(Destination::Otlp), 5000);
    assert_eq!(lost_in_export(&health), 5000, "none was printed");
    assert!(health.spans_lost(Destination::Printer, Loss::QueueFull) >= 2400);
    assert_adds_up(&health, 5000);
    drop(release);
}

#[tokio::test]
async fn who_closes_the_only_output_deserts_the_run() {
    let health = Arc::new(Health::default());
    let output = Output {
        to: Closed,
        terminal: false,
        colours: false,
    };
    let config = ExportConfig::new(None, PrinterFormat::Text);
    let (queue, exporters) = Exporters::start_with_output(config, &health, output).unwrap();
    assert!(!health.is_deserted());
    queue.push(server_spans(&resource("shop"), 0..100));
    let deserted = async {
        while !health.is_deserted() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, deserted).await.unwrap();
    exporters.drain(SOON).await;
    let lost = health.spans_lost(Destination::Printer, Loss::ExportFailed);
    assert_eq!(lost, 100, "each is accounted for all the same");
}
