//! The self-test: whether enrolled sockets work here as others do, and carry what is meant, on
//! connections that the daemon has with itself. To enrol a socket replaces the kernel's functions
//! that read it and write it; kernels were published that tell of no bytes then (FIONREAD, from
//! 6.6.128, 6.12.75, 6.18.14 on), so that who reads as much as is told waits for ever.

pub(super) mod sockets;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use wirespan_common::carriers::TRIAL_TRACE_ID;

use self::sockets::{EnrolledPair, Pipe, Readiness, received_whole, waiting};
use super::set::Set;

/// What waits to be read where that is asked for.
const SOME: usize = 100;
/// What is read by one who is told of news alone, in pieces: more than the 12 KB after which nginx
/// was seen to wait for ever.
const PIECES: usize = 16;
const PIECE_LEN: usize = 4096;
/// Where a segment waits for an acknowledgement of the one before, it waits 40 ms.
const LATENCY_MAX: Duration = Duration::from_millis(25);
/// How often that is measured; the fastest counts, because the machine may be busy.
const MEASURED: usize = 5;

/// What is wrong with enrolled sockets; in one line.
#[derive(Debug)]
pub enum Fault {
    /// FIONREAD tells another number than there are bytes waiting.
    Fionread {
        /// Bytes that wait.
        waiting: usize,
        /// What was told.
        told: usize,
    },
    /// A step gave another outcome than on other sockets.
    Differs(&'static str),
    /// A step failed.
    Failed(&'static str, io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fionread { waiting, told } => write!(
                f,
                "with {waiting} bytes waiting, FIONREAD on an enrolled socket tells {told}"
            ),
            Self::Differs(step) => write!(f, "an enrolled socket does otherwise: {step}"),
            Self::Failed(step, error) => write!(f, "an enrolled socket fails: {step}: {error}"),
        }
    }
}

