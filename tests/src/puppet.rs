//! The other end of the binary `puppet`: a process whose socket calls a test dictates.

use std::fmt::Write as _;

use crate::process::{LIMIT, Process, tied};
use crate::workload;

/// The process. Connections are numbered from 1.
#[derive(Debug)]
pub struct Puppet {
    process: Process,
    /// Lines of standard output that were looked at.
    heard: usize,
}

impl Puppet {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let process = Process::start("puppet", &mut tied(workload::binary("puppet")));
        process.expect_line("ready");
        Self { process, heard: 1 }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Listens on a port of the loopback interface.
    pub fn listen(&mut self, port: u16) {
        self.obey(&format!("listen {port}"));
    }

    /// Accepts; returns the connection's number.
    pub fn accept(&mut self) -> usize {
        first_number(&self.obey("accept"))
    }

    /// Connects; returns the connection's number and its local port.
    ///
    /// # Panics
    /// It can't.
    pub fn connect(&mut self, port: u16) -> (usize, u16) {
        let answer = self.obey(&format!("connect {port}"));
        let local = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
        (first_number(&answer), local.expect("the puppet tells it"))
    }

    /// Writes in one call.
    pub fn write(&mut self, connection: usize, bytes: impl AsRef<[u8]>) {
        self.obey(&format!("write {connection} {}", encoded(bytes.as_ref())));
    }

    /// Writes in calls of `size` bytes.
    pub fn write_in_pieces(&mut self, connection: usize, size: usize, bytes: impl AsRef<[u8]>) {
        let bytes = encoded(bytes.as_ref());
        self.obey(&format!("pieces {connection} {size} {bytes}"));
    }

    /// Writes that many bytes of `x`.
    pub fn fill(&mut self, connection: usize, count: u64) {
        self.obey(&format!("fill {connection} {count}"));
    }

    /// Reads to the end of the first such bytes.
    pub fn read_until(&mut self, connection: usize, end: &str) {
        self.obey(&format!("until {connection} {}", encoded(end.as_bytes())));
    }

    /// Reads a head.
    pub fn read_head(&mut self, connection: usize) {
        self.read_until(connection, "\r\n\r\n");
    }

    /// Reads a head, one byte a call.
    pub fn read_head_bytewise(&mut self, connection: usize) {
        self.obey(&format!("bytewise {connection} %0D%0A%0D%0A"));
    }

    /// Reads exactly that many bytes.
    pub fn read(&mut self, connection: usize, count: usize) {
        self.obey(&format!("read {connection} {count}"));
    }

    /// Reads to the end of the stream; returns how many bytes there were.
    pub fn read_to_end(&mut self, connection: usize) -> usize {
        first_number(&self.obey(&format!("end {connection}")))
    }

    /// Ends its own direction.
    pub fn finish(&mut self, connection: usize) {
        self.obey(&format!("finish {connection}"));
    }

    /// Closes.
    pub fn close(&mut self, connection: usize) {
        self.obey(&format!("close {connection}"));
    }

    /// Closes with a reset.
    pub fn reset(&mut self, connection: usize) {
        self.obey(&format!("reset {connection}"));
    }

    /// Ends with all of its sockets open.
    pub fn exit(mut self) {
        self.process.tell("exit");
        self.process.wait();
    }

    /// Begins something that ends when the other side does its part; [`Puppet::answer`] waits.
    pub fn begin(&mut self, command: &str) {
        self.process.tell(command);
    }

    /// The answer to the oldest command that was not answered yet.
    ///
    /// # Panics
    /// It is an error, or does not come.
    pub fn answer(&mut self) -> String {
        let at = self.heard;
        let line = self
            .process
            .stdout
            .wait_for(LIMIT, |lines| lines.get(at).cloned());
        self.heard += 1;
        let line = line.unwrap_or_else(|| panic!("no answer\n{}", self.process.story()));
        match line.strip_prefix("ok ") {
            Some(answer) => answer.to_owned(),
            None => panic!("puppet: {line}"),
        }
    }

    fn obey(&mut self, command: &str) -> String {
        self.begin(command);
        self.answer()
    }
}

fn first_number(answer: &str) -> usize {
    let number = answer.split(' ').next().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("no number in {answer:?}"))
}

fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'%' | 0..=b' ' | 0x7f.. => {
                let _ = write!(text, "%{byte:02X}");
            }
            _ => text.push(char::from(*byte)),
        }
    }
    text
}
