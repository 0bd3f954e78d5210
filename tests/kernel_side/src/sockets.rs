//! A socket, as far as copying knows it.

use wirespan_common::record::ConnectionId;

/// A socket that somebody holds open.
#[derive(Clone, Copy)]
pub struct Socket {
    /// Its inode number.
    pub id: ConnectionId,
    /// Address of its `struct sock`.
    pub sk: u64,
}
