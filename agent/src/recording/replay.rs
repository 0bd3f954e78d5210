//! A recording through the pipeline. It reads no clock: a recording brings its own.

use std::io::Read;

use super::{ReadError, Reader};
use crate::pipeline::Pipelines;
use crate::span::Span;

/// Spans handed over at a time: who takes them on another thread has to be woken for each batch.
const BATCH_SPANS: usize = 512;

/// What the last record of a batch may add to it without making it grow.
const BATCH_SPANS_EXTRA: usize = 8;

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records that went through the pipeline.
    pub records: u64,
    /// Spans that came out.
    pub spans: u64,
    /// Records of kinds that this version does not know.
    pub unknown: u64,
    /// Records that contradict themselves.
    pub undecodable: u64,
}

/// Feeds a recording to the pipelines of its shards, to its end, and hands over the spans in
/// batches; what `take` leaves in a batch is discarded. What they have to tell the kernel side is
/// discarded too.
///
/// # Errors
/// Those of the reader. The spans of all records before the error have been handed over by then,
/// those of what was still open included.
pub fn replay<R: Read>(
    reader: &mut Reader<R>,
    pipelines: &mut Pipelines,
    mut take: impl FnMut(&mut Vec<Span>),
) -> Result<Replayed, ReadError> {
    let take = |spans: &mut Vec<Span>| {
        take(spans);
        true
    };
    replay_while(reader, pipelines, take)
}

/// The same, until `take` says that it wants no more.
///
/// # Errors
/// As [`replay`].
pub fn replay_while<R: Read>(
    reader: &mut Reader<R>,
    pipelines: &mut Pipelines,
    mut take: impl FnMut(&mut Vec<Span>) -> bool,
) -> Result<Replayed, ReadError> {
    let mut spans = Vec::with_capacity(BATCH_SPANS + BATCH_SPANS_EXTRA);
    let mut count = 0;
    let mut hand_over = |spans: &mut Vec<Span>| {
        count += spans.len() as u64;
        let wants_more = take(spans);
        spans.clear();
        // Growing bit by bit, for who takes the whole vector, would cost more than making a span.
        spans.reserve(BATCH_SPANS + BATCH_SPANS_EXTRA);
        wants_more
    };
    let outcome = loop {
        match reader.read_record(|record| pipelines.record(record, &mut spans)) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        if spans.len() >= BATCH_SPANS {
            if !hand_over(&mut spans) {
                break Ok(());
            }
            pipelines.tell_nobody();
        }
    };
    pipelines.finish(&mut spans);
    hand_over(&mut spans);
    pipelines.tell_nobody();
    outcome.map(|()| Replayed {
        records: reader.records(),
        spans: count,
        unknown: reader.unknown(),
        undecodable: reader.undecodable(),
    })
}
