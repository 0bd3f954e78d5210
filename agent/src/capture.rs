//! The kernel side from the daemon's view: load it, attach it, tell it whom to watch, read what it
//! sends. The only room that knows aya. It understands no record beyond its existence.

mod bpf;
pub mod carriers;
mod feed;
pub mod kernel_layout;
mod limits;
mod loader;
mod losses;
mod object;
mod perf;
pub mod privileges;
mod reason;
mod ring;
mod sampling;
mod selection;
mod start;
mod strategy;
mod survey;
mod tls;
mod watch_list;

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use aya::Ebpf;
use aya_log::EbpfLogger;
use wirespan_common::loss::KernelLoss;

pub use carriers::{CarrierRefusal, Carriers};
pub use feed::Feed;
use feed::LOOK;
pub use limits::raise as raise_limits;
pub use losses::KernelLosses;
use object::KernelSide;
pub use ring::Wait;
pub use sampling::ConnectionSampling;
pub use selection::Selection;
use start::LoadedSide;
use strategy::ProgramExtent;
pub use survey::{Survey, survey};
pub use tls::{Attempt, Death, ProbedProcess, Spent, Standing, TlsProbes};
pub use watch_list::WatchList;

use kernel_layout::{KernelLayout, LayoutSource};

use crate::config::{CaptureConfig, Strategy, Targets};
use crate::visible::Visible;

/// The kernel side, running. Dropping it detaches everything; so does the process's end, however it
/// comes, because nothing is pinned.
pub struct Capture {
    /// How transfers are seen.
    pub strategy: Strategy,
    /// By which of the objects.
    side: KernelSide,
    /// Records, in order, for each shard.
    pub feeds: Vec<Feed>,
    /// Whom to watch.
    pub watch_list: WatchList,
    /// Whom it selects by itself; gone once it was asked for.
    selection: Option<Selection>,
    /// What the kernel side could not deliver.
    pub losses: KernelLosses,
    /// What it leaves out; gone once it was asked for.
    sampling: Option<ConnectionSampling>,
    /// Log lines of the kernel side, if they were asked for.
    log: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Holds the programs and their attachments. Shared with [`TlsProbes`].
    attached: Arc<Mutex<Ebpf>>,
    /// All maps, for programs that are loaded apart.
    maps: HashMap<String, OwnedFd>,
    /// What carries traces to other nodes, or why nothing does, where that was asked for.
    pub carriers: Option<Result<Carriers, CarrierRefusal>>,
}

