//! Command line to configuration to run to drain. Nothing is decided here.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use wirespan::cli::{Cli, Command};
use wirespan::config::Config;
use wirespan::ending::Ending;
use wirespan::visible::Visible;
use wirespan::{doctor, inspect, logging, node_script, run};

/// What was asked for makes no sense; as clap's own.
const EXIT_USAGE: u8 = 2;
/// It did not work.
const EXIT_FAILURE: u8 = 1;

/// How long the log may take to be written in the end.
const LOG_MAX: Duration = Duration::from_secs(1);

/// Until it is known how long an end may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None | Some(Command::Record { .. } | Command::Explain { .. }) => {
            let code = Ending::catch(SHUTDOWN_MAX).map_or_else(
                |error| fail(&anyhow::Error::new(error).context("can't catch signals")),
                |ending| work(cli, Some(&ending)),
            );
            logging::finish(LOG_MAX);
            // Threads may hang that nobody can end; none of what the process holds outlives it.
            signal_hook::low_level::exit(code.into())
        }
        Some(Command::NodeScript { file }) => {
            let code =
                node_script::hand_out(file.as_deref()).map_or_else(|error| fail(&error), |()| 0);
            logging::finish(LOG_MAX);
            ExitCode::from(code)
        }
        Some(
            Command::Processes { .. }
            | Command::Doctor { .. }
            | Command::Replay { .. }
            | Command::Redact { .. },
        ) => {
            let code = work(cli, None);
            logging::finish(LOG_MAX);
            ExitCode::from(code)
        }
    }
}

fn work(cli: Cli, ending: Option<&Ending>) -> u8 {
    let loaded = match Config::load(cli.purpose(), cli.settings(), std::env::vars_os()) {
        Ok(loaded) => loaded,
        Err(error) => {
            logging::say(&format!("wirespan: {}", Visible(error)));
            return EXIT_USAGE;
        }
    };
    logging::start(&loaded.config.log);
    for warning in &loaded.warnings {
        log::warn!("{}", Visible(warning));
    }
    let outcome = match (cli.command, ending) {
        (Some(Command::Record { file, max_size, .. }), Some(ending)) => {
            run::trace(loaded.config, Some((&file, max_size)), ending)
        }
        (Some(Command::Explain { pid, watch, .. }), Some(ending)) => {
            run::explain(loaded.config, pid, watch, ending)
        }
        (Some(Command::Redact { file, copy, .. }), _) => run::redact(&loaded.config, &file, &copy),
        (Some(Command::Processes { json, .. }), _) => inspect::processes(&loaded.config, json),
        (Some(Command::Doctor { json, .. }), _) => doctor::examine(&loaded.config, json),
        (Some(Command::Replay { file, seed, .. }), _) => run::replay(loaded.config, &file, seed),
        (_, Some(ending)) => run::trace(loaded.config, None, ending),
        (_, None) => Ok(()),
    };
    outcome.map_or_else(|error| fail(&error), |()| 0)
}

fn fail(error: &anyhow::Error) -> u8 {
    logging::say(&format!("wirespan: {}", Visible(format_args!("{error:#}"))));
    EXIT_FAILURE
}
