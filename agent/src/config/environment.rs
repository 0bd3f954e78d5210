//! Flags and environment to [`Config`], part by part, and what must be set at all. The process's
//! own environment is handed in, never read here.

use std::ffi::OsString;

use super::names::Setting;
use super::settings::{Given, Settings};
use super::{
    Config, ConfigError, PrinterFormat, Propagator, asking, capture, daemon, discover, governor,
    kubernetes, otlp, spans, surroundings, traces,
};

/// What the configuration is for, which decides what must be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Trace processes: needs targets, and somewhere for spans to go.
    Trace,
    /// Record what the kernel says: needs targets.
    Record,
    /// List processes: needs targets.
    List,
    /// Explain what would become of a process: needs nothing.
    Explain,
    /// Check whether a run would work: needs nothing.
    Examine,
    /// Read a recording: needs nothing; prints text if nobody says where
    /// spans go.
    Replay,
}

/// A configuration, and what its user should hear about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Validated.
    pub config: Config,
    /// One line each; to be logged once logging is set up.
    pub warnings: Vec<String>,
}

impl Config {
    /// The configuration from flags (see [`crate::cli::Flags`]) and environment; flags win.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that is wrong, or if something that `purpose` needs
    /// is not set.
    pub fn load(
        purpose: Purpose,
        flags: impl IntoIterator<Item = (Setting, Given)>,
        environment: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Result<Loaded, ConfigError> {
        let environment = environment
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let mut warnings = Vec::new();
        let settings = Settings::collect(flags, environment, &mut warnings)?;
        let capture = capture::read(&settings)?;
        let mut config = Self {
            discover: discover::read(&settings, &mut warnings)?,
            kubernetes: kubernetes::read(&settings, &mut warnings)?,
            surroundings: surroundings::read(&settings)?,
            asking: asking::read(&settings, &mut warnings)?,
            spans: spans::read(&settings, &mut warnings)?,
            traces: traces::read(&settings, &mut warnings)?,
            metrics: otlp::metrics(&settings)?,
            health_check: daemon::health_check(&settings, &mut warnings)?,
            sandbox: daemon::sandbox(&settings)?,
            memory: daemon::memory(&settings, capture.shards)?,
            governor: governor::read(&settings)?,
            capture,
            log: daemon::log(&settings)?,
            ending: daemon::ending(&settings)?,
        };
        let carriers = &mut config.capture.carriers;
        if carriers.headers
            && !config
                .spans
                .propagators()
                .any(|it| it == Propagator::TraceContext)
        {
            carriers.headers = false;
            warnings.push(format!(
                "{}: no header carries context, because {} leaves tracecontext out",
                Setting::ContextPropagation.variable(),
                Setting::Propagators.variable()
            ));
        }
        // What the kernel side says of traces that begin here, user space has to say too.
        config.capture.sampled_from = config.spans.sampler.unwrap_or_default().threshold;
        if config.capture.carriers.is_on() {
            config.spans.derive_traces = Some(true);
        }
        config.spans.heeds_options = config.capture.carriers.option.then_some(true);
        config.suits(purpose, settings.of(Setting::TracePrinter).is_some())?;
        Ok(Loaded { config, warnings })
    }

    /// Checks what only the whole can show; `names_printer`: somebody said what is printed, be it
    /// nothing.
    fn suits(&mut self, purpose: Purpose, names_printer: bool) -> Result<(), ConfigError> {
        match purpose {
            Purpose::Trace | Purpose::Record | Purpose::List
                if self.discover.targets.is_empty() =>
            {
                Err(ConfigError::NothingSelected)
            }
            Purpose::Trace | Purpose::Record
                if !self.discover.targets.pods.is_empty() && self.kubernetes.reach.is_none() =>
            {
                Err(ConfigError::NoApiServer)
            }
            Purpose::Trace if self.traces.is_silent() => Err(ConfigError::NoExporter),
            Purpose::Replay if self.traces.is_silent() && !names_printer => {
                self.traces.printer = PrinterFormat::Text;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
