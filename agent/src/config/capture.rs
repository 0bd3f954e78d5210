//! What the kernel side is told when it is loaded. All of it is fixed from then on: programs are
//! verified with it, and maps have their size.

use std::path::PathBuf;

use wirespan_common::shard::SHARDS_MAX;

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Globs, Part, fixed, values};

/// How to capture.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureConfig {
    /// Forced by the user; otherwise the cheapest that loads.
    pub strategy: Option<Strategy>,
    /// Who says where the kernel keeps its structures.
    pub layout: LayoutSetting,
    /// Log from the kernel side.
    pub bpf_debug: bool,
    /// Connections that the kernel side remembers; otherwise [`CONNECTIONS_MAX_DEFAULT`].
    pub connections_max: Option<u32>,
    /// Whether a script in Node may tell which request a call belongs to.
    pub node_links: bool,
    /// How many threads take records, each from a ring of its own: 1 to [`SHARDS_MAX`].
    pub shards: u8,
    /// Percent of a process's CPU time that following its tasks may take; 0: none are followed.
    pub follow_cpu_max: u8,
    /// How calls carry their trace to other nodes.
    pub carriers: CarriersConfig,
    /// From which randomness on traces that begin here are sampled: 56 bits.
    pub sampled_from: u64,
}

/// How calls carry their trace to other nodes. Nothing is changed of what programs send unless one
/// of these is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CarriersConfig {
    /// By header fields.
    pub headers: bool,
    /// By an option of TCP.
    pub option: bool,
    /// By what that option is known.
    pub option_form: OptionName,
    /// The control group (version 2) whose processes are concerned; otherwise all.
    pub group: Option<PathBuf>,
    /// Services whose processes are concerned, by name, or by namespace and name with a `/` between
    /// them; otherwise all that are watched.
    pub services: Option<Globs>,
    /// Calls to addresses that anybody may have are concerned, too.
    pub to_public: bool,
}

/// By what a TCP option is known among all: both ends have to have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionName {
    /// One of the kinds for experiments (RFC 4727): 253 or 254.
    pub kind: u8,
    /// What tells experiments of one kind apart (RFC 6994).
    pub magic: u16,
}

impl Default for OptionName {
    fn default() -> Self {
        Self {
            kind: OPTION_KINDS[0],
            // "WS".
            magic: 0x5753,
        }
    }
}

/// Kinds of TCP options that are for experiments (RFC 4727, 4).
const OPTION_KINDS: [u8; 2] = [253, 254];

impl CarriersConfig {
    /// Whether anything is carried.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.headers || self.option
    }

    /// Whether calls of a service may carry their trace.
    #[must_use]
    pub fn choose(&self, namespace: Option<&str>, name: &str) -> bool {
        let Some(services) = &self.services else {
            return true;
        };
        let within = |namespace| services.is_match(format!("{namespace}/{name}"));
        services.is_match(name) || namespace.is_some_and(within)
    }
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            strategy: None,
            layout: LayoutSetting::Auto,
            bpf_debug: false,
            connections_max: None,
            node_links: true,
            shards: 1,
            follow_cpu_max: FOLLOW_CPU_MAX_DEFAULT,
            carriers: CarriersConfig::default(),
            sampled_from: 0,
        }
    }
}

impl Part for CaptureConfig {
    fn follow(&self, new: &Self) -> (Self, Vec<Setting>) {
        let differs = [
            (self.strategy != new.strategy, Setting::Capture),
            // Programs were loaded with it.
            (self.layout != new.layout, Setting::Btf),
            // The verifier dropped what logs, so that it costs nothing.
            (self.bpf_debug != new.bpf_debug, Setting::BpfDebug),
            (
                self.connections_max != new.connections_max,
                Setting::ConnectionsMax,
            ),
            // What it tells is heard by a program that is attached at the start.
            (self.node_links != new.node_links, Setting::NodeLinks),
            (self.shards != new.shards, Setting::Shards),
            (
                self.follow_cpu_max != new.follow_cpu_max,
                Setting::FollowCpuMax,
            ),
            // Proved and attached at the start, with a right that is given up then.
            (
                (self.carriers.headers, self.carriers.option)
                    != (new.carriers.headers, new.carriers.option),
                Setting::ContextPropagation,
            ),
            (
                self.carriers.group != new.carriers.group,
                Setting::ContextPropagationGroup,
            ),
            (
                self.carriers.services != new.carriers.services,
                Setting::ContextPropagationServices,
            ),
            (
                self.carriers.to_public != new.carriers.to_public,
                Setting::ContextPropagationPublic,
            ),
            (
                self.carriers.option_form.kind != new.carriers.option_form.kind,
                Setting::ContextPropagationTcpKind,
            ),
            (
                self.carriers.option_form.magic != new.carriers.option_form.magic,
                Setting::ContextPropagationTcpMagic,
            ),
        ];
        (self.clone(), fixed(differs))
    }
}

/// [`SHARDS_MAX`], in words.
const SHARDS: &str = "a number of shards from 1 to 8";
const _: () = assert!(SHARDS_MAX == 8);

/// Twice what a Go server that does nothing but to answer and to ask needs.
const FOLLOW_CPU_MAX_DEFAULT: u8 = 10;

/// What its tables have room for.
pub const CONNECTIONS_MAX_DEFAULT: u32 = 65_536;

