//! A recording that can be handed on: the same records, from which a replay makes the same spans
//! but for what is secret. Bytes are replaced by as many others, so that every position and length
//! stays true.
//!
//! Of HTTP/1 the lines of heads stay, with secrets of targets hidden as in spans, and the values of
//! those fields that spans and framing need; all other values, all bodies, and arguments of
//! processes go. What is not understood as HTTP/1 goes wholly: other protocols, HTTP/2 among them,
//! TLS and tunnels. No spans of these come out of a replay.
//!
//! HTTP/2 could keep its lengths: a value that is hidden fits, as plain bytes, where its coded form
//! stood. But whether one may stay is known at its end (a secret in it is hidden bit by bit, as the
//! code's symbols are of different lengths) and by its name, which may stand in a table; and there
//! are senders whose every length and value is a record of its own. So records would have to be
//! held back until their block is whole, by one more reader of frames and of HPACK, and one that
//! must never err to the other side. It is not worth that yet.

mod fields;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};

use wirespan_common::record::{
    Body, Chunk, ConnectionId, Direction, Extent, Header, Progress, Record, Stage,
};
use zerocopy::{FromBytes, IntoBytes};

use super::{ReadError, Reader, Writer, of_shard, process_record};
use crate::config::SpanConfig;
use crate::discover::Process;
use crate::redact::Redaction;
use stream::{OpenRequests, RedactedStream};

/// What stands in place of what is hidden.
const FILLER: u8 = b'x';

/// What became of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redacted {
    /// Records written.
    pub records: u64,
    /// Connections of HTTP/2, of which nothing can be replayed.
    pub http2_connections: u64,
    /// Records left out because they are not understood.
    pub left_out: u64,
}

/// Why a recording could not be redacted to its end.
#[derive(Debug)]
pub enum RedactError {
    /// It can't be read; what was read before is written.
    Read(ReadError),
    /// The other one can't be written.
    Write(io::Error),
}

impl fmt::Display for RedactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "{error}"),
            Self::Write(error) => write!(f, "writing failed: {error}"),
        }
    }
}

impl std::error::Error for RedactError {}

/// Writes what `reader` has, without secrets: those that `spans` says, and those that the run hid.
///
/// # Errors
/// See [`RedactError`].
pub fn redact<R: Read, W: Write>(
    reader: &mut Reader<R>,
    writer: &mut Writer<W>,
    spans: &SpanConfig,
) -> Result<Redacted, RedactError> {
    let mut masks = Masks {
        spans,
        redaction: spans.redaction(),
        connections: HashMap::new(),
        http2_connections: 0,
    };
    let mut written = Ok(());
    let outcome = loop {
        let mut take = |record: &Record<'_>, bytes: &[u8]| {
            if let Some(masked) = masks.mask(record, bytes) {
                written = writer.write(&masked);
            }
        };
        match reader.read(&mut take) {
            Ok(true) if written.is_ok() => {}
            Ok(true) => break Ok(()),
            Ok(false) => break Ok(()),
            Err(error) => break Err(RedactError::Read(error)),
        }
    };
    written.map_err(RedactError::Write)?;
    outcome?;
    Ok(Redacted {
        records: writer.records(),
        http2_connections: masks.http2_connections,
        left_out: reader.unknown() + reader.undecodable(),
    })
}

struct Masks<'a> {
    spans: &'a SpanConfig,
    redaction: Redaction,
    connections: HashMap<ConnectionId, RedactedConnection>,
    http2_connections: u64,
}

/// What was said on a connection so far.
#[derive(Debug, Default)]
struct RedactedConnection {
    /// By [`Direction`].
    streams: [RedactedStream; 2],
    /// Requests whose responses are to come.
    asked: OpenRequests,
    is_http2: bool,
}

impl Masks<'_> {
    /// The record without secrets; `None` if nothing can be told of it.
    fn mask(&mut self, record: &Record<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut masked = bytes.to_vec();
        match record.body {
            Body::Chunk {
                chunk, direction, ..
            } => self.mask_chunk(&chunk, direction, &mut masked)?,
            Body::Progress {
                mut progress,
                stage,
            } => {
                if matches!(stage, Stage::Closed | Stage::Reset) {
                    self.connections.remove(&progress.connection);
                }
                mask_extent(&mut progress.ingress);
                mask_extent(&mut progress.egress);
                put::<Progress>(&progress, &mut masked)?;
            }
            Body::Process(json) => {
                let mut process: Process = serde_json::from_slice(json).ok()?;
                process.command_args.clear();
                process.mask(&self.redaction);
                masked = of_shard(record.shard, process_record(record.time_ns, &process));
            }
            Body::Open { open, .. } => {
                self.connections.remove(&open.connection);
            }
            Body::Settings(json) => {
                let told: SpanConfig = serde_json::from_slice(json).ok()?;
                self.redaction = wider(self.spans, &told).redaction();
            }
            // Names that the cluster gives, as attributes of its pods are.
            Body::Peers(_) => {}
            Body::Life { .. }
            | Body::Clock(_)
            | Body::Task { .. }
            | Body::Caller(_)
            | Body::Sampling(_) => {}
        }
        Some(masked)
    }

    fn mask_chunk(&mut self, chunk: &Chunk, direction: Direction, masked: &mut [u8]) -> Option<()> {
        let mut told = *chunk;
        mask_tail(&mut told.tail);
        mask_extent(&mut told.opposite);
        put::<Chunk>(&told, masked)?;
        let begin = size_of::<Header>() + size_of::<Chunk>();
        let bytes = masked.get_mut(begin..)?;
        let captured = usize::try_from(chunk.captured).ok()?;
        // What follows is padding.
        bytes.get_mut(captured..)?.fill(0);
        let connection = self.connections.entry(chunk.connection).or_default();
        let bytes = &mut bytes[..captured];
        let is_http2 = stream::begins_http2(bytes);
        if is_http2 && !connection.is_http2 {
            connection.is_http2 = true;
            self.http2_connections += 1;
        }
        let [ingress, egress] = &mut connection.streams;
        let (own, other) = match direction {
            Direction::Ingress => (ingress, egress),
            Direction::Egress => (egress, ingress),
        };
        own.mask(
            chunk.position,
            bytes,
            &mut connection.asked,
            &self.redaction,
        );
        if own.is_opaque() {
            other.make_opaque();
        }
        Some(())
    }
}

/// What is hidden by what was `given`, and what the run hid beside it. What the run let pass
/// beyond that is no reason to hand it on.
fn wider(given: &SpanConfig, told: &SpanConfig) -> SpanConfig {
    let names = [
        &given.sensitive_query_params_add,
        &told.sensitive_query_params_add,
    ];
    let names = names.into_iter().flatten().flatten().cloned();
    SpanConfig {
        sensitive_query_params_add: Some(names.collect()),
        ..given.clone()
    }
}

/// Puts a body back behind its header.
fn put<T: IntoBytes + FromBytes + zerocopy::Immutable>(body: &T, record: &mut [u8]) -> Option<()> {
    let begin = size_of::<Header>();
    let place = record.get_mut(begin..begin + size_of::<T>())?;
    place.copy_from_slice(body.as_bytes());
    Some(())
}

fn mask_extent(extent: &mut Extent) {
    mask_tail(&mut extent.tail);
}

/// Of the last bytes of a transfer only what ends a chunked body matters.
fn mask_tail(tail: &mut [u8]) {
    for byte in tail {
        if !matches!(byte, b'0' | b'\r' | b'\n') {
            *byte = FILLER;
        }
    }
}

#[cfg(test)]
mod tests;
