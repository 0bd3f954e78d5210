//! The command line: it mirrors the variables, wins over them, and is refused in the same words.

use clap::{CommandFactory, Parser};
use wirespan::cli::{Cli, Command};
use wirespan::config::{
    Config, ConfigError, Loaded, OtlpProtocol, PrinterFormat, Purpose, SETTINGS,
};

fn parse(line: &[&str]) -> Cli {
    Cli::try_parse_from([&["wirespan"], line].concat()).expect("a command line")
}

fn load(line: &[&str], environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let cli = parse(line);
    Config::load(cli.purpose(), cli.settings(), environment.iter().copied())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_reaches_its_setting() {
    let config = load(
        &[
            "--open-port=80",
            "--auto-target-exe=*/nginx",
            "--executable-name=py",
            "--target-pid=7",
            "--service-name=shop",
            "--service-namespace=prod",
            "--endpoint=http://c:4318",
            "--protocol=http/json",
            "--printer=counter",
            "--capture=fexit",
            "--bpf-debug",
            "--ignore-health-checks",
            "--shutdown-timeout=3s",
            "--log-level=trace",
        ],
        &[],
    )
    .expect("valid")
    .config;
    assert_eq!(config.discover.targets.open_ports, [80..=80]);
    assert!(config.discover.targets.auto_target_exe.is_some());
    assert!(config.discover.targets.executable_name.is_some());
    assert_eq!(config.discover.targets.pids, [7]);
    assert_eq!(config.discover.service.name.as_deref(), Some("shop"));
    assert_eq!(config.discover.service.namespace.as_deref(), Some("prod"));
    let otlp = config.traces.otlp.expect("OTLP is on");
    assert_eq!(otlp.endpoint, "http://c:4318/v1/traces");
    assert_eq!(otlp.protocol, OtlpProtocol::HttpJson);
    assert_eq!(config.traces.printer, PrinterFormat::Counter);
    assert!(config.capture.strategy.is_some());
    assert!(config.capture.bpf_debug);
    assert!(config.spans.ignores_health_checks());
    assert_eq!(config.ending.timeout.as_secs(), 3);
    assert_eq!(config.log.level, log::LevelFilter::Trace);
}

#[test]
fn flags_win_over_the_environment() {
    let config = load(
        &[
            "--open-port=81",
            "--endpoint=http://flag:4318",
            "--protocol=grpc",
        ],
        &[
            ("BEYLA_OPEN_PORT", "80"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://variable:4318/x",
            ),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ],
    )
    .expect("valid")
    .config;
    assert_eq!(config.discover.targets.open_ports, [81..=81]);
    let otlp = config.traces.otlp.expect("OTLP is on");
    assert_eq!(otlp.endpoint, "http://flag:4318");
    assert_eq!(otlp.protocol, OtlpProtocol::Grpc);
}

#[test]
fn a_wrong_flag_is_refused_in_the_words_of_its_variable() {
    let error = load(&["--open-port", "http"], &[("BEYLA_OPEN_PORT", "80")]).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "--open-port=\"http\" is not allowed: expected TCP ports and ranges from 1 to 65535, \
         such as 80,443,8000-8999"
    );
    assert!(load(&["--open-port", ""], &[("BEYLA_OPEN_PORT", "80")]).is_err());
}

#[test]
fn record_takes_the_flags_of_a_run() {
    let cli = parse(&["record", "calls", "--open-port", "80"]);
    assert_eq!(cli.purpose(), Purpose::Record);
    assert!(matches!(&cli.command, Some(Command::Record { file, .. }) if file == "calls"));
    assert_eq!(cli.settings().len(), 1);
}

#[test]
fn processes_takes_the_flags_of_a_run_and_needs_targets() {
    let line = ["processes", "--json", "--open-port", "80"];
    let cli = parse(&line);
    assert_eq!(cli.purpose(), Purpose::List);
    assert!(matches!(
        &cli.command,
        Some(Command::Processes { json: true, .. })
    ));
    assert!(load(&line, &[]).is_ok());
    assert!(load(&["processes"], &[]).is_err());
}

#[test]
fn replay_takes_a_seed_and_says_where_spans_go() {
    let cli = parse(&["replay", "calls", "--seed", "7", "--printer", "json"]);
    assert_eq!(cli.purpose(), Purpose::Replay);
    assert!(
        matches!(&cli.command, Some(Command::Replay { file, seed: Some(7), .. }) if file == "calls")
    );
    assert_eq!(cli.settings()[0].1.source, "--printer");
    assert!(Cli::try_parse_from(["wirespan", "replay", "calls", "--open-port", "80"]).is_err());
}

#[test]
fn the_help_names_a_variable_for_every_flag() {
    let help = Cli::command().render_long_help().to_string();
    let mut flags = 0;
    for flag in help.split("\n      --").skip(1) {
        flags += 1;
        assert!(
            flag.contains("[BEYLA_") || flag.contains("[OTEL_") || flag.contains("[WIRESPAN_"),
            "{flag}"
        );
    }
    assert_eq!(flags, 16, "{help}");
    assert_eq!(help.matches("sudo wirespan").count(), 3);
}

#[test]
fn the_help_lists_every_setting_by_each_of_its_names() {
    let help = Cli::command().render_long_help().to_string();
    let mut lines = help.lines().map(str::trim);
    for names in SETTINGS {
        let [first, others @ ..] = names.variables else {
            panic!("{names:?}")
        };
        assert!(lines.any(|line| line == *first), "{first}\n{help}");
        for other in others {
            assert_eq!(lines.next(), Some(&*format!("or {other}")));
        }
        assert_eq!(lines.next(), Some(names.about));
    }
}

/// Those of OTLP are in the specification, and the README names them together.
#[test]
fn the_readme_tells_of_every_setting() {
    let readme = include_str!("../../../README.md");
    for names in SETTINGS {
        let mut variables = names.variables.iter();
        let is_told = |name: &&str| {
            let is_of_otlp = name.starts_with("OTEL_EXPORTER_OTLP_");
            is_of_otlp || readme.contains(&format!("`{name}`"))
        };
        assert!(variables.any(is_told), "{names:?}");
    }
}

#[test]
fn an_error_names_the_flag_as_it_is_typed() {
    let command = Cli::command();
    for flag in command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
    {
        let typed = format!("--{flag}");
        let line = match flag {
            "help" | "version" => continue,
            "bpf-debug" | "drop-query" | "ignore-health-checks" => vec![typed.as_str()],
            _ => vec![typed.as_str(), "1"],
        };
        assert_eq!(parse(&line).settings()[0].1.source, typed);
    }
}
