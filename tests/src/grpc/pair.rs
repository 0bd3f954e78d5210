//! A server and a client of gRPC, both under one daemon.

use crate::daemon::{Daemon, Finished};
use crate::spans::Kind;
use crate::tls::Certificates;
use crate::truth::assert_same;

use super::{Call, Client, Runtime, Server, assert_conventional};

/// Methods that no server has, as [`CALLS`] call them.
const UNKNOWN: [&str; 2] = [
    "wirespan.test.Shapes/Unknown",
    "wirespan.test.Nowhere/Unary",
];

/// All shapes, several errors, bodies of several frames, and how many calls a line makes.
pub const CALLS: [(&str, usize); 17] = [
    ("Unary", 1),
    ("Unary repeat=5", 5),
    ("Unary size=5000 reply=70000 repeat=3", 3),
    ("Unary code=5", 1),
    ("Unary code=13", 1),
    ("ServerStream count=10 reply=100", 1),
    ("ServerStream count=0 code=9", 1),
    ("ServerStream count=2 code=2", 1),
    ("ClientStream send=7", 1),
    ("ClientStream send=3 code=8", 1),
    ("Bidi send=5", 1),
    ("Bidi send=2 code=16", 1),
    ("ServerStream count=3 delay=5000 cancel=3", 1),
    ("Unary method=wirespan.test.Shapes/Unknown", 1),
    ("Unary method=wirespan.test.Nowhere/Unary", 1),
    ("Unary meta=4096", 1),
    ("Unary meta=4096 repeat=2", 2),
];

/// All three of them.
#[derive(Debug)]
pub struct Pair {
    /// Whom the client calls.
    pub server: Server,
    /// It has made no call yet.
    pub client: Client,
    /// Watches both, and nobody else.
    pub daemon: Daemon,
}

impl Pair {
    /// In the clear.
    #[must_use]
    pub fn plain(server: Runtime, client: Runtime) -> Self {
        Self::plain_with(server, client, &[], &[])
    }

    /// In the clear, with arguments and settings for the daemon.
    #[must_use]
    pub fn plain_with(
        server: Runtime,
        client: Runtime,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let server = Server::plain(server);
        let client = Client::plain(client, server.port);
        Self::watch(server, client, arguments, settings)
    }

    /// Over TLS.
    #[must_use]
    pub fn over_tls(server: Runtime, client: Runtime, certificates: &Certificates) -> Self {
        let server = Server::over_tls(server, certificates);
        let client = Client::over_tls(client, server.port, certificates);
        Self::watch(server, client, &[], &[])
    }

    fn watch(
        server: Server,
        client: Client,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let pids = format!("{},{}", server.process.pid(), client.process.pid());
        let settings = [&[("BEYLA_TARGET_PID", &*pids)], settings].concat();
        let daemon = Daemon::start_with(arguments, &settings);
        Self {
            server,
            client,
            daemon,
        }
    }

    /// Makes calls; returns what the client tells of them when they have ended.
    pub fn call(&mut self, calls: &[(&str, usize)]) -> Vec<Call> {
        for (line, _) in calls {
            self.client.call(line);
        }
        let count = calls.iter().map(|(_, count)| count).sum();
        self.client.truth(count)
    }

    /// Stops the daemon when there are two spans for each call, and looks at what holds for all.
    ///
    /// # Panics
    /// Something does not hold, or something was lost.
    #[must_use]
    pub fn finish(self, calls: usize) -> Finished {
        self.daemon.wait_for_count(2 * calls);
        let finished = self.daemon.stop();
        for span in &finished.spans {
            assert_conventional(span, self.server.port);
        }
        assert_eq!(finished.lost(), "nothing", "{}", finished.story());
        finished
    }

    /// Makes [`CALLS`], and compares the spans of both sides with what they tell.
    ///
    /// # Panics
    /// Something differs.
    pub fn tell_shapes_and_errors(mut self) {
        let called = self.call(&CALLS);
        let unknown = called.iter().filter(|call| is_unknown(call));
        // Servers' handlers don't hear of methods that are not there.
        let mut served: Vec<_> = unknown.cloned().map(Call::uncounted).collect();
        served.extend(self.server.truth(called.len() - served.len()));
        let finished = self.finish(called.len());
        assert_same(
            "spans of the client",
            called.into_iter().map(unknown_uncounted),
            calls_of(&finished, Kind::Client),
        );
        assert_same(
            "spans of the server",
            served,
            calls_of(&finished, Kind::Server),
        );
    }
}

/// What the spans of one side tell.
#[must_use]
pub fn calls_of(finished: &Finished, kind: Kind) -> Vec<Call> {
    let spans = finished.of_kind(kind).into_iter();
    spans.map(Call::of).map(unknown_uncounted).collect()
}

fn is_unknown(call: &Call) -> bool {
    UNKNOWN.contains(&&*call.rpc)
}

/// What was sent to nobody may be cut short by the answer.
fn unknown_uncounted(call: Call) -> Call {
    if is_unknown(&call) {
        call.uncounted()
    } else {
        call
    }
}