/// A step by its name.
type TrialStep = (&'static str, fn(&Set) -> io::Result<bool>);

const STEPS: [TrialStep; 6] = [
    ("a reader that is told of news alone", edge_triggered),
    ("MSG_WAITALL", wait_all),
    ("splice", splice),
    ("a stream that ends in one direction", half_close),
    ("a request, byte for byte and without delay", request),
    ("two requests in one message, and a third", pipelined),
];

/// Runs all of it.
///
/// # Errors
/// The first step that does not do as it should.
pub fn run(set: &Set) -> Result<(), Fault> {
    fionread(set)?;
    for (step, does) in STEPS {
        match does(set) {
            Ok(true) => {}
            Ok(false) => return Err(Fault::Differs(step)),
            Err(error) => return Err(Fault::Failed(step, error)),
        }
    }
    Ok(())
}

fn fionread(set: &Set) -> Result<(), Fault> {
    const STEP: &str = "FIONREAD";
    let failed = |error| Fault::Failed(STEP, error);
    let mut pair = EnrolledPair::enrolled(set).map_err(failed)?;
    pair.peer.write_all(&[b'x'; SOME]).map_err(failed)?;
    if !pair.own.is_readable().map_err(failed)? {
        return Err(Fault::Differs(STEP));
    }
    let told = waiting(&pair.own.0).map_err(failed)?;
    if told != SOME {
        let waiting = SOME;
        return Err(Fault::Fionread { waiting, told });
    }
    Ok(())
}

/// Reads exactly as many bytes as it is told are there, and asks again only when there is news.
fn edge_triggered(set: &Set) -> io::Result<bool> {
    let mut pair = EnrolledPair::enrolled(set)?;
    let readiness = Readiness::of(&pair.own.0)?;
    let mut got = Vec::new();
    for _ in 0..PIECES {
        pair.peer.write_all(&[b'x'; PIECE_LEN])?;
        if !readiness.wait()? {
            return Ok(false);
        }
        loop {
            let told = waiting(&pair.own.0)?;
            if told == 0 {
                break;
            }
            let before = got.len();
            got.resize(before + told, 0);
            pair.own.0.read_exact(&mut got[before..])?;
        }
    }
    // The last piece may come in two, of which one is news yet.
    while got.len() < PIECES * PIECE_LEN {
        if !readiness.wait()? {
            return Ok(false);
        }
        let told = waiting(&pair.own.0)?;
        let before = got.len();
        got.resize(before + told, 0);
        pair.own.0.read_exact(&mut got[before..])?;
    }
    Ok(got.iter().all(|byte| *byte == b'x'))
}

fn wait_all(set: &Set) -> io::Result<bool> {
    let mut pair = EnrolledPair::enrolled(set)?;
    pair.peer.write_all(&[b'x'; SOME / 2])?;
    let mut peer = pair.peer.try_clone()?;
    let rest = std::thread::spawn(move || peer.write_all(&[b'y'; SOME / 2]));
    let mut got = [0; SOME];
    let count = received_whole(&pair.own.0, &mut got)?;
    rest.join().map_err(|_| io::ErrorKind::Other)??;
    Ok(count == SOME && got[..SOME / 2] == [b'x'; SOME / 2] && got[SOME / 2..] == [b'y'; SOME / 2])
}

fn splice(set: &Set) -> io::Result<bool> {
    let mut pair = EnrolledPair::enrolled(set)?;
    pair.peer.write_all(&[b'x'; SOME])?;
    let pipe = Pipe::new()?;
    pipe.fill_from(&pair.own.0, SOME)?;
    pipe.empty_into(&pair.own.0, SOME)?;
    let mut got = [0; SOME];
    pair.peer.read_exact(&mut got)?;
    Ok(got == [b'x'; SOME])
}

fn half_close(set: &Set) -> io::Result<bool> {
    let mut pair = EnrolledPair::enrolled(set)?;
    pair.own.0.write_all(b"GET / HTTP/1.1\r\n")?;
    pair.own.0.shutdown(Shutdown::Write)?;
    let mut got = Vec::new();
    pair.peer.read_to_end(&mut got)?;
    pair.peer.write_all(&[b'x'; SOME])?;
    pair.peer.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    pair.own.0.read_to_end(&mut answer)?;
    Ok(got == b"GET / HTTP/1.1\r\n" && answer == [b'x'; SOME])
}

/// A head, and what follows its empty line.
struct TrialRequest {
    head: String,
    body: &'static str,
}

impl TrialRequest {
    fn new(path: &str, body: &'static str) -> Self {
        let len = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n");
        Self { head, body }
    }

    fn bytes(&self) -> Vec<u8> {
        format!("{}\r\n{}", self.head, self.body).into_bytes()
    }

    /// Takes the request off the front of what came, if it came with the field.
    fn is_taken_from(&self, came: &mut &[u8]) -> bool {
        let field = |came: &mut &[u8]| {
            let trace_id = TRIAL_TRACE_ID.map(|byte| format!("{byte:02x}")).concat();
            take(came, format!("traceparent: 00-{trace_id}-").as_bytes())?;
            let (span_id, rest) = came.split_at_checked(16)?;
            let is_id = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            *came = rest;
            (span_id.iter().all(is_id) && span_id != [b'0'; 16]).then_some(())?;
            take(came, b"-01\r\n")
        };
        let mut taken = || {
            take(came, self.head.as_bytes())?;
            field(came)?;
            take(came, b"\r\n")?;
            take(came, self.body.as_bytes())
        };
        taken().is_some()
    }
}

fn take(came: &mut &[u8], expected: &[u8]) -> Option<()> {
    *came = came.strip_prefix(expected)?;
    Some(())
}

/// Length of the field that each of them gets.
const FIELD_LEN: usize = wirespan_common::carriers::FIELD_LEN as usize;

fn request(set: &Set) -> io::Result<bool> {
    let mut pair = EnrolledPair::enrolled(set)?;
    let mut fastest = Duration::MAX;
    for _ in 0..MEASURED {
        let request = TrialRequest::new("/a", "GET /b HTTP/1.1\r\n\r\n");
        let bytes = request.bytes();
        let began = Instant::now();
        pair.own.0.write_all(&bytes)?;
        let mut got = vec![0; bytes.len() + FIELD_LEN];
        pair.peer.read_exact(&mut got)?;
        fastest = fastest.min(began.elapsed());
        let mut came = got.as_slice();
        if !request.is_taken_from(&mut came) || !came.is_empty() {
            return Ok(false);
        }
        pair.peer.write_all(b"ok")?;
        pair.own.0.read_exact(&mut [0; 2])?;
    }
    Ok(fastest < LATENCY_MAX)
}

fn pipelined(set: &Set) -> io::Result<bool> {
    let mut pair = EnrolledPair::enrolled(set)?;
    let requests = [
        TrialRequest::new("/first", "body"),
        TrialRequest::new("/second", ""),
        TrialRequest::new("/third", "more"),
    ];
    let bytes = requests.each_ref().map(TrialRequest::bytes);
    pair.own.0.write_all(&[&bytes[0][..], &bytes[1]].concat())?;
    pair.own.0.write_all(&bytes[2])?;
    let len: usize = bytes.iter().map(|bytes| bytes.len() + FIELD_LEN).sum();
    let mut got = vec![0; len];
    pair.peer.read_exact(&mut got)?;
    let mut came = got.as_slice();
    let all = requests
        .iter()
        .all(|request| request.is_taken_from(&mut came));
    Ok(all && came.is_empty())
}
