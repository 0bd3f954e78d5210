//! The command line. Flags mirror environment variables and go through the same validation; what
//! a value means is not decided here.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the docs of fields are the help of flags, where brackets hold a variable's name"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Given, Purpose, SETTINGS, Setting};

/// OpenTelemetry traces of programs that nobody instrumented.
///
/// wirespan watches processes from outside, with eBPF, and turns what they say on their sockets
/// into spans. Choose the processes, say where spans go, and run it as root.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "wirespan",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = after_long_help(),
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do; tracing if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of a run without subcommand.
    #[command(flatten)]
    pub flags: Flags,
}

const EXAMPLES: &str = "\
Every flag has an environment variable, named in brackets; a flag wins over its variable.
Each BEYLA_X may also be written OTEL_EBPF_X. `--help` lists all variables.

Examples:
  Show the requests of whatever listens on port 8080:
    sudo wirespan --open-port 8080 --printer text

  Send the spans of every nginx and every Python program to a collector:
    sudo wirespan --auto-target-exe '*/nginx,*/python3*' --endpoint http://collector:4317

  Record now, look at it later, without root:
    sudo wirespan record calls.wirespan --open-port 80,8000-8999
    wirespan replay calls.wirespan --printer json_indent";

/// The examples, and every setting with what it is for.
fn after_long_help() -> String {
    let mut text = EXAMPLES.to_owned();
    text.push_str("\n\nAll environment variables (of several names, the first wins):");
    for names in SETTINGS {
        text.push_str(&format!("\n  {}", names.variables.join("\n  or ")));
        text.push_str(&format!("\n          {}", names.about));
    }
    text
}

/// Subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write what the kernel side says to a file, to be replayed later
    ///
    /// WARNING: the recording holds the first bytes of every request and response as they were
    /// sent, with passwords, cookies and tokens: treat it like the traffic itself. Only its owner
    /// may read the file; `wirespan redact` makes a copy that can be handed on. Spans are exported
    /// or printed only if that is asked for.
    Record {
        /// File to write; it must not exist yet
        file: PathBuf,
        /// End the recording, but not the run, at this size, such as 500M or 2G
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
        /// Whom to watch, and how.
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// List the processes that would be watched, whether TLS is readable, how calls are linked
    ///
    /// Takes the settings of a run, changes nothing, and needs no kernel side. It sees what the
    /// user may see of /proc: all of it only as root.
    Processes {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Those of a run; what is not about processes is checked, and not used.
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Say why a process is traced or not: who selects it, what of it is read, what is lost
    ///
    /// Takes the settings of a run. What the process says is then watched for a while, by itself
    /// and beside any other wirespan, and no span leaves: that takes root, and can be left out by
    /// `--watch 0s`.
    Explain {
        /// The process's id
        pid: u32,
        /// How long its sockets are watched
        #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
        watch: Duration,
        /// Those of a run; what is not about processes and spans is checked, and not used.
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Check whether a run with these settings would work here, with a remedy for what is wrong
    ///
    /// Looks at capabilities, the kernel, processes, and sends an empty export to each receiver. It
    /// attaches nothing and watches nobody. The exit code is 1 where a run can't do what it is for.
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Those of a run.
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Print the script that tells which request each call of a Node process belongs to
    ///
    /// What Node serves and calls is seen without it; but which belongs to which can't be seen from
    /// outside. Load it into Node 20, 22, 24 or 26 by
    /// NODE_OPTIONS=--require=/path/wirespan-node.cjs. Other versions are left alone.
    NodeScript {
        /// File to write instead; it must not exist yet
        file: Option<PathBuf>,
    },
    /// Make a copy of a recording without what is secret in it, to be handed on
    ///
    /// A replay of the copy makes the same spans but for what is hidden: bodies, values of header
    /// fields but for harmless ones, secrets of URLs, arguments of processes. Of HTTP/2, and of
    /// whatever is not understood as HTTP/1, nothing is left to replay.
    Redact {
        /// File that `wirespan record` wrote
        file: PathBuf,
        /// File to write; it must not exist yet
        copy: PathBuf,
        /// The agent itself.
        #[command(flatten)]
        daemon: DaemonFlags,
    },
    /// Read a recording and make its spans again, without root and without a kernel side
    Replay {
        /// File that `wirespan record` wrote
        file: PathBuf,
        /// Make the same trace and span ids each time
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
        /// Where spans go.
        #[command(flatten)]
        export: ExportFlags,
        /// The agent itself.
        #[command(flatten)]
        daemon: DaemonFlags,
    },
}

/// All flags of a run.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Whom to watch.
    #[command(flatten)]
    pub targets: TargetFlags,
    /// Names for what is watched.
    #[command(flatten)]
    pub service: ServiceFlags,
    /// Where spans go.
    #[command(flatten)]
    pub export: ExportFlags,
    /// How to capture.
    #[command(flatten)]
    pub capture: CaptureFlags,
    /// The agent itself.
    #[command(flatten)]
    pub daemon: DaemonFlags,
}

/// Whom to watch.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which processes (one of these is needed; any match is enough)")]
pub struct TargetFlags {
    /// Those that listen on these TCP ports, such as 80,443,8000-8999 [BEYLA_OPEN_PORT]
    #[arg(long, value_name = "PORTS")]
    pub open_port: Option<String>,
    /// Those whose executable's full path matches a glob, such as '*/nginx'
    /// [BEYLA_AUTO_TARGET_EXE]
    #[arg(long, value_name = "GLOBS")]
    pub auto_target_exe: Option<String>,
    /// Those whose executable's full path matches a regular expression [BEYLA_EXECUTABLE_NAME]
    #[arg(long, value_name = "REGEX")]
    pub executable_name: Option<String>,
    /// These, by process id, such as 1234,5678 [BEYLA_TARGET_PID]
    #[arg(long, value_name = "PIDS")]
    pub target_pid: Option<String>,
}

/// Names for what is watched.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Names (otherwise found out for each process)")]
pub struct ServiceFlags {
    /// service.name of everything that is traced [OTEL_SERVICE_NAME, BEYLA_SERVICE_NAME]
    #[arg(long, value_name = "NAME")]
    pub service_name: Option<String>,
    /// service.namespace of everything that is traced [BEYLA_SERVICE_NAMESPACE]
    #[arg(long, value_name = "NAME")]
    pub service_namespace: Option<String>,
}

/// Where spans go.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Where spans go")]
pub struct ExportFlags {
    /// OTLP receiver, such as http://localhost:4318; /v1/traces is added for HTTP
    /// [OTEL_EXPORTER_OTLP_ENDPOINT]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// grpc, http/protobuf or http/json; by default what the port suggests
    /// [OTEL_EXPORTER_OTLP_PROTOCOL]
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<String>,
    /// Print spans: text, tree, json, json_indent, counter or disabled [BEYLA_TRACE_PRINTER]
    #[arg(long, value_name = "FORMAT")]
    pub printer: Option<String>,
    /// No spans for gRPC's own health checks and reflection [WIRESPAN_IGNORE_HEALTH_CHECKS]
    #[arg(long)]
    pub ignore_health_checks: bool,
    /// Leave out the queries of URLs; without it, values of known secrets are hidden in them
    /// [WIRESPAN_DROP_QUERY]
    #[arg(long)]
    pub drop_query: bool,
}

/// How to capture.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How to capture")]
pub struct CaptureFlags {
    /// auto, socket_tracepoints, fexit, kprobes, syscall_tracepoints, legacy or legacy_kprobes;
    /// auto takes the cheapest that this kernel loads [WIRESPAN_CAPTURE]
    #[arg(long, value_name = "STRATEGY")]
    pub capture: Option<String>,
    /// Log what the kernel side does [BEYLA_BPF_DEBUG]
    #[arg(long)]
    pub bpf_debug: bool,
}

/// The agent itself.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "The agent itself")]
pub struct DaemonFlags {
    /// How long the last spans may take to leave at the end, such as 10s [BEYLA_SHUTDOWN_TIMEOUT]
    #[arg(long, value_name = "DURATION")]
    pub shutdown_timeout: Option<String>,
    /// Most memory that what is remembered may take, such as 64MiB [WIRESPAN_MEMORY_LIMIT]
    #[arg(long, value_name = "BYTES")]
    pub memory_limit: Option<String>,
    /// error, warn, info, debug, trace or off [BEYLA_LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl Cli {
    /// What the configuration is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self.command {
            None => Purpose::Trace,
            Some(Command::Record { .. }) => Purpose::Record,
            Some(Command::Processes { .. }) => Purpose::List,
            Some(Command::Explain { .. }) => Purpose::Explain,
            Some(Command::Doctor { .. }) => Purpose::Examine,
            Some(Command::Replay { .. } | Command::Redact { .. } | Command::NodeScript { .. }) => {
                Purpose::Replay
            }
        }
    }

    /// The flags that were given, for [`Config::load`](crate::config::Config::load).
    #[must_use]
    pub fn settings(&self) -> Vec<(Setting, Given)> {
        let mut settings = Vec::new();
        match &self.command {
            None => self.flags.add_to(&mut settings),
            Some(
                Command::Record { flags, .. }
                | Command::Processes { flags, .. }
                | Command::Explain { flags, .. }
                | Command::Doctor { flags, .. },
            ) => flags.add_to(&mut settings),
            Some(Command::Replay { export, daemon, .. }) => {
                export.add_to(&mut settings);
                daemon.add_to(&mut settings);
            }
            Some(Command::Redact { daemon, .. }) => daemon.add_to(&mut settings),
            Some(Command::NodeScript { .. }) => {}
        }
        settings
    }
}

