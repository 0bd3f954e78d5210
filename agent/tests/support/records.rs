//! Records made by hand, as the kernel side would write them: one process, its connections, a clock
//! that the test moves. Used by tests and benchmarks.
#![allow(dead_code, reason = "each user needs a part of it")]

use std::collections::HashMap;
use std::net::SocketAddr;

use wirespan::config::SpanConfig;
use wirespan::discover::Process;
use wirespan::kubernetes::peer::PeerChange;
use wirespan::recording::{
    Writer, clock_record, expected_record, peers_records, process_record, sampling_record,
    settings_record,
};
use wirespan_common::record::{
    CHUNK_AFTER_LOSS, CHUNK_CARRIED, Chunk, ConnectionId, Direction, Extent, Header, Kind, Life,
    LifeEvent, OPEN_COUNTED, OPEN_LATE, OPEN_RESUMED, OPEN_SEQUENCED, Open, Progress, Stage,
    TaskEvent, TaskKind, TaskNote,
};
use zerocopy::IntoBytes;

/// The process that records speak of unless told otherwise.
pub const PID: u32 = 4242;
pub const MS: u64 = 1_000_000;

/// Writes records; time passes only where a test says so.
pub struct Recorder {
    pub records: Vec<Vec<u8>>,
    pub now_ns: u64,
    pub tgid: u32,
    extents: HashMap<ConnectionId, [Extent; 2]>,
    /// What TCP counts, and what else tells a socket from others.
    sockets: HashMap<ConnectionId, (u16, [u32; 2])>,
    opened: u16,
    /// What TCP's counts are of what is opened next, as both ends tell it.
    begins_at: Option<[u32; 2]>,
    /// What had moved on what is opened next before it was seen, in and out, if the kernel knew.
    moved_before: Option<[u64; 2]>,
    /// Which task and thread make the next calls.
    task: Option<(TaskKind, u64, u32)>,
    tid: Option<u32>,
    carried: Option<[u32; 2]>,
    again: bool,
    resumed: bool,
    lost: bool,
}

impl Recorder {
    /// A recording that begins with the clock: monotonic zero was `wall_offset_ns`.
    pub fn new(wall_offset_ns: i64) -> Self {
        Self {
            records: vec![clock_record(0, wall_offset_ns)],
            now_ns: 0,
            tgid: PID,
            extents: HashMap::new(),
            sockets: HashMap::new(),
            opened: 0,
            begins_at: None,
            moved_before: None,
            task: None,
            tid: None,
            carried: None,
            again: false,
            resumed: false,
            lost: false,
        }
    }

    /// Moves the clock.
    pub fn at(&mut self, now_ns: u64) -> &mut Self {
        self.now_ns = now_ns;
        self
    }

    /// Whose records the next ones are.
    pub fn of(&mut self, tgid: u32) -> &mut Self {
        self.tgid = tgid;
        (self.task, self.tid) = (None, None);
        self
    }

    /// On which of its threads.
    pub fn on_thread(&mut self, tid: u32) -> &mut Self {
        self.tid = Some(tid);
        self
    }

    /// And which of its tasks.
    pub fn as_task(&mut self, kind: TaskKind, id: u64, part: u32) -> &mut Self {
        self.task = Some((kind, id, part));
        self
    }

    /// How far the socket under a TLS object is after its next call.
    pub fn carried(&mut self, sequences: [u32; 2]) -> &mut Self {
        self.carried = Some(sequences);
        self
    }

    /// A Unix socket, by its own number and that of its other end.
    pub fn open_unix_to(&mut self, peer: ConnectionId, id: ConnectionId) -> &mut Self {
        self.open(
            Open {
                connection: id,
                family: 1,
                peer,
                ..Open::default()
            },
            b"/run/it",
        )
    }

    /// A runtime tells something of a task.
    pub fn note(
        &mut self,
        event: TaskEvent,
        kind: TaskKind,
        task: u64,
        other: u64,
        part: u32,
    ) -> &mut Self {
        self.note_with(event, kind, [task, other], part, &[])
    }

    /// The same of a task and another one, or what else it is about, with numbers behind it.
    pub fn note_with(
        &mut self,
        event: TaskEvent,
        kind: TaskKind,
        [task, other]: [u64; 2],
        part: u32,
        numbers: &[u64],
    ) -> &mut Self {
        let note = TaskNote {
            task,
            other,
            part,
            event: event as u8,
            kind: kind as u8,
            ancestors: numbers.len() as u8,
            after_loss: 0,
        };
        self.push(Kind::Task, note.as_bytes(), numbers.as_bytes())
    }

    /// A goroutine is born, and others may have been of whom nothing could be told.
    pub fn born_after_loss(&mut self, task: u64, other: u64, part: u32) -> &mut Self {
        let note = TaskNote {
            task,
            other,
            part,
            event: TaskEvent::Born as u8,
            kind: TaskKind::Goroutine as u8,
            ancestors: 0,
            after_loss: 1,
        };
        self.push(Kind::Task, note.as_bytes(), &[])
    }

