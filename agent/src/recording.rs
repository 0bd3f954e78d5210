//! Recordings: records laid end to end in a file, so that what happened once can be replayed. The
//! format adds nothing to the records but a header that says how to read them, and it interprets
//! none of them.
//!
//! ```text
//! offset  bytes
//!      0      8  magic: 89 'w' 's' 'p' 'a' 'n' 0d 0a
//!      8      4  0x0102_0304 in the byte order of the machine that wrote it, as are all integers
//!     12      2  version of this format: 1
//!     14      2  version of the records' layouts: 4; 2 and 3 are read too (`layouts.rs`)
//!     16      …  records, each of `Header::len` bytes, without padding, to the end of the file
//! ```
//!
//! The magic's first byte is not text and its last two are a line end, so that a file that went
//! through a text-mode transfer is recognised. A recording from a machine of the other byte order
//! is refused: its records can only be read where they were made. A file may be cut anywhere (the
//! disk was full, the daemon was killed): the whole records before the cut are read, then the cut
//! is an error that names its place.

mod layouts;
mod recorder;
mod redacted;
mod replay;

use std::fmt;
use std::io::{self, BufWriter, Read, Write};

use wirespan_common::connection::Connection;
use wirespan_common::record::{
    Caller, Chunk, Clock, ConnectionId, DecodeError, Header, Kind, Life, Open, Progress, Record,
    SamplingNote, Stage, TaskNote,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::config::SpanConfig;
use crate::discover::Process;
use crate::kubernetes::peer::PeerChange;

use layouts::Layout;
pub use recorder::{Recorded, Recorder, RecorderHandle, SETTLE_EVERY, create};
pub use redacted::{Redacted, redact};
pub use replay::{Replayed, replay, replay_while};

const MAGIC: [u8; 8] = *b"\x89wspan\r\n";
const BYTE_ORDER_MARK: u32 = 0x0102_0304;
const FORMAT_VERSION: u16 = 1;

/// Version of the layouts in `wirespan_common::record`. It goes up with each change of one of them.
pub const LAYOUT_VERSION: u16 = 4;
// A change of a size is a change of a layout; one that keeps all sizes has to be noticed by people.
const _: () = assert!(
    LAYOUT_VERSION == 4
        && size_of::<Header>() == 24
        && size_of::<Open>() == 96
        && size_of::<Chunk>() == 88
        && size_of::<Progress>() == 80
        && size_of::<Life>() == 24
        && size_of::<Clock>() == 8
        && size_of::<TaskNote>() == 24
        && size_of::<Caller>() == 56
);

/// No record is longer: a chunk carries at most 64 KiB, a process's description what its arguments
/// and environment hold, of which `ARG_MAX` allows 2 MiB.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How much is read from the file at a time: it should still lie in a near cache when it is
/// decoded.
const READ_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FileHeader {
    magic: [u8; 8],
    byte_order: u32,
    format: u16,
    layout: u16,
}
const _: () = assert!(size_of::<FileHeader>() == 16);

/// Writes a recording.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: BufWriter<W>,
    records: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(READ_BYTES, out);
        let header = FileHeader {
            magic: MAGIC,
            byte_order: BYTE_ORDER_MARK,
            format: FORMAT_VERSION,
            layout: LAYOUT_VERSION,
        };
        out.write_all(header.as_bytes())?;
        Ok(Self {
            out,
            records: 0,
            bytes: size_of::<FileHeader>() as u64,
        })
    }

    /// Appends the record that begins at `bytes[0]`; what follows it (the padding of a ring buffer)
    /// is left out. It need not be of a known kind.
    ///
    /// # Errors
    /// `InvalidInput` if the bytes are not one whole record, else those of the underlying writer.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let record = whole_record(bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not one whole record"))?;
        self.write_all(record, 1)
    }

    /// Appends `count` records that lie end to end.
    fn write_all(&mut self, bytes: &[u8], count: u64) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.records += count;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Records written so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes written so far, the header included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes out what is buffered and returns the underlying writer.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn finish(self) -> io::Result<W> {
        self.out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
    }
}

/// The record that `bytes` begin with.
fn whole_record(bytes: &[u8]) -> Option<&[u8]> {
    let len = Record::len_of(bytes).ok()?;
    bytes.get(..len).filter(|_| len <= RECORD_BYTES_MAX)
}

/// The record that says what the wall clock's offset is from `time_ns` on (both in nanoseconds).
#[must_use]
pub fn clock_record(time_ns: u64, wall_offset_ns: i64) -> Vec<u8> {
    user_record(Kind::Clock, time_ns, 0, Clock { wall_offset_ns }.as_bytes())
}

