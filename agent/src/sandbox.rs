//! What the daemon gives up of its own rights once it is known what the run needs: capabilities,
//! and system calls that would change others. What is given up never comes back, and threads that
//! begin later have it no more than the one that gave it up. Processes that are watched lie open to
//! the daemon for its whole life, so that most of what it starts with it needs to its end.

mod calls;
mod capabilities;

use std::fmt;

pub use capabilities::{KeptCapability, Needs};

use crate::visible::Visible;

/// What is left.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    kept: Vec<KeptCapability>,
    /// Why system calls are not forbidden.
    open: Option<String>,
}

/// Gives up, on this thread and those that it starts later, what a run with these needs does
/// without.
///
/// # Errors
/// What the kernel refused, in one line. What was given up by then stays given up.
pub fn enter(needs: Needs) -> Result<Confinement, String> {
    let kept = capabilities::keep(needs).map_err(|error| format!("capabilities: {error}"))?;
    Ok(Confinement {
        kept,
        open: calls::forbid().err(),
    })
}

/// Gives up every capability of this thread: it works with what was opened for it, or with what
/// comes from a network. Where the kernel refuses, it goes on as it is.
pub fn without_rights() {
    if let Err(error) = capabilities::give_up_all() {
        log::debug!("a thread keeps its capabilities: {}", Visible(error));
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kept.is_empty() {
            f.write_str("keeps no capability")?;
        } else {
            f.write_str("keeps ")?;
        }
        for (index, kept) in self.kept.iter().enumerate() {
            let comma = if index == 0 { "" } else { "; " };
            write!(f, "{comma}{} to {}", kept.name, kept.to)?;
        }
        match &self.open {
            None => f.write_str(
                "; starts no program, and neither traces, signals nor writes into other processes",
            ),
            Some(why) => write!(f, "; system calls stay as they were: {why}"),
        }
    }
}
