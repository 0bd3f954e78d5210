//! Programs that carry trace context to other nodes, by what watched processes send. They are
//! attached by links and to a map of their own, never pinned: all of it ends with the daemon,
//! however that comes.
//!
//! Nothing is enrolled before the same programs were tried on connections of the daemon's own
//! ([`trial`]): to enrol a socket changes how some kernels treat it.

#[cfg(test)]
mod accepted;
#[cfg(test)]
mod cases;
mod counts;
mod group;
mod leaving;
mod set;
mod trial;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use wirespan_common::carriers::{Carried, MODE_CHOSEN, MODE_HEADERS, MODE_PUBLIC, MODE_TRIAL};

use self::counts::CarriedCounts;
use self::leaving::UnfitConnections;
use self::set::Set;
pub use self::trial::Fault;
use super::{bpf, kernel_layout, strategy};
use crate::config::CarriersConfig;
use crate::discover::Process;
use crate::enrich::process::resource;
use crate::semconv;
use crate::span::Value;
use crate::visible::Visible;

/// What carries trace context. Dropping it ends that; nothing that was sent is affected.
pub struct Carriers {
    set: Set,
    group: File,
    #[allow(dead_code, reason = "held for its end")]
    link: OwnedFd,
    counts: CarriedCounts,
    leaving: UnfitConnections,
    config: CarriersConfig,
}

impl Drop for Carriers {
    fn drop(&mut self) {
        log::info!("context in headers: {}", self.counts);
    }
}

/// Why nothing is carried; in one line.
#[derive(Debug)]
pub enum CarrierRefusal {
    /// A map or a program can't be had.
    Load(String),
    /// Enrolled sockets work otherwise than others, or carry otherwise than meant.
    Trial(Fault),
    /// The control group can't be used.
    Group(String),
    /// Somebody else's programs are on the way.
    Others(u32),
}

impl fmt::Display for CarrierRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(reason) => write!(f, "the kernel refuses what it takes: {reason}"),
            Self::Trial(fault) => write!(f, "this kernel fails the self-test: {fault}"),
            Self::Group(reason) => write!(f, "no control group to attach to: {reason}"),
            Self::Others(count) => write!(
                f,
                "{count} other programs handle the sockets of its control group"
            ),
        }
    }
}

impl std::error::Error for CarrierRefusal {}

impl Carriers {
    /// Starts what is asked for, if anything is, and says what came of it. `attach_context` has the
    /// kernel side learn whose requests are sent, and is called only if the kernel passes.
    pub fn start_if_asked(
        config: &CarriersConfig,
        maps: &HashMap<String, OwnedFd>,
        attach_context: impl FnOnce() -> Result<(), String>,
    ) -> Option<Result<Self, CarrierRefusal>> {
        if !config.is_on() {
            return None;
        }
        let started = Self::start(config, maps, attach_context);
        match &started {
            Ok(_) => log::info!("calls of watched processes carry their trace"),
            Err(refusal) => log::warn!("no calls carry their trace: {}", Visible(refusal)),
        }
        Some(started)
    }

    /// Whether calls of a process may carry their trace; `None` where all may that are watched.
    pub fn choose(&self, process: &Process) -> Option<bool> {
        self.config.services.as_ref()?;
        let resource = resource(process);
        let text = |name| resource.get(name).and_then(Value::as_str);
        let name = text(semconv::SERVICE_NAME).unwrap_or_default();
        Some(self.config.choose(text(semconv::SERVICE_NAMESPACE), name))
    }

    /// Takes out those connections that have become unfit.
    pub fn turn(&mut self, now: Instant) {
        self.leaving.turn(now, |cookie| self.set.release(cookie));
    }

    /// Whether nobody else has come to handle the sockets of the control group.
    ///
    /// # Errors
    /// [`CarrierRefusal::Others`]
    pub fn are_alone(&self) -> Result<(), CarrierRefusal> {
        match bpf::socket_programs(self.group.as_fd()) {
            // Its own.
            Ok(0 | 1) => Ok(()),
            Ok(count) => Err(CarrierRefusal::Others(count - 1)),
            // The group is gone, and all that was in it.
            Err(_) => Ok(()),
        }
    }

    /// Says why not, if anybody asks for it.
    pub fn refuse_if_asked(
        config: &CarriersConfig,
        reason: &str,
    ) -> Option<Result<Self, CarrierRefusal>> {
        if !config.is_on() {
            return None;
        }
        let refusal = CarrierRefusal::Load(reason.to_owned());
        log::warn!("no calls carry their trace: {}", Visible(&refusal));
        Some(Err(refusal))
    }

    /// How often each thing was done or declined.
    pub fn counts(&self) -> impl Iterator<Item = (Carried, u64)> + '_ {
        self.counts.since()
    }

    /// Tries the programs, and attaches them.
    ///
    /// # Errors
    /// Nothing is attached then.
    fn start(
        config: &CarriersConfig,
        maps: &HashMap<String, OwnedFd>,
        attach_context: impl FnOnce() -> Result<(), String>,
    ) -> Result<Self, CarrierRefusal> {
        let group = group::open(config.group.as_deref()).map_err(CarrierRefusal::Group)?;
        let others = bpf::socket_programs(group.as_fd());
        let others = others.map_err(|error| CarrierRefusal::Group(error.to_string()))?;
        if others != 0 {
            return Err(CarrierRefusal::Others(others));
        }
        kernel_layout::unfit_places().map_err(CarrierRefusal::Load)?;
        try_out(maps)?;
        let counts = CarriedCounts::from_now(maps).map_err(CarrierRefusal::Load)?;
        let leaving = UnfitConnections::of(maps).map_err(CarrierRefusal::Load)?;
        let set = Set::load(maps, mode(config)).map_err(CarrierRefusal::Load)?;
        attach_context().map_err(CarrierRefusal::Load)?;
        let link = bpf::link_sockets(set.sockets(), group.as_fd());
        let link = link.map_err(|error| CarrierRefusal::Group(error.to_string()))?;
        Ok(Self {
            set,
            group,
            link,
            counts,
            leaving,
            config: config.clone(),
        })
    }
}

/// `MODE_*`, as they are asked for.
fn mode(config: &CarriersConfig) -> u32 {
    let mut mode = MODE_HEADERS;
    if config.services.is_some() {
        mode |= MODE_CHOSEN;
    }
    if config.to_public {
        mode |= MODE_PUBLIC;
    }
    mode
}

/// Tries the programs on connections of the daemon's own, and attaches nothing else.
///
/// # Errors
/// What keeps them from being used here.
pub fn try_out(maps: &HashMap<String, OwnedFd>) -> Result<(), CarrierRefusal> {
    if !strategy::can_walk() {
        let reason = "programs can't walk through messages (bpf_loop, since 5.17)";
        return Err(CarrierRefusal::Load(reason.to_owned()));
    }
    let set = Set::load(maps, MODE_TRIAL | MODE_HEADERS).map_err(CarrierRefusal::Load)?;
    trial::run(&set).map_err(CarrierRefusal::Trial)
}