type Settings = Vec<(Setting, Given)>;

impl Flags {
    fn add_to(&self, settings: &mut Settings) {
        let targets = &self.targets;
        add(
            settings,
            Setting::OpenPort,
            "--open-port",
            &targets.open_port,
        );
        add(
            settings,
            Setting::AutoTargetExe,
            "--auto-target-exe",
            &targets.auto_target_exe,
        );
        add(
            settings,
            Setting::ExecutableName,
            "--executable-name",
            &targets.executable_name,
        );
        add(
            settings,
            Setting::TargetPid,
            "--target-pid",
            &targets.target_pid,
        );
        let service = &self.service;
        add(
            settings,
            Setting::ServiceName,
            "--service-name",
            &service.service_name,
        );
        add(
            settings,
            Setting::ServiceNamespace,
            "--service-namespace",
            &service.service_namespace,
        );
        self.export.add_to(settings);
        add(
            settings,
            Setting::Capture,
            "--capture",
            &self.capture.capture,
        );
        let bpf_debug = self.capture.bpf_debug.then(|| "true".to_owned());
        add(settings, Setting::BpfDebug, "--bpf-debug", &bpf_debug);
        self.daemon.add_to(settings);
    }
}

impl ExportFlags {
    fn add_to(&self, settings: &mut Settings) {
        add(settings, Setting::Endpoint, "--endpoint", &self.endpoint);
        add(settings, Setting::Protocol, "--protocol", &self.protocol);
        add(settings, Setting::TracePrinter, "--printer", &self.printer);
        let ignore = self.ignore_health_checks.then(|| "true".to_owned());
        add(
            settings,
            Setting::IgnoreHealthChecks,
            "--ignore-health-checks",
            &ignore,
        );
        let drop_query = self.drop_query.then(|| "true".to_owned());
        add(settings, Setting::DropQuery, "--drop-query", &drop_query);
    }
}

impl DaemonFlags {
    fn add_to(&self, settings: &mut Settings) {
        add(
            settings,
            Setting::ShutdownTimeout,
            "--shutdown-timeout",
            &self.shutdown_timeout,
        );
        add(
            settings,
            Setting::MemoryLimit,
            "--memory-limit",
            &self.memory_limit,
        );
        add(settings, Setting::LogLevel, "--log-level", &self.log_level);
    }
}

fn add(settings: &mut Settings, setting: Setting, flag: &str, text: &Option<String>) {
    if let Some(text) = text {
        let given = Given {
            source: flag.to_owned(),
            text: text.clone(),
        };
        settings.push((setting, given));
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration, such as 5s or 500ms".to_owned();
    config::duration(text).ok_or_else(wrong)
}

/// Bytes, or thousands, millions, … of them by their letter.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected a number of bytes, such as 500M or 2G".to_owned();
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1_u64),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count
        .checked_mul(factor)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(wrong)
}
