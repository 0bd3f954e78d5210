//! An agent that asks and is asked, as the daemon runs it, with the test in the place of a shard.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use wirespan::asking::{Asking, AskingSetup, PeerEvent, PeersDoor};
use wirespan::config::{AskingConfig, PeerName, SecretSource};
use wirespan::health::Health;
use wirespan::links::{CallerContext, ForPeers, JoinKey};
use wirespan::memory::Ledger;
use wirespan_common::record::Caller;

/// When waiting is given up for what should take no time.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const SECRET: &str = "correct horse battery";

/// One of them.
pub struct Agent {
    pub address: SocketAddr,
    pub health: Arc<Health>,
    door: PeersDoor,
    callers: Receiver<Caller>,
    _asking: Asking,
}

/// An address that nobody listens on yet.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

pub fn with_secret(secret: &str) -> AskingConfig {
    AskingConfig {
        peers: Vec::new(),
        listen: None,
        secret: Some(SecretSource::Text(secret.as_bytes().into())),
        identity: None,
    }
}

pub fn name_of(address: SocketAddr) -> PeerName {
    PeerName {
        host: address.ip().to_string(),
        port: address.port(),
    }
}

impl Agent {
    /// One that listens here, and connects to those.
    pub fn start(address: SocketAddr, peers: &[SocketAddr], config: AskingConfig) -> Self {
        let config = AskingConfig {
            peers: peers.iter().copied().map(name_of).collect(),
            listen: Some(address),
            ..config
        };
        let health = Arc::new(Health::default());
        let setup = AskingSetup::new(&config, &Ledger::default(), &health);
        let (setup, door) = setup.expect("it can listen");
        let (tell, callers) = channel();
        let asking =
            setup.start(move |_, told| told.into_iter().all(|caller| tell.send(caller).is_ok()));
        Self {
            address,
            health,
            door,
            callers,
            _asking: asking.expect("a thread"),
        }
    }

    /// The same on an address of its own.
    pub fn new(peers: &[SocketAddr], config: AskingConfig) -> Self {
        Self::start(free_address(), peers, config)
    }

    /// As a shard does, which comes again soon.
    pub fn leave(&mut self, what: impl IntoIterator<Item = ForPeers>) {
        self.door.leave(what.into_iter());
        while self.door.keeps_something() {
            std::thread::sleep(Duration::from_millis(1));
            self.door.leave(std::iter::empty());
        }
    }

    /// Its node made this call, which stands there.
    pub fn knows(&mut self, at: u64, trace: u8) {
        self.leave([ForPeers::Stands(key(at), Some(context(at, trace)))]);
    }

    /// Its node wants to know who made this request.
    pub fn asks(&mut self, at: u64) {
        let from = "10.9.9.9".parse().ok();
        self.leave([ForPeers::Asks(key(at), from)]);
    }

    /// What it is told next: of which request, and which trace.
    pub fn told(&self) -> (u64, Option<u8>) {
        let caller = self.callers.recv_timeout(LIMIT).expect("told in time");
        let context = CallerContext::of(&caller);
        (caller.at, context.map(|it| it.trace_id[0]))
    }

    pub fn wait_for_streams(&self, count: u64) {
        eventually(&format!("{count} streams"), || {
            self.health.asking.streams() == count
        });
    }

    pub fn wait_for_event(&self, event: PeerEvent) {
        eventually(event.name(), || self.health.asking.events(event) > 0);
    }
}

pub fn key(at: u64) -> JoinKey {
    JoinKey { starts: [1, 2], at }
}

pub fn context(at: u64, trace: u8) -> CallerContext {
    CallerContext {
        trace_id: [trace; 16],
        span_id: key(at).span_id(),
        flags: 1,
        decided: None,
        randomness: None,
    }
}

pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "{what} in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
