//! A conversation written out byte by byte, between two processes that are both watched.

use crate::daemon::{Daemon, Finished};
use crate::puppet::Puppet;
use crate::truth::assert_same;

/// A connection between two puppets under one daemon.
#[derive(Debug)]
pub struct Dialogue {
    /// Watches both.
    pub daemon: Daemon,
    /// Accepts.
    pub server: Puppet,
    /// Connects.
    pub client: Puppet,
    /// The server's end of the connection.
    pub at_server: usize,
    /// The client's end of it.
    pub at_client: usize,
    /// Where the server listens.
    pub port: u16,
}

/// A request without a body.
pub const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
/// An answer with a body of two bytes.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Dialogue {
    /// Starts both and the daemon, and connects them.
    #[must_use]
    pub fn begin() -> Self {
        let (mut server, mut client) = (Puppet::start(), Puppet::start());
        let port = server.listen();
        let pids = format!("{},{}", server.pid(), client.pid());
        let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
        let (at_client, _) = client.connect(port);
        let at_server = server.accept();
        Self {
            daemon,
            server,
            client,
            at_server,
            at_client,
            port,
        }
    }

    /// The client sends this in one call, and the server reads its head.
    pub fn request(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.write(self.at_client, bytes);
        self.server.read_head(self.at_server);
    }

    /// The server sends this in one call, and the client reads its head.
    pub fn response(&mut self, bytes: impl AsRef<[u8]>) {
        self.server.write(self.at_server, bytes);
        self.client.read_head(self.at_client);
    }

    /// The server reads so many bytes of a body.
    pub fn server_reads(&mut self, count: usize) {
        self.server.read(self.at_server, count);
    }

    /// The client reads so many bytes of a body.
    pub fn client_reads(&mut self, count: usize) {
        self.client.read(self.at_client, count);
    }

    /// A plain exchange, which shows that the connection is still understood.
    pub fn still_works(&mut self) {
        self.request("GET /after HTTP/1.1\r\nHost: h\r\n\r\n");
        self.response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter");
        self.client_reads(5);
    }

    /// Waits for as many spans as are expected, and compares all there are at the end.
    pub fn expect(self, lines: &[&str]) -> Finished {
        self.daemon.wait_for_count(lines.len());
        let finished = self.daemon.stop();
        assert_same(
            "spans of both sides",
            lines.iter().map(|line| (*line).to_owned()),
            finished.lines(),
        );
        finished
    }

    /// For expectations that are not a list of lines.
    pub fn finish_any(self, count: usize) -> Finished {
        self.daemon.wait_for_count(count);
        let finished = self.daemon.stop();
        assert_eq!(finished.spans.len(), count, "{}", finished.story());
        finished
    }
}
