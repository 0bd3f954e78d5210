//! Command line to configuration to run to drain. Nothing is decided here.

use std::process::ExitCode;

use clap::Parser as _;
use wirespan::cli::{Cli, Command};
use wirespan::config::Config;
use wirespan::{inspect, run};

/// What was asked for makes no sense; as clap's own.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let loaded = match Config::load(cli.purpose(), cli.settings(), std::env::vars_os()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("wirespan: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    start_log(loaded.config.log_level);
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let outcome = match cli.command {
        None => run::trace(loaded.config, None),
        Some(Command::Record { file, max_size, .. }) => {
            run::trace(loaded.config, Some((&file, max_size)))
        }
        Some(Command::Redact { file, copy, .. }) => run::redact(&loaded.config, &file, &copy),
        Some(Command::Processes { json, .. }) => inspect::processes(&loaded.config, json),
        Some(Command::Replay { file, seed, .. }) => run::replay(loaded.config, &file, seed),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wirespan: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Log lines go to standard error, because spans may go to standard output. Libraries are heard
/// from warnings on.
fn start_log(level: log::LevelFilter) {
    use std::io::Write as _;
    env_logger::Builder::new()
        .filter_level(level.min(log::LevelFilter::Warn))
        .filter_module("wirespan", level)
        .format(|out, record| {
            let (time, level) = (out.timestamp_millis(), record.level());
            writeln!(out, "{time} {level} wirespan: {}", record.args())
        })
        .init();
}
