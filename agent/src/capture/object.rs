//! The kernel side's object, built into the daemon, and the constants set in it before it is
//! loaded. It attaches nothing.

#[cfg(test)]
mod stack;

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::Map;
use aya::{Ebpf, EbpfLoader, Pod};
use aya_log::EbpfLogger;
use flate2::read::ZlibDecoder;
use wirespan_common::carriers::UnfitPlaces;
use wirespan_common::config::Offsets;
use wirespan_common::shard::RING_BYTES;
use zerocopy::{FromBytes, IntoBytes};

use super::reason::one_line;
use super::ring::RINGS;
use super::{StartError, kernel_layout};
use crate::config::{CONNECTIONS_MAX_DEFAULT, CaptureConfig};
use crate::discover::ProcRoot;
use crate::visible::Visible;

/// As `build.rs` left it.
static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/wirespan.zlib"));

/// The object, an ELF file. It takes some milliseconds, and more than a megabyte for as long as it
/// is kept.
///
/// # Errors
/// The daemon's file is damaged.
pub fn bytes() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(COMPRESSED).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A type whose bytes the kernel and user space share.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Shared<T>(pub T);

// SAFETY: any bytes are a valid T (FromBytes), T has no holes (IntoBytes), and it owns nothing.
unsafe impl<T: FromBytes + IntoBytes + Copy + 'static> Pod for Shared<T> {}

/// Below every level of the kernel side's log. The verifier knows the value when it reads a
/// program, and drops what can't be reached.
const LOG_NOTHING: u8 = 0;

/// Maps of what is known of requests as they are sent, where anybody asks.
const OF_CONTEXT: [&str; 8] = [
    "ASKED",
    "CALLS",
    "HEAD_PARTS",
    "LEAVING",
    "SERVED",
    "SERVERS",
    "SERVING",
    "WIDENED",
];

/// Loads maps; programs are loaded as they are attached.
pub fn load(layout: &Offsets, config: &CaptureConfig) -> Result<Ebpf, StartError> {
    let offsets = Shared(*layout);
    let log_level = if config.bpf_debug {
        aya_log::Level::Debug as u8
    } else {
        LOG_NOTHING
    };
    let own_process = ProcRoot::host().own_pid();
    let connections_max = config.connections_max.unwrap_or(CONNECTIONS_MAX_DEFAULT);
    let propagates = u8::from(config.carriers.is_on());
    let object = bytes().map_err(|error| StartError::Load(one_line(&error)))?;
    let unfit = if config.carriers.is_on() {
        // Where it is not known, nothing is enrolled, which is refused with the reason later.
        Shared(kernel_layout::unfit_places().unwrap_or_default())
    } else {
        Shared(UnfitPlaces::default())
    };
    let mut loader = EbpfLoader::new();
    for ring in RINGS.iter().take(config.shards.into()) {
        loader.map_max_entries(ring, RING_BYTES);
    }
    if !config.carriers.is_on() {
        // Nobody writes to them.
        for map in OF_CONTEXT {
            loader.map_max_entries(map, 1);
        }
    }
    loader
        // Only fexit needs the kernel's types, and asks for them itself.
        .btf(None)
        .override_global("OFFSETS", &offsets, true)
        .override_global("OWN_PROCESS", &own_process, true)
        .override_global("SHARDS", &config.shards, true)
        .override_global("PROPAGATES", &propagates, true)
        .override_global("UNFIT_PLACES", &unfit, true)
        .override_global("SAMPLED_FROM", &config.sampled_from, true)
        .override_global(aya_log::LEVEL, &log_level, true)
        .map_max_entries("CONNECTIONS", connections_max)
        .map_max_entries("VERDICTS", connections_max)
        .load(&object)
        .map_err(|error| StartError::Load(one_line(&error)))
}

/// All maps by name, for programs that are loaded apart (`tls/loader.rs`): what a program refers to
/// and is not among them keeps it from being loaded.
pub fn maps(ebpf: &Ebpf) -> HashMap<String, OwnedFd> {
    let descriptor = |map: &Map| {
        let data = match map {
            Map::Array(data)
            | Map::HashMap(data)
            | Map::LruHashMap(data)
            | Map::PerCpuArray(data)
            | Map::PerCpuHashMap(data)
            | Map::PerCpuLruHashMap(data)
            | Map::RingBuf(data) => data,
            _ => return None,
        };
        data.fd().as_fd().try_clone_to_owned().ok()
    };
    ebpf.maps()
        .filter_map(|(name, map)| Some((name.to_owned(), descriptor(map)?)))
        .collect()
}

/// Passes the kernel side's log on to the daemon's.
pub fn start_log(ebpf: &mut Ebpf) -> Option<EbpfLogger<&'static dyn log::Log>> {
    EbpfLogger::init(ebpf)
        .inspect_err(|error| log::warn!("no log from the kernel side: {}", Visible(error)))
        .ok()
}
