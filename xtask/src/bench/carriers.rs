//! What it costs to carry traces: nginx in front of nginx, alone, watched, and with a header field
//! in each request that it passes on, or with a TCP option at its first segment, in turns. The
//! programs that carry are attached to a control group that holds this nginx alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::daemon::{Daemon, Sink};
use super::table::{Row, Target};
use super::{Args, load, median};
use crate::demo::{Nginx, free_port};

/// What the front asks the other one for.
const PATH: &str = "/behind/hello";
/// Where version 2 of control groups is.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Before what it says of that at its end.
const SAID: &str = "context in ";
/// Long after that.
const END_MAX: Duration = Duration::from_secs(20);

/// A control group, removed when it is dropped.
struct SocketGroup(PathBuf);

impl SocketGroup {
    fn new() -> Result<Self> {
        let is_root = |root: &&&str| Path::new(root).join("cgroup.threads").exists();
        let root = ROOTS.iter().find(is_root);
        let root = root.context("version 2 of control groups is not mounted")?;
        let path = Path::new(root).join(format!("wirespan-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    fn take_in(&self, pid: u32) -> Result<()> {
        Ok(fs::write(self.0.join("cgroup.procs"), pid.to_string())?)
    }
}

impl Drop for SocketGroup {
    fn drop(&mut self) {
        // Who was in it goes back, as it may live on.
        if let Ok(pids) = fs::read_to_string(self.0.join("cgroup.procs"))
            && let Some(parent) = self.0.parent()
        {
            for pid in pids.lines() {
                let _ = fs::write(parent.join("cgroup.procs"), pid);
            }
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// What one run came to.
struct CarrierRun {
    per_second: f64,
    latency_us: f64,
    /// Of the processor's time, what the front takes for a request, hooks and all.
    cpu_us: f64,
}

/// A way to carry.
struct CarrierWay {
    /// As it is asked for.
    setting: &'static str,
    /// What it is called here.
    name: &'static str,
    /// What the daemon says of requests that carried.
    carried: &'static str,
    /// Requests a second that have to be kept, in per cent: of those alone, of those watched.
    kept: [Target; 2],
}

const WAYS: [CarrierWay; 2] = [
    CarrierWay {
        setting: "headers",
        name: "header fields",
        carried: "requests with a field",
        kept: [Target::AtLeast(85.0), Target::None],
    },
    CarrierWay {
        setting: "tcp",
        name: "TCP option",
        carried: "requests with the TCP option",
        // What watching takes is measured elsewhere.
        kept: [Target::None, Target::AtLeast(95.0)],
    },
];

/// Requests that are kept, and what is added to the time that one takes.
pub fn measure(args: &Args) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for way in &WAYS {
        rows.extend(measure_way(args, way)?);
    }
    Ok(rows)
}

fn measure_way(args: &Args, way: &CarrierWay) -> Result<Vec<Row>> {
    let back = Nginx::start(free_port()?, 1)?;
    let front = Nginx::start(free_port()?, back.port)?;
    let group = SocketGroup::new()?;
    for pid in super::cpu::family(front.pid())? {
        group.take_in(pid)?;
    }
    load::run_path(front.port, PATH, 1)?;
    let mut turns = Vec::new();
    for _ in 0..args.pairs {
        let alone = run(args, &front)?;
        let watched = with_daemon(args, &front, &group, None)?.0;
        let (carried, said) = with_daemon(args, &front, &group, Some(way))?;
        if said.is_empty() {
            println!(
                "bench: carriers: {}: this kernel does not pass the self-test",
                way.name
            );
            return Ok(Vec::new());
        }
        println!(
            "bench: carriers: {}: {:.0}/s, {:.0} watched, {:.0} carried; {:.0}, {:.0} and \
             {:.0} µs; CPU {:.1}, {:.1} and {:.1} µs; {said}",
            way.name,
            alone.per_second,
            watched.per_second,
            carried.per_second,
            alone.latency_us,
            watched.latency_us,
            carried.latency_us,
            alone.cpu_us,
            watched.cpu_us,
            carried.cpu_us
        );
        turns.push([alone, watched, carried]);
    }
    let of = |figure: &dyn Fn(&[CarrierRun; 3]) -> f64| median(turns.iter().map(figure).collect());
    let [kept_alone, kept_watched] = way.kept;
    let row = |what: &str, value, unit, target| {
        Row::new(format!("{}: {what}", way.name), value, unit, target)
    };
    let kept = |before: usize| of(&|it| 100.0 * it[2].per_second / it[before].per_second);
    let added = |before: usize| of(&|it| it[2].latency_us - it[before].latency_us);
    Ok(vec![
        row("requests/s kept", kept(0), "%", kept_alone),
        row(
            "requests/s kept, of those watched",
            kept(1),
            "%",
            kept_watched,
        ),
        row("added to the median latency", added(0), "µs", Target::None),
        row("added to it, of that watched", added(1), "µs", Target::None),
        row(
            "CPU of a request in the sender, more than watched",
            of(&|it| it[2].cpu_us - it[1].cpu_us),
            "µs",
            Target::AtMost(5.0),
        ),
    ])
}

fn run(args: &Args, front: &Nginx) -> Result<CarrierRun> {
    let pids = super::cpu::family(front.pid())?;
    let before = super::cpu::cpu_of_all(&pids)?;
    let load = load::run_path(front.port, PATH, args.seconds)?;
    let took = super::cpu::cpu_of_all(&pids)?.saturating_sub(before);
    Ok(CarrierRun {
        cpu_us: super::cpu::each(took, load.requests),
        per_second: load.per_second,
        latency_us: load::latency(front.port, PATH, args.seconds)?,
    })
}

/// The same with a daemon, and what that says of what it carried at its end, if it did.
fn with_daemon(
    args: &Args,
    front: &Nginx,
    group: &SocketGroup,
    way: Option<&CarrierWay>,
) -> Result<(CarrierRun, String)> {
    let sink = Sink::start()?;
    let path = group.0.to_str().context("no text")?;
    let given = [
        (
            "BEYLA_BPF_CONTEXT_PROPAGATION",
            way.map_or("disabled", |way| way.setting),
        ),
        ("WIRESPAN_CONTEXT_PROPAGATION_CGROUP", path),
    ];
    let mut daemon = Daemon::start_with(&given, front.port, &sink)?;
    // Connections that were there before carry nothing: nginx keeps four.
    front.renew_worker()?;
    load::run_path(front.port, PATH, 1)?;
    let took = run(args, front)?;
    daemon.stop()?;
    let Some(way) = way else {
        return Ok((took, String::new()));
    };
    let said = daemon.says(SAID, END_MAX).unwrap_or_default();
    let told = said.split(SAID).nth(1).unwrap_or_default();
    ensure!(
        told.is_empty() || told.contains(way.carried),
        "nothing was carried: {told}"
    );
    Ok((took, told.to_owned()))
}
