//! Settings as users write them, to the configuration that comes out, and to every line that
//! refuses one.

#[path = "config/arbitrary.rs"]
mod arbitrary;
#[path = "config/changes.rs"]
mod changes;
#[path = "config/context.rs"]
mod context;
#[path = "config/errors.rs"]
mod errors;
#[path = "config/flags.rs"]
mod flags;
#[path = "config/otlp.rs"]
mod otlp;
#[path = "config/settings.rs"]
mod settings;

use wirespan::config::{Config, ConfigError, Loaded, Purpose};

/// A variable that selects something and one that prints, so that the rest can be looked at alone.
const ENOUGH: [(&str, &str); 2] = [("BEYLA_OPEN_PORT", "80"), ("BEYLA_TRACE_PRINTER", "text")];

fn load(environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    Config::load(Purpose::Trace, [], environment.iter().copied())
}

/// Loads these variables together with those of [`ENOUGH`] that they do not set.
fn load_with(environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let enough = ENOUGH
        .iter()
        .filter(|(name, _)| environment.iter().all(|(other, _)| other != name));
    Config::load(
        Purpose::Trace,
        [],
        enough.chain(environment).copied().collect::<Vec<_>>(),
    )
}

fn config_with(environment: &[(&str, &str)]) -> Config {
    load_with(environment)
        .expect("a valid configuration")
        .config
}

fn warnings_of(environment: &[(&str, &str)]) -> Vec<String> {
    load_with(environment)
        .expect("a valid configuration")
        .warnings
}

fn error_of(environment: &[(&str, &str)]) -> String {
    let error = load_with(environment).expect_err("a refused configuration");
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line:?} is one line");
    line
}
