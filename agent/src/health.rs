//! The daemon's own counters: everything that was discarded, by reason. It does not report.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why something that was captured, or should have been, did not become an exported span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Loss {
    /// Records: the kernel's ring buffer had no room.
    RingFull,
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
    /// TLS objects whose plaintext was seen but whose socket was not found: their spans lack
    /// addresses.
    TlsUnbound,
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
    pub const ALL: [Self; 18] = [
        Self::RingFull,
        Self::ConnectionsFull,
        Self::UnreadableMemory,
        Self::ScratchBusy,
        Self::WatchedFull,
        Self::TlsFull,
        Self::TlsUnbound,
        Self::Undecodable,
        Self::StreamGap,
        Self::Unparsable,
        Self::UnmatchedResponse,
        Self::PipelineFull,
        Self::HeadTooLong,
        Self::ConnectionEvicted,
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
            Self::ConnectionsFull => "connections_full",
            Self::UnreadableMemory => "unreadable_memory",
            Self::ScratchBusy => "scratch_busy",
            Self::WatchedFull => "watched_full",
            Self::TlsFull => "tls_full",
            Self::TlsUnbound => "tls_unbound",
            Self::Undecodable => "undecodable",
            Self::StreamGap => "stream_gap",
            Self::Unparsable => "unparsable",
            Self::UnmatchedResponse => "unmatched_response",
            Self::PipelineFull => "pipeline_full",
            Self::HeadTooLong => "head_too_long",
            Self::ConnectionEvicted => "connection_evicted",
            Self::QueueFull => "queue_full",
            Self::ExportRefused => "export_refused",
            Self::ExportFailed => "export_failed",
            Self::ShutdownTimeout => "shutdown_timeout",
        }
    }
}

/// Counters shared by all threads of the daemon.
#[derive(Debug, Default)]
pub struct Health {
    losses: [AtomicU64; Loss::ALL.len()],
    spans_made: AtomicU64,
    spans_exported: AtomicU64,
}

impl Health {
    /// Counts `count` losses.
    pub fn lose(&self, loss: Loss, count: u64) {
        self.losses[loss as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Sets a counter that is kept elsewhere (in the kernel) to its present value.
    pub fn set_loss(&self, loss: Loss, total: u64) {
        self.losses[loss as usize].store(total, Ordering::Relaxed);
    }

    /// How often this was lost so far.
    #[must_use]
    pub fn losses(&self, loss: Loss) -> u64 {
        self.losses[loss as usize].load(Ordering::Relaxed)
    }

    /// Counts spans that the pipeline made.
    pub fn made_spans(&self, count: u64) {
        self.spans_made.fetch_add(count, Ordering::Relaxed);
    }

    /// Spans that the pipeline made so far.
    #[must_use]
    pub fn spans_made(&self) -> u64 {
        self.spans_made.load(Ordering::Relaxed)
    }

    /// Counts spans that a receiver accepted.
    pub fn exported_spans(&self, count: u64) {
        self.spans_exported.fetch_add(count, Ordering::Relaxed);
    }

    /// Spans that a receiver accepted so far.
    #[must_use]
    pub fn spans_exported(&self) -> u64 {
        self.spans_exported.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_has_a_slot_and_a_name_of_its_own() {
        for (index, loss) in Loss::ALL.into_iter().enumerate() {
            assert_eq!(loss as usize, index);
        }
        let names: std::collections::BTreeSet<_> = Loss::ALL.map(Loss::name).into();
        assert_eq!(names.len(), Loss::ALL.len());
    }
}
