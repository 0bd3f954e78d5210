//! A collector that misbehaves on the wire, over HTTP/1.1: how it takes connections, how it answers
//! and whether. It keeps which spans it has got whole; for manners within the protocol there is
//! [`crate::receiver`].

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rustix::net::sockopt::set_socket_linger;

/// What it does with the requests that come from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes them.
    Good,
    /// Takes a connection only after a second.
    SlowToAccept,
    /// Resets the connection within the request.
    ResetsWithin,
    /// Closes the connection after the request, without a word.
    ClosesWithoutAnswer,
    /// Closes it within the head of its answer.
    ClosesWithinHead,
    /// Announces more of a body than comes.
    ClosesWithinBody,
    /// Answers 200 with a body that is no answer.
    Garbage,
    /// Answers 200 with 8 MiB of it.
    MuchGarbage,
    /// Answers 204.
    NoContent,
    /// Answers 413.
    TooLarge,
    /// Answers 415, as who takes no gzip.
    RefusesCoding,
    /// Answers 503, to be tried again at a time long ago.
    AskedForThePast,
    /// Sends elsewhere, which is itself.
    Redirects,
    /// Speaks HTTP/1.0, and closes.
    Old,
    /// Closes the connection after each answer.
    ClosesAfterwards,
    /// Sends an interim answer first.
    Interim,
    /// Sends its answer byte by byte.
    Dribbles,
    /// Sends fields without end.
    EndlessHead,
    /// Answers what nobody can read as HTTP.
    NotHttp,
}

impl Mood {
    /// All of them, the good one first.
    pub const ALL: [Self; 19] = [
        Self::Good,
        Self::SlowToAccept,
        Self::ResetsWithin,
        Self::ClosesWithoutAnswer,
        Self::ClosesWithinHead,
        Self::ClosesWithinBody,
        Self::Garbage,
        Self::MuchGarbage,
        Self::NoContent,
        Self::TooLarge,
        Self::RefusesCoding,
        Self::AskedForThePast,
        Self::Redirects,
        Self::Old,
        Self::ClosesAfterwards,
        Self::Interim,
        Self::Dribbles,
        Self::EndlessHead,
        Self::NotHttp,
    ];
}

/// See the module. Its threads end with the process.
#[derive(Debug)]
pub struct Moody {
    /// Where it listens, on a loopback address.
    pub port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    mood: Mutex<Mood>,
    /// Ids of spans.
    got: Mutex<HashSet<Vec<u8>>>,
}

/// The bytes of a conversation are not to be gone on with.
struct Over;

impl Moody {
    /// Listens on a free port of this address (`127.0.0.1`, `::1`), in a good mood.
    ///
    /// # Panics
    /// There is no such address.
    #[must_use]
    pub fn start(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Good),
            got: Mutex::default(),
        });
        let of_thread = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.mood() == Mood::SlowToAccept {
                    std::thread::sleep(Duration::from_secs(1));
                }
                let state = Arc::clone(&of_thread);
                std::thread::spawn(move || while state.converse(&stream).is_ok() {});
            }
        });
        Self { port, state }
    }

    /// Changes its mood.
    pub fn be(&self, mood: Mood) {
        *lock(&self.state.mood) = mood;
    }

    /// How many spans it has got, each counted once, whatever it answered.
    #[must_use]
    pub fn got(&self) -> usize {
        lock(&self.state.got).len()
    }
}

impl State {
    fn mood(&self) -> Mood {
        *lock(&self.mood)
    }

    /// One request and its answer.
    fn converse(&self, stream: &TcpStream) -> Result<(), Over> {
        let mood = self.take_request(stream)?;
        answer(stream, mood)
    }

