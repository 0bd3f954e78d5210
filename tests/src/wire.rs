//! Requests written by hand, from the test's own process: for servers under observation. It reads
//! answers only as far as it must to know where they end.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::process::LIMIT;

/// A connection to a server.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
}

/// An answer as far as tests want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Bytes of the body, without framing.
    pub body: u64,
}

impl Wire {
    /// Connects to a port of 127.0.0.1.
    ///
    /// # Panics
    /// Nobody listens.
    #[must_use]
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(LIMIT)).expect("a TCP socket");
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Its own address.
    ///
    /// # Panics
    /// Never: it is connected.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("it is connected")
    }

    /// Sends in one call.
    ///
    /// # Panics
    /// The server does not want it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// Sends in calls of `size` bytes.
    pub fn send_in_pieces(&mut self, size: usize, bytes: impl AsRef<[u8]>) {
        for piece in bytes.as_ref().chunks(size) {
            self.send(piece);
        }
    }

    /// Sends as much as the server takes.
    pub fn send_if_wanted(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads one final answer, after any interim ones. `head_only` for answers to HEAD.
    ///
    /// # Panics
    /// It is none, or the connection ends within.
    pub fn answer(&mut self, head_only: bool) -> Answer {
        loop {
            let head = self.head();
            let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
            let status: u16 = status.unwrap_or_else(|| panic!("no status in {head:?}"));
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let bodiless = head_only || matches!(status, 101 | 204 | 304);
            let body = if bodiless { 0 } else { self.body(&head) };
            return Answer { status, body };
        }
    }

    /// Reads to the end of the stream, whatever comes; returns how many bytes there were.
    pub fn read_to_end(&mut self) -> u64 {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        (std::mem::take(&mut self.ahead).len() + rest.len()) as u64
    }

    fn head(&mut self) -> String {
        let bytes = self.until(b"\r\n\r\n");
        String::from_utf8_lossy(&bytes).to_ascii_lowercase()
    }

    fn body(&mut self, head: &str) -> u64 {
        let field = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(field, _)| *field == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        if let Some(length) = field("content-length") {
            let length: usize = length.parse().expect("a length is a number");
            self.take(length);
            return length as u64;
        }
        if field("transfer-encoding").is_some() {
            return self.chunks();
        }
        self.read_to_end()
    }

    fn chunks(&mut self) -> u64 {
        let mut total = 0;
        loop {
            let line = self.until(b"\r\n");
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            let size = usize::from_str_radix(&text, 16).expect("a chunk has a size");
            if size == 0 {
                while self.until(b"\r\n") != b"\r\n" {}
                return total;
            }
            self.take(size + 2);
            total += size as u64;
        }
    }

    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self
                .ahead
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return self.ahead.drain(..at + end.len()).collect();
            }
            self.read_some();
        }
    }

    fn take(&mut self, count: usize) {
        while self.ahead.len() < count {
            self.read_some();
        }
        self.ahead.drain(..count);
    }

    fn read_some(&mut self) {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer).expect("an answer");
        let seen = String::from_utf8_lossy(&self.ahead);
        assert!(read > 0, "the stream ended after {seen:?}");
        self.ahead.extend_from_slice(&buffer[..read]);
    }
}

/// Nanoseconds since the Unix epoch, by the clock that spans are on.
///
/// # Panics
/// The clock is before 1970.
#[must_use]
pub fn now_ns() -> u64 {
    let since: Duration = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}
