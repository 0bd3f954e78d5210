//! The whole data path, from records to spans. Read this first.
//!
//! ```text
//! record ─ Pipeline::record ─┬─ Open, Chunk, Progress ─ Connections ─ Conversation ─ Exchange ─┐
//!                            ├─ Task ────────────────── Links (who asked for which) ───────────┤
//!                            ├─ Life, Process ───────── Processes (resources) ─────────────────┤
//!                            ├─ Settings ────────────── what is told of an exchange ───────────┤
//!                            ├─ Sampling ────────────── which connections are let go ────────────┤
//!                            ├─ Caller ──────────────── Links (what other nodes answered) ─────┤
//!                            └─ Clock ───────────────── offset of the wall clock ──────────────┤
//!                                        Waiting, for what is not known yet ─ Teller ─ span ◀──┘
//! ```
//!
//! It is a function of the records: it reads no clock, no procfs and no network, waits for nothing
//! and locks nothing. The same records with the same seed make the same spans, ids included; that
//! is what recordings, tests and benchmarks rest on. Three things flow the other way, and only
//! when the caller asks: advice for the kernel side ([`Pipeline::drain_to_kernel`]), the wish to
//! hear how far some connections are ([`Pipeline::wants_progress`]), and what other nodes are
//! asked and told ([`Pipeline::drain_for_peers`]); what comes of the latter two comes as records.
//!
//! Times: a span's are those of its records plus the offset in force when the exchange was over. A
//! step of the wall clock during an exchange therefore moves both its ends and not its duration,
//! and later exchanges are right at once. Before the first `Clock` record the offset is 0.

mod shards;
mod translation;

pub use shards::Pipelines;

use std::sync::Arc;

use wirespan_common::own::Ends as KernelEnds;
use wirespan_common::record::{
    Body, Chunk, ConnectionId, Direction, Life, LifeEvent, OPEN_LATE, OPEN_RESUMED, Open, Progress,
    Record, Stage, has_certain_carrier, is_object,
};
use wirespan_common::sampling::draw;
use wirespan_protocols::conversation::End;

use crate::config::SpanConfig;
use crate::connections::{
    Again, CONNECTIONS_MAX, Connection, Connections, Identity, Slot, ToKernel,
};
use crate::discover::Process;
use crate::endpoints::{Endpoints, Via};
use crate::exchanges::{ConnectionListener, Exchanges, Material, Teller};
use crate::health::{Coverage, Health, Loss};
use crate::learnt::LearntStore;
use crate::links::{ANNOUNCED_WITHIN_NS, ForPeers, Wire};
use crate::memory::Ledger;
use crate::outlet::Outlet;
use crate::processes::{Described, PROCESSES_MAX, Processes};
use crate::span::{KnownMethods, SpanMaker};
use crate::trace_context::{Propagation, TraceContext};

/// Idle connections that are given up at one record; the others are, at the next ones.
const IDLE_AT_ONCE: usize = 64;

/// What a pipeline can be told.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Makes ids reproducible.
    pub seed: Option<u64>,
    /// HTTP methods that may name spans.
    pub known_methods: KnownMethods,
    /// Connections remembered at a time.
    pub connections_max: usize,
    /// The bound over all that is remembered.
    pub memory: Ledger,
    /// How spans are made, whatever records say of it; of what is not set here, records may tell.
    pub spans: SpanConfig,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            seed: None,
            known_methods: KnownMethods::default(),
            connections_max: CONNECTIONS_MAX,
            memory: Ledger::default(),
            spans: SpanConfig::default(),
        }
    }
}

/// Records in, spans out.
#[derive(Debug)]
pub struct Pipeline {
    connections: Connections,
    material: Material,
    /// What records can't change of how spans are made.
    given: SpanConfig,
    memory: Ledger,
    bound: Bound,
}

/// When to look again whether memory is within its bound.
#[derive(Debug, Default)]
struct Bound {
    /// Records that may come until then.
    records_left: u32,
    /// Connections may weigh so much until then, in bytes.
    weight_max: usize,
}

impl Bound {
    /// In so many records all but connections grow little: each has a bound of its own.
    const RECORDS: u32 = 64;

