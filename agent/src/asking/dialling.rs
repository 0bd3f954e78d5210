//! The thread that asks: it finds other agents by their names, connects to them, lets them connect,
//! keeps one stream to each, and carries what happens to the switchboard and back. Names are looked
//! up again and again, because agents come and go with their nodes.

mod targets;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use wirespan_common::record::Caller;

use super::AskingSetup;
use super::addresses::own_addresses;
use super::credentials::{Credentials, Keyring};
use super::door::ShardBatch;
use super::frame::{AgentName, PeerFrame};
use super::proof::StreamEnd;
use super::routes::StreamId;
use super::stream::{self, BATCHES_MAX, Established, NoStream};
use super::switchboard::{Switchboard, Violation};
use super::tally::PeerEvent;
use crate::config::PeerName;
use crate::health::Health;
use crate::memory::{Holder, Ledger};
use crate::visible::Visible;
use crate::wall_clock::monotonic_ns;
use targets::PeerTargets;

/// Streams at a time.
const STREAMS_MAX: usize = 1024;
/// Connections of others that have not proven themselves yet; of more the oldest is closed.
const UNPROVEN_MAX: usize = 64;
/// What streams say and is not dealt with yet; who says more waits.
const EVENTS_MAX: usize = 1024;
/// Of which so many have their turn at once.
const EVENTS_AT_ONCE: usize = 256;
/// How often names are looked up.
const RESOLVED_EVERY: Duration = Duration::from_secs(15);
/// How often it is looked at what is due, of which nothing else tells: waking up takes as much as
/// a hundred questions do.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same while questions wait, which have to be given up in time.
const LOOK_AT_WAITING_EVERY: Duration = Duration::from_millis(50);
/// How often the machine's own addresses are looked at, in looks.
const ADDRESSES_EVERY: u64 = 120;
/// After a connection could not be accepted: without descriptors it fails at once again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What happened on another task.
enum RoomEvent {
    /// A name stands for these.
    Resolved(usize, Option<Vec<SocketAddr>>),
    /// A connection to a target became a stream, or did not.
    Dialled(SocketAddr, Result<Box<Established>, NoStream>),
    /// The same of a connection that another one made.
    Accepted(SocketAddr, Result<Box<Established>, NoStream>),
    /// Something was said on a stream.
    Said(StreamId, PeerFrame),
    /// Nothing will be.
    Ended(StreamId, Option<PeerEvent>),
}

/// A stream that there is.
struct LiveStream {
    name: AgentName,
    address: SocketAddr,
    /// The one who connected.
    by: AgentName,
    said: mpsc::Sender<Vec<u8>>,
    task: AbortHandle,
}

/// The thread's state.
pub struct Dialling<T> {
    names: Vec<PeerName>,
    keyring: Keyring,
    listener: Option<std::net::TcpListener>,
    batches: mpsc::Receiver<ShardBatch>,
    tell: T,
    health: Arc<Health>,
    memory: Ledger,
    own: AgentName,
    switchboard: Switchboard,
    targets: PeerTargets,
    streams: HashMap<StreamId, LiveStream>,
    by_name: HashMap<AgentName, StreamId>,
    last: StreamId,
    /// Connections that are not streams yet.
    unproven: VecDeque<AbortHandle>,
    events: (mpsc::Sender<RoomEvent>, mpsc::Receiver<RoomEvent>),
    /// A fault of a file was told, and it has not been well since.
    has_fault: bool,
}

impl<T: FnMut(u8, Vec<Caller>) -> bool> Dialling<T> {
    /// Knows nobody yet.
    pub fn new(setup: AskingSetup, tell: T) -> Self {
        let mut own = AgentName::default();
        fastrand::fill(&mut own);
        Self {
            names: setup.config.peers.clone(),
            keyring: setup.keyring,
            listener: setup.listener,
            batches: setup.batches,
            tell,
            switchboard: Switchboard::new(setup.memory.of_calls()),
            health: setup.health,
            memory: setup.memory,
            own,
            targets: PeerTargets::default(),
            streams: HashMap::new(),
            by_name: HashMap::new(),
            last: 0,
            unproven: VecDeque::new(),
            events: mpsc::channel(EVENTS_MAX),
            has_fault: false,
        }
    }

