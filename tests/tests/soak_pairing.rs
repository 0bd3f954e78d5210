//! A soak: every request says in its target what its answer has to be, and no two answers nearby
//! are alike. Whatever is lost while the daemon is stopped for a while, joins in the middle or
//! goes: a span with another exchange's answer there is none.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::soak::Soak;
use wirespan_tests::spans::Seen;
use wirespan_tests::workload::{Client, file};

/// What has to be of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    status: u16,
    request: u64,
    response: u64,
}

const STATUSES: [u16; 11] = [200, 201, 202, 203, 206, 400, 404, 410, 418, 500, 503];

/// What it is to get, by its number, so that neighbours differ in each part.
fn of_number(number: u64, largest: u64) -> Wanted {
    Wanted {
        status: STATUSES[(number % STATUSES.len() as u64) as usize],
        request: number * 31 % 1500,
        response: number * 7919 % largest,
    }
}

/// Names its number, and how large answers may be.
fn target(number: u64, largest: u64) -> (String, Wanted) {
    let wanted = of_number(number, largest);
    let Wanted {
        status,
        request,
        response,
    } = wanted;
    let text = format!("/{largest}/{number}?status={status}&size={response}&body={request}");
    (text, wanted)
}

/// The same, of a target that may be cut after its path.
fn of_path(target: &str) -> Option<Wanted> {
    let (path, _) = target.split_once('?')?;
    let (largest, number) = path.strip_prefix('/')?.split_once('/')?;
    Some(of_number(number.parse().ok()?, largest.parse().ok()?))
}

fn wanted(target: &str) -> Option<Wanted> {
    let (_, query) = target.split_once('?')?;
    let number = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name)?.1.parse::<u64>().ok()
    };
    Some(Wanted {
        status: u16::try_from(number("status")?).ok()?,
        request: number("body")?,
        response: number("size")?,
    })
}

/// What is to be thought of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Right,
    /// It says of an exchange what is not so. What it does not know, it does not say.
    Wrong,
    /// A piece of a body was taken for a request, where reading began anew after a loss. Whoever
    /// writes such bodies can make that up.
    Fake,
}

fn judge(span: &Seen) -> Judgement {
    let told = span.exchange();
    let wrong = if let Some(wanted) = of_path(&told.target) {
        told.status.is_some_and(|status| status != wanted.status)
            || told.request_body.is_some_and(|size| size != wanted.request)
            || told
                .response_body
                .is_some_and(|size| size != wanted.response)
    } else if told.target == "/fake" {
        return Judgement::Fake;
    } else {
        // A head of which not even that was copied.
        span.get("wirespan.capture.truncated").is_none()
    };
    if wrong {
        Judgement::Wrong
    } else {
        Judgement::Right
    }
}

/// Bytes of a body that look like messages.
fn fakes(len: u64, message: &str) -> Vec<u8> {
    message.bytes().cycle().take(len as usize).collect()
}

const FAKE_REQUEST: &str = "GET /fake HTTP/1.1\r\nHost: fake\r\n\r\n";
const FAKE_ANSWER: &str = "\r\nHTTP/1.1 299 Fake\r\nContent-Length: 0\r\n\r\n";

/// Reads to the end of a head; `None` if the stream is over.
fn head(stream: &mut TcpStream, ahead: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = ahead.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = ahead.drain(..at + 4).collect();
            return Some(String::from_utf8(head).expect("a head of ours"));
        }
        more(stream, ahead)?;
    }
}

fn skip(stream: &mut TcpStream, ahead: &mut Vec<u8>, len: u64) -> Option<()> {
    while (ahead.len() as u64) < len {
        more(stream, ahead)?;
    }
    ahead.drain(..len as usize);
    Some(())
}

fn more(stream: &mut TcpStream, ahead: &mut Vec<u8>) -> Option<()> {
    let mut some = [0; 16 << 10];
    let len = loop {
        match stream.read(&mut some) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => break other.ok()?,
        }
    };
    ahead.extend_from_slice(&some[..len]);
    (len > 0).then_some(())
}