/// The record that describes a process. One that would be longer than [`RECORD_BYTES_MAX`] is told
/// without its arguments.
#[must_use]
pub fn process_record(time_ns: u64, process: &Process) -> Vec<u8> {
    // A map with text keys, text and numbers: there is nothing that JSON could not say.
    let json = serde_json::to_vec(process).unwrap_or_default();
    if json.len() + size_of::<Header>() > RECORD_BYTES_MAX && !process.command_args.is_empty() {
        let process = Process {
            command_args: Vec::new(),
            ..process.clone()
        };
        return process_record(time_ns, &process);
    }
    user_record(Kind::Process, time_ns, process.pid, &json)
}

/// The record that says that a process's description is on its way: one that describes nothing.
#[must_use]
pub fn expected_record(time_ns: u64, pid: u32) -> Vec<u8> {
    user_record(Kind::Process, time_ns, pid, &[])
}

/// The record that says how spans are made from `time_ns` on: with the defaults of this version
/// spelt out, so that another one's don't matter.
#[must_use]
pub fn settings_record(time_ns: u64, spans: &SpanConfig) -> Vec<u8> {
    // Texts and booleans: there is nothing that JSON could not say.
    let json = serde_json::to_vec(&spans.spelt_out()).unwrap_or_default();
    user_record(Kind::Settings, time_ns, 0, &json)
}

/// Addresses of one record of [`peers_records`]: far fewer bytes than [`RECORD_BYTES_MAX`].
const PEERS_PER_RECORD: usize = 1024;

/// The records that say who is behind addresses from `time_ns` on.
pub fn peers_records(time_ns: u64, changes: &[PeerChange]) -> impl Iterator<Item = Vec<u8>> {
    changes.chunks(PEERS_PER_RECORD).map(move |changes| {
        // Texts: there is nothing that JSON could not say.
        let json = serde_json::to_vec(changes).unwrap_or_default();
        user_record(Kind::Peers, time_ns, 0, &json)
    })
}

/// The record that says what another node's agent knows of a client.
#[must_use]
pub fn caller_record(time_ns: u64, caller: &Caller) -> Vec<u8> {
    user_record(Kind::Caller, time_ns, 0, caller.as_bytes())
}

/// The record that says that connections whose number is below this one are left out.
#[must_use]
pub fn sampling_record(time_ns: u64, left_out_below: u32) -> Vec<u8> {
    let note = SamplingNote {
        left_out_below,
        reserved: 0,
    };
    user_record(Kind::Sampling, time_ns, 0, note.as_bytes())
}

/// The record that answers how far both streams of a connection are, out of what the kernel side
/// remembers of it; `stage` says whether it is still there.
#[must_use]
pub fn progress_record(
    time_ns: u64,
    connection: ConnectionId,
    stage: Stage,
    known: &Connection,
) -> Vec<u8> {
    let progress = Progress {
        connection,
        stage: stage as u8,
        reserved: [0; 7],
        ingress: known.ingress,
        egress: known.egress,
    };
    user_record(Kind::Progress, time_ns, 0, progress.as_bytes())
}

/// The same record, of another shard than the first.
#[must_use]
pub fn of_shard(shard: u8, mut record: Vec<u8>) -> Vec<u8> {
    if let Some(place) = record.get_mut(std::mem::offset_of!(Header, shard)) {
        *place = shard;
    }
    record
}

fn user_record(kind: Kind, time_ns: u64, tgid: u32, body: &[u8]) -> Vec<u8> {
    let header = Header {
        // At most a few megabytes.
        len: (size_of::<Header>() + body.len()) as u32,
        kind: kind as u8,
        shard: 0,
        reserved: [0; 2],
        time_ns,
        tgid,
        tid: 0,
    };
    [header.as_bytes(), body].concat()
}

