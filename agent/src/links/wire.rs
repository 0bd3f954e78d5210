//! By which numbers the two ends of a connection know each other's requests. Only arithmetic.

use wirespan_common::record::{ConnectionId, Direction, OPEN_COUNTED, OPEN_SEQUENCED, Open};
use wirespan_protocols::exchange::Role;

use super::{JoinKey, Meeting, OF_CARRIER, OF_STREAM, TcpPlace, TcpPoint};

/// `AF_UNIX` (include/linux/socket.h).
const AF_UNIX: u16 = 1;

/// What a connection is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// Nothing is known by which its other end could be found.
    #[default]
    Unknown,
    /// TCP.
    Tcp {
        /// Sequence numbers of the first byte that was ever read, and written.
        starts: [u32; 2],
        /// Bytes that had moved before the first one that was seen, by direction.
        firsts: [u64; 2],
    },
    /// A TLS object on TCP: the socket's sequence numbers.
    Carried {
        /// As those of TCP.
        starts: [u32; 2],
    },
    /// A Unix socket.
    Unix {
        /// Its own inode number.
        own: ConnectionId,
        /// That of the socket at its other end; 0 of a client's that was not accepted yet.
        peer: ConnectionId,
    },
}

impl Wire {
    /// As an `Open` tells it, whose positions begin at `base` in what is heard of the connection.
    #[must_use]
    pub fn of(open: &Open, base: u64) -> Self {
        const COUNTED: u8 = OPEN_SEQUENCED | OPEN_COUNTED;
        if open.family == AF_UNIX {
            return Self::Unix {
                own: open.connection,
                peer: open.peer,
            };
        }
        if open.flags & COUNTED != COUNTED {
            return Self::Unknown;
        }
        Self::Tcp {
            starts: [0, 1].map(|direction| {
                let first = open.first_positions[direction] as u32;
                open.first_sequences[direction].wrapping_sub(first)
            }),
            firsts: open.first_positions.map(|first| first.wrapping_sub(base)),
        }
    }

    /// Of a TLS object that is on this.
    #[must_use]
    pub fn carried(self) -> Self {
        match self {
            Self::Tcp { starts, .. } | Self::Carried { starts } => Self::Carried { starts },
            Self::Unix { .. } | Self::Unknown => Self::Unknown,
        }
    }

    /// Sequence numbers of the first byte that was ever read, and written.
    #[must_use]
    pub fn starts(&self) -> Option<[u32; 2]> {
        match self {
            Self::Tcp { starts, .. } | Self::Carried { starts } => Some(*starts),
            Self::Unix { .. } | Self::Unknown => None,
        }
    }

    /// By what the other end knows the request that begins at `position`, or on `stream`, if that
    /// is known so early.
    #[must_use]
    pub fn meeting(&self, role: Role, position: u64, stream: Option<u64>) -> Option<Meeting> {
        let requests = requests_of(role);
        match (*self, stream) {
            (Self::Tcp { starts, .. } | Self::Carried { starts }, Some(stream)) => {
                Some(tcp(role, starts, OF_STREAM | stream))
            }
            (Self::Tcp { starts, firsts }, None) => {
                let at = firsts[requests as usize].wrapping_add(position);
                Some(tcp(role, starts, at & !(OF_STREAM | OF_CARRIER)))
            }
            (Self::Unix { own, peer }, stream) => {
                let client = match role {
                    Role::Client => own,
                    Role::Server => peer,
                };
                (client != 0).then_some(Meeting::Unix(client, stream))
            }
            (Self::Carried { .. } | Self::Unknown, _) => None,
        }
    }

