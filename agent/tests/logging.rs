//! The log's level, which can be changed while it is in use. The log is one for a process, so this
//! is a test binary of its own.

use log::{Level, LevelFilter, log_enabled};
use wirespan::config::LogConfig;
use wirespan::logging;

fn speaks(target: &str, level: Level) -> bool {
    // By the macros, which ask the crate `log` first, and by who asks the logger alone.
    let by_macro = match target {
        "wirespan" => log_enabled!(target: "wirespan", level),
        _ => log_enabled!(target: "hyper", level),
    };
    let metadata = log::Metadata::builder().target(target).level(level).build();
    assert_eq!(log::logger().enabled(&metadata), by_macro);
    by_macro
}

#[test]
fn another_level_counts_at_once_and_libraries_are_heard_from_warnings_on() {
    let level = |level| LogConfig { level };
    logging::start(&level(LevelFilter::Info));
    assert!(speaks("wirespan", Level::Info));
    assert!(!speaks("wirespan", Level::Debug));
    assert!(speaks("hyper", Level::Warn));
    assert!(!speaks("hyper", Level::Info));

    logging::reconfigure(&level(LevelFilter::Trace));
    assert!(speaks("wirespan", Level::Trace));
    assert!(!speaks("hyper", Level::Info));

    logging::reconfigure(&level(LevelFilter::Error));
    assert!(!speaks("wirespan", Level::Warn));
    assert!(!speaks("hyper", Level::Warn));

    logging::reconfigure(&level(LevelFilter::Off));
    assert!(!speaks("wirespan", Level::Error));
}