    #[inline]
    fn is_due(&mut self, weight: usize) -> bool {
        self.records_left = self.records_left.saturating_sub(1);
        self.records_left == 0 || weight > self.weight_max
    }

    /// It was looked at; `room` bytes are left.
    fn looked(&mut self, weight: usize, room: usize) {
        self.records_left = Self::RECORDS;
        self.weight_max = weight.saturating_add(room / 2);
    }
}

impl Pipeline {
    /// A pipeline that has seen nothing.
    #[must_use]
    pub fn new(config: PipelineConfig, health: Arc<Health>) -> Self {
        let spans = SpanMaker::new(config.known_methods);
        let mut exchanges = Exchanges::new(TraceContext::new(config.seed));
        exchanges.links.allow_late(config.spans.late_calls_ns());
        exchanges.links.derive_traces(config.spans.derives_traces());
        exchanges.links.heed_options(config.spans.heeds_options());
        let answers_ns = config.spans.asked_within_ns();
        exchanges.links.wait_for_answers(answers_ns);
        Self {
            connections: Connections::new(config.connections_max),
            material: Material {
                processes: Processes::new(PROCESSES_MAX, config.memory.of_processes()),
                teller: Teller::new(spans, &config.spans, config.memory.of_tail()),
                propagation: Propagation::new(&config.spans),
                leaves_to_sdks: config.spans.excludes_instrumented(),
                exporters: Vec::new(),
                learnt: LearntStore::new(config.memory.of_learnt()),
                exchanges,
                wall_offset_ns: 0,
                now_ns: 0,
                looked_ns: 0,
                health,
            },
            given: config.spans,
            memory: config.memory,
            bound: Bound::default(),
        }
    }

    /// Takes one record; spans that it completes are appended to `out`.
    pub fn record(&mut self, record: &Record<'_>, out: &mut dyn Outlet) {
        let time_ns = record.time_ns;
        self.material.now_ns = time_ns;
        self.material.exchanges.links.pass(time_ns);
        match record.body {
            Body::Open { open, path } => self.open(record, &open, path, out),
            Body::Chunk {
                chunk,
                direction,
                bytes,
            } => self.chunk(record, &chunk, direction, bytes, out),
            Body::Progress { progress, stage } => self.progress(record, &progress, stage, out),
            Body::Life { life, event } => self.live(record.tgid, event, &life, time_ns, out),
            Body::Clock(clock) => self.material.wall_offset_ns = clock.wall_offset_ns,
            Body::Process([]) => self.material.processes.expect(record.tgid, time_ns),
            Body::Process(json) => self.describe(json, out),
            Body::Task {
                note,
                event,
                kind,
                ancestors,
            } => {
                let links = &mut self.material.exchanges.links;
                let who = (record.tgid, record.tid);
                links.note(time_ns, who, event, kind, &note, ancestors.as_slice());
            }
            Body::Settings(json) => self.reconfigure(json),
            Body::Peers(json) => match serde_json::from_slice(json) {
                Ok(changes) => self.material.teller.spans.meet(changes, time_ns),
                Err(_) => self.material.health.lose(Loss::Undecodable, 1),
            },
            Body::Caller(caller) => self.material.exchanges.links.hear_of_caller(&caller),
            Body::Sampling(note) => {
                self.connections.leave_out_below(note.left_out_below);
                let links = &mut self.material.exchanges.links;
                links.leave_out(note.left_out_below != 0, time_ns);
            }
        }
        // Who waits until some time sees to it that another kind comes then.
        let is_frequent = matches!(
            record.body,
            Body::Chunk { .. } | Body::Progress { .. } | Body::Caller(_)
        );
        if !is_frequent || self.material.is_look_due() {
            self.material.tell_due(out);
            self.evict_idle(time_ns, out);
        } else {
            self.material.tell_settled(out);
        }
        if self.bound.is_due(self.growing_bytes()) {
            self.keep_bound(time_ns, out);
        }
        self.count_made();
    }

    /// There will be no more records: what is still open is told as far as it went.
    pub fn finish(&mut self, out: &mut dyn Outlet) {
        while let Some(connection) = self.connections.take_first() {
            self.end(connection, End::Evicted, self.material.now_ns, out);
        }
        self.material.tell_rest(out);
        self.count_made();
    }

