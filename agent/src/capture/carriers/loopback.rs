//! A connection that the daemon has with itself, for self-tests.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// For what is waited on it; what takes longer does not come.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// Opens one to who listens: the end that opened it, and the other one.
///
/// # Errors
/// It can't be opened.
pub fn connected(listener: &TcpListener) -> io::Result<[TcpStream; 2]> {
    let own = TcpStream::connect_timeout(&listener.local_addr()?, WAIT_MAX)?;
    let from = own.local_addr()?;
    let peer = loop {
        // Somebody else may have found the port.
        let (peer, address) = listener.accept()?;
        if address == from {
            break peer;
        }
    };
    for stream in [&own, &peer] {
        stream.set_read_timeout(Some(WAIT_MAX))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
    }
    Ok([own, peer])
}
