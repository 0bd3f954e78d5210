//! Ports for servers that have to be told theirs. Below the range from which the kernel takes the
//! ports of outgoing connections, so that no client of another test sits on one by chance.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port that nobody listens on, and that this process did not give out before.
///
/// # Panics
/// All ports are taken.
#[must_use]
pub fn free() -> u16 {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let span = u32::from(LAST - FIRST);
    // Test executables that run side by side begin at different places.
    let start = std::process::id().wrapping_mul(7919) % span;
    for step in 0..span {
        let offset = (start + step) % span;
        let port = FIRST + u16::try_from(offset).expect("within the range");
        if !taken.contains(&port) && is_free(port) {
            taken.insert(port);
            return port;
        }
    }
    panic!("no port from {FIRST} to {LAST} is free");
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok()
}
