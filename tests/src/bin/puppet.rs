//! A process that does with sockets what it is told, call by call, so that a test knows each byte
//! of the traffic that the daemon sees. It understands no protocol.
//!
//! Commands come on standard input, one a line; each is answered by a line, `ok …` or `error …`.
//! Bytes are percent-encoded.
//!
//!     listen PORT           a listening socket (0: any port)     ok PORT
//!     accept                the next connection                  ok NUMBER
//!     connect PORT          a connection to the loopback         ok NUMBER LOCAL_PORT
//!     write N BYTES         in one call
//!     pieces N SIZE BYTES   in calls of SIZE bytes
//!     fill N COUNT          that many bytes of `x`
//!     until N BYTES         reads to the end of the first such bytes
//!     bytewise N BYTES      the same, one byte a call
//!     read N COUNT          reads exactly that many
//!     end N                 reads to the end of the stream       ok COUNT
//!     finish N              ends its own direction
//!     close N               closes
//!     reset N               closes with a reset
//!     exit                  ends with all of it open

use std::collections::HashMap;
use std::io::{self, BufRead as _, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

#[derive(Default)]
struct Puppet {
    listener: Option<TcpListener>,
    connections: HashMap<usize, Connection>,
    made: usize,
}

struct Connection {
    stream: TcpStream,
    /// Read and not consumed.
    ahead: Vec<u8>,
}

fn main() -> Result<()> {
    let mut puppet = Puppet::default();
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line?;
        match puppet.obey(&line) {
            Ok(answer) => println!("ok {answer}"),
            Err(error) => println!("error {line:?}: {error:#}"),
        }
    }
    Ok(())
}

impl Puppet {
    fn obey(&mut self, line: &str) -> Result<String> {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["listen", port] => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?))?;
                let port = listener.local_addr()?.port();
                self.listener = Some(listener);
                Ok(port.to_string())
            }
            ["accept"] => {
                let listener = self.listener.as_ref().context("nothing listens")?;
                let (stream, _) = listener.accept()?;
                Ok(self.add(stream)?.to_string())
            }
            ["connect", port] => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse::<u16>()?))?;
                let local = stream.local_addr()?.port();
                Ok(format!("{} {local}", self.add(stream)?))
            }
            ["exit"] => std::process::exit(0),
            [verb, number, rest @ ..] => {
                let number = number.parse()?;
                if matches!(*verb, "close" | "reset") {
                    let connection = self.connections.remove(&number).context("no such")?;
                    if *verb == "reset" {
                        let now = Some(Duration::ZERO);
                        rustix::net::sockopt::set_socket_linger(&connection.stream, now)?;
                    }
                    return Ok(String::new());
                }
                let connection = self.connections.get_mut(&number).context("no such")?;
                connection.obey(verb, rest)
            }
            _ => bail!("what?"),
        }
    }

    fn add(&mut self, stream: TcpStream) -> Result<usize> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        self.made += 1;
        let ahead = Vec::new();
        self.connections
            .insert(self.made, Connection { stream, ahead });
        Ok(self.made)
    }
}

impl Connection {
    fn obey(&mut self, verb: &str, arguments: &[&str]) -> Result<String> {
        match (verb, arguments) {
            ("write", [bytes]) => self.stream.write_all(&decoded(bytes)?)?,
            ("pieces", [size, bytes]) => {
                for piece in decoded(bytes)?.chunks(size.parse()?) {
                    self.stream.write_all(piece)?;
                }
            }
            ("fill", [count]) => {
                let filled =
                    io::copy(&mut io::repeat(b'x').take(count.parse()?), &mut self.stream)?;
                return Ok(filled.to_string());
            }
            ("until", [bytes]) => self.until(&decoded(bytes)?, 64 * 1024)?,
            ("bytewise", [bytes]) => self.until(&decoded(bytes)?, 1)?,
            ("read", [count]) => {
                let count: usize = count.parse()?;
                while self.ahead.len() < count {
                    self.read_some(64 * 1024)?;
                }
                self.ahead.drain(..count);
            }
            ("end", []) => {
                let mut count = self.ahead.len() as u64;
                self.ahead.clear();
                count += io::copy(&mut self.stream, &mut io::sink())?;
                return Ok(count.to_string());
            }
            ("finish", []) => self.stream.shutdown(Shutdown::Write)?,
            _ => bail!("what?"),
        }
        Ok(String::new())
    }

    fn until(&mut self, end: &[u8], size: usize) -> Result<()> {
        loop {
            let found = self
                .ahead
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                self.ahead.drain(..at + end.len());
                return Ok(());
            }
            self.read_some(size)?;
        }
    }

    fn read_some(&mut self, size: usize) -> Result<()> {
        let before = self.ahead.len();
        self.ahead.resize(before + size, 0);
        let read = self.stream.read(&mut self.ahead[before..]);
        self.ahead.truncate(before + *read.as_ref().unwrap_or(&0));
        let seen = || String::from_utf8_lossy(&self.ahead[..before.min(200)]).into_owned();
        let read = read.with_context(|| format!("after {:?}", seen()))?;
        ensure!(read > 0, "the stream ended after {:?}", seen());
        Ok(())
    }
}

fn decoded(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().context("cut")?, rest.next().context("cut")?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?);
    }
    Ok(bytes)
}
