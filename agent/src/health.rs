//! The daemon's own counters: everything that was discarded, by reason. It does not report.

mod carried;
mod left_alone;
mod left_out;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use wirespan_common::sampling::{LeftAlone, LeftAloneCount};

use crate::asking::AskingCounts;
use crate::discover::tls::GivenUp;
use crate::governor::Share;
use crate::links::LinkCounts;
use crate::semconv;
use crate::unread::Unread;

pub use carried::CarriedHealth;
use left_alone::LeftAloneCounts;
use left_out::LeftOutCounts;
pub use left_out::{LeftOut, LeftOutTally};

/// Why something that was captured, or should have been, did not become an exported span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Loss {
    /// Records: the kernel's ring buffer had no room.
    RingFull,
    /// Records of processes that had filled their share of that buffer.
    RingShare,
    /// Connections: the kernel side had no room to remember one.
    ConnectionsFull,
    /// Transfers: the target's memory could not be read.
    UnreadableMemory,
    /// Transfers: the processor's scratch buffer was taken.
    ScratchBusy,
    /// Processes: the kernel side had no room to watch one.
    WatchedFull,
    /// TLS objects: the kernel side had no room to remember one, or a thread that uses one.
    TlsFull,
    /// Calls of TLS libraries that returned what they can't: functions were mistaken for others.
    TlsImplausible,
    /// Calls of TLS libraries that had more others within them than there is room to remember.
    TlsNested,
    /// Tasks of runtimes: the kernel side had no room to remember one.
    TasksFull,
    /// TLS objects whose plaintext was seen but whose socket was not found: their spans lack
    /// addresses.
    TlsUnbound,
    /// Processes that died by a fault soon after probes were put on their TLS libraries, which are
    /// not read any longer.
    TlsWithdrawn,
    /// Files: it would take too much to look for TLS in them.
    TlsFileTooLarge,
    /// Files: looking for TLS in others took all that their process may take.
    TlsProcessTooLarge,
    /// Files, and processes' lists of them: they did not answer when TLS was looked for.
    TlsStalled,
    /// Files: TLS can be read in more of them than can be kept.
    TlsTooMany,
    /// Spans: told without what was to be found out about their process, or without addresses,
    /// which did not come in time.
    Incomplete,
    /// Events of processes: nobody had time to hear of them, so all processes are looked at anew.
    LifeUnheard,
    /// Looks at processes that took too long, or for which there was no room: they are described
    /// by what is known without.
    LookGivenUp,
    /// Records that could not be decoded.
    Undecodable,
    /// Gaps of a stream that hid a message.
    StreamGap,
    /// Stretches of a stream that are not the protocol that was detected.
    Unparsable,
    /// Responses without a remembered request.
    UnmatchedResponse,
    /// Requests beyond what is remembered per connection.
    PipelineFull,
    /// Heads longer than what is kept.
    HeadTooLong,
    /// Connections forgotten to make room or after a long silence.
    ConnectionEvicted,
    /// Connections forgotten because what is remembered took too much memory.
    MemoryFull,
    /// Processes that said more of themselves than is kept.
    DescriptionCut,
    /// Processes for whose description there was no room: their spans lack a name.
    DescriptionLost,
    /// Pairs of programs of which what was learnt of header compression was forgotten, as it took
    /// too much memory.
    HeadersForgotten,
    /// Records that a recording lacks: the file system was too slow, or refused them.
    NotRecorded,
    /// Spans: the queue to the exporters was full.
    QueueFull,
    /// Spans: the receiver refused them for good.
    ExportRefused,
    /// Spans: no receiver could be reached in time.
    ExportFailed,
    /// Spans that were still queued when the shutdown timeout passed.
    ShutdownTimeout,
}

impl Loss {
    /// All reasons, in order of their discriminants.
    pub const ALL: [Self; 35] = [
        Self::RingFull,
        Self::RingShare,
        Self::ConnectionsFull,
        Self::UnreadableMemory,
        Self::ScratchBusy,
        Self::WatchedFull,
        Self::TlsFull,
        Self::TlsImplausible,
        Self::TlsNested,
        Self::TasksFull,
        Self::TlsUnbound,
        Self::TlsWithdrawn,
        Self::TlsFileTooLarge,
        Self::TlsProcessTooLarge,
        Self::TlsStalled,
        Self::TlsTooMany,
        Self::Incomplete,
        Self::LifeUnheard,
        Self::LookGivenUp,
        Self::Undecodable,
        Self::StreamGap,
        Self::Unparsable,
        Self::UnmatchedResponse,
        Self::PipelineFull,
        Self::HeadTooLong,
        Self::ConnectionEvicted,
        Self::MemoryFull,
        Self::DescriptionCut,
        Self::DescriptionLost,
        Self::HeadersForgotten,
        Self::NotRecorded,
        Self::QueueFull,
        Self::ExportRefused,
        Self::ExportFailed,
        Self::ShutdownTimeout,
    ];

