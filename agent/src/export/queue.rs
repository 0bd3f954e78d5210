//! The bounded queue between the shards, which may never wait, and the async edge, which may. It
//! counts what does not fit, and it neither looks at spans nor changes their order.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout_at};

use crate::health::{Destination, Health, Loss};
use crate::memory::{Holder, Ledger};
use crate::span::{Resource, Span};

/// What a resource takes that no target adds to.
const RESOURCE_BYTES_USUAL: usize = 2 * 1024;

/// The shards' end: cheap to clone, never blocks.
#[derive(Clone, Debug)]
pub struct SpanQueue {
    inlets: Arc<RwLock<Vec<Inlet>>>,
}

impl SpanQueue {
    pub(super) fn new(inlets: Vec<Inlet>) -> Self {
        Self {
            inlets: Arc::new(RwLock::new(inlets)),
        }
    }

    /// Other sinks from now on, for all clones. Who pushes meanwhile waits as long as it takes to
    /// exchange two pointers; who pushed to the old ones before has done so.
    pub(super) fn lead_to(&self, mut inlets: Vec<Inlet>) {
        let mut current = self.inlets.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *current, &mut inlets);
        drop(current);
    }

    fn inlets(&self) -> RwLockReadGuard<'_, Vec<Inlet>> {
        self.inlets.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands spans to every destination. What does not fit, be it by number or by the memory that
    /// it takes, is counted as [`Loss::QueueFull`].
    ///
    /// The price is paid per call (two allocations, at most one wake-up), so push what one poll of
    /// the ring buffer yielded, not single spans.
    pub fn push(&self, spans: Vec<Span>) {
        let inlets = self.inlets();
        if spans.is_empty() || inlets.is_empty() {
            return;
        }
        let bytes = memory_bytes(&spans);
        push_weighed(&inlets, spans, bytes);
    }
}

impl SpanQueue {
    /// As [`SpanQueue::push`], but waits until there is room, and pushes in parts what is more than
    /// ever fits: for a replay, which has time, and whose spans nobody wants to lose. Never for a
    /// shard.
    pub fn push_waiting(&self, mut spans: Vec<Span>) {
        /// Short against the time that a batch takes to be written.
        const LOOK_AGAIN: Duration = Duration::from_micros(200);
        let mut bytes = memory_bytes(&spans);
        while !spans.is_empty() {
            let inlets = self.inlets();
            let room = inlets.iter().map(|inlet| inlet.room_for(&spans, bytes));
            let fits = room.min().unwrap_or(spans.len());
            if fits == 0 {
                drop(inlets);
                std::thread::sleep(LOOK_AGAIN);
                continue;
            }
            let rest = spans.split_off(fits);
            if !rest.is_empty() {
                bytes = memory_bytes(&spans);
            }
            push_weighed(&inlets, spans, bytes);
            bytes = memory_bytes(&rest);
            spans = rest;
        }
    }
}

fn push_weighed(inlets: &[Inlet], spans: Vec<Span>, bytes: usize) {
    let spans = Arc::new(spans);
    for inlet in inlets {
        inlet.push(&spans, bytes);
    }
}

/// How a sink gathers spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batching {
    /// Most spans that wait.
    pub spans_cap: usize,
    /// Most spans of a batch, at least 1.
    pub batch_spans_max: usize,
    /// How long the first span of a batch waits for company.
    pub batch_age_max: Duration,
    /// Where the sink leads.
    pub destination: Destination,
}

/// A queue for one destination, whose sinks hold their spans in the same `held`.
pub(super) fn sink(
    batching: Batching,
    held: HeldMemory,
    health: Arc<Health>,
) -> (Inlet, Arc<SinkOutlet>) {
    let (sender, receiver) = mpsc::channel();
    let shared = Arc::new(SinkShared {
        batching,
        queued: AtomicI64::new(0),
        held,
        closed: AtomicBool::new(false),
        wake: Notify::new(),
        health,
    });
    let inlet = Inlet {
        sender,
        shared: Arc::clone(&shared),
    };
    (
        inlet,
        Arc::new(SinkOutlet {
            waiting: Mutex::new(WaitingSpans {
                receiver,
                front: None,
            }),
            shared,
        }),
    )
}

