//! `wirespan processes` and `explain`: which processes a run with the same settings would watch,
//! what it could read of their TLS, and by what it would know for which request they make a call.
//! It looks at `/proc` and at files, needs no kernel side, and changes nothing.

mod absent;
mod explain;
mod linking;
mod looks;
mod node;
mod pod_sight;
mod pods;
mod sight;
mod table;
mod telling;

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

pub use absent::Absent;
pub use explain::Explanation;
pub use linking::Linking;
pub use pods::pods;
pub use sight::Sight;

use crate::config::Config;
use crate::discover::tls::{End, Finding, Libraries, Library, LibraryKind, Unreadable};
use crate::discover::{Admission, Describer, ProcRoot, Process, Selector, Uncopied, ports};
use crate::enrich::process::service_names;
use crate::kubernetes::Pods;
use crate::page;

/// A process that would be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// In the initial pid namespace.
    pub pid: u32,
    /// Path as the process sees it.
    pub executable: String,
    /// A value of `telemetry.sdk.language`.
    pub language: Option<String>,
    /// TCP ports it listens on.
    pub ports: Vec<u16>,
    /// Name that its spans would carry.
    pub service_name: String,
    /// Namespace that its spans would carry.
    pub service_namespace: Option<String>,
    /// Namespace and name of the pod that it runs in, if that is known.
    pub pod: Option<String>,
    /// Why not all that it moves is read.
    pub uncopied: Vec<Uncopied>,
    /// What there is of TLS in it now; more may be loaded later.
    pub tls: Vec<Tls>,
    /// How it is known for which request it makes a call, or why not; what is taken comes first.
    pub links: Vec<Linking>,
}

/// A file with TLS in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// Path as the process sees it.
    pub file: String,
    /// Which library it is, if it can be read.
    pub library: Option<&'static str>,
    /// How its plaintext is read.
    pub read_by: Option<&'static str>,
    /// Why it can't be read.
    pub reason: Option<String>,
}

/// Prints the processes that `config` selects, as a table or as JSON.
///
/// # Errors
/// If standard output can't be written to; if there are processes that more rights would let it
/// look into, because then the list may lack some; or if a run would refuse these processes'
/// numbers.
pub fn processes(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let by = config.discover.targets.pods.variables();
    let known = pods(config, None);
    anyhow::ensure!(
        by.is_empty() || known.is_some(),
        "{by}: it is not known what runs in such pods, as nobody tells of pods"
    );
    let rows = survey(&ProcRoot::host(), config, &known.unwrap_or_default());
    page::say(|page| {
        if !as_json {
            return table::write(page, &rows);
        }
        serde_json::to_writer_pretty(&mut *page, &rows)?;
        writeln!(page)
    })?;
    ProcRoot::host().check_pids()?;
    let sight = Sight::of(&ProcRoot::host());
    if rows.is_empty() {
        log::info!("{sight}");
        if !by.is_empty() {
            log::info!("only what runs in pods that meet {by} is watched");
        }
    }
    anyhow::ensure!(!sight.is_short_of_rights(), "{}", sight.gaps());
    if !sight.is_whole() {
        log::warn!("{}", sight.gaps());
    }
    Ok(())
}

/// The processes of `root` that `config` selects, by pid, as far as `pods` are known.
#[must_use]
pub fn survey(root: &ProcRoot, config: &Config, pods: &Pods) -> Vec<Row> {
    let describer = Describer::new(root.clone(), config.discover.service.clone());
    let mut libraries = Libraries::new(root.clone());
    let targets = &config.discover.targets;
    let admits = |pid, executable: &Path| {
        targets.admit_of(root, pods, pid, executable) == Admission::Admitted
    };
    let selected = Selector::new(targets.clone()).scan(root, admits);
    let mut rows: Vec<Row> = looks::described(root, &describer, selected)
        .into_iter()
        .map(|process| {
            let findings = libraries.survey(process.pid);
            row(root, placed(process, pods), findings)
        })
        .collect();
    rows.sort_by_key(|row| row.pid);
    rows
}

/// As a run knows it once it has heard of these pods.
fn placed(mut process: Process, pods: &Pods) -> Process {
    (process.place, process.awaits_place) = process.place_among(pods);
    process
}

fn row(root: &ProcRoot, process: Process, findings: Vec<Finding>) -> Row {
    let (service_name, service_namespace) = service_names(&process);
    let place = process.place.as_ref();
    Row {
        pod: place.map(|place| format!("{}/{}", place.pod.namespace, place.pod.name)),
        links: linking::of(&process, &findings, node::script_of(root, &process)),
        pid: process.pid,
        ports: ports(root, process.pid).into_iter().collect(),
        uncopied: process.uncopied,
        executable: process.executable.to_string_lossy().into_owned(),
        language: process.language,
        service_name,
        service_namespace,
        tls: findings.iter().filter_map(tls).collect(),
    }
}

fn tls(finding: &Finding) -> Option<Tls> {
    Some(match finding {
        Finding::Readable(library) => Tls {
            file: library.name.to_string_lossy().into_owned(),
            library: Some(name(library.kind?)),
            read_by: Some(read_by(library)),
            reason: None,
        },
        Finding::Unreadable(Unreadable { name, reason, .. }) => Tls {
            file: name.to_string_lossy().into_owned(),
            library: None,
            read_by: None,
            reason: Some(reason.clone()),
        },
        Finding::Unlinkable(_) => return None,
    })
}

/// As its makers write it.
fn name(kind: LibraryKind) -> &'static str {
    match kind {
        LibraryKind::OpenSsl => "OpenSSL",
        LibraryKind::GnuTls => "GnuTLS",
        LibraryKind::Go => "Go crypto/tls",
        LibraryKind::Rustls => "rustls",
    }
}

fn read_by(library: &Library) -> &'static str {
    let has = |is_it: fn(&End) -> bool| library.functions.iter().any(|site| is_it(&site.end));
    if has(|end| matches!(end, End::ReturnProbe)) {
        "return probes"
    } else if has(|end| matches!(end, End::Instructions(_))) {
        "return instructions"
    } else {
        "entries of functions"
    }
}