    /// A task is born, with the tasks that it comes from, the nearest first.
    pub fn born(&mut self, kind: TaskKind, task: u64, ancestors: &[u64]) -> &mut Self {
        let other = ancestors.first().copied().unwrap_or(0);
        self.note_with(TaskEvent::Born, kind, [task, other], 0, ancestors)
    }

    /// A TCP connection that both ends saw from its beginning: ids, processes and addresses of the
    /// client and the server.
    pub fn open_both(
        &mut self,
        [client, server]: [(ConnectionId, u32, &str); 2],
        begins_at: [u32; 2],
    ) -> &mut Self {
        self.begins_at = Some([begins_at[1], begins_at[0]]);
        self.of(client.1).open_tcp(client.0, client.2, server.2);
        self.begins_at = Some(begins_at);
        self.of(server.1).open_tcp(server.0, server.2, client.2)
    }

    /// So many bytes had moved, in and out, on what is opened next.
    pub fn moved_before(&mut self, bytes: [u64; 2]) -> &mut Self {
        self.moved_before = Some(bytes);
        self
    }

    /// What TCP counts of what is opened next, in what is read and written.
    pub fn beginning_at(&mut self, counts: [u32; 2]) -> &mut Self {
        self.begins_at = Some(counts);
        self
    }

    /// The wall clock was set.
    pub fn clock(&mut self, wall_offset_ns: i64) -> &mut Self {
        self.records.push(clock_record(self.now_ns, wall_offset_ns));
        self
    }

    /// Connections whose number is below this one are left out from now on.
    pub fn leave_out_below(&mut self, below: u32) -> &mut Self {
        self.records.push(sampling_record(self.now_ns, below));
        self
    }

    /// Addresses changed hands.
    pub fn peers(&mut self, changes: &[PeerChange]) -> &mut Self {
        self.records.extend(peers_records(self.now_ns, changes));
        self
    }

    /// How spans are made was set.
    pub fn settings(&mut self, spans: &SpanConfig) -> &mut Self {
        self.records.push(settings_record(self.now_ns, spans));
        self
    }

    /// A description of the process is on its way.
    pub fn expected(&mut self) -> &mut Self {
        self.records.push(expected_record(self.now_ns, self.tgid));
        self
    }

    pub fn process(&mut self, process: &Process) -> &mut Self {
        self.records.push(process_record(self.now_ns, process));
        self
    }

    /// The process is described by a service name alone.
    pub fn named(&mut self, service: &str) -> &mut Self {
        let process = Process {
            pid: self.tgid,
            service_name: service.into(),
            ..Process::default()
        };
        self.process(&process)
    }

    pub fn open_tcp(&mut self, id: ConnectionId, local: &str, peer: &str) -> &mut Self {
        self.open_on(0, id, local, peer)
    }

    /// A TLS object, whose encrypted bytes move on the connection `carrier`.
    pub fn open_on(
        &mut self,
        carrier: ConnectionId,
        id: ConnectionId,
        local: &str,
        peer: &str,
    ) -> &mut Self {
        let [local, peer]: [SocketAddr; 2] =
            [local, peer].map(|text| text.parse().expect("address"));
        let bytes = |address: SocketAddr| {
            let mut bytes = [0; 16];
            match address {
                SocketAddr::V4(v4) => bytes[..4].copy_from_slice(&v4.ip().octets()),
                SocketAddr::V6(v6) => bytes = v6.ip().octets(),
            }
            bytes
        };
        self.open(
            Open {
                connection: id,
                carrier,
                family: if local.is_ipv4() { 2 } else { 10 },
                local_port: local.port(),
                peer_port: peer.port(),
                local_address: bytes(local),
                peer_address: bytes(peer),
                ..Open::default()
            },
            b"",
        )
    }

    pub fn open_unix(&mut self, id: ConnectionId, path: &[u8]) -> &mut Self {
        self.open(
            Open {
                connection: id,
                carrier: 0,
                family: 1,
                local_port: 0,
                peer_port: 0,
                ..Open::default()
            },
            path,
        )
    }

    fn open(&mut self, open: Open, path: &[u8]) -> &mut Self {
        let is_known = self.sockets.contains_key(&open.connection);
        let is_again = std::mem::take(&mut self.again) && is_known;
        let is_late = open.carrier != 0 && !is_again && self.extents.contains_key(&open.connection);
        if !is_again {
            self.opened = self.opened.wrapping_add(1).max(1);
            let first = u32::from(self.opened).wrapping_mul(0x9e37_79b9);
            let sequences = [first, first.rotate_left(16)];
            let sequences = self.begins_at.unwrap_or(sequences);
            self.sockets
                .insert(open.connection, (self.opened, sequences));
        }
        if !is_late {
            self.extents.insert(open.connection, Default::default());
        }
        let (socket, first_sequences) = self.sockets[&open.connection];
        let is_counted = self.begins_at.take().is_some() | self.moved_before.is_some();
        let flags = match (open.family, open.carrier) {
            _ if is_late => OPEN_LATE,
            (2 | 10, 0) if is_counted => OPEN_SEQUENCED | OPEN_COUNTED,
            (2 | 10, 0) => OPEN_SEQUENCED,
            _ => 0,
        };
        let flags = match std::mem::take(&mut self.resumed) {
            true => flags | OPEN_RESUMED,
            false => flags,
        };
        let open = Open {
            socket,
            first_sequences,
            first_positions: self.moved_before.take().unwrap_or_default(),
            flags,
            ..open
        };
        self.push(Kind::Open, open.as_bytes(), path)
    }