/// Answers as targets want it, until the client has gone.
fn serve(mut stream: TcpStream) -> Option<()> {
    let mut ahead = Vec::new();
    loop {
        let head = head(&mut stream, &mut ahead)?;
        let wanted = wanted(head.split(' ').nth(1)?)?;
        skip(&mut stream, &mut ahead, wanted.request)?;
        let body = fakes(wanted.response, FAKE_ANSWER);
        let mut answer = format!("HTTP/1.1 {} Told\r\n", wanted.status).into_bytes();
        if wanted.response % 3 == 0 {
            answer.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(700) {
                answer.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                answer.extend_from_slice(piece);
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\n\r\n");
        } else {
            answer.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
            answer.extend_from_slice(&body);
        }
        stream.write_all(&answer).ok()?;
    }
}

/// Requests that are sent before the first answer is read.
const PIPELINED: u64 = 12;
/// Pipelines of a connection.
const PIPELINES: u64 = 40;

/// Sends pipelines, one after the other, on connections of some length.
fn ask(port: u16, numbers: &AtomicU64, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let mut ahead = Vec::new();
        for _ in 0..PIPELINES {
            let first = numbers.fetch_add(PIPELINED, Ordering::Relaxed);
            let mut bytes = Vec::new();
            let mut wants = Vec::new();
            for number in first..first + PIPELINED {
                let (target, wanted) = target(number, 9001);
                let length = wanted.request;
                let head = format!(
                    "POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"
                );
                bytes.extend(head.into_bytes());
                bytes.extend(fakes(length, FAKE_REQUEST));
                wants.push(wanted);
            }
            stream.write_all(&bytes).expect("it reads on");
            for wanted in wants {
                let head = head(&mut stream, &mut ahead).expect("an answer");
                assert!(head.starts_with(&format!("HTTP/1.1 {} ", wanted.status)));
                let framing = if head.contains("chunked") {
                    let pieces = wanted.response.div_ceil(700);
                    let last = wanted.response - 700 * pieces.saturating_sub(1);
                    let sizes = |len: u64| format!("{len:x}").len() as u64 + 4;
                    let last = if pieces == 0 { 0 } else { sizes(last) };
                    pieces.saturating_sub(1) * sizes(700) + last + 5
                } else {
                    0
                };
                skip(&mut stream, &mut ahead, wanted.response + framing).expect("its body");
            }
            // So many that a daemon that is stopped misses some, and memory holds all the spans.
            std::thread::sleep(Duration::from_millis(4));
        }
    }
}

/// This process as server and client, over HTTP/1.1.
struct Pipelines {
    over: Arc<AtomicBool>,
    numbers: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Pipelines {
    fn begin() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream));
            }
        });
        let (over, numbers) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = (0..2).map(|_| {
            let (over, numbers) = (Arc::clone(&over), Arc::clone(&numbers));
            std::thread::spawn(move || ask(port, &numbers, &over))
        });
        Self {
            clients: clients.collect(),
            over,
            numbers,
        }
    }

    /// How many requests there were.
    fn finish(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("all was answered");
        }
        self.numbers.load(Ordering::Relaxed)
    }
}

/// Streams of a connection at once.
const STREAMS: u64 = 10;
/// Times that so many are asked for while one daemon lives.
const LINES: u64 = 150;

/// Node as server and client, over HTTP/2.
struct Streams {
    server: Process,
    client: Client,
    asked: u64,
}

impl Streams {
    fn begin() -> Self {
        let port = ports::free().to_string();
        let mut command = tied("node");
        command.arg(file("http2/server.js")).arg(&port);
        let server = Process::start("server", &mut command);
        server.expect_line("listening");
        let mut command = tied("node");
        command.arg(file("http2/client.js"));
        command.arg(format!("http://127.0.0.1:{port}"));
        let client = Client::start(&mut command);
        Self {
            server,
            client,
            asked: 0,
        }
    }

    fn ask(&mut self) {
        for _ in 0..LINES {
            let requests = (self.asked..self.asked + STREAMS).map(|number| {
                let (target, wanted) = target(number, 40_009);
                format!("POST {target} {}", wanted.request)
            });
            let line: Vec<String> = requests.collect();
            self.client.process.tell(&line.join(","));
            self.asked += STREAMS;
        }
    }
}

#[test]
#[ignore = "a soak"]
fn no_exchange_gets_the_answer_of_another() {
    let soak = Soak::begin();
    let pipelines = Pipelines::begin();
    let mut streams = Streams::begin();
    let pids = [
        std::process::id(),
        streams.server.pid(),
        streams.client.process.pid(),
    ];
    let pids = pids.map(|pid| pid.to_string()).join(",");
    let (mut told, mut answered, mut incomplete, mut fake) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut wrong = Vec::new();
    let mut lost = Vec::new();
    while soak.goes_on() || told == 0 {
        // Connections are joined in the middle, and left there.
        let mut daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
        streams.ask();
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(300));
            daemon.process().signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(700));
            daemon.process().signal(Signal::CONT);
        }
        let asked = usize::try_from(streams.asked).expect("not so many");
        let _ = streams.client.truth(asked);
        let finished = daemon.stop();
        told += finished.spans.len() as u64;
        for span in &finished.spans {
            let exchange = span.exchange();
            answered += u64::from(exchange.status.is_some());
            incomplete += u64::from(exchange.response_body.is_none());
            match judge(span) {
                Judgement::Right => {}
                Judgement::Wrong => wrong.push(span.to_string()),
                Judgement::Fake => fake += 1,
            }
        }
        if finished.lost() != "nothing" {
            lost.push(finished.lost());
        }
    }
    let pipelined = pipelines.finish();
    println!(
        "{pipelined} requests over HTTP/1.1, {} over HTTP/2: {told} spans, {answered} with a \
         status, {incomplete} of unknown size, {fake} made of bodies, {} wrong\nlost: {}",
        streams.asked,
        wrong.len(),
        lost.join("\n      ")
    );
    let few: Vec<_> = wrong.iter().take(5).map(String::as_str).collect();
    assert!(
        wrong.is_empty(),
        "{} of {told}:\n{}",
        wrong.len(),
        few.join("\n")
    );
    assert!(answered > told / 2, "{answered} of {told}");
}
