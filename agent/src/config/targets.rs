//! Whom to watch: by what a process listens on, runs, is, and by the pod that it runs in. It
//! selects nobody itself.

use std::ops::RangeInclusive;
use std::path::Path;

use globset::GlobSet;
use regex::Regex;

use super::exclusions::Exclusions;
use super::names::Setting;
use super::pods::PodCriteria;
use super::settings::Settings;
use super::{ConfigError, values};

/// Whom to watch. A process is selected if any of its criteria selects it: a port, its executable,
/// its pid. Those of Kubernetes narrow that: of whom is selected, it leaves those whose pod meets
/// all of them. Where there are no others, all that run in such pods are selected.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// It listens on one of these TCP ports: inclusive ranges, sorted, not overlapping.
    pub open_ports: Vec<RangeInclusive<u16>>,
    /// The path of its executable matches.
    pub auto_target_exe: Option<Globs>,
    /// The path of its executable matches.
    pub executable_name: Option<Regex>,
    /// It is one of these.
    pub pids: Vec<u32>,
    /// Its pod meets these; a process that is named by its pid needs not.
    pub pods: PodCriteria,
    /// Whom nobody means who does not name them.
    pub exclusions: Exclusions,
}

impl Targets {
    /// Whether no process could ever be selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names_no_process() && self.pods.is_empty()
    }

    /// Whether pods alone select.
    #[must_use]
    pub fn are_pods(&self) -> bool {
        self.names_no_process() && !self.pods.is_empty()
    }

    fn names_no_process(&self) -> bool {
        self.open_ports.is_empty() && !self.names_executables() && self.pids.is_empty()
    }

    /// Whether an exec may select a process, so that every one has to be heard of.
    #[must_use]
    pub fn hear_of_execs(&self) -> bool {
        self.names_executables() || self.are_pods()
    }

    /// Whether what a process runs may select it.
    fn names_executables(&self) -> bool {
        self.auto_target_exe.is_some() || self.executable_name.is_some()
    }

    /// Whether what a process runs selects it.
    #[must_use]
    pub fn name_executable(&self, executable: &Path) -> bool {
        let globs = self.auto_target_exe.as_ref();
        let regex = self.executable_name.as_ref();
        globs.is_some_and(|globs| globs.is_match(executable))
            || regex.is_some_and(|regex| regex.is_match(&executable.to_string_lossy()))
    }
}

impl PartialEq for Targets {
    fn eq(&self, other: &Self) -> bool {
        let expression = |targets: &Self| {
            let regex = targets.executable_name.as_ref();
            regex.map(|regex| regex.as_str().to_owned())
        };
        self.open_ports == other.open_ports
            && self.auto_target_exe == other.auto_target_exe
            && expression(self) == expression(other)
            && self.pids == other.pids
            && self.pods == other.pods
            && self.exclusions == other.exclusions
    }
}

/// Globs, with the text that they were made of: two sets are the same if their texts are.
#[derive(Clone, Debug)]
pub struct Globs {
    text: String,
    set: GlobSet,
}

impl Globs {
    /// What `text` says; `None` if it says nothing, or not in the grammar of globs.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Some(Self {
            text: text.trim().to_owned(),
            set: values::globs(text)?,
        })
    }

    /// Whether one of them matches the whole path.
    #[must_use]
    pub fn is_match(&self, path: impl AsRef<Path>) -> bool {
        self.set.is_match(path)
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

const REGEX: &str = "a regular expression for the path of an executable, such as nginx|haproxy";

pub(super) fn read(settings: &Settings) -> Result<Targets, ConfigError> {
    let mut targets = Targets::default();
    if let Some(given) = settings.of(Setting::OpenPort) {
        targets.open_ports = given.parse(values::ports, values::PORTS)?;
    }
    if let Some(given) = settings.of(Setting::AutoTargetExe) {
        targets.auto_target_exe = Some(given.parse(Globs::new, values::GLOBS)?);
    }
    if let Some(given) = settings.of(Setting::ExecutableName) {
        targets.executable_name = Some(given.parse(|text| Regex::new(text).ok(), REGEX)?);
    }
    if let Some(given) = settings.of(Setting::TargetPid) {
        targets.pids = given.parse(values::pids, values::PIDS)?;
    }
    targets.pods = PodCriteria::read(settings)?;
    if settings.boolean(Setting::DefaultExclude)?.unwrap_or(true) {
        targets.exclusions = Exclusions::default_ones();
    }
    Ok(targets)
}