    /// The reason as it stands in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::RingShare => "ring_share",
            Self::ConnectionsFull => "connections_full",
            Self::UnreadableMemory => "unreadable_memory",
            Self::ScratchBusy => "scratch_busy",
            Self::WatchedFull => "watched_full",
            Self::TlsFull => "tls_full",
            Self::TlsImplausible => "tls_implausible",
            Self::TlsNested => "tls_nested",
            Self::TasksFull => "tasks_full",
            Self::TlsUnbound => "tls_unbound",
            Self::TlsWithdrawn => "tls_withdrawn",
            Self::TlsFileTooLarge => "tls_file_too_large",
            Self::TlsProcessTooLarge => "tls_process_too_large",
            Self::TlsStalled => "tls_stalled",
            Self::TlsTooMany => "tls_too_many",
            Self::Incomplete => "incomplete",
            Self::LifeUnheard => "life_unheard",
            Self::LookGivenUp => "look_given_up",
            Self::Undecodable => "undecodable",
            Self::StreamGap => "stream_gap",
            Self::Unparsable => "unparsable",
            Self::UnmatchedResponse => "unmatched_response",
            Self::PipelineFull => "pipeline_full",
            Self::HeadTooLong => "head_too_long",
            Self::ConnectionEvicted => "connection_evicted",
            Self::MemoryFull => "memory_full",
            Self::DescriptionCut => "description_cut",
            Self::DescriptionLost => "description_lost",
            Self::HeadersForgotten => "headers_forgotten",
            Self::NotRecorded => "not_recorded",
            Self::QueueFull => "queue_full",
            Self::ExportRefused => "export_refused",
            Self::ExportFailed => "export_failed",
            Self::ShutdownTimeout => "shutdown_timeout",
        }
    }
}

impl From<GivenUp> for Loss {
    fn from(reason: GivenUp) -> Self {
        match reason {
            GivenUp::FileTooLarge => Self::TlsFileTooLarge,
            GivenUp::ProcessTooLarge => Self::TlsProcessTooLarge,
            GivenUp::Stalled => Self::TlsStalled,
            GivenUp::TooMany => Self::TlsTooMany,
        }
    }
}

/// How much of a process's traffic was understood. Both directions together; what a connection
/// moved after it was found to be of no interest is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// 0 stands for all processes that are no longer remembered.
    pub pid: u32,
    /// Its `service.name`.
    pub service: String,
    /// Bytes that moved over its connections.
    pub seen_bytes: u64,
    /// Bytes of them that belong to messages that were understood.
    pub understood_bytes: u64,
    /// Why not the others.
    pub unread: Unread,
    /// Records of it that the ring buffer had no room for.
    pub lost_records: u64,
}

impl Coverage {
    /// The same process's, of another shard.
    fn add(&mut self, other: &Self) {
        if self.service == semconv::UNKNOWN_SERVICE {
            self.service.clone_from(&other.service);
        }
        self.seen_bytes = self.seen_bytes.saturating_add(other.seen_bytes);
        self.understood_bytes = self.understood_bytes.saturating_add(other.understood_bytes);
        self.unread.merge(&other.unread);
        self.lost_records = self.lost_records.saturating_add(other.lost_records);
    }

    /// The understood part, 0 to 1; 1 where nothing moved.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        match self.seen_bytes {
            0 => 1.0,
            seen => self.understood_bytes as f64 / seen as f64,
        }
    }
}

/// Where spans go. Each takes or loses every span that was made, whatever becomes of it elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Destination {
    /// A receiver of OTLP.
    Otlp,
    /// Standard output.
    Printer,
}

impl Destination {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Otlp, Self::Printer];

    /// As it stands in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Otlp => "OTLP",
            Self::Printer => "printer",
        }
    }
}

