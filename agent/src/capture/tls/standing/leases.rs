//! The leases on files with probes. It knows of no probes, and waits for nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::lease::{Lease, NoLease};
use crate::discover::tls::{FileId, FileVersion, Library};
use crate::visible::Visible;

type LeaseKey = (FileId, FileVersion);

/// See the module.
#[derive(Default)]
pub struct Leases {
    /// Somebody hears when one is wanted; none is taken before.
    are_heard: bool,
    held: HashMap<LeaseKey, HeldLease>,
}

struct HeldLease {
    library: Arc<Library>,
    lease: Lease,
    /// Since when somebody is known to wait for it.
    wanted: Option<Instant>,
}

impl Leases {
    /// They are taken from now on.
    pub fn begin(&mut self) {
        self.are_heard = true;
    }

    /// Has one on the file if there is one to be had. Returns whether nobody writes to the file, or
    /// waits to, as far as leases tell.
    pub fn take(&mut self, library: &Arc<Library>) -> bool {
        let key = (library.file, library.held.version());
        if let Some(held) = self.held.get(&key) {
            return held.wanted.is_none() && !held.lease.is_wanted();
        }
        if !self.are_heard {
            return true;
        }
        match Lease::take(&library.held) {
            Ok(lease) => {
                let held = HeldLease {
                    library: Arc::clone(library),
                    lease,
                    wanted: None,
                };
                self.held.insert(key, held);
                true
            }
            Err(NoLease::Written) => false,
            Err(NoLease::NotHere(error)) => {
                log::debug!(
                    "no lease on {}: {}; who writes to it does not wait for its probes to go",
                    Visible(library.name.display()),
                    Visible(error)
                );
                true
            }
        }
    }

    /// Files that somebody waits to write to. Who has waited for `longest` waits no longer.
    pub fn wanted(&mut self, longest: Duration) -> Vec<Arc<Library>> {
        let mut wanted = Vec::new();
        self.held.retain(|_, held| {
            if held.wanted.is_none() && held.lease.is_wanted() {
                held.wanted = Some(Instant::now());
            }
            if held.wanted.is_some() {
                wanted.push(Arc::clone(&held.library));
            }
            held.wanted.is_none_or(|since| since.elapsed() < longest)
        });
        wanted
    }

    /// Whether there is one on the file.
    pub fn has(&self, key: LeaseKey) -> bool {
        self.held.contains_key(&key)
    }

    /// Nothing stands on the file any longer.
    pub fn give_back(&mut self, key: LeaseKey) {
        self.held.remove(&key);
    }
}
