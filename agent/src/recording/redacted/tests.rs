//! Recordings before and after: nothing of what was secret is left, and the spans are the same.

use std::sync::Arc;

use super::*;
use crate::health::Health;
use crate::kubernetes::PodPlace;
use crate::kubernetes::pod::{Pod, PodContainer};
use crate::pipeline::{PipelineConfig, Pipelines};
use crate::recording::{clock_record, of_shard, replay, settings_record, user_record};
use wirespan_common::record::Kind;

const SECRET: &str = "S3cr3tV4lue";

/// Writes chunks at their positions.
struct Scene {
    records: Vec<Vec<u8>>,
    positions: HashMap<(ConnectionId, u8), u64>,
}

/// A pod that has secrets wherever whoever makes one may write.
fn place() -> PodPlace {
    let said = |name: &str, value: String| [(name.to_owned(), value)].into();
    let listed = format!("team=a,app.token={SECRET}");
    let container = PodContainer {
        environment: said("OTEL_RESOURCE_ATTRIBUTES", listed),
        ..PodContainer::default()
    };
    let pod = Pod {
        labels: said("example.com/token", SECRET.to_owned()),
        annotations: said("said", format!("password={SECRET}")),
        containers: vec![container],
        ..Pod::default()
    };
    PodPlace {
        pod: Arc::new(pod),
        container: None,
    }
}

impl Scene {
    fn new() -> Self {
        let process = Process {
            pid: 7,
            service_name: "shop".into(),
            command_args: vec!["shop".into(), format!("--password={SECRET}")],
            place: Some(place()),
            resource_attributes: [("app.token".to_owned(), SECRET.to_owned())].into(),
            ..Process::default()
        };
        Self {
            records: vec![clock_record(0, 5), process_record(0, &process)],
            positions: HashMap::new(),
        }
    }

    /// Bytes of which `captured` were copied.
    fn cut(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        said: &str,
        captured: usize,
    ) -> &mut Self {
        let position = self.positions.entry((id, direction as u8)).or_default();
        let mut tail = [0; 8];
        let tail_len = if captured < said.len() {
            said.len().min(8)
        } else {
            0
        };
        tail[8 - tail_len..].copy_from_slice(&said.as_bytes()[said.len() - tail_len..]);
        let chunk = Chunk {
            connection: id,
            position: *position,
            len: said.len() as u32,
            captured: captured as u32,
            direction: direction as u8,
            flags: 0,
            tail_len: tail_len as u8,
            tail,
            ..Chunk::default()
        };
        *position += said.len() as u64;
        let body = [chunk.as_bytes(), &said.as_bytes()[..captured]].concat();
        let time_ns = self.records.len() as u64 * 1000;
        self.records
            .push(user_record(Kind::Chunk, time_ns, 7, &body));
        self
    }

    fn hears(&mut self, id: ConnectionId, said: &str) -> &mut Self {
        self.cut(id, Direction::Ingress, said, said.len())
    }

    fn says(&mut self, id: ConnectionId, said: &str) -> &mut Self {
        self.cut(id, Direction::Egress, said, said.len())
    }

    fn recording(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).expect("memory");
        for record in &self.records {
            writer.write(record).expect("a record");
        }
        writer.finish().expect("memory")
    }
}

fn redacted(recording: &[u8]) -> (Vec<u8>, Redacted) {
    let mut reader = Reader::new(recording).expect("a recording");
    let mut writer = Writer::new(Vec::new()).expect("memory");
    let redacted =
        redact(&mut reader, &mut writer, &SpanConfig::default()).expect("a whole recording");
    (writer.finish().expect("memory"), redacted)
}

/// Spans of a recording; those of the redacted one hide in other places, so that what is compared
/// says nothing of texts that were hidden.
fn spans(recording: &[u8]) -> Vec<String> {
    let config = PipelineConfig {
        seed: Some(1),
        ..PipelineConfig::default()
    };
    let mut pipelines = Pipelines::new(config, Arc::new(Health::default()));
    let mut told = Vec::new();
    let mut reader = Reader::new(recording).expect("a recording");
    replay(&mut reader, &mut pipelines, |spans| {
        told.extend(spans.iter().map(|span| format!("{span:?}")));
    })
    .expect("whole");
    told
}

fn same_without_secrets(scene: &Scene) -> Redacted {
    let before = scene.recording();
    let (after, told) = redacted(&before);
    let text = String::from_utf8_lossy(&after);
    assert!(!text.contains(SECRET) && !text.contains("cr3t"), "{text}");
    for (before, after) in spans(&before).iter().zip(&spans(&after)) {
        assert_eq!(before, after);
    }
    assert_eq!(spans(&after).len(), spans(&before).len());
    told
}

fn get(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: h:1\r\nUser-Agent: a/1 token={SECRET}\r\n\
         Authorization: Bearer {SECRET}\r\nCookie: a={SECRET}\r\nX-Api-Key: {SECRET}\r\n\
         X-Anything: {SECRET}\r\nReferer: http://h/?t={SECRET}\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
    )
}

fn post(path: &str, body: &str) -> String {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{body}")
}