/// Where spans enter a sink.
#[derive(Clone, Debug)]
pub(super) struct Inlet {
    sender: mpsc::Sender<SpanPiece>,
    shared: Arc<SinkShared>,
}

/// Where a sink's workers take batches.
#[derive(Debug)]
pub(super) struct SinkOutlet {
    waiting: Mutex<WaitingSpans>,
    shared: Arc<SinkShared>,
}

/// Spans taken together from a sink. One that is dropped before it was settled counts as lost to
/// the shutdown, which is the only event that ends a worker early.
#[derive(Debug)]
pub(super) struct Batch {
    pieces: Vec<SpanPiece>,
    unsettled: Unsettled,
}

/// The duty to account for a number of spans.
#[derive(Debug)]
pub(super) struct Unsettled {
    spans: u64,
    /// Memory that they take, in bytes; encoded, they take about as much.
    bytes: usize,
    shared: Arc<SinkShared>,
}

#[derive(Debug)]
struct SinkShared {
    batching: Batching,
    /// Spans sent into the channel and not yet taken out. Raised after the send, so that a positive
    /// value promises that something is there; for a moment it may be negative.
    queued: AtomicI64,
    held: HeldMemory,
    closed: AtomicBool,
    wake: Notify,
    health: Arc<Health>,
}

/// Memory that the spans of all sinks to one destination take until they are settled.
#[derive(Clone, Debug)]
pub(super) struct HeldMemory {
    bytes: Arc<AtomicUsize>,
    memory: Ledger,
}

#[derive(Debug)]
struct WaitingSpans {
    receiver: mpsc::Receiver<SpanPiece>,
    /// What the last batch left of a piece.
    front: Option<SpanPiece>,
}

/// A stretch of a pushed vector; not empty.
#[derive(Debug)]
struct SpanPiece {
    spans: Arc<Vec<Span>>,
    range: Range<usize>,
    /// Memory that it takes.
    bytes: usize,
}

// === impl Inlet ===

impl Inlet {
    /// How many of the spans, which take so many bytes, fit; one, if nothing waits that could make
    /// more room.
    fn room_for(&self, spans: &[Span], bytes: usize) -> usize {
        let shared = &*self.shared;
        let queued = shared.queued.load(Ordering::Relaxed).max(0) as usize;
        let is_empty = queued == 0 && shared.held.bytes.load(Ordering::Relaxed) == 0;
        let room = shared.batching.spans_cap.saturating_sub(queued);
        let bytes_room = shared.room_bytes();
        if spans.len() <= room && bytes <= bytes_room {
            return spans.len();
        }
        let (fits, _) = fitting(&spans[..spans.len().min(room)], bytes_room);
        fits.max(usize::from(is_empty))
    }

    /// With several shards the bound may be passed by what they push at the very same moment.
    fn push(&self, spans: &Arc<Vec<Span>>, bytes: usize) {
        let shared = &*self.shared;
        if shared.closed.load(Ordering::Acquire) {
            shared.lose(Loss::ShutdownTimeout, spans.len());
            return;
        }
        let queued = shared.queued.load(Ordering::Relaxed).max(0);
        let room = shared.batching.spans_cap.saturating_sub(queued as usize);
        let bytes_room = shared.room_bytes();
        let (fits, bytes) = match spans.len().min(room) {
            fits if fits == spans.len() && bytes <= bytes_room => (fits, bytes),
            fits => fitting(&spans[..fits], bytes_room),
        };
        if fits < spans.len() {
            shared.lose(Loss::QueueFull, spans.len() - fits);
        }
        if fits == 0 {
            return;
        }
        let piece = SpanPiece {
            spans: Arc::clone(spans),
            range: 0..fits,
            bytes,
        };
        shared.held.take(bytes);
        if self.sender.send(piece).is_err() {
            // The receiving end lives as long as the exporters do.
            shared.held.release(bytes);
            shared.lose(Loss::ShutdownTimeout, fits);
            return;
        }
        let before = shared.queued.fetch_add(fits as i64, Ordering::Release);
        let full = shared.batching.batch_spans_max as i64;
        // Two wake-ups per batch, not one per push: when its first span comes, and when it is full.
        if before <= 0 || (before < full && before + fits as i64 >= full) {
            shared.wake.notify_one();
        }
    }
}

