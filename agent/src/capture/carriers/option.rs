//! The program that carries by an option of TCP, with the maps that are its alone: the one that is
//! tried and the one that works know nothing of each other. No socket is enrolled for it.

mod seat;
mod trial;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_map_type;
use wirespan_common::carriers::{OptionEnd, OptionForm};

use super::set::{copies, made, modes, one, storage};
use crate::capture::bpf::{self, NewMap, ProgramUse};
use crate::capture::loader::Loader;
use crate::config::OptionName;

pub use trial::{OptionFault, run as try_out};

/// The program that is told of sockets, and of the headers of what they send.
const OPTIONS: &str = "carry_options";

/// Requests of which the self-test hears at most.
const TRIAL_TOLD_MAX: u32 = 4096;

/// The program and its maps.
pub struct OptionSet {
    loader: Loader,
    form: OwnedFd,
    name: OptionName,
}

impl OptionSet {
    /// Loads it. `maps` are those that it shares with all others.
    ///
    /// # Errors
    /// What the kernel has against it, in one line.
    pub fn load(
        maps: &HashMap<String, OwnedFd>,
        mode: u32,
        name: OptionName,
    ) -> Result<Self, String> {
        let ends = made("storage of sockets", storage(size_of::<OptionEnd>()))?;
        let form = made("a map", one(&form(name, 0)))?;
        let mut all = copies(maps)?;
        let copy = form.try_clone().map_err(|error| error.to_string())?;
        all.insert("OPTION_ENDS".to_owned(), ends);
        all.insert("OPTION_FORM".to_owned(), copy);
        all.insert("CARRIER_MODE".to_owned(), made("a map", modes(mode))?);
        let mut loader = Loader::new(all);
        loader.load(ProgramUse::Sockets, &[OPTIONS])?;
        Ok(Self { loader, form, name })
    }

    /// What is to be told of sockets.
    pub fn sockets(&self) -> BorrowedFd<'_> {
        let loaded = self.loader.program(OPTIONS);
        loaded.expect("a set has it from the start")
    }

    /// The self-test listens there.
    fn tries_at(&self, port: u16) -> io::Result<()> {
        bpf::set(self.form.as_fd(), &0u32, &form(self.name, port))
    }
}

fn form(name: OptionName, trial_port: u16) -> OptionForm {
    OptionForm {
        kind: name.kind,
        reserved: 0,
        magic: name.magic,
        trial_port: trial_port.into(),
    }
}

/// What options said, by where a request begins, as the kernel side keeps it: first sequence
/// numbers of client and server, position, zero; the trace's id, and flags.
fn told() -> io::Result<OwnedFd> {
    bpf::create_map(&NewMap {
        kind: bpf_map_type::BPF_MAP_TYPE_LRU_HASH,
        key_size: size_of::<[u32; 4]>() as u32,
        value_size: size_of::<[u8; 24]>() as u32,
        max_entries: TRIAL_TOLD_MAX,
        flags: 0,
        types: None,
    })
}