    /// Reads a request, and says in which mood it is answered.
    fn take_request(&self, stream: &TcpStream) -> Result<Mood, Over> {
        let mut bytes = Vec::new();
        let head_len = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            read_some(stream, &mut bytes)?;
        };
        let mood = self.mood();
        if mood == Mood::ResetsWithin {
            let _ = set_socket_linger(stream, Some(Duration::ZERO));
            return Err(Over);
        }
        let head = String::from_utf8_lossy(&bytes[..head_len]).to_ascii_lowercase();
        let length = head.split("content-length:").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
        let length = length.unwrap_or_default();
        while bytes.len() < head_len + length {
            read_some(stream, &mut bytes)?;
        }
        self.keep(&bytes[head_len..], head.contains("gzip"));
        Ok(mood)
    }

    /// Takes note of what came whole.
    fn keep(&self, body: &[u8], is_gzip: bool) {
        let mut unpacked = Vec::new();
        let read = if is_gzip {
            flate2::read::GzDecoder::new(body).read_to_end(&mut unpacked)
        } else {
            unpacked.extend_from_slice(body);
            Ok(body.len())
        };
        let Some(request) = read
            .ok()
            .and_then(|_| ExportTraceServiceRequest::decode(&*unpacked).ok())
        else {
            return;
        };
        let scopes = request.resource_spans.into_iter();
        let spans = scopes
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans);
        lock(&self.got).extend(spans.map(|span| span.span_id));
    }
}

/// Answers a request, or not.
fn answer(mut stream: &TcpStream, mood: Mood) -> Result<(), Over> {
    let mut write = |bytes: &[u8]| stream.write_all(bytes).map_err(|_| Over);
    let taken = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    match mood {
        Mood::Good | Mood::SlowToAccept | Mood::ResetsWithin => write(taken)?,
        Mood::ClosesWithoutAnswer => return Err(over(stream)),
        Mood::ClosesWithinHead => {
            write(b"HTTP/1.1 200 OK\r\nContent-")?;
            return Err(over(stream));
        }
        Mood::ClosesWithinBody => {
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
            return Err(over(stream));
        }
        Mood::Garbage => {
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\xff\xff\xff\xff\xff\xff<p>")?;
        }
        Mood::MuchGarbage => {
            const LEN: usize = 8 << 20;
            write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").as_bytes())?;
            write(&vec![0xff; LEN])?;
        }
        Mood::NoContent => write(b"HTTP/1.1 204 No Content\r\n\r\n")?,
        Mood::TooLarge => write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")?,
        Mood::RefusesCoding => {
            write(b"HTTP/1.1 415 No\r\nAccept-Encoding: identity\r\nContent-Length: 0\r\n\r\n")?;
        }
        Mood::AskedForThePast => write(
            b"HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n\
                  Content-Length: 0\r\n\r\n",
        )?,
        Mood::Redirects => {
            write(b"HTTP/1.1 307 Elsewhere\r\nLocation: /v1/traces\r\nContent-Length: 0\r\n\r\n")?
        }
        Mood::Old => {
            write(b"HTTP/1.0 200 OK\r\n\r\n")?;
            return Err(over(stream));
        }
        Mood::ClosesAfterwards => {
            write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
            return Err(over(stream));
        }
        Mood::Interim => {
            write(b"HTTP/1.1 103 Early\r\nLink: </>\r\n\r\n")?;
            write(taken)?;
        }
        Mood::Dribbles => {
            for byte in taken {
                write(&[*byte])?;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Mood::EndlessHead => {
            write(b"HTTP/1.1 200 OK\r\n")?;
            // Until nobody listens any more, or it becomes too much.
            for _ in 0..10_000 {
                write(&[b"X: ", &[b'x'; 1000][..], b"\r\n"].concat())?;
            }
            return Err(over(stream));
        }
        Mood::NotHttp => {
            write(b"220 mail.example ESMTP\r\n")?;
            return Err(over(stream));
        }
    }
    Ok(())
}

fn over(stream: &TcpStream) -> Over {
    let _ = stream.shutdown(Shutdown::Both);
    Over
}

fn read_some(mut stream: &TcpStream, bytes: &mut Vec<u8>) -> Result<(), Over> {
    let mut some = [0; 16 << 10];
    loop {
        match stream.read(&mut some) {
            Ok(0) => return Err(Over),
            Ok(len) => {
                bytes.extend_from_slice(&some[..len]);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Over),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
