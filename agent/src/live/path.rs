//! The way of one record in a shard: kept if there is a recording, then heard by the pipeline. What
//! user space adds goes the same way as what the kernel side says. It reads no ring.

use crate::kubernetes::peer::PeerChange;
use std::sync::Arc;

use wirespan_common::connection::Connection;
use wirespan_common::record::{Body, Caller, ConnectionId, Life, LifeEvent, Record, Stage};

use crate::config::SpanConfig;
use crate::discover::Process;
use crate::health::{Health, Loss};
use crate::pipeline::Pipeline;
use crate::recording::{self, RecorderHandle};
use crate::span::Span;
use crate::visible::Visible;
use crate::wall_clock::{WallClock, monotonic_ns};

/// What a record says about the life of a process, which concerns others too.
#[derive(Clone, Copy, Debug)]
pub struct Lived {
    /// Which process.
    pub pid: u32,
    /// What happened.
    pub event: LifeEvent,
    /// Details.
    pub life: Life,
    /// When, in nanoseconds of record time.
    pub time_ns: u64,
}

/// The way of one record.
pub struct Path {
    shard: u8,
    /// Hears all of it.
    pub pipeline: Pipeline,
    /// Made, and not handed on yet.
    pub spans: Vec<Span>,
    recording: Option<RecorderHandle>,
    clock: WallClock,
    health: Arc<Health>,
}

impl Path {
    /// The way through this pipeline.
    pub fn new(
        shard: u8,
        pipeline: Pipeline,
        recording: Option<RecorderHandle>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            shard,
            pipeline,
            spans: Vec::new(),
            recording,
            clock: WallClock::default(),
            health,
        }
    }

    /// The spans that were made since the last call. There will be room for as many again, as
    /// growing bit by bit would move each of them several times.
    pub fn take_spans(&mut self) -> Vec<Span> {
        let room = self.spans.len();
        let mut spans = std::mem::replace(&mut self.spans, Vec::with_capacity(room));
        spans.shrink_to_fit();
        spans
    }

    /// Keeps a record and lets the pipeline hear it. Returns what it says of a process's life.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Lived> {
        if let Some(handle) = &mut self.recording {
            handle.keep(bytes);
        }
        match Record::decode(bytes) {
            Ok((record, _)) => {
                self.pipeline.record(&record, &mut self.spans);
                for (pid, service) in self.pipeline.take_exporters() {
                    log::info!(
                        "{} (pid {pid}) exports traces itself: its spans are left to it",
                        Visible(service)
                    );
                }
                match record.body {
                    Body::Life { life, event } => Some(Lived {
                        pid: record.tgid,
                        event,
                        life,
                        time_ns: record.time_ns,
                    }),
                    _ => None,
                }
            }
            Err(_) => {
                self.health.lose(Loss::Undecodable, 1);
                None
            }
        }
    }

    /// A description of the process is on its way.
    pub fn expect(&mut self, pid: u32) {
        self.add(recording::expected_record(monotonic_ns(), pid));
    }

    /// This is known about a process.
    pub fn describe(&mut self, process: &Process) {
        self.add(recording::process_record(monotonic_ns(), process));
    }

    /// These are behind addresses from now on.
    pub fn tell_peers(&mut self, changes: &[PeerChange]) {
        for record in recording::peers_records(monotonic_ns(), changes) {
            self.add(record);
        }
    }

    /// Spans are made in this way from now on.
    pub fn configure(&mut self, spans: &SpanConfig) {
        self.add(recording::settings_record(monotonic_ns(), spans));
    }

    /// This is what another node's agent knows of a client.
    pub fn tell_caller(&mut self, caller: &Caller) {
        self.add(recording::caller_record(monotonic_ns(), caller));
    }

    /// Connections whose number is below this one are left out from now on.
    pub fn leave_out_below(&mut self, below: u32) {
        self.add(recording::sampling_record(monotonic_ns(), below));
    }

    /// So much the kernel side remembers of a connection.
    pub fn tell_progress(&mut self, connection: ConnectionId, stage: Stage, known: &Connection) {
        let now = monotonic_ns();
        self.add(recording::progress_record(now, connection, stage, known));
    }

    /// Tells the stream of records what the wall clock's offset is, if it changed.
    pub fn tell_time(&mut self) {
        if let Some((now, offset)) = self.clock.changed() {
            self.add(recording::clock_record(now, offset));
        }
    }

    /// Has records that were kept so far written to the recording, if there is one.
    pub fn settle(&mut self) {
        if let Some(handle) = &mut self.recording {
            handle.settle();
        }
    }

    /// Lets the pipeline know that time passes, if something waits for that.
    pub fn tick(&mut self) {
        let now = monotonic_ns();
        if self
            .pipeline
            .waits_until()
            .is_some_and(|until| until <= now)
        {
            self.add(recording::clock_record(now, self.clock.told_ns()));
        }
    }

    fn add(&mut self, record: Vec<u8>) {
        self.take(&recording::of_shard(self.shard, record));
    }
}
