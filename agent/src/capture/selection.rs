//! What the kernel side knows of whom to select: ports, whether every exec is told, and whether
//! somebody looks for those who serve. It can be changed while programs run, by one thread; where
//! that is refused, what was before stays, as far as it was not replaced.
//!
//! It decides on nobody: who is watched is a matter of discovery.

use std::sync::{Arc, Mutex, PoisonError};

use aya::Ebpf;
use aya::maps::{Array, MapData};
use wirespan_common::ports::{PORT_WORDS, port_bit, port_word};
use wirespan_common::switch::Switch;

use super::StartError;
use super::reason::one_line;
use super::strategy::{self, Serving};
use crate::config::{Strategy, Targets};

/// Handles to what can be changed.
pub struct Selection {
    switches: Array<MapData, u32>,
    ports: Array<MapData, u64>,
    /// What stands in `ports`.
    words: Vec<u64>,
    strategy: Strategy,
    serving: Option<Serving>,
    attached: Arc<Mutex<Ebpf>>,
}

impl Selection {
    /// Nobody is selected yet.
    pub(super) fn new(strategy: Strategy, attached: &Arc<Mutex<Ebpf>>) -> Result<Self, StartError> {
        let mut ebpf = attached.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            switches: super::take_map(&mut ebpf, "SWITCHES")?,
            ports: super::take_map(&mut ebpf, "PORTS")?,
            words: vec![0; PORT_WORDS as usize],
            strategy,
            serving: None,
            attached: Arc::clone(attached),
        })
    }

    /// Selects what `targets` says, from now on. It may load a program, which takes milliseconds.
    ///
    /// # Errors
    /// What the kernel said, in one line.
    pub fn reconfigure(&mut self, targets: &Targets) -> Result<(), String> {
        // Execs matter only where what runs may be selected by that alone; listeners and children
        // are seen anyway.
        for (switch, is_on) in [
            (Switch::EveryExec, targets.hear_of_execs()),
            (Switch::AsksFirst, !targets.pods.is_empty()),
        ] {
            self.switches
                .set(switch as u32, u32::from(is_on), 0)
                .map_err(|error| one_line(&error))?;
        }
        let mut words = vec![0u64; PORT_WORDS as usize];
        for port in targets.open_ports.iter().cloned().flatten() {
            words[port_word(port) as usize] |= port_bit(port);
        }
        for (index, (old, new)) in (0..).zip(self.words.iter_mut().zip(words)) {
            if *old != new {
                self.ports
                    .set(index, new, 0)
                    .map_err(|error| one_line(&error))?;
                *old = new;
            }
        }
        // The socket tracepoints bring the socket, and need nobody else to find out who serves.
        let wants_serving =
            !targets.open_ports.is_empty() && self.strategy != Strategy::SocketTracepoints;
        if !wants_serving {
            self.serving = None;
        } else if self.serving.is_none() {
            let mut ebpf = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
            self.serving = strategy::attach_serving(&mut ebpf);
        }
        Ok(())
    }
}