    /// How much of its traffic was understood, by process.
    #[must_use]
    pub fn coverage(&self) -> Vec<Coverage> {
        self.material
            .processes
            .coverage(self.connections.iter().map(|connection| {
                (
                    connection.owners.current(),
                    connection.seen_bytes(),
                    connection.understood_bytes(),
                    connection.unread(),
                )
            }))
    }

    /// The kernel side could not write so many records of a process.
    pub fn lose_records(&mut self, tgid: u32, count: u64) {
        self.material.processes.lose_records(tgid, count);
    }

    /// Processes of which it became known since the last call that they export traces themselves,
    /// with the names of their services: their spans are left to them from then on.
    pub fn take_exporters(&mut self) -> Vec<(u32, String)> {
        let exporters = std::mem::take(&mut self.material.exporters);
        if !self.material.leaves_to_sdks {
            return Vec::new();
        }
        let processes = &self.material.processes;
        let named = exporters.into_iter();
        named
            .map(|pid| (pid, processes.service(pid).to_owned()))
            .collect()
    }

    /// What the kernel side should be told by now.
    pub fn drain_to_kernel(&mut self) -> std::vec::Drain<'_, ToKernel> {
        self.connections.drain_to_kernel()
    }

    /// What the agents of other nodes are to be told, or asked, since the last call.
    pub fn drain_for_peers(&mut self) -> impl Iterator<Item = ForPeers> + '_ {
        self.material.exchanges.links.drain_for_peers()
    }

    /// Connections whose progress should be asked for; see [`Connections::wants_progress`].
    pub fn wants_progress(&self, quiet_since_ns: u64) -> impl Iterator<Item = ConnectionId> + '_ {
        self.connections.wants_progress(quiet_since_ns)
    }

    /// Connections that somebody should look at; see [`Connections::wants_look`].
    pub fn wants_look(&self, quiet_since_ns: u64) -> impl Iterator<Item = ConnectionId> + '_ {
        self.connections.wants_look(quiet_since_ns)
    }

    /// Somebody asked about a connection; see [`Connections::asked`].
    pub fn asked(&mut self, connection: ConnectionId) {
        self.connections.asked(connection);
    }

    /// When, in record time, it should hear a record at the latest, of whatever kind: something
    /// waits that has waited long enough by then.
    #[must_use]
    pub fn waits_until(&self) -> Option<u64> {
        let exchanges = &self.material.exchanges;
        let (waiting, links) = (exchanges.waiting.until_ns(), exchanges.links.until_ns());
        let held = self.material.teller.tail.until_ns();
        waiting.into_iter().chain(links).chain(held).min()
    }

    /// Connections remembered at the moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Exchanges that have begun and not ended.
    #[must_use]
    pub fn open_exchanges(&self) -> usize {
        self.material.exchanges.open()
    }

    /// Bytes of memory that is taken by what is remembered, here and by those who share the bound.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.connections.memory_bytes()
            + self.material.processes.memory_bytes()
            + self.material.learnt.memory_bytes()
            + self.material.exchanges.memory_bytes()
            + self.material.teller.tail.memory_bytes()
            + self.material.teller.spans.memory_bytes()
            + self.memory.held()
    }

    /// Bytes of what may grow much with any record.
    fn growing_bytes(&self) -> usize {
        self.connections.weight()
            + self.material.exchanges.links.growing_bytes()
            + self.material.teller.tail.growing_bytes()
    }

    /// Sheds what is too much: all others have bounds of their own, connections what these leave.
    fn keep_bound(&mut self, time_ns: u64, out: &mut dyn Outlet) {
        // The bound may have been changed.
        self.material.processes.bound(self.memory.of_processes());
        self.material.learnt.bound(self.memory.of_learnt());
        self.material.teller.tail.bound(self.memory.of_tail());
        let forgotten = self.material.learnt.settle();
        if forgotten > 0 {
            self.material.health.lose(Loss::HeadersForgotten, forgotten);
        }
        while self.memory_bytes() > self.memory.limit() {
            let Some(worst) = self.connections.take_worst() else {
                break;
            };
            self.material.health.lose(Loss::MemoryFull, 1);
            self.end(worst, End::Evicted, time_ns, out);
            self.material.exchanges.links.shed();
        }
        let room = self.memory.limit().saturating_sub(self.memory_bytes());
        self.bound.looked(self.growing_bytes(), room);
    }

    fn open(&mut self, record: &Record<'_>, open: &Open, path: &[u8], out: &mut dyn Outlet) {
        let known = self.connections.find(open.connection);
        let was_let_go = known.is_some_and(|slot| self.connections.at(slot).is_let_go());
        if was_let_go || open.flags & OPEN_RESUMED != 0 {
            return self.follow_again(record, open, path, out);
        }
        if is_object(open.connection) {
            return self.open_object(record, open, path, out);
        }
        let endpoints = Endpoints::from_open(open, path);
        let identity = Identity::of(open);
        let Some(known) = self.connections.find(open.connection) else {
            return self.begin(record, open, endpoints, out);
        };
        match self
            .connections
            .at(known)
            .again(&identity, endpoints.as_ref())
        {
            Again::Seamless => {
                self.touch(open.connection, record, out);
                self.connections.resume(known);
            }
            Again::Missed => self.begin_again(record, open, endpoints, true, out),
            Again::Unknown => self.begin_again(record, open, endpoints, false, out),
            Again::New => {
                // The socket that had the number is gone.
                if let Some(old) = self.connections.remove(open.connection) {
                    self.end(old, End::Closed, record.time_ns, out);
                }
                self.begin(record, open, endpoints, out);
            }
        }
    }

    fn begin(
        &mut self,
        record: &Record<'_>,
        open: &Open,
        endpoints: Option<Endpoints>,
        out: &mut dyn Outlet,
    ) {
        let slot = self.touch(open.connection, record, out);
        let connection = self.connections.at(slot);
        connection.wire = Wire::of(open, 0);
        let links = &mut self.material.exchanges.links;
        let local = endpoints.as_ref().and_then(Endpoints::local_address);
        links.opened(connection.wire.starts(), local);
        let may_be_local = endpoints
            .as_ref()
            .is_some_and(|ends| ends.is_on_one_node(|address| links.is_own(address)));
        connection.may_be_local_until_ns = match connection.wire {
            _ if !may_be_local => 0,
            // Nobody counts the ends of those.
            Wire::Unix { .. } => u64::MAX,
            _ => record.time_ns.saturating_add(ANNOUNCED_WITHIN_NS),
        };
        connection.endpoints = endpoints;
        connection.identity = Identity::of(open);
        connection.draw = draw(open, &KernelEnds::of(open));
        let silent_ns = self
            .material
            .processes
            .watched_for(record.tgid, record.time_ns);
        connection.opened(open, silent_ns);
        self.connections.weigh(slot);
    }

    /// The kernel side forgot a connection and announces it again, and what moved meanwhile is not
    /// known. What is open is told as not observed. Where nothing is, it begins as a new one does,
    /// unless bytes are known to be missing.
    fn begin_again(
        &mut self,
        record: &Record<'_>,
        open: &Open,
        endpoints: Option<Endpoints>,
        was_missed: bool,
        out: &mut dyn Outlet,
    ) {
        let Some(slot) = self.connections.find(open.connection) else {
            return;
        };
        let old = self.connections.at(slot);
        if old.is_ignored() {
            return self.connections.resume(slot);
        }
        let (server_name, via) = (old.server_name.clone(), old.via.clone());
        let is_amid = was_missed || old.conversation.has_open_exchange();
        if let Some(old) = self.connections.remove(open.connection) {
            self.end(old, End::LostSight, record.time_ns, out);
        }
        self.begin(record, open, endpoints, out);
        if let Some(slot) = self.connections.find(open.connection) {
            let connection = self.connections.at(slot);
            connection.server_name = server_name;
            connection.via = via;
            if is_amid {
                connection.begin_amid();
                connection.wire = Wire::of(open, 1);
                self.material.health.lose(Loss::StreamGap, 1);
            }
        }
    }

    /// A connection that was left out is followed again. What it said meanwhile nobody knows, so it
    /// begins as one does that was there before the daemon came.
    fn follow_again(
        &mut self,
        record: &Record<'_>,
        open: &Open,
        path: &[u8],
        out: &mut dyn Outlet,
    ) {
        let endpoints = Endpoints::from_open(open, path);
        let mut is_amid = open.flags & OPEN_RESUMED != 0;
        let mut known_by = None;
        if let Some(old) = self.connections.remove(open.connection) {
            let again = old.again(&Identity::of(open), endpoints.as_ref());
            is_amid |= again != Again::New;
            known_by = is_amid.then(|| (old.server_name.clone(), old.via.clone()));
            let end = if is_amid { End::LostSight } else { End::Closed };
            self.end(old, end, record.time_ns, out);
        }
        let is_object = is_object(open.connection);
        if is_object {
            self.open_object(record, open, path, out);
        } else {
            self.begin(record, open, endpoints, out);
        }
        let Some(slot) = self.connections.find(open.connection).filter(|_| is_amid) else {
            return;
        };
        let connection = self.connections.at(slot);
        connection.begin_unseen();
        if !is_object {
            connection.wire = Wire::of(open, 1);
        }
        if let Some((server_name, via)) = known_by {
            connection.server_name = connection.server_name.take().or(server_name);
            connection.via = connection.via.take().or(via);
        }
    }

    /// A TLS object is on a socket. Its plaintext may have come before.
    fn open_object(&mut self, record: &Record<'_>, open: &Open, path: &[u8], out: &mut dyn Outlet) {
        let (server_name, via, wire, may_be_local_until_ns) =
            match self.connections.find(open.carrier) {
                Some(slot) => {
                    let carrier = self.connections.at(slot);
                    carrier.carry();
                    let via = carrier.via.as_deref().map(Via::carried);
                    let wire = match has_certain_carrier(open.connection) {
                        true => carrier.wire.carried(),
                        false => Wire::Unknown,
                    };
                    let until_ns = carrier.may_be_local_until_ns;
                    (carrier.server_name.clone(), via, wire, until_ns)
                }
                None => (None, None, Wire::Unknown, 0),
            };
        let links = &mut self.material.exchanges.links;
        links.carries(open.carrier, open.connection);
        let endpoints = Endpoints::from_open(open, path);
        if open.flags & OPEN_LATE == 0
            && let Some(slot) = self.connections.find(open.connection)
            && self.connections.at(slot).seen_bytes() > 0
        {
            // An object's number is nobody else's: it was forgotten.
            self.begin_again(record, open, endpoints.clone(), false, out);
        }
        let slot = self.touch(open.connection, record, out);
        let object = self.connections.at(slot);
        object.endpoints = endpoints;
        object.draw = draw(open, &KernelEnds::of(open));
        object.server_name = server_name;
        object.wire = wire;
        object.may_be_local_until_ns = may_be_local_until_ns;
        if let Some(under) = via {
            match &mut object.via {
                // It made a tunnel of its own before its socket was known.
                Some(own) if own.begins_here => own.client = under.client,
                told => *told = Some(Box::new(under)),
            }
        }
        let (_, mut listener) = ConnectionListener::at(object, &mut self.material, out);
        listener.know_addresses();
        self.connections.weigh(slot);
    }

    fn chunk(
        &mut self,
        record: &Record<'_>,
        chunk: &Chunk,
        direction: Direction,
        bytes: &[u8],
        out: &mut dyn Outlet,
    ) {
        let slot = self.touch(chunk.connection, record, out);
        self.connections.used_by(slot, record.tgid, record.time_ns);
        let connection = self.connections.at(slot);
        if connection.is_let_go() {
            // The kernel side had not heard of that.
            return;
        }
        connection.opening.note(direction, chunk.position, bytes);
        let other = direction.opposite();
        let chunk = &Chunk {
            position: connection.position(direction, chunk.position),
            opposite: connection.extent(other, &chunk.opposite),
            ..*chunk
        };
        let other_moved = connection.advance(other, chunk.opposite.position);
        let end = chunk.position.saturating_add(chunk.len.into());
        connection.advance(direction, end);
        if connection.is_ignored() {
            return;
        }
        let (conversation, mut listener) =
            ConnectionListener::at(connection, &mut self.material, out);
        listener.during(translation::moment(record, chunk));
        // What the other direction did until now happened before this chunk.
        if other_moved {
            conversation.extent(
                translation::direction(other),
                translation::extent(&chunk.opposite),
                &mut listener,
            );
        }
        conversation.chunk(
            translation::chunk(record, chunk, direction, bytes),
            &mut listener,
        );
        self.settle(slot);
    }

    fn progress(
        &mut self,
        record: &Record<'_>,
        progress: &Progress,
        stage: Stage,
        out: &mut dyn Outlet,
    ) {
        if self.connections.find(progress.connection).is_none() {
            return;
        }
        let slot = self.touch(progress.connection, record, out);
        let connection = self.connections.at(slot);
        let [ingress, egress] = [
            (Direction::Ingress, &progress.ingress),
            (Direction::Egress, &progress.egress),
        ]
        .map(|(direction, extent)| connection.extent(direction, extent));
        let mut moved = [(Direction::Ingress, &ingress), (Direction::Egress, &egress)];
        // What happened first is heard first: a response follows its request.
        moved.sort_by_key(|(_, extent)| extent.last_ns);
        // What moves on what is let go is counted elsewhere.
        let is_followed = !connection.is_let_go();
        let farther = moved.map(|(direction, extent)| {
            is_followed && connection.advance(direction, extent.position)
        });
        if !connection.is_ignored() {
            let (conversation, mut listener) =
                ConnectionListener::at(connection, &mut self.material, out);
            for ((direction, extent), farther) in moved.into_iter().zip(farther) {
                if farther {
                    conversation.extent(
                        translation::direction(direction),
                        translation::extent(extent),
                        &mut listener,
                    );
                }
            }
            match stage {
                Stage::IngressEnded => {
                    conversation.end(End::Ingress, record.time_ns, &mut listener)
                }
                Stage::EgressEnded => conversation.end(End::Egress, record.time_ns, &mut listener),
                Stage::Asked | Stage::Closed | Stage::Reset => {}
            }
        }
        let end = match stage {
            Stage::Closed => End::Closed,
            // On one machine the news of a reset overtakes the call that met it, so that the first
            // one is only noted: what the process did until it noticed still comes.
            Stage::Reset if connection.reset_ns.is_none() && !connection.is_ignored() => {
                connection.reset_ns = Some(record.time_ns);
                return self.settle(slot);
            }
            Stage::Reset => End::Reset,
            _ if connection.reset_ns.is_some() => End::Reset,
            Stage::Asked | Stage::IngressEnded | Stage::EgressEnded => return self.settle(slot),
        };
        if let Some(connection) = self.connections.remove(progress.connection) {
            self.end(connection, end, record.time_ns, out);
        }
    }

    fn live(
        &mut self,
        tgid: u32,
        event: LifeEvent,
        life: &Life,
        time_ns: u64,
        out: &mut dyn Outlet,
    ) {
        let is_watched = life.watched != 0;
        let processes = &mut self.material.processes;
        match event {
            LifeEvent::Exec => processes.exec(tgid, is_watched, time_ns),
            LifeEvent::Fork => processes.fork(tgid, life.other, is_watched, time_ns),
            LifeEvent::Listen | LifeEvent::Serve => {
                processes.listen(tgid, is_watched, time_ns);
            }
            LifeEvent::Exit => self.exit(tgid, time_ns, out),
        }
    }

    fn exit(&mut self, tgid: u32, time_ns: u64, out: &mut dyn Outlet) {
        let processes = &self.material.processes;
        let mut ended = Vec::new();
        while let Some(connection) = self
            .connections
            .take_of(tgid, |other| processes.is_alive(other))
        {
            ended.push(connection);
        }
        for connection in ended {
            self.end(connection, End::ProcessExited, time_ns, out);
        }
        self.material.processes.exit(tgid);
    }

    /// How spans are made from now on, but for what was given when the pipeline was made. Exchanges
    /// that are over and wait are told by it too.
    fn reconfigure(&mut self, json: &[u8]) {
        match serde_json::from_slice::<SpanConfig>(json) {
            Ok(told) => {
                let config = self.given.or(&told);
                self.material.teller.reconfigure(&config);
                self.material.propagation = Propagation::new(&config);
                self.material.leaves_to_sdks = config.excludes_instrumented();
                let links = &mut self.material.exchanges.links;
                links.allow_late(config.late_calls_ns());
                links.derive_traces(config.derives_traces());
                links.heed_options(config.heeds_options());
                links.wait_for_answers(config.asked_within_ns());
            }
            Err(_) => self.material.health.lose(Loss::Undecodable, 1),
        }
    }

    fn describe(&mut self, json: &[u8], out: &mut dyn Outlet) {
        let Ok(mut process) = serde_json::from_slice::<Process>(json) else {
            self.material.health.lose(Loss::Undecodable, 1);
            return;
        };
        process.mask(self.material.teller.spans.redaction());
        let pid = process.pid;
        let now_ns = self.material.now_ns;
        match self.material.processes.describe(process, now_ns) {
            Described::Whole => {}
            Described::Cut => self.material.health.lose(Loss::DescriptionCut, 1),
            Described::Not => self.material.health.lose(Loss::DescriptionLost, 1),
        }
        // With its pod to come, another description is on its way.
        if !self.material.processes.known(pid, now_ns).1 {
            let released = self.material.exchanges.waiting.described(pid);
            self.material.tell(released, out);
        }
    }

    fn touch(&mut self, id: ConnectionId, record: &Record<'_>, out: &mut dyn Outlet) -> Slot {
        let (slot, evicted) = self.connections.touch(id, record.tgid, record.time_ns);
        if let Some(evicted) = evicted {
            self.evict(evicted, record.time_ns, out);
        }
        slot
    }

    fn evict(&mut self, connection: Box<Connection>, time_ns: u64, out: &mut dyn Outlet) {
        // Of what is ignored nothing is lost.
        if !connection.is_ignored() {
            self.material.health.lose(Loss::ConnectionEvicted, 1);
        }
        self.end(connection, End::Evicted, time_ns, out);
    }

    fn evict_idle(&mut self, time_ns: u64, out: &mut dyn Outlet) {
        for _ in 0..IDLE_AT_ONCE {
            let Some(idle) = self.connections.take_idle(time_ns) else {
                break;
            };
            self.evict(idle, time_ns, out);
        }
    }

    fn settle(&mut self, slot: Slot) {
        let processes = &mut self.material.processes;
        self.connections
            .settle(slot, |tgid| processes.raise_budget_once(tgid));
        self.connections.weigh_again(slot);
    }

    /// A connection that has left the table hears its end.
    fn end(
        &mut self,
        mut connection: Box<Connection>,
        end: End,
        time_ns: u64,
        out: &mut dyn Outlet,
    ) {
        // However it ends, what is open then ended with the reset.
        let (end, time_ns) = match connection.reset_ns {
            Some(reset_ns) => (End::Reset, reset_ns),
            None => (end, time_ns),
        };
        let is_ignored = connection.is_ignored();
        // An object's are its carrier's.
        if let Wire::Tcp { starts, .. } = connection.wire {
            self.material.exchanges.links.closed(starts);
        }
        let (conversation, mut listener) =
            ConnectionListener::at(&mut connection, &mut self.material, out);
        listener.know_addresses();
        if !is_ignored {
            conversation.end(end, time_ns, &mut listener);
        }
        if is_object(connection.id) && connection.endpoints.is_none() {
            self.material.health.lose(Loss::TlsUnbound, 1);
        }
        // Of a carrier's bytes, the object on it tells.
        if !connection.carries() {
            self.material.processes.count(
                connection.owners.current(),
                connection.seen_bytes(),
                connection.understood_bytes(),
                connection.unread(),
            );
        }
    }

    fn count_made(&mut self) {
        let Material {
            teller,
            health,
            exchanges,
            ..
        } = &mut self.material;
        if teller.count(health) {
            health.links.add(&exchanges.links.take_tally());
        }
    }
}
