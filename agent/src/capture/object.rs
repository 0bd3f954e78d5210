//! The kernel side's objects, built into the daemon, and the constants set in them before they are
//! loaded. It attaches nothing.

#[cfg(test)]
mod accepted;
#[cfg(test)]
mod checks;
mod patch;
#[cfg(test)]
mod stack;

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::Map;
use aya::{Ebpf, EbpfLoader, Pod};
use aya_log::EbpfLogger;
use flate2::read::GzDecoder;
use wirespan_common::carriers::UnfitPlaces;
use wirespan_common::config::Offsets;
use wirespan_common::legacy::Constants;
use wirespan_common::shard::RING_BYTES;
use zerocopy::{FromBytes, IntoBytes};

use super::reason::one_line;
use super::ring::RINGS;
use super::{StartError, kernel_layout};
use crate::config::{CONNECTIONS_MAX_DEFAULT, CaptureConfig};
use crate::discover::ProcRoot;
use crate::visible::Visible;

/// What kernels with ring buffers take, as gzip.
static MODERN_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/wirespan.gz"));
/// What kernels without ring buffers, global data, loops and types take, as gzip.
static LEGACY_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/wirespan-legacy.gz"));

/// Which of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelSide {
    /// For kernels from 5.8 on.
    Modern,
    /// For those from 4.18 on. It does less; see `agent-ebpf/src/main.rs`.
    Legacy,
}

impl KernelSide {
    /// The object, an ELF file. It takes some milliseconds, and as much memory as it is large for
    /// as long as it is kept.
    ///
    /// # Errors
    /// The daemon's file is damaged.
    pub fn object(self) -> io::Result<Vec<u8>> {
        let compressed = match self {
            Self::Modern => MODERN_OBJECT,
            Self::Legacy => LEGACY_OBJECT,
        };
        let mut object = Vec::new();
        GzDecoder::new(compressed).read_to_end(&mut object)?;
        Ok(object)
    }

    /// Whether its programs can walk frames on this kernel.
    pub fn can_walk(self) -> bool {
        self == Self::Modern && super::strategy::can_walk()
    }

    /// How many of the shards that were asked for it serves.
    pub fn shards(self, asked: u8) -> u8 {
        match self {
            Self::Modern => asked,
            // Perf buffers are by processor, and put in order together.
            Self::Legacy => asked.min(1),
        }
    }
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
const OF_CONTEXT: [&str; 10] = [
    "ASKED",
    "CALLS",
    "HEAD_PARTS",
    "LEAVING",
    "SERVED",
    "SERVERS",
    "SERVING",
    "TOLD",
    "TURNS",
    "WIDENED",
];

/// Loads maps; programs are loaded as they are attached.
pub fn load(
    side: KernelSide,
    layout: &Offsets,
    config: &CaptureConfig,
) -> Result<Ebpf, StartError> {
    match side {
        KernelSide::Modern => load_modern(layout, config),
        KernelSide::Legacy => load_legacy(layout, config),
    }
}

fn load_legacy(layout: &Offsets, config: &CaptureConfig) -> Result<Ebpf, StartError> {
    let constants = Constants {
        offsets: *layout,
        own_process: ProcRoot::host().own_pid(),
    };
    let mut object = KernelSide::Legacy
        .object()
        .map_err(|error| StartError::Load(one_line(&error)))?;
    patch::set(&mut object, &constants).map_err(StartError::Load)?;
    let connections_max = config.connections_max.unwrap_or(CONNECTIONS_MAX_DEFAULT);
    EbpfLoader::new()
        .btf(None)
        .map_max_entries("CONNECTIONS", connections_max)
        .map_max_entries("VERDICTS", connections_max)
        .load(&object)
        .map_err(|error| StartError::Load(one_line(&error)))
}

fn load_modern(layout: &Offsets, config: &CaptureConfig) -> Result<Ebpf, StartError> {
    let offsets = Shared(*layout);
    let log_level = if config.bpf_debug {
        aya_log::Level::Debug as u8
    } else {
        LOG_NOTHING
    };
    let own_process = ProcRoot::host().own_pid();
    let connections_max = config.connections_max.unwrap_or(CONNECTIONS_MAX_DEFAULT);
    let propagates = u8::from(config.carriers.is_on());
    let object = KernelSide::Modern
        .object()
        .map_err(|error| StartError::Load(one_line(&error)))?;
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