fn ok(body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 200 {SECRET}\r\nSet-Cookie: {SECRET}\r\nContent-Length: {len}\r\n\r\n{body}")
}

#[test]
fn spans_stay_and_secrets_go() {
    let mut scene = Scene::new();
    scene
        .hears(1, &get(&format!("/a?token={SECRET}&b=1")))
        .says(1, &ok(SECRET))
        .hears(1, &post("/b", SECRET))
        .says(1, &ok(""))
        .hears(1, "HEAD /c HTTP/1.1\r\n\r\n")
        .says(1, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        .hears(1, &get("/d"))
        .says(1, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(same_without_secrets(&scene).http2_connections, 0);
    assert_eq!(spans(&scene.recording()).len(), 4);
}

#[test]
fn records_stay_with_their_shard() {
    let mut scene = Scene::new();
    scene.hears(1, &get("/a")).says(1, &ok(SECRET));
    let mut writer = Writer::new(Vec::new()).expect("memory");
    for record in &scene.records {
        let record = of_shard(2, record.clone());
        writer.write(&record).expect("memory");
    }
    let (after, _) = redacted(&writer.finish().expect("memory"));
    let mut reader = Reader::new(&after[..]).expect("a recording");
    while reader
        .read_record(|record| assert_eq!(record.shard, 2, "{record:?}"))
        .expect("whole")
    {}
    assert_eq!(reader.records(), scene.records.len() as u64);
}

#[test]
fn chunked_bodies_keep_their_frames() {
    let mut scene = Scene::new();
    let chunk = format!("{:x};ext={SECRET}\r\n{SECRET}\r\n", SECRET.len());
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    scene
        .hears(1, &get("/a"))
        .says(1, answer)
        .says(1, &chunk)
        .says(1, &chunk[..5])
        .says(1, &chunk[5..])
        .says(1, &format!("0\r\nX-Trailer: {SECRET}\r\n\r\n"))
        .hears(1, &get("/b"))
        .says(1, &ok(SECRET));
    same_without_secrets(&scene);
    assert_eq!(spans(&scene.recording()).len(), 2);
}

#[test]
fn what_was_counted_and_not_copied_is_crossed() {
    let mut scene = Scene::new();
    let body = SECRET.repeat(500);
    let long = ok(&body);
    let head = long.len() - body.len();
    scene
        .hears(1, &get("/a"))
        .cut(1, Direction::Egress, &long, head + 50)
        .hears(1, &get("/b"))
        .says(1, &ok(SECRET));
    same_without_secrets(&scene);
    assert_eq!(spans(&scene.recording()).len(), 2);
}

#[test]
fn heads_that_come_in_pieces_hide_what_is_not_certain() {
    let request = get(&format!("/a?token={SECRET}"));
    for at in 1..request.len() - 1 {
        let mut scene = Scene::new();
        scene
            .hears(1, &request[..at])
            .hears(1, &request[at..])
            .says(1, &ok(SECRET));
        let (after, _) = redacted(&scene.recording());
        // Where it is cut amid the secret, neither part may be left.
        for part in [SECRET, "S3cr3t", "V4lue"] {
            assert!(!String::from_utf8_lossy(&after).contains(part), "{at}");
        }
    }
}

#[test]
fn what_is_not_http1_is_hidden_wholly() {
    let mut scene = Scene::new();
    let preface = format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SECRET}");
    scene
        .hears(1, &preface)
        .says(1, SECRET)
        .hears(2, &format!("*2\r\n$4\r\nAUTH\r\n$11\r\n{SECRET}\r\n"))
        .hears(3, &format!("\u{16}\u{3}\u{1}\u{2}{SECRET}"))
        .hears(4, "CONNECT h:443 HTTP/1.1\r\n\r\n")
        .says(4, "HTTP/1.1 200 OK\r\n\r\n")
        .hears(4, &post("/", SECRET))
        .says(4, SECRET);
    let (after, told) = redacted(&scene.recording());
    assert!(!String::from_utf8_lossy(&after).contains("cr3t"));
    assert_eq!(told.http2_connections, 1);
}

#[test]
fn what_the_run_hid_is_hidden_and_what_it_let_pass_is_not_for_that_reason() {
    let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
    let settings = SpanConfig {
        sensitive_query_params_add: names(&["ticket"]),
        sensitive_query_params_remove: names(&["token"]),
        ..SpanConfig::default()
    };
    let mut scene = Scene::new();
    scene.records.push(settings_record(1, &settings));
    let asks = format!("GET /a?ticket={SECRET}&b=c&token={SECRET} HTTP/1.1\r\nHost: o\r\n\r\n");
    scene
        .hears(1, &asks)
        .says(1, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (after, told) = redacted(&scene.recording());
    let text = String::from_utf8_lossy(&after);
    assert!(!text.contains(SECRET), "{text}");
    assert!(text.contains("&b=c&"), "{text}");
    assert_eq!((told.left_out, told.records), (0, 5));
    // The settings themselves stay, so that the copy replays as the recording does.
    assert!(text.contains("ticket\"]"), "{text}");
}