    /// What is opened next was opened before: the kernel side forgot it, and counts anew.
    pub fn again(&mut self) -> &mut Self {
        self.again = true;
        self
    }

    /// What is opened next was left out, and is followed again.
    pub fn resumed(&mut self) -> &mut Self {
        self.resumed = true;
        self.again()
    }

    /// Bytes move that the kernel side counts nowhere.
    pub fn miss(&mut self, id: ConnectionId, direction: Direction, len: u32) -> &mut Self {
        if let Some((_, sequences)) = self.sockets.get_mut(&id) {
            let sequence = &mut sequences[direction as usize];
            *sequence = sequence.wrapping_add(len);
        }
        self
    }

    pub fn read(&mut self, id: ConnectionId, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.chunk(id, Direction::Ingress, bytes, bytes.len())
    }

    pub fn write(&mut self, id: ConnectionId, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.chunk(id, Direction::Egress, bytes, bytes.len())
    }

    /// All of `bytes` moved; the first `captured` were copied.
    pub fn chunk(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        bytes: &[u8],
        captured: usize,
    ) -> &mut Self {
        let position = self.extents.entry(id).or_default()[direction as usize].position;
        self.count(id, direction, bytes.len() as u64, bytes);
        let extents = self.extents[&id];
        let own = extents[direction as usize];
        let cut = captured < bytes.len();
        let carried = self.carried.take();
        let after_loss = if std::mem::take(&mut self.lost) {
            CHUNK_AFTER_LOSS
        } else {
            0
        };
        let flags = after_loss | if carried.is_some() { CHUNK_CARRIED } else { 0 };
        let chunk = Chunk {
            connection: id,
            position,
            len: bytes.len() as u32,
            captured: captured as u32,
            direction: direction as u8,
            flags,
            carrier_sequences: carried.unwrap_or_default(),
            tail_len: if cut { own.tail_len } else { 0 },
            tail: if cut { own.tail } else { [0; 8] },
            task_kind: self.task.map_or(0, |(kind, ..)| kind as u8),
            task: self.task.map_or(0, |(_, id, _)| id),
            task_part: self.task.map_or(0, |(.., part)| part),
            opposite: extents[direction.opposite() as usize],
        };
        self.push(Kind::Chunk, chunk.as_bytes(), &bytes[..captured])
    }

    /// `len` bytes, the last of which are `last`, moved without a record.
    pub fn count(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        len: u64,
        last: &[u8],
    ) -> &mut Self {
        let extent = &mut self.extents.entry(id).or_default()[direction as usize];
        extent.position += len;
        if let Some((_, sequences)) = self.sockets.get_mut(&id) {
            let sequence = &mut sequences[direction as usize];
            *sequence = sequence.wrapping_add(len as u32);
        }
        extent.last_ns = self.now_ns;
        let tail_len = last.len().min(8);
        extent.tail[8 - tail_len..].copy_from_slice(&last[last.len() - tail_len..]);
        extent.tail_len = tail_len as u8;
        self
    }

    /// The last record never arrived.
    pub fn lose_last(&mut self) -> &mut Self {
        self.records.pop();
        self.lost = true;
        self
    }

    pub fn progress(&mut self, id: ConnectionId, stage: Stage) -> &mut Self {
        let [ingress, egress] = self.extents.get(&id).copied().unwrap_or_default();
        let progress = Progress {
            connection: id,
            stage: stage as u8,
            reserved: [0; 7],
            ingress,
            egress,
        };
        self.push(Kind::Progress, progress.as_bytes(), b"")
    }

    pub fn life(&mut self, event: LifeEvent, other: u32) -> &mut Self {
        let life = Life {
            event: event as u8,
            watched: 1,
            port: 0,
            other,
            comm: [0; 16],
        };
        self.push(Kind::Life, life.as_bytes(), b"")
    }

    /// The file that the records make.
    pub fn file(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).expect("memory");
        for record in &self.records {
            writer.write(record).expect("a record");
        }
        writer.finish().expect("memory")
    }

    fn push(&mut self, kind: Kind, body: &[u8], payload: &[u8]) -> &mut Self {
        let header = Header {
            len: (size_of::<Header>() + body.len() + payload.len()) as u32,
            kind: kind as u8,
            shard: 0,
            reserved: [0; 2],
            time_ns: self.now_ns,
            tgid: self.tgid,
            tid: self.tid.unwrap_or(self.tgid + 1),
        };
        self.records
            .push([header.as_bytes(), body, payload].concat());
        self
    }
}
