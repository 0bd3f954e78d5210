//! Programs that carry trace context to other nodes, by what watched processes send. They are
//! attached by links and to a map of their own, never pinned: all of it ends with the daemon,
//! however that comes.
//!
//! There are two ways, each on its own setting: header fields, for which sockets are enrolled, and
//! an option of TCP ([`option`]), for which none is. Nothing is attached before the same programs
//! were tried on connections of the daemon's own ([`trial`], and the option's): to enrol a socket
//! changes how some kernels treat it.

#[cfg(test)]
mod accepted;
#[cfg(test)]
mod cases;
mod counts;
mod group;
mod leaving;
mod loopback;
mod option;
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
pub use self::option::OptionFault;
use self::option::OptionSet;
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
    headers: Option<HeaderCarrier>,
    option: Option<OptionCarrier>,
    group: File,
    counts: CarriedCounts,
    config: CarriersConfig,
}

/// Header fields.
struct HeaderCarrier {
    set: Set,
    #[allow(dead_code, reason = "held for its end")]
    link: OwnedFd,
    leaving: UnfitConnections,
}

/// The option of TCP.
struct OptionCarrier {
    #[allow(dead_code, reason = "held for its end")]
    set: OptionSet,
    #[allow(dead_code, reason = "held for its end")]
    link: OwnedFd,
}

/// Maps that all programs share, by name.
type SharedMaps = HashMap<String, OwnedFd>;

impl Drop for Carriers {
    fn drop(&mut self) {
        log::info!("context in {}: {}", self.ways(), self.counts);
    }
}

