//! A program that moves bytes on one connection, and what the kernel side makes of it: the steps of
//! `capture::take_note`, without what asks sockets.

use wirespan_common::connection::{Connection, NO_DIRECTION};
use wirespan_common::record::{Direction, Extent};
use wirespan_common::watch::{NO_BOUNDARY, VerdictKind, Watch};

use crate::copy::copy;
use crate::kernel::{self, Buffer, Kernel, Sent};
use crate::maps::{self, Frames, PARTS_AT_ONCE, PAYLOAD_ROOM, Scratch};
use crate::memory::Current;
use crate::sockets::Socket;
use crate::syscall::{Buffers, Call, Iovec, MMSGHDR_SIZE};
use crate::transfer::Transfer;
use crate::{frames, policy, records};

/// In which way a call says where its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `read`, `send`: the first of the parts.
    One,
    /// `writev`.
    Vector,
    /// `sendmsg`.
    Message,
    /// `sendmmsg`, a message for each part.
    Messages,
    /// `sendfile`.
    Unmapped,
}

/// Bytes that a call moved.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Which way.
    pub direction: Direction,
    /// How it was told where they are.
    pub shape: Shape,
    /// Address and length of each part, as the process wrote them down.
    pub parts: Vec<(u64, u64)>,
    /// How many bytes the call moved, at least 1.
    pub len: u32,
}

/// The program, its connection, and what the kernel side remembers of it.
pub struct Program {
    watch: Watch,
    connection: Connection,
    scratch: Box<Scratch>,
}

/// Where lists of parts lie.
const LISTS_AT: u64 = 0x1000_0000;
/// Where descriptions of messages lie.
const MESSAGES_AT: u64 = 0x2000_0000;

impl Program {
    /// A program that is watched so. What this thread knew of another one is forgotten.
    #[must_use]
    pub fn new(watch: Watch) -> Self {
        kernel::with(|kernel| *kernel = Kernel::default());
        maps::forget_frames();
        let connection = Connection {
            direction: NO_DIRECTION,
            ..Connection::default()
        };
        let nothing = Moved {
            direction: Direction::Ingress,
            shape: Shape::Unmapped,
            parts: Vec::new(),
            len: 1,
        };
        Self {
            watch,
            connection,
            scratch: Box::new(scratch(transfer(watch, &nothing))),
        }
    }

    /// User space says what the connection speaks, and where it knows frames to begin.
    pub fn decide(&mut self, verdict: VerdictKind, boundaries: [Option<u64>; 2]) {
        self.connection.verdict = verdict as u8;
        kernel::with(|kernel| {
            kernel.boundaries = boundaries.map(|boundary| boundary.unwrap_or(NO_BOUNDARY));
        });
    }

    /// What the kernel side takes it for.
    #[must_use]
    pub fn speaks_http2(&self) -> bool {
        self.connection.verdict == VerdictKind::Http2 as u8
    }

    /// How far the stream of a direction has come.
    pub fn position(&mut self, direction: Direction) -> u64 {
        self.extent(direction).position
    }

    fn extent(&mut self, direction: Direction) -> &mut Extent {
        match direction {
            Direction::Ingress => &mut self.connection.ingress,
            Direction::Egress => &mut self.connection.egress,
        }
    }

    /// What the kernel side sends when the call ends, while just these buffers are mapped.
    pub fn moves(&mut self, moved: &Moved, mapped: &[Buffer]) -> Vec<Sent> {
        kernel::with(|kernel| {
            kernel.memory = mapped.to_vec();
            kernel.memory.extend(lists(moved));
        });
        let transfer = transfer(self.watch, moved);
        self.scratch.transfer = transfer;
        if self.connection.direction != moved.direction as u8 {
            policy::begin_turn(&mut self.connection, &transfer);
            if policy::may_become_http2(&self.connection) {
                frames::look_for_preface(&mut self.scratch, &mut self.connection);
            }
        }
        let position = self.position(moved.direction);
        let walks = self.speaks_http2();
        if walks {
            frames::walk(&mut self.scratch, &mut self.connection, position, 0);
        }
        if !walks || self.scratch.frames.is_dealt_with == 0 {
            self.record(moved, position);
        }
        self.extent(moved.direction).position = position + u64::from(moved.len);
        kernel::with(|kernel| std::mem::take(&mut kernel.sent))
    }