    /// Works for ever.
    pub async fn run(&mut self) {
        let listener = self.listener.take();
        let listener = listener.and_then(|it| TcpListener::from_std(it).ok());
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut resolve = tokio::time::interval(RESOLVED_EVERY);
        let mut looks = 0u64;
        loop {
            let waits = self.switchboard.until_ns().is_some();
            tokio::select! {
                () = tokio::time::sleep(LOOK_AT_WAITING_EVERY), if waits => {}
                Some(batch) = self.batches.recv() => self.hear_shards(batch),
                Some(event) = self.events.1.recv() => {
                    self.hear(event);
                    // What else is there goes along.
                    for _ in 0..EVENTS_AT_ONCE {
                        let Ok(event) = self.events.1.try_recv() else { break };
                        self.hear(event);
                    }
                }
                _ = look.tick() => {
                    self.look(looks).await;
                    looks += 1;
                }
                _ = resolve.tick() => self.resolve(),
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok((tcp, address)) => self.accept(tcp, address).await,
                    Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
                },
            }
            self.switchboard.tick(monotonic_ns());
            self.send();
            self.tell_shards();
        }
    }

    fn hear_shards(&mut self, batch: ShardBatch) {
        let now_ns = monotonic_ns();
        let mut next = Some(batch);
        while let Some(ShardBatch { shard, what }) = next {
            for it in what {
                self.switchboard.hear_shard(shard, it, now_ns);
            }
            next = self.batches.try_recv().ok();
        }
    }

    fn hear(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::Resolved(name, found) => self.resolved(name, found),
            RoomEvent::Dialled(address, outcome) => self.dialled(address, outcome),
            RoomEvent::Accepted(address, Ok(established)) => {
                log::debug!("another agent connected from {address}");
                self.register(*established);
            }
            RoomEvent::Accepted(address, Err(why)) => {
                if let Some(event) = why.event() {
                    self.health.asking.count(event);
                    log::warn!("who connects from {address} is refused: {}", Visible(&why));
                }
            }
            RoomEvent::Said(stream, frame) => {
                let heard = self.switchboard.hear_peer(stream, frame, monotonic_ns());
                if let Err(violation) = heard {
                    let event = match violation {
                        Violation::Unasked => PeerEvent::Unasked,
                        Violation::Hello => PeerEvent::Malformed,
                    };
                    self.ended(stream, Some(event));
                }
            }
            RoomEvent::Ended(stream, why) => self.ended(stream, why),
        }
    }

    /// What is due by now.
    async fn look(&mut self, looks: u64) {
        if looks.is_multiple_of(ADDRESSES_EVERY) {
            for address in own_addresses() {
                self.switchboard.has_address(address);
            }
        }
        let bytes = self.switchboard.memory_bytes();
        self.memory.set(Holder::Calls, bytes);
        self.dial_due().await;
    }

    async fn dial_due(&mut self) {
        let by_name = &self.by_name;
        let due = self.targets.due(|name| by_name.contains_key(name));
        if due.is_empty() {
            return;
        }
        let credentials = self.credentials().await;
        for (address, host) in due {
            let (credentials, own) = (credentials.clone(), self.own);
            let events = self.events.0.clone();
            tokio::spawn(async move {
                let outcome = stream::connect(address, &host, &credentials, own).await;
                let event = RoomEvent::Dialled(address, outcome.map(Box::new));
                // If nobody hears of it, the run is over.
                let _ = events.send(event).await;
            });
        }
    }

    async fn credentials(&mut self) -> Credentials {
        let (credentials, fault) = self.keyring.present().await;
        match fault {
            Some(fault) if !self.has_fault => {
                log::warn!(
                    "secret and certificates stay as they were: {}",
                    Visible(fault)
                );
                self.has_fault = true;
            }
            Some(_) => {}
            None => self.has_fault = false,
        }
        credentials
    }

    async fn accept(&mut self, tcp: TcpStream, address: SocketAddr) {
        self.unproven.retain(|task| !task.is_finished());
        if self.unproven.len() >= UNPROVEN_MAX
            && let Some(oldest) = self.unproven.pop_front()
        {
            oldest.abort();
            self.health.asking.count(PeerEvent::Crowded);
        }
        let (credentials, own) = (self.credentials().await, self.own);
        let events = self.events.0.clone();
        let task = tokio::spawn(async move {
            let outcome = stream::accept(tcp, address, &credentials, own).await;
            let event = RoomEvent::Accepted(address, outcome.map(Box::new));
            let _ = events.send(event).await;
        });
        self.unproven.push_back(task.abort_handle());
    }

    fn resolve(&self) {
        for (number, name) in self.names.iter().enumerate() {
            let (name, events) = (name.clone(), self.events.0.clone());
            tokio::spawn(async move {
                let looking = tokio::net::lookup_host((name.host.as_str(), name.port));
                let found = tokio::time::timeout(RESOLVED_EVERY, looking).await;
                let found = found.ok().and_then(Result::ok).map(Iterator::collect);
                let _ = events.send(RoomEvent::Resolved(number, found)).await;
            });
        }
    }

    fn resolved(&mut self, number: usize, found: Option<Vec<SocketAddr>>) {
        let name = &self.names[number];
        match found {
            Some(found) => self.targets.resolved(number, &name.host, &found),
            // Those that were found before are still tried.
            None => {
                self.health.asking.count(PeerEvent::Unreachable);
                log::warn!("no addresses are found for {}", Visible(name));
            }
        }
    }

    fn dialled(&mut self, address: SocketAddr, outcome: Result<Box<Established>, NoStream>) {
        match outcome {
            Ok(established) => {
                self.targets.is(address, established.name);
                self.register(*established);
            }
            Err(NoStream::Itself) => self.targets.is_itself(address),
            Err(why) => {
                if let Some(event) = why.event() {
                    self.health.asking.count(event);
                }
                if self.targets.failed(address) {
                    log::warn!("the agent at {address} {}", Visible(&why));
                }
            }
        }
    }

    /// Of two streams to the same agent one stays, and both of them know which: the one that was
    /// made by the one whose name is less, and of two of those the later one.
    fn register(&mut self, established: Established) {
        let name = established.name;
        let by = match established.end {
            StreamEnd::Connecting => self.own,
            StreamEnd::Accepting => name,
        };
        let other = self.by_name.get(&name).copied();
        let known = other.and_then(|other| Some((other, self.streams.get(&other)?.by)));
        match known {
            Some((_, other)) if other < by => return,
            None if self.streams.len() >= STREAMS_MAX => {
                return self.health.asking.count(PeerEvent::Crowded);
            }
            Some(_) | None => {}
        }
        self.last += 1;
        let (id, address) = (self.last, established.address);
        let (said, saying) = mpsc::channel(BATCHES_MAX);
        let (events, health) = (self.events.0.clone(), Arc::clone(&self.health));
        let task = tokio::spawn(async move {
            let hear = |heard| {
                let events = events.clone();
                async move {
                    let event = match heard {
                        Ok(frame) => RoomEvent::Said(id, frame),
                        Err(why) => RoomEvent::Ended(id, why),
                    };
                    events.send(event).await.is_ok()
                }
            };
            let counts = &health.asking;
            established.converse(saying, counts, hear).await;
        });
        let stream = LiveStream {
            name,
            address,
            by,
            said,
            task: task.abort_handle(),
        };
        self.streams.insert(id, stream);
        self.by_name.insert(name, id);
        self.switchboard
            .joins(id, Some(address.ip().to_canonical()));
        if let Some((other, _)) = known {
            self.switchboard.moves(other, id);
            if let Some(other) = self.streams.remove(&other) {
                other.task.abort();
            }
        } else {
            log::info!("asks the agent at {address}, and answers it");
        }
        self.health.asking.set_streams(self.streams.len());
    }

    fn ended(&mut self, id: StreamId, why: Option<PeerEvent>) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        stream.task.abort();
        if self.by_name.get(&stream.name) == Some(&id) {
            self.by_name.remove(&stream.name);
        }
        self.switchboard.leaves(id, monotonic_ns());
        self.health.asking.set_streams(self.streams.len());
        let address = stream.address;
        match why {
            Some(event) => {
                self.health.asking.count(event);
                // What is said wrong today will be tomorrow.
                self.targets.failed(address);
                log::warn!("the agent at {address} is cut off: {}", event.name());
            }
            None => log::info!("the agent at {address} is asked no more: the stream ended"),
        }
    }

    /// Frames to streams.
    fn send(&mut self) {
        let streams = &self.streams;
        let has_room = |id| streams.get(&id).is_some_and(|it| it.said.capacity() > 0);
        for (id, bytes) in self.switchboard.take_frames(has_room) {
            if let Some(stream) = streams.get(&id) {
                // Nobody else puts anything there; if it ended, that is told.
                let _ = stream.said.try_send(bytes);
            }
        }
        for id in self.switchboard.overfull() {
            self.ended(id, Some(PeerEvent::Silent));
        }
    }

    /// Callers to shards, and what happened to who counts.
    fn tell_shards(&mut self) {
        for (shard, callers) in self.switchboard.take_callers() {
            let count = callers.len();
            if !(self.tell)(shard, callers) {
                self.health.asking.count_many(PeerEvent::Overrun, count);
            }
        }
        let tally = std::mem::take(&mut self.switchboard.tally);
        self.health.asking.add(&tally);
    }
}

/// The next one who connects; never, where nothing listens. Who comes over IPv4 has such an
/// address, also where one socket listens for both families (RFC 4291, section 2.5.5.2).
async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, mut from) = listener.accept().await?;
    from.set_ip(from.ip().to_canonical());
    Ok((stream, from))
}