impl HeldMemory {
    /// Nothing yet; it is to be counted against the bound of `memory`.
    pub(super) fn new(memory: Ledger) -> Self {
        Self {
            bytes: Arc::default(),
            memory,
        }
    }

    fn take(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.memory.hold(Holder::Spans, bytes);
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.memory.release(Holder::Spans, bytes);
    }
}

/// Memory that spans take. Those of one process share its resource, which is remembered elsewhere
/// as a rule; what it takes beyond the usual counts for the first of them, because they may be all
/// that still holds it.
fn memory_bytes(spans: &[Span]) -> usize {
    let mut resource = std::ptr::null();
    let each = spans.iter().map(|span| weigh(span, &mut resource));
    each.sum()
}

/// How many of the spans fit into so many bytes, and what they take.
fn fitting(spans: &[Span], bytes_room: usize) -> (usize, usize) {
    let (mut fits, mut bytes) = (0, 0);
    let mut resource = std::ptr::null();
    for span in spans {
        let with = bytes + weigh(span, &mut resource);
        if with > bytes_room {
            break;
        }
        (fits, bytes) = (fits + 1, with);
    }
    (fits, bytes)
}

fn weigh(span: &Span, of_last: &mut *const Resource) -> usize {
    let resource = Arc::as_ptr(&span.resource);
    let with_resource = std::mem::replace(of_last, resource) != resource;
    let of_resource = if with_resource {
        let bytes = span.resource.memory_bytes();
        bytes.saturating_sub(RESOURCE_BYTES_USUAL)
    } else {
        0
    };
    span.memory_bytes() + of_resource
}

impl SinkShared {
    /// Memory that further spans may take.
    fn room_bytes(&self) -> usize {
        let held = self.held.bytes.load(Ordering::Relaxed);
        self.held.memory.of_spans().saturating_sub(held)
    }

    fn lose(&self, loss: Loss, spans: usize) {
        self.health
            .lose_spans(self.batching.destination, loss, spans as u64);
    }
}

// === impl SinkOutlet ===

impl SinkOutlet {
    /// Lets the workers finish: batches no longer wait, and after the last one there is `None`.
    pub(super) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// The next batch, when it is full, old enough, or the last. Workers wait in turn. Dropping the
    /// future loses nothing.
    pub(super) async fn next_batch(&self) -> Option<Batch> {
        let mut waiting = self.waiting.lock().await;
        let shared = &self.shared;
        loop {
            let closed = shared.closed.load(Ordering::Acquire);
            if shared.queued.load(Ordering::Acquire) > 0 {
                break;
            }
            if closed {
                return None;
            }
            shared.wake.notified().await;
        }
        let full = shared.batching.batch_spans_max;
        let deadline = Instant::now() + shared.batching.batch_age_max;
        while shared.queued.load(Ordering::Acquire) < full as i64
            && !shared.closed.load(Ordering::Acquire)
        {
            if timeout_at(deadline, shared.wake.notified()).await.is_err() {
                break;
            }
        }
        Some(waiting.take(full, shared))
    }

    /// Who took what the workers make is gone for good.
    pub(super) fn desert(&self) {
        let shared = &self.shared;
        shared.health.close(shared.batching.destination);
    }

