//! What one shard has of the kernel side: its ring, and a way to tell and ask of its connections.
//! It decodes no record, and decides nothing.

use std::collections::HashMap as ByName;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError};
use aya::programs::{Program, RawTracePoint, RawTracePointRunOptions, TestRun as _};
use wirespan_common::connection::{Connection, Held};
use wirespan_common::record::ConnectionId;
use wirespan_common::watch::{Verdict, VerdictValue};

use super::StartError;
use super::object::Shared;
use super::reason::one_line;
use super::ring::Reader;

/// Name of the program that [`Feed::look`] runs.
pub(super) const LOOK: &str = "look";

/// The kernel side, as one shard sees it.
pub struct Feed {
    shard: u8,
    reader: Reader,
    connections: HashMap<MapData, ConnectionId, Shared<Connection>>,
    verdicts: HashMap<MapData, ConnectionId, Shared<VerdictValue>>,
    /// Holds the programs.
    attached: Arc<Mutex<Ebpf>>,
}

impl Feed {
    pub(super) fn new(
        shard: u8,
        reader: Reader,
        attached: &Arc<Mutex<Ebpf>>,
        maps: &ByName<String, OwnedFd>,
    ) -> Result<Self, StartError> {
        Ok(Self {
            shard,
            reader,
            connections: handle(maps, "CONNECTIONS")?,
            verdicts: handle(maps, "VERDICTS")?,
            attached: Arc::clone(attached),
        })
    }

    /// Which shard it is for.
    #[must_use]
    pub fn shard(&self) -> u8 {
        self.shard
    }

    /// See [`Reader::drain`].
    pub fn drain(&mut self, most: usize, take: impl FnMut(&[u8])) -> usize {
        self.reader.drain(most, take)
    }

    /// See [`Reader::close`].
    pub fn close(&mut self) {
        self.reader.close();
    }

    /// See [`Reader::sleep`].
    pub fn sleep(&self, wake: BorrowedFd<'_>, longest: Duration) {
        self.reader.sleep(wake, longest);
    }

    /// Tells the kernel side what a connection carries. Of HTTP/2 it may be told again, to say of
    /// later boundaries.
    pub fn set_verdict(&mut self, connection: ConnectionId, verdict: Verdict) {
        // A full map evicts; the worst is that bytes are copied that nobody wants.
        let _: Result<(), _> = self.verdicts.insert(connection, Shared(verdict.into()), 0);
    }

    /// Lets the kernel side forget a connection: if it goes on, it is announced anew.
    pub fn forget(&mut self, connection: ConnectionId) {
        // The kernel side may have forgotten it first.
        let _: Result<(), _> = self.connections.remove(&connection);
        let _: Result<(), _> = self.verdicts.remove(&connection);
    }

    /// Has the kernel side look at a connection, and returns what it remembers of it and whether a
    /// descriptor still refers to its socket. `None` if it remembers nothing, or has no time: while
    /// another program is loaded, nobody waits for that. A kernel that can't run programs on demand
    /// (before 5.10) is believed to hold all sockets. One that it forgot and that another shard is
    /// told of by now is not remembered here.
    #[must_use]
    pub fn look(&self, connection: ConnectionId) -> Option<(Connection, bool)> {
        if !self.end_copying(connection) {
            return None;
        }
        let Shared(known) = self.connections.get(&connection, 0).ok()?;
        (known.shard == self.shard).then_some((known, known.held != Held::No as u8))
    }

    /// Has the kernel side look at a connection and take over a verdict by which it is not to be
    /// copied any more; returns whether it had time to. Where it can't be made to (before 5.10),
    /// that is dearer and not wrong.
    #[must_use]
    pub fn end_copying(&self, connection: ConnectionId) -> bool {
        let Ok(attached) = self.attached.try_lock() else {
            return false;
        };
        let program = attached.program(LOOK);
        let program: Option<&RawTracePoint> =
            program.and_then(|found: &Program| found.try_into().ok());
        if let Some(program) = program {
            let mut options = RawTracePointRunOptions::new();
            options.args[0] = connection;
            // Where it can't be run, nothing is found out.
            let _: Result<_, _> = program.test_run(options);
        }
        true
    }
}

/// A handle of its own to a map.
fn handle<T>(maps: &ByName<String, OwnedFd>, name: &'static str) -> Result<T, StartError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let refused = |reason: String| StartError::Load(format!("{name}: {reason}"));
    let map = maps
        .get(name)
        .ok_or_else(|| refused("the object has no such map".into()))?;
    let map = map.try_clone().map_err(|error| refused(one_line(&error)))?;
    MapData::from_fd(map)
        .and_then(Map::from_map_data)
        .and_then(T::try_from)
        .map_err(|error| refused(one_line(&error)))
}
