//! One set of the programs that carry trace context, with the maps that are theirs alone: the one
//! that is tried and the one that works know nothing of each other.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_map_type;
use wirespan_common::carriers::{ENROLLED_MAX, Talk};
use zerocopy::{Immutable, IntoBytes};

use crate::capture::bpf::{self, NewMap, ProgramUse};
use crate::capture::loader::Loader;

/// The program that is told of sockets.
const SOCKETS: &str = "carry_sockets";
/// The program that looks at messages.
const MESSAGES: &str = "carry_headers";

/// `BPF_F_NO_PREALLOC` (include/uapi/linux/bpf.h): what storage of sockets has to be made with.
const NO_PREALLOC: u32 = 1;

/// Programs and maps.
pub struct Set {
    loader: Loader,
    enrolled: OwnedFd,
}

impl Set {
    /// Loads them. `maps` are those that they share with all others.
    ///
    /// # Errors
    /// What the kernel has against them, in one line.
    pub fn load(maps: &HashMap<String, OwnedFd>, mode: u32) -> Result<Self, String> {
        let enrolled = made("a map of sockets", bpf::create_map(&enrolled()))?;
        let talks = made("storage of sockets", storage(size_of::<Talk>()))?;
        let modes = made("a map", modes(mode))?;
        let mut all = copies(maps)?;
        let copy = enrolled.try_clone().map_err(|error| error.to_string())?;
        all.insert("ENROLLED".to_owned(), copy);
        all.insert("TALKS".to_owned(), talks);
        all.insert("CARRIER_MODE".to_owned(), modes);
        let mut loader = Loader::new(all);
        loader.load(ProgramUse::Sockets, &[SOCKETS])?;
        loader.load(ProgramUse::Messages, &[MESSAGES])?;
        let set = Self { loader, enrolled };
        bpf::attach_messages(set.program(MESSAGES), set.enrolled.as_fd())
            .map_err(|error| format!("{MESSAGES}: {error}"))?;
        Ok(set)
    }

    /// What is to be told of sockets.
    pub fn sockets(&self) -> BorrowedFd<'_> {
        self.program(SOCKETS)
    }

    /// Enrols a connection of the daemon's own.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn enrol(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let socket = socket.as_raw_fd() as u64;
        // No cookie is that small on a machine that runs for more than a moment; in a set that is
        // only tried there are no others.
        bpf::set(self.enrolled.as_fd(), &socket, &socket)
    }

    /// Takes a connection out of those that are enrolled, if it is among them still. What was sent
    /// on it is not affected, and neither is what waits to be read.
    pub fn release(&self, cookie: u64) {
        // It may have ended.
        let _: io::Result<()> = bpf::remove(self.enrolled.as_fd(), &cookie);
    }

    fn program(&self, name: &str) -> BorrowedFd<'_> {
        let loaded = self.loader.program(name);
        loaded.expect("a set has it from the start")
    }
}

/// More of the same descriptors.
pub(super) fn copies(maps: &HashMap<String, OwnedFd>) -> Result<HashMap<String, OwnedFd>, String> {
    let copied = maps.iter().map(|(name, map)| {
        let copy = map.try_clone().map_err(|error| error.to_string())?;
        Ok((name.clone(), copy))
    });
    copied.collect()
}

/// What was made, or why not, in one line.
pub(super) fn made(what: &str, made: io::Result<OwnedFd>) -> Result<OwnedFd, String> {
    made.map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM) => format!("{what}: CAP_NET_ADMIN is missing"),
        _ => format!("{what}: {error}"),
    })
}

fn enrolled() -> NewMap<'static> {
    NewMap {
        kind: bpf_map_type::BPF_MAP_TYPE_SOCKHASH,
        key_size: size_of::<u64>() as u32,
        value_size: size_of::<u64>() as u32,
        max_entries: ENROLLED_MAX,
        flags: 0,
        types: None,
    }
}

/// Storage of sockets, of so many bytes each.
pub(super) fn storage(value_size: usize) -> io::Result<OwnedFd> {
    let types = bpf::load_btf(&types_of_storage(value_size))?;
    bpf::create_map(&NewMap {
        kind: bpf_map_type::BPF_MAP_TYPE_SK_STORAGE,
        key_size: size_of::<u32>() as u32,
        value_size: value_size as u32,
        max_entries: 0,
        flags: NO_PREALLOC,
        types: Some((types.as_fd(), [INTEGER, VALUE])),
    })
}

/// `MODE_*`, for programs.
pub(super) fn modes(mode: u32) -> io::Result<OwnedFd> {
    one(&mode)
}

/// A map of one value.
pub(super) fn one<T: IntoBytes + Immutable>(value: &T) -> io::Result<OwnedFd> {
    let map = bpf::create_map(&NewMap {
        kind: bpf_map_type::BPF_MAP_TYPE_ARRAY,
        key_size: size_of::<u32>() as u32,
        value_size: size_of::<T>() as u32,
        max_entries: 1,
        flags: 0,
        types: None,
    })?;
    bpf::set(map.as_fd(), &0u32, value)?;
    Ok(map)
}

/// Numbers of the types in [`types_of_storage`].
const INTEGER: u32 = 1;
const BYTE: u32 = 2;
const VALUE: u32 = 3;

/// Storage of sockets is made only with types of its key and its value (BTF,
/// Documentation/bpf/btf.rst): an integer, and as many bytes as a value has.
fn types_of_storage(value_size: usize) -> Vec<u8> {
    const KIND_INT: u32 = 1 << 24;
    const KIND_ARRAY: u32 = 3 << 24;
    const NAMES: &[u8] = b"\0int\0byte\0";
    const MAGIC_AND_VERSION: u32 = 0x0001_eb9f;
    const HEADER_LEN: u32 = 24;
    let types = [
        [1, KIND_INT, 4, 32].as_slice(),
        &[5, KIND_INT, 1, 8],
        &[0, KIND_ARRAY, 0, BYTE, INTEGER, value_size as u32],
    ]
    .concat();
    let types_len = (types.len() * size_of::<u32>()) as u32;
    let header = [
        MAGIC_AND_VERSION,
        HEADER_LEN,
        0,
        types_len,
        types_len,
        NAMES.len() as u32,
    ];
    let words = header.iter().chain(&types);
    let mut bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend_from_slice(NAMES);
    bytes
}