/// Why capture can't start: one line that says what is missing and what to do.
#[derive(Debug)]
pub enum StartError {
    /// The process may not load programs.
    Privileges(privileges::Missing),
    /// It is not known where the kernel keeps its structures.
    Layout(kernel_layout::LayoutError),
    /// The object could not be loaded at all.
    Load(String),
    /// No strategy works; each with its reason.
    NoStrategy(Vec<(Strategy, String)>),
    /// A part that every strategy needs could not be attached.
    Hook {
        /// The program's name.
        hook: &'static str,
        /// What the kernel said.
        reason: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Privileges(missing) => missing.fmt(f),
            Self::Layout(error) => error.fmt(f),
            Self::Load(reason) => write!(f, "the kernel refused the eBPF object: {reason}"),
            Self::NoStrategy(tried) => {
                f.write_str("this kernel offers no way to see socket calls; tried ")?;
                for (index, (strategy, reason)) in tried.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "; " };
                    write!(f, "{comma}{strategy}: {reason}")?;
                }
                Ok(())
            }
            Self::Hook { hook, reason } => write!(f, "can't attach {hook}: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Capture {
    /// Carries context no longer, if others have come to handle the same sockets.
    pub fn carry_alone(&mut self) {
        if let Some(Ok(carriers)) = &self.carriers
            && let Err(refusal) = carriers.are_alone()
        {
            log::warn!("calls carry their trace no longer: {}", Visible(&refusal));
            self.carriers = Some(Err(refusal));
        }
    }

    /// Loads and attaches the kernel side. Nothing is watched yet but future listeners on the ports
    /// of `targets`.
    ///
    /// # Errors
    /// See [`StartError`]. Whatever had been attached by then is detached.
    pub fn start(config: &CaptureConfig, targets: &Targets) -> Result<Self, StartError> {
        if let Some(missing) = privileges::check().map_err(StartError::Privileges)? {
            log::warn!("{missing}");
        }
        crate::memory::keep_small();
        limits::raise();
        let layout = kernel_layout::find(&config.layout).map_err(StartError::Layout)?;
        tell_of(&layout);
        let loaded = start::start(&layout, config, ProgramExtent::Attach)?;
        // What it took is not wanted beside what programs for libraries take.
        crate::memory::give_back();
        start::tell_limits(&loaded, config);
        let LoadedSide {
            mut ebpf,
            side,
            strategy,
            ..
        } = loaded;
        let shards = side.shards(config.shards);
        let maps = object::maps(&ebpf);
        let watch_list = WatchList::new(&mut ebpf, shards)?;
        let is_modern = side == KernelSide::Modern;
        if config.node_links && is_modern {
            strategy::attach_node(&mut ebpf, &layout);
        }
        let carriers = if is_modern {
            let knows_context = || strategy::attach_context(&mut ebpf, &layout);
            Carriers::start_if_asked(&config.carriers, &maps, knows_context)
        } else {
            Carriers::refuse_if_asked(&config.carriers, start::CARRIES_NOTHING)
        };
        let log = if config.bpf_debug && is_modern {
            object::start_log(&mut ebpf)
        } else {
            None
        };
        let (readers, lost) = start::readers(&mut ebpf, side, shards)?;
        let losses = KernelLosses::new(&mut ebpf, shards, lost)?;
        let sampling = Some(ConnectionSampling::new(&mut ebpf)?);
        let attached = Arc::new(Mutex::new(ebpf));
        let feeds = (0..).zip(readers);
        let feeds = feeds.map(|(shard, reader)| Feed::new(shard, reader, &attached, &maps));
        let feeds = feeds.collect::<Result<_, _>>()?;
        let mut selection = Selection::new(strategy, &attached)?;
        selection.reconfigure(targets).map_err(StartError::Load)?;
        Ok(Self {
            strategy,
            side,
            feeds,
            watch_list,
            selection: Some(selection),
            losses,
            sampling,
            log,
            attached,
            maps,
            carriers,
        })
    }

    /// What tells the kernel side whom to select, for another thread. To be asked for once.
    ///
    /// # Errors
    /// It was asked for before.
    pub fn selection(&mut self) -> std::io::Result<Selection> {
        self.selection
            .take()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// What says which connections the kernel side leaves out, for another thread. To be asked for
    /// once.
    ///
    /// # Errors
    /// It was asked for before.
    pub fn sampling(&mut self) -> std::io::Result<ConnectionSampling> {
        self.sampling
            .take()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// What puts probes on TLS libraries, on whatever thread. None are there yet. To be asked for
    /// once.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn tls_probes(&mut self) -> std::io::Result<TlsProbes> {
        TlsProbes::new(
            Arc::clone(&self.attached),
            std::mem::take(&mut self.maps),
            self.side,
        )
    }

    /// Passes on what the kernel side logged since the last call.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }
}

/// Says whose layout is used, where it is not the kernel's own, and what is not done with it.
fn tell_of(layout: &KernelLayout) {
    for (source, reason) in &layout.refused {
        // Many kernels don't describe themselves, and then somebody else does.
        let level = match source {
            LayoutSource::Kernel => log::Level::Info,
            LayoutSource::File(_) | LayoutSource::Observation => log::Level::Warn,
        };
        log::log!(level, "no kernel layout by {source}: {}", Visible(reason));
    }
    if layout.source != LayoutSource::Kernel {
        log::info!("the kernel's layout is known by {}", layout.source);
    }
    for shortcoming in layout.shortcomings() {
        log::warn!("{}", Visible(shortcoming));
    }
    if let Some(why) = &layout.untried {
        log::info!("the kernel's layout could not be tried: {}", Visible(why));
    }
}

/// Takes a map out of the loaded object, as the type that its user wants.
fn take_map<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, StartError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| StartError::Load(format!("the object has no map {name}")))?;
    T::try_from(map).map_err(|error| StartError::Load(reason::one_line(&error)))
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SocketTracepoints => "socket_tracepoints",
            Self::Fexit => "fexit",
            Self::Kprobes => "kprobes",
            Self::SyscallTracepoints => "syscall_tracepoints",
            Self::Legacy => "legacy",
            Self::LegacyKprobes => "legacy_kprobes",
        })
    }
}

impl From<KernelLoss> for crate::health::Loss {
    fn from(loss: KernelLoss) -> Self {
        match loss {
            KernelLoss::RingFull => Self::RingFull,
            KernelLoss::RingShare => Self::RingShare,
            KernelLoss::ConnectionsFull => Self::ConnectionsFull,
            KernelLoss::UnreadableMemory => Self::UnreadableMemory,
            KernelLoss::ScratchBusy => Self::ScratchBusy,
            KernelLoss::WatchedFull => Self::WatchedFull,
            KernelLoss::TlsFull => Self::TlsFull,
            KernelLoss::TlsImplausible => Self::TlsImplausible,
            KernelLoss::TlsNested => Self::TlsNested,
            KernelLoss::TasksFull => Self::TasksFull,
        }
    }
}