/// A counter for each reason.
#[derive(Debug)]
struct Losses([AtomicU64; Loss::ALL.len()]);

impl Default for Losses {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

impl Losses {
    fn of(&self, loss: Loss) -> &AtomicU64 {
        &self.0[loss as usize]
    }
}

/// Counters shared by all threads of the daemon.
#[derive(Debug, Default)]
pub struct Health {
    /// What was lost before it was a span, or before any destination.
    losses: Losses,
    records: AtomicU64,
    spans_made: AtomicU64,
    left_out: LeftOutCounts,
    left_alone: LeftAloneCounts,
    traces_decided_early: AtomicU64,
    /// Which calls were linked, and why others were not.
    pub links: LinkCounts,
    /// What happens between agents that ask each other.
    pub asking: AskingCounts,
    /// What became of calls that may carry their trace.
    pub carried: CarriedHealth,
    /// By shard.
    coverage: Mutex<Vec<Vec<Coverage>>>,
    deliveries: [DeliveryCounts; Destination::ALL.len()],
}

/// What became of spans on their way to one destination.
#[derive(Debug, Default)]
struct DeliveryCounts {
    is_open: AtomicBool,
    is_closed: AtomicBool,
    exported: AtomicU64,
    losses: Losses,
}

impl Health {
    /// Counts `count` losses.
    pub fn lose(&self, loss: Loss, count: u64) {
        self.losses.of(loss).fetch_add(count, Ordering::Relaxed);
    }

    /// Sets a counter that is kept elsewhere (in the kernel) to its present value.
    pub fn set_loss(&self, loss: Loss, total: u64) {
        self.losses.of(loss).store(total, Ordering::Relaxed);
    }

    /// How often this was lost so far. A span that two destinations lost was lost twice.
    #[must_use]
    pub fn losses(&self, loss: Loss) -> u64 {
        let on_the_way: u64 = Destination::ALL
            .map(|destination| self.spans_lost(destination, loss))
            .into_iter()
            .sum();
        self.losses.of(loss).load(Ordering::Relaxed) + on_the_way
    }

    /// Counts records that were read.
    pub fn read_records(&self, count: u64) {
        self.records.fetch_add(count, Ordering::Relaxed);
    }

    /// Records that were read so far.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Sets what a shard knows of processes, which is kept elsewhere, to its present state.
    pub fn set_coverage(&self, shard: u8, coverage: Vec<Coverage>) {
        let shard = usize::from(shard);
        let mut known = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() <= shard {
            known.resize_with(shard + 1, Vec::new);
        }
        known[shard] = coverage;
    }

    /// What was last known of processes, over all shards; sorted by pid.
    #[must_use]
    pub fn coverage(&self) -> Vec<Coverage> {
        let mut processes: BTreeMap<u32, Coverage> = BTreeMap::new();
        let known = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        for of_process in known.iter().flatten() {
            match processes.entry(of_process.pid) {
                Entry::Vacant(place) => {
                    place.insert(of_process.clone());
                }
                Entry::Occupied(mut place) => place.get_mut().add(of_process),
            }
        }
        processes.into_values().collect()
    }

    /// Counts spans that were left out.
    pub fn left_out_spans(&self, tally: LeftOutTally) {
        self.left_out.add(tally);
    }

    /// Spans that were left out so far, for this reason.
    #[must_use]
    pub fn spans_left_out(&self, reason: LeftOut) -> u64 {
        self.left_out.get(reason)
    }

    /// Sets what was left alone for this reason, which the kernel side counts, to its present
    /// value.
    pub fn set_left_alone(&self, reason: LeftAlone, count: LeftAloneCount) {
        self.left_alone.set(reason, count);
    }

    /// What the kernel side left alone so far, for this reason.
    #[must_use]
    pub fn left_alone(&self, reason: LeftAlone) -> LeftAloneCount {
        self.left_alone.get(reason)
    }

    /// Sets which part of all connections is followed, and what the daemon takes, in cores.
    pub fn set_following(&self, share: Share, cores: Option<f64>) {
        self.left_alone.set_following(share, cores);
    }

    /// Which part of all connections is followed, 0 to 1.
    #[must_use]
    pub fn followed(&self) -> f64 {
        self.left_alone.followed()
    }

    /// What the daemon took of the processors lately, in cores.
    #[must_use]
    pub fn cores(&self) -> f64 {
        self.left_alone.cores()
    }

