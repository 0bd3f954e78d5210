//! Which deaths may be laid to probes. It takes none away.

use std::path::PathBuf;

use crate::discover::tls::Library;

/// A process died by a fault, soon after probes were put on files that it mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Which one it was.
    pub pid: u32,
    /// The signal that ended it.
    pub signal: u32,
    /// Those files, as it saw them. They have no probes any longer, nowhere.
    pub files: Vec<PathBuf>,
}

/// Whether a process died of what happened to the file: memory behind the end of a file is a bus
/// error, with or without probes.
pub fn was_cut_short(library: &Library, signal: u32) -> bool {
    let held = &library.held;
    let len = held.len_now().unwrap_or(0);
    signal == libc::SIGBUS as u32 && len < held.version().len
}

/// Signals that a processor's faults end a process with: SIGILL, SIGTRAP, SIGBUS, SIGSEGV.
pub const FAULTS: [u32; 4] = [
    libc::SIGILL as u32,
    libc::SIGTRAP as u32,
    libc::SIGBUS as u32,
    libc::SIGSEGV as u32,
];