/// Why nothing is carried; in one line.
#[derive(Debug)]
pub enum CarrierRefusal {
    /// A map or a program can't be had.
    Load(String),
    /// Enrolled sockets work otherwise than others, or carry otherwise than meant.
    Trial(Fault),
    /// Connections that carry by the TCP option work otherwise than others, or don't carry.
    Option(OptionFault),
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
            Self::Option(fault) => write!(f, "this kernel fails the self-test: {fault}"),
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
        maps: &SharedMaps,
        attach_context: impl FnOnce() -> Result<(), String>,
    ) -> Option<Result<Self, CarrierRefusal>> {
        if !config.is_on() {
            return None;
        }
        let started = Self::start(config, maps, attach_context);
        if let Err(refusal) = &started {
            log::warn!("no calls carry their trace: {}", Visible(refusal));
        }
        Some(started)
    }

    /// By what is carried.
    fn ways(&self) -> &'static str {
        match (&self.headers, &self.option) {
            (Some(_), None) => "headers",
            (None, _) => "TCP options",
            (Some(_), Some(_)) => "headers and TCP options",
        }
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
        if let Some(HeaderCarrier { set, leaving, .. }) = &mut self.headers {
            leaving.turn(now, |cookie| set.release(cookie));
        }
    }

    /// Whether nobody else has come to handle the sockets of the control group.
    ///
    /// # Errors
    /// [`CarrierRefusal::Others`]
    pub fn are_alone(&self) -> Result<(), CarrierRefusal> {
        let own = u32::from(self.headers.is_some()) + u32::from(self.option.is_some());
        match bpf::socket_programs(self.group.as_fd()) {
            Ok(count) if count <= own => Ok(()),
            Ok(count) => Err(CarrierRefusal::Others(count - own)),
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

    /// Tries the programs, and attaches those that pass.
    ///
    /// # Errors
    /// None does; nothing is attached then.
    fn start(
        config: &CarriersConfig,
        maps: &SharedMaps,
        attach_context: impl FnOnce() -> Result<(), String>,
    ) -> Result<Self, CarrierRefusal> {
        let group = group::open(config.group.as_deref()).map_err(CarrierRefusal::Group)?;
        let others = bpf::socket_programs(group.as_fd());
        let others = others.map_err(|error| CarrierRefusal::Group(error.to_string()))?;
        if others != 0 {
            return Err(CarrierRefusal::Others(others));
        }
        // First all is tried, then any is attached: the counts are of what is carried.
        let headers = config.headers.then(|| try_out(maps)).transpose();
        let option = config.option.then(|| try_out_option(maps, config));
        let (headers, option, refusal) = passed(headers, option.transpose())?;
        let counts = CarriedCounts::from_now(maps).map_err(CarrierRefusal::Load)?;
        attach_context().map_err(CarrierRefusal::Load)?;
        let carriers = Self {
            headers: headers
                .then(|| HeaderCarrier::start(config, maps, &group))
                .transpose()?,
            option: option
                .then(|| OptionCarrier::start(config, maps, &group))
                .transpose()?,
            group,
            counts,
            config: config.clone(),
        };
        let ways = carriers.ways();
        match refusal {
            None => log::info!("calls of watched processes carry their trace in {ways}"),
            Some(refusal) => log::warn!(
                "calls of watched processes carry their trace in {ways} alone: {}",
                Visible(refusal)
            ),
        }
        Ok(carriers)
    }
}

/// Which of those that were asked for have passed, and why the other one has not.
///
/// # Errors
/// None has.
fn passed(
    headers: Result<Option<()>, CarrierRefusal>,
    option: Result<Option<()>, CarrierRefusal>,
) -> Result<(bool, bool, Option<CarrierRefusal>), CarrierRefusal> {
    match (headers, option) {
        (Ok(headers), Ok(option)) => Ok((headers.is_some(), option.is_some(), None)),
        (Err(refusal), Ok(Some(()))) => Ok((false, true, Some(refusal))),
        (Ok(Some(())), Err(refusal)) => Ok((true, false, Some(refusal))),
        (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
    }
}

impl HeaderCarrier {
    fn start(
        config: &CarriersConfig,
        maps: &SharedMaps,
        group: &File,
    ) -> Result<Self, CarrierRefusal> {
        let leaving = UnfitConnections::of(maps).map_err(CarrierRefusal::Load)?;
        let set = Set::load(maps, MODE_HEADERS | mode(config)).map_err(CarrierRefusal::Load)?;
        let link = bpf::link_sockets(set.sockets(), group.as_fd());
        let link = link.map_err(|error| CarrierRefusal::Group(error.to_string()))?;
        Ok(Self { set, link, leaving })
    }
}

impl OptionCarrier {
    fn start(
        config: &CarriersConfig,
        maps: &SharedMaps,
        group: &File,
    ) -> Result<Self, CarrierRefusal> {
        let set = OptionSet::load(maps, mode(config), config.option_form);
        let set = set.map_err(CarrierRefusal::Load)?;
        let link = bpf::link_sockets(set.sockets(), group.as_fd());
        let link = link.map_err(|error| CarrierRefusal::Group(error.to_string()))?;
        Ok(Self { set, link })
    }
}

/// `MODE_*` of whose calls carry, as is asked for.
fn mode(config: &CarriersConfig) -> u32 {
    let mut mode = 0;
    if config.services.is_some() {
        mode |= MODE_CHOSEN;
    }
    if config.to_public {
        mode |= MODE_PUBLIC;
    }
    mode
}

/// Tries header fields on connections of the daemon's own, and attaches nothing else.
///
/// # Errors
/// What keeps them from being used here.
pub fn try_out(maps: &SharedMaps) -> Result<(), CarrierRefusal> {
    can_know_context()?;
    kernel_layout::unfit_places().map_err(CarrierRefusal::Load)?;
    let set = Set::load(maps, MODE_TRIAL | MODE_HEADERS).map_err(CarrierRefusal::Load)?;
    trial::run(&set).map_err(CarrierRefusal::Trial)
}

/// Tries the TCP option on a connection of the daemon's own, and attaches nothing else.
///
/// # Errors
/// What keeps it from being used here.
pub fn try_out_option(maps: &SharedMaps, config: &CarriersConfig) -> Result<(), CarrierRefusal> {
    can_know_context()?;
    option::try_out(maps, config)
}

/// What learns on whose behalf a request is sent takes this, too.
fn can_know_context() -> Result<(), CarrierRefusal> {
    if strategy::can_walk() {
        return Ok(());
    }
    let reason = "programs can't walk through messages (bpf_loop, since 5.17)";
    Err(CarrierRefusal::Load(reason.to_owned()))
}