    /// As `capture::record`.
    fn record(&mut self, moved: &Moved, position: u64) {
        self.scratch.wanted = policy::wanted(&mut self.connection, &self.scratch.transfer);
        // What can't be read is counted there.
        let _: Result<(), _> = copy::<true>(&mut self.scratch);
        if self.scratch.copied == 0 {
            return;
        }
        records::describe(
            &mut self.scratch,
            &mut self.connection,
            position,
            moved.len,
            0,
        );
        let _: Result<(), _> = maps::send_chunk(&mut self.scratch);
        policy::spend(&mut self.connection, moved.direction, self.scratch.copied);
    }

    /// Addresses and lengths of payload that was to be read and is not mapped, since the last time.
    pub fn went_astray(&mut self) -> Vec<(u64, usize)> {
        kernel::with(|kernel| std::mem::take(&mut kernel.astray))
    }
}

fn transfer(watch: Watch, moved: &Moved) -> Transfer {
    let (buffers, address, count) = match moved.shape {
        Shape::One => {
            let (address, len) = moved.parts[0];
            (Buffers::One, address, len)
        }
        Shape::Vector => (Buffers::Vector, LISTS_AT, moved.parts.len() as u64),
        Shape::Message => (Buffers::Message, MESSAGES_AT, 0),
        Shape::Messages => (Buffers::Messages, MESSAGES_AT, moved.parts.len() as u64),
        Shape::Unmapped => (Buffers::Unmapped, 0, 0),
    };
    Transfer {
        current: Current { tgid: 1, tid: 1 },
        watch,
        socket: Socket { id: 1, sk: 0 },
        call: Call {
            fd: 3,
            direction: moved.direction,
            buffers,
            address,
            count,
            flags: 0,
        },
        message: 0,
        is_whole_call: true,
        len: moved.len,
        sees_all: true,
        sequence_is_known: false,
        copied_sequence: 0,
    }
}

/// The lists by which the process says where its parts are.
fn lists(moved: &Moved) -> [Buffer; 2] {
    let parts = moved.parts.iter();
    let list = parts.flat_map(|(address, len)| [address.to_ne_bytes(), len.to_ne_bytes()]);
    let lists = Buffer {
        address: LISTS_AT,
        bytes: list.flatten().collect(),
    };
    let mut messages = vec![0; moved.parts.len().max(1) * MMSGHDR_SIZE as usize];
    for (index, message) in messages.chunks_exact_mut(MMSGHDR_SIZE as usize).enumerate() {
        let list = LISTS_AT + index as u64 * 16;
        message[16..24].copy_from_slice(&list.to_ne_bytes());
        let len = moved.parts.get(index).map_or(0, |(_, len)| *len as u32);
        message[56..60].copy_from_slice(&len.to_ne_bytes());
    }
    let messages = Buffer {
        address: MESSAGES_AT,
        bytes: messages,
    };
    [lists, messages]
}

fn scratch(transfer: Transfer) -> Scratch {
    const NOWHERE: Iovec = Iovec { address: 0, len: 0 };
    Scratch {
        transfer,
        copied: 0,
        wanted: 0,
        next_part: 0,
        parts: [NOWHERE; PARTS_AT_ONCE],
        parts_known: 0,
        left: 0,
        message: 0,
        part: NOWHERE,
        passed: 0,
        tail: [0; 8],
        tail_len: 0,
        unreadable: 0,
        frames: Frames {
            position: 0,
            end: 0,
            done: 0,
            stretch_position: 0,
            stretch_address: 0,
            now_ns: 0,
            stretch_len: 0,
            is_proved: 0,
            is_lost: 0,
            is_dealt_with: 0,
            is_due: 0,
        },
        position: 0,
        len: 0,
        payload: [0; PAYLOAD_ROOM],
    }
}