    /// Whether what waits, and what was taken and is not settled, leaves less than half of the
    /// memory that there is for it.
    pub(super) fn is_crowded(&self) -> bool {
        let held = &self.shared.held;
        2 * held.bytes.load(Ordering::Relaxed) > held.memory.of_spans()
    }

    /// Counts what is still queued as lost to the shutdown.
    pub(super) async fn discard(&self) {
        let mut waiting = self.waiting.lock().await;
        drop(waiting.take(usize::MAX, &self.shared));
    }
}

impl WaitingSpans {
    fn take(&mut self, spans_max: usize, shared: &Arc<SinkShared>) -> Batch {
        let mut pieces = Vec::new();
        let (mut taken, mut bytes) = (0, 0);
        while taken < spans_max {
            let Some(mut piece) = self.front.take().or_else(|| self.receiver.try_recv().ok())
            else {
                break;
            };
            let room = spans_max - taken;
            if piece.range.len() > room {
                let middle = piece.range.start + room;
                let part = piece.bytes / piece.range.len() * room;
                self.front = Some(SpanPiece {
                    spans: Arc::clone(&piece.spans),
                    range: middle..piece.range.end,
                    bytes: piece.bytes - part,
                });
                piece.range.end = middle;
                piece.bytes = part;
            }
            taken += piece.range.len();
            bytes += piece.bytes;
            pieces.push(piece);
        }
        shared.queued.fetch_sub(taken as i64, Ordering::Relaxed);
        let unsettled = Unsettled {
            spans: taken as u64,
            bytes,
            shared: Arc::clone(shared),
        };
        Batch { pieces, unsettled }
    }
}

// === impl Batch ===

impl Batch {
    /// The spans, in the order in which they were pushed.
    pub(super) fn spans(&self) -> Vec<&Span> {
        let mut spans = Vec::with_capacity(self.unsettled.spans as usize);
        for piece in &self.pieces {
            spans.extend(&piece.spans[piece.range.clone()]);
        }
        spans
    }

    /// Frees the spans once they are encoded; the duty to account for them remains.
    pub(super) fn into_unsettled(self) -> Unsettled {
        self.unsettled
    }
}

impl Unsettled {
    /// How many spans are not accounted for yet.
    pub(super) fn spans(&self) -> u64 {
        self.spans
    }

    /// The first `spans` of them, to be accounted for on their own; the memory is that of all, and
    /// stays with the rest.
    pub(super) fn split_off(&mut self, spans: u64) -> Self {
        let spans = spans.min(self.spans);
        self.spans -= spans;
        Self {
            spans,
            bytes: 0,
            shared: Arc::clone(&self.shared),
        }
    }

    /// One of them, to be accounted for on its own, with its part of the memory.
    pub(super) fn take_one(&mut self) -> Self {
        let bytes = usize::try_from(self.spans)
            .ok()
            .and_then(|spans| self.bytes.checked_div(spans));
        let bytes = bytes.unwrap_or_default();
        self.bytes -= bytes;
        let mut one = self.split_off(1);
        one.bytes = bytes;
        one
    }

    /// They arrived, except for `refused` of them.
    pub(super) fn accepted_but(mut self, refused: u64) {
        let refused = refused.min(self.spans);
        let destination = self.shared.batching.destination;
        let accepted = self.spans - refused;
        self.shared.health.exported_spans(destination, accepted);
        self.lose(Loss::ExportRefused, refused);
    }

    /// They are lost, all for the same reason.
    pub(super) fn lost(mut self, loss: Loss) {
        self.lose(loss, self.spans);
    }

    fn lose(&mut self, loss: Loss, spans: u64) {
        self.shared.lose(loss, spans as usize);
        self.spans = 0;
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.shared.held.release(self.bytes);
        self.lose(Loss::ShutdownTimeout, self.spans);
    }
}