/// Why a recording cannot be read, or not to its end. Offsets are bytes from its start.
#[derive(Debug)]
pub enum ReadError {
    /// It does not begin as a recording does.
    NotARecording,
    /// It comes from a machine of the other byte order.
    OtherByteOrder,
    /// It has another format, or its records have other layouts.
    Version {
        /// Of the format.
        format: u16,
        /// Of the records' layouts.
        layout: u16,
    },
    /// The record at `offset` claims a length that no record has.
    Length {
        /// Where it begins.
        offset: u64,
        /// What it claims.
        len: u32,
    },
    /// The file ends within the record at `offset`.
    Cut {
        /// Where it begins.
        offset: u64,
    },
    /// Reading failed.
    Io {
        /// How far it came.
        offset: u64,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecording => f.write_str("not a recording of wirespan"),
            Self::OtherByteOrder => {
                f.write_str("recorded on a machine of the other byte order: replay it on one such")
            }
            Self::Version { format, layout } => write!(
                f,
                "recorded in format {format} with record layouts {layout}; \
                 this version reads format {FORMAT_VERSION} with layouts {} to {LAYOUT_VERSION}",
                layouts::OLDEST
            ),
            Self::Length { offset, len } => write!(
                f,
                "the record at byte {offset} claims a length of {len} bytes, which no record has"
            ),
            Self::Cut { offset } => {
                write!(f, "the file ends within the record at byte {offset}")
            }
            Self::Io { offset, .. } => write!(f, "reading failed at byte {offset}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Reads a recording, record by record, with memory for the longest of them and no more.
#[derive(Debug)]
pub struct Reader<R: Read> {
    input: R,
    /// `buffer[start..end]` has been read and not been given out.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where in the file `buffer[start]` stands.
    offset: u64,
    layout: Layout,
    /// A record that had to be built.
    built: Vec<u8>,
    records: u64,
    unknown: u64,
    undecodable: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn new(input: R) -> Result<Self, ReadError> {
        let mut reader = Self {
            input,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            offset: 0,
            layout: Layout::Current,
            built: Vec::new(),
            records: 0,
            unknown: 0,
            undecodable: 0,
        };
        let whole = reader.fill(size_of::<FileHeader>())?;
        let begun = &reader.buffer[..reader.end.min(MAGIC.len())];
        if begun != &MAGIC[..begun.len()] || begun.is_empty() {
            return Err(ReadError::NotARecording);
        }
        if !whole {
            return Err(ReadError::Cut { offset: 0 });
        }
        let (header, _) = FileHeader::read_from_prefix(&reader.buffer[..reader.end])
            .map_err(|_| ReadError::Cut { offset: 0 })?;
        if header.byte_order == BYTE_ORDER_MARK.swap_bytes() {
            return Err(ReadError::OtherByteOrder);
        }
        if header.byte_order != BYTE_ORDER_MARK {
            return Err(ReadError::NotARecording);
        }
        match Layout::of(header.layout) {
            Some(layout) if header.format == FORMAT_VERSION => reader.layout = layout,
            _ => {
                return Err(ReadError::Version {
                    format: header.format,
                    layout: header.layout,
                });
            }
        }
        reader.advance(size_of::<FileHeader>());
        Ok(reader)
    }

    /// Hands the next record to `take`; `false` at the end. Records of a kind that this version
    /// does not know, and such as contradict themselves, are passed over and counted, as the daemon
    /// does live.
    ///
    /// # Errors
    /// See [`ReadError`]; there is nothing more to read after one.
    pub fn read_record(&mut self, take: impl FnOnce(&Record<'_>)) -> Result<bool, ReadError> {
        self.read(|record, _| take(record))
    }

    /// The same, with the record's bytes.
    fn read(&mut self, take: impl FnOnce(&Record<'_>, &[u8])) -> Result<bool, ReadError> {
        loop {
            if !self.fill(size_of::<Header>())? {
                return if self.start == self.end {
                    Ok(false)
                } else {
                    Err(ReadError::Cut {
                        offset: self.offset,
                    })
                };
            }
            let len = self.record_len()?;
            if !self.fill(len)? {
                return Err(ReadError::Cut {
                    offset: self.offset,
                });
            }
            let begin = self.start;
            self.advance(len);
            let bytes = &self.buffer[begin..begin + len];
            let bytes = self.layout.current(bytes, &mut self.built);
            match Record::decode(bytes) {
                Ok((record, _)) => {
                    self.records += 1;
                    take(&record, bytes);
                    return Ok(true);
                }
                Err(DecodeError::Unknown) => self.unknown += 1,
                Err(DecodeError::Truncated | DecodeError::Inconsistent) => self.undecodable += 1,
            }
        }
    }

    /// Records given out so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Records of unknown kinds so far.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Records that contradict themselves so far.
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// Where in the file the next record begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn record_len(&self) -> Result<usize, ReadError> {
        let bytes = &self.buffer[self.start..self.end];
        match Record::len_of(bytes) {
            Ok(len) if len <= RECORD_BYTES_MAX => Ok(len),
            _ => Err(ReadError::Length {
                offset: self.offset,
                len: Header::read_from_prefix(bytes).map_or(0, |(header, _)| header.len),
            }),
        }
    }

    /// Makes `wanted` bytes available from `start` on; `false` if the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, ReadError> {
        if self.end - self.start >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < wanted {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(len) => self.end += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(ReadError::Io {
                        offset: self.offset + self.end as u64,
                        error,
                    });
                }
            }
        }
        Ok(true)
    }

    fn advance(&mut self, len: usize) {
        self.start += len;
        self.offset += len as u64;
    }
}

#[cfg(test)]
mod tests;
