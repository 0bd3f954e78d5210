//! Whether a connection that announces itself is new, or was known and forgotten by the kernel
//! side, whose table has room for so many: the least recently used gives way. Only numbers are
//! compared.
//!
//! An inode number alone does not tell: the kernel counts them in 32 bits (`get_next_ino` of
//! fs/inode.c), so one that is still remembered here may be another socket's by now. TCP's own
//! sequence numbers tell it with certainty: both streams go on where they stood, or they don't.

use wirespan_common::record::{OPEN_SEQUENCED, Open};

use crate::endpoints::Endpoints;

/// What tells a socket from others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity {
    socket: u16,
    first_sequences: Option<[u32; 2]>,
}

/// What an announcement means for what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Nothing: it is another connection.
    New,
    /// It goes on where it was.
    Seamless,
    /// It goes on, after bytes that nobody saw.
    Missed,
    /// It goes on, and nobody knows whether bytes were missed.
    Unknown,
}

impl Identity {
    /// As the record tells it.
    #[must_use]
    pub fn of(open: &Open) -> Self {
        let is_sequenced = open.flags & OPEN_SEQUENCED != 0;
        Self {
            socket: open.socket,
            first_sequences: is_sequenced.then_some(open.first_sequences),
        }
    }

    /// What it means that a connection of this identity, which has come so far since (ingress
    /// first), is announced as `now`, with the same addresses or with others.
    #[must_use]
    pub fn again(&self, moved: [u64; 2], now: &Self, ends: [Option<&Endpoints>; 2]) -> Again {
        let same_ends = ends[0].is_some() && ends[0] == ends[1];
        let same_socket = same_ends && self.socket != 0 && self.socket == now.socket;
        match (self.first_sequences, now.first_sequences) {
            (Some(first), Some(now)) if same_ends => {
                let missed = [0, 1].map(|direction| {
                    let expected = first[direction].wrapping_add(moved[direction] as u32);
                    now[direction].wrapping_sub(expected).cast_signed()
                });
                match missed {
                    [0, 0] => Again::Seamless,
                    [read, written] if same_socket && read.min(written) >= 0 => Again::Missed,
                    _ => Again::New,
                }
            }
            (None, None) if same_socket => Again::Unknown,
            _ => Again::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(socket: u16, first_sequences: Option<[u32; 2]>) -> Identity {
        Identity {
            socket,
            first_sequences,
        }
    }

    #[test]
    fn sequence_numbers_tell_whether_a_connection_goes_on() {
        let ends = |peer: &str| Endpoints::Ip {
            local: Some(("10.0.0.1".into(), 80)),
            peer: Some((peer.into(), 4000)),
        };
        let (here, there) = (ends("10.0.0.2"), ends("10.0.0.3"));
        let known = identity(7, Some([u32::MAX - 9, 500]));
        // Forty bytes in, of which the count begins anew on the way, and six out.
        let moved = [(1 << 32) + 40, 6];
        let same = [Some(&here), Some(&here)];
        for (socket, first, ends, expected) in [
            (7, [30, 506], same, Again::Seamless),
            (8, [30, 506], same, Again::Seamless),
            (7, [35, 506], same, Again::Missed),
            (7, [30, 9000], same, Again::Missed),
            (8, [35, 506], same, Again::New),
            (7, [29, 506], same, Again::New),
            (7, [30, 506], [Some(&here), Some(&there)], Again::New),
            (7, [30, 506], [None, Some(&here)], Again::New),
        ] {
            let now = identity(socket, Some(first));
            assert_eq!(
                known.again(moved, &now, ends),
                expected,
                "{socket} {first:?}"
            );
        }
        let unix = identity(7, None);
        assert_eq!(unix.again(moved, &unix, same), Again::Unknown);
        assert_eq!(unix.again(moved, &identity(9, None), same), Again::New);
        let untold = identity(0, None);
        assert_eq!(untold.again(moved, &untold, same), Again::New);
    }
}