    /// Counts traces that tail sampling decided on by what was known of them, as there was no room
    /// to wait for their end. Nothing is lost by that.
    pub fn decided_early(&self, count: u64) {
        let decided = &self.traces_decided_early;
        decided.fetch_add(count, Ordering::Relaxed);
    }

    /// Traces that were decided on before their end so far.
    #[must_use]
    pub fn traces_decided_early(&self) -> u64 {
        self.traces_decided_early.load(Ordering::Relaxed)
    }

    /// Counts spans that the pipeline made, those that were left out among them.
    pub fn made_spans(&self, count: u64) {
        self.spans_made.fetch_add(count, Ordering::Relaxed);
    }

    /// Spans that the pipeline made so far: each is exported, lost or left out.
    #[must_use]
    pub fn spans_made(&self) -> u64 {
        self.spans_made.load(Ordering::Relaxed)
    }

    /// Spans go there from now on.
    pub fn open(&self, destination: Destination) {
        self.delivery(destination)
            .is_open
            .store(true, Ordering::Relaxed);
    }

    /// Whether spans go there.
    #[must_use]
    pub fn is_open(&self, destination: Destination) -> bool {
        self.delivery(destination).is_open.load(Ordering::Relaxed)
    }

    /// Whoever took what goes there takes no more, ever.
    pub fn close(&self, destination: Destination) {
        let is_closed = &self.delivery(destination).is_closed;
        is_closed.store(true, Ordering::Relaxed);
    }

    /// Whether spans that are made from now on get to nobody, because all that took them have gone.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        let mut open = Destination::ALL.into_iter().filter(|it| self.is_open(*it));
        let is_closed = |it: Destination| self.delivery(it).is_closed.load(Ordering::Relaxed);
        open.clone().next().is_some() && open.all(is_closed)
    }

    /// Counts spans that a destination accepted.
    pub fn exported_spans(&self, destination: Destination, count: u64) {
        self.delivery(destination)
            .exported
            .fetch_add(count, Ordering::Relaxed);
    }

    /// Spans that a destination accepted so far.
    #[must_use]
    pub fn spans_exported(&self, destination: Destination) -> u64 {
        self.delivery(destination).exported.load(Ordering::Relaxed)
    }

    /// Counts spans that did not get to a destination.
    pub fn lose_spans(&self, destination: Destination, loss: Loss, count: u64) {
        self.delivery(destination)
            .losses
            .of(loss)
            .fetch_add(count, Ordering::Relaxed);
    }

    /// Spans that did not get to a destination so far, for this reason.
    #[must_use]
    pub fn spans_lost(&self, destination: Destination, loss: Loss) -> u64 {
        self.delivery(destination)
            .losses
            .of(loss)
            .load(Ordering::Relaxed)
    }

    fn delivery(&self, destination: Destination) -> &DeliveryCounts {
        &self.deliveries[destination as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shards_know_of_a_process_adds_up() {
        let health = Health::default();
        let of = |pid, service: &str, seen_bytes| Coverage {
            pid,
            service: service.to_owned(),
            seen_bytes,
            understood_bytes: seen_bytes / 2,
            unread: Unread::default(),
            lost_records: 1,
        };
        health.set_coverage(1, vec![of(7, "shop", 10), of(8, "bank", 2)]);
        assert_eq!(health.coverage().len(), 2);
        health.set_coverage(0, vec![of(7, semconv::UNKNOWN_SERVICE, 100)]);
        health.set_coverage(1, vec![of(7, "shop", 30), of(8, "bank", 2)]);
        let [shop, bank] = &health.coverage()[..] else {
            panic!("two processes")
        };
        assert_eq!((shop.pid, shop.service.as_str()), (7, "shop"));
        assert_eq!((shop.seen_bytes, shop.understood_bytes), (130, 65));
        assert_eq!((shop.lost_records, bank.lost_records), (2, 1));
    }

    #[test]
    fn every_loss_has_a_slot_and_a_name_of_its_own() {
        for (index, loss) in Loss::ALL.into_iter().enumerate() {
            assert_eq!(loss as usize, index);
        }
        for (index, destination) in Destination::ALL.into_iter().enumerate() {
            assert_eq!(destination as usize, index);
        }
        let names: std::collections::BTreeSet<_> = Loss::ALL.map(Loss::name).into();
        assert_eq!(names.len(), Loss::ALL.len());
    }
}