    /// Where on its TCP connection a request is that was read: it begins at `position`, or was read
    /// when the socket had come to `sequences`, where it is encrypted.
    #[must_use]
    pub fn place(
        &self,
        position: u64,
        is_stream: bool,
        sequences: Option<[u32; 2]>,
    ) -> Option<TcpPlace> {
        const REQUESTS: usize = Direction::Ingress as usize;
        let (starts, at) = match *self {
            Self::Tcp { starts, firsts } => {
                let at = firsts[REQUESTS].wrapping_add(position) as u32;
                (starts, TcpPoint::Begin(at))
            }
            Self::Carried { starts } => {
                let end = sequences?[REQUESTS].wrapping_sub(starts[REQUESTS]);
                (starts, TcpPoint::EncryptedEnd(end))
            }
            Self::Unix { .. } | Self::Unknown => return None,
        };
        Some(TcpPlace {
            starts,
            at,
            is_stream,
        })
    }

    /// Whether [`Wire::meeting_at_answer`] may tell what [`Wire::meeting`] does not.
    #[must_use]
    pub fn meets_at_answer(&self) -> bool {
        matches!(self, Self::Carried { .. })
    }

    /// The same of a request in TLS, once it is answered. Both ends know how far the encrypted
    /// stream of the requests had come by then: a client that takes turns has sent no more.
    #[must_use]
    pub fn meeting_at_answer(&self, role: Role, sequences: [u32; 2]) -> Option<Meeting> {
        let Self::Carried { starts } = *self else {
            return None;
        };
        let requests = requests_of(role) as usize;
        let at = sequences[requests].wrapping_sub(starts[requests]);
        Some(tcp(role, starts, OF_CARRIER | u64::from(at)))
    }
}

/// Which way requests go.
fn requests_of(role: Role) -> Direction {
    match role {
        Role::Client => Direction::Egress,
        Role::Server => Direction::Ingress,
    }
}

fn tcp(role: Role, [ingress, egress]: [u32; 2], at: u64) -> Meeting {
    let starts = match role {
        Role::Client => [egress, ingress],
        Role::Server => [ingress, egress],
    };
    Meeting::Tcp(JoinKey { starts, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sequences: [u32; 2], positions: [u64; 2]) -> Open {
        Open {
            connection: 1,
            family: 2,
            first_sequences: sequences,
            first_positions: positions,
            flags: OPEN_SEQUENCED | OPEN_COUNTED,
            ..Open::default()
        }
    }

    #[test]
    fn both_ends_of_a_connection_find_the_same_key_whenever_they_are_first_seen() {
        // The client began at 1000 and the server at 2^32 - 5; the client has sent 300 bytes.
        let client = Wire::of(&open([u32::MAX - 4, 1000], [0, 0]), 0);
        let server = Wire::of(&open([1300, 95], [300, 100]), 0);
        let of_client = client.meeting(Role::Client, 450, None);
        assert!(of_client.is_some());
        assert_eq!(of_client, server.meeting(Role::Server, 150, None));
        assert_ne!(of_client, server.meeting(Role::Server, 151, None));
        // Positions of the one begin at 1, because it was met within something.
        let server = Wire::of(&open([1300, 95], [300, 100]), 1);
        assert_eq!(of_client, server.meeting(Role::Server, 151, None));
        assert_eq!(
            client.meeting(Role::Client, 450, Some(7)),
            server.meeting(Role::Server, 9, Some(7))
        );
    }

    #[test]
    fn in_tls_both_ends_know_how_far_the_request_was_encrypted() {
        let client = Wire::of(&open([50, 1000], [0, 0]), 0).carried();
        let server = Wire::of(&open([1000, 50], [0, 0]), 0).carried();
        assert_eq!(client.meeting(Role::Client, 0, None), None);
        let of_client = client.meeting_at_answer(Role::Client, [400, 1700]);
        assert!(of_client.is_some());
        assert_eq!(
            of_client,
            server.meeting_at_answer(Role::Server, [1700, 300])
        );
        assert!(server.meeting(Role::Server, 0, Some(3)).is_some());
    }

    #[test]
    fn without_numbers_nothing_is_known() {
        let unknown = Wire::of(&Open::default(), 0);
        assert_eq!(unknown, Wire::Unknown);
        assert_eq!(unknown.meeting(Role::Client, 0, Some(1)), None);
    }
}