/// Who says where the kernel keeps its structures. The kernel itself is asked first if it may be,
/// and its sockets are looked at if nobody says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LayoutSetting {
    /// Nobody else.
    #[default]
    Auto,
    /// A BTF file, or a folder of archives of such.
    File(PathBuf),
    /// Nobody: they are looked at.
    Observe,
}

/// The ways into socket calls, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// Raw tracepoints `sock_send_length` and `sock_recv_length` (kernel 6.3).
    SocketTracepoints,
    /// fexit on the system calls' functions.
    Fexit,
    /// kretprobes on the same functions.
    Kprobes,
    /// Raw tracepoint `sys_exit`.
    SyscallTracepoints,
    /// The same, by the object for kernels without ring buffers (before 5.8).
    Legacy,
    /// kretprobes, by that object.
    LegacyKprobes,
}

impl Strategy {
    /// Whether it is one of the object for kernels without ring buffers.
    #[must_use]
    pub fn is_legacy(self) -> bool {
        matches!(self, Self::Legacy | Self::LegacyKprobes)
    }
}

pub(super) fn read(settings: &Settings) -> Result<CaptureConfig, ConfigError> {
    let mut capture = CaptureConfig::default();
    if let Some(given) = settings.of(Setting::Capture) {
        capture.strategy = given.parse(
            |text| {
                Some(match text {
                    "auto" => None,
                    "socket_tracepoints" => Some(Strategy::SocketTracepoints),
                    "fexit" => Some(Strategy::Fexit),
                    "kprobes" => Some(Strategy::Kprobes),
                    "syscall_tracepoints" => Some(Strategy::SyscallTracepoints),
                    "legacy" => Some(Strategy::Legacy),
                    "legacy_kprobes" => Some(Strategy::LegacyKprobes),
                    _ => return None,
                })
            },
            "auto, socket_tracepoints, fexit, kprobes, syscall_tracepoints, legacy or \
             legacy_kprobes",
        )?;
    }
    if let Some(given) = settings.of(Setting::Btf) {
        capture.layout = given.parse(
            |text| match text {
                "auto" => Some(LayoutSetting::Auto),
                "observe" => Some(LayoutSetting::Observe),
                path => path
                    .starts_with('/')
                    .then(|| LayoutSetting::File(path.into())),
            },
            "auto, observe, or the absolute path of a BTF file or of a folder of archives",
        )?;
    }
    if let Some(is_on) = settings.boolean(Setting::BpfDebug)? {
        capture.bpf_debug = is_on;
    }
    if let Some(is_on) = settings.boolean(Setting::NodeLinks)? {
        capture.node_links = is_on;
    }
    if let Some(given) = settings.of(Setting::ConnectionsMax) {
        let max = CONNECTIONS_MAX_DEFAULT as usize;
        let count = given.parse(
            |text| values::count(text, max),
            "a number of connections from 1 to 65536",
        )?;
        capture.connections_max = u32::try_from(count).ok();
    }
    if let Some(given) = settings.of(Setting::Shards) {
        capture.shards = given.parse(
            |text| u8::try_from(values::count(text, SHARDS_MAX)?).ok(),
            SHARDS,
        )?;
    }
    if let Some(given) = settings.of(Setting::FollowCpuMax) {
        capture.follow_cpu_max = given.parse(
            |text| match text.trim_end_matches('%') {
                "0" => Some(0),
                text => u8::try_from(values::count(text, 100)?).ok(),
            },
            "percent of a process's CPU time, from 0 to 100",
        )?;
        capture.node_links &= capture.follow_cpu_max > 0;
    }
    capture.carriers = read_carriers(settings)?;
    Ok(capture)
}

/// By header fields, and by an option of TCP.
fn ways(text: &str) -> Option<(bool, bool)> {
    if text == "disabled" {
        return Some((false, false));
    }
    text.split(',')
        .try_fold((false, false), |(headers, option), way| {
            Some(match way.trim() {
                "headers" => (true, option),
                "tcp" => (headers, true),
                "all" => (true, true),
                _ => return None,
            })
        })
}

const SERVICES: &str = "globs for the names of services, such as cart,shop/*";

fn magic(text: &str) -> Option<u16> {
    let is_written = text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_written.then(|| u16::from_str_radix(text, 16).ok())?
}

fn read_carriers(settings: &Settings) -> Result<CarriersConfig, ConfigError> {
    let mut carriers = CarriersConfig::default();
    if let Some(given) = settings.of(Setting::ContextPropagation) {
        (carriers.headers, carriers.option) =
            given.parse(ways, "disabled, headers, tcp, headers,tcp or all")?;
    }
    if let Some(given) = settings.of(Setting::ContextPropagationTcpKind) {
        let kind = |text: &str| text.parse().ok().filter(|kind| OPTION_KINDS.contains(kind));
        carriers.option_form.kind = given.parse(kind, "253 or 254, the kinds for experiments")?;
    }
    if let Some(given) = settings.of(Setting::ContextPropagationTcpMagic) {
        carriers.option_form.magic = given.parse(magic, "four hexadecimal digits, such as 5753")?;
    }
    carriers.group = settings
        .text(Setting::ContextPropagationGroup)
        .map(PathBuf::from);
    if let Some(given) = settings.of(Setting::ContextPropagationServices) {
        carriers.services = Some(given.parse(Globs::new, SERVICES)?);
    }
    let to_public = settings.boolean(Setting::ContextPropagationPublic)?;
    carriers.to_public = to_public.unwrap_or_default();
    Ok(carriers)
}
