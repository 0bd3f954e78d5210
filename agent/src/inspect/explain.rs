//! `wirespan explain`: what is known of one process without watching it, as sentences: who selects
//! it, what of it could be read, and by what its calls would be linked. The facts are those of the
//! table of processes. What it says on its sockets is watched elsewhere (`run`).

use std::io::{self, Write};

use super::pod_sight::PodSight;
use super::{Row, looks, placed, row, telling};
use crate::config::{Config, Setting};
use crate::discover::tls::Libraries;
use crate::discover::{Admission, Criterion, Describer, ProcRoot, Selector, Unmeant};
use crate::kubernetes::Pods;
use crate::visible::Visible;

/// What there is to say of a process.
#[derive(Clone, Debug)]
pub struct Explanation {
    row: Row,
    criteria: Vec<Criterion>,
    /// Pods alone select.
    are_pods: bool,
    /// By what they are selected.
    pod_variables: String,
    /// Somebody told of pods.
    are_pods_told: bool,
    admission: Admission,
    pod: PodSight,
    /// What the settings make of its spans.
    telling: Vec<String>,
}

impl Explanation {
    /// Looks at a process, as far as `pods` are known; `None` if there is none, or it can't be
    /// looked at.
    #[must_use]
    pub fn of(root: &ProcRoot, config: &Config, pods: &Pods, pid: u32) -> Option<Self> {
        let describer = Describer::new(root.clone(), config.discover.service.clone());
        let process = looks::described(root, &describer, [pid]).pop()?;
        let process = placed(process, pods);
        let findings = Libraries::new(root.clone()).survey(pid);
        let targets = &config.discover.targets;
        let selector = Selector::new(targets.clone());
        Some(Self {
            are_pods: targets.are_pods(),
            pod_variables: targets.pods.variables(),
            are_pods_told: !pods.are_none(),
            admission: targets.admit_of(root, pods, pid, &process.executable),
            telling: telling::of(config),
            pod: PodSight::of(&process, &config.kubernetes, pods),
            criteria: selector.criteria(root, pid),
            row: row(root, process, findings),
        })
    }

    /// Whether the settings select it.
    #[must_use]
    pub fn is_selected(&self) -> bool {
        self.is_meant() && self.admission == Admission::Admitted
    }

    fn is_meant(&self) -> bool {
        self.are_pods || self.criteria.iter().any(|criterion| criterion.selects)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let row = &self.row;
        let language = row.language.as_deref().unwrap_or("of no known language");
        writeln!(
            out,
            "pid {}: {}, called {}, {language}",
            row.pid,
            Visible(&row.executable),
            Visible(&row.service_name)
        )?;
        self.write_selection(out)?;
        writeln!(out, "pod")?;
        writeln!(out, "  {}", self.pod)?;
        writeln!(out, "sockets")?;
        if row.uncopied.is_empty() {
            writeln!(out, "  nothing is in the way of reading its calls")?;
        }
        for uncopied in &row.uncopied {
            writeln!(out, "  {}", uncopied.sentence())?;
        }
        writeln!(out, "TLS")?;
        if row.tls.is_empty() {
            writeln!(out, "  none was found in its files")?;
        }
        for tls in &row.tls {
            let file = Visible(&tls.file);
            match (tls.library, tls.read_by) {
                (Some(library), Some(by)) => {
                    writeln!(out, "  {library} in {file} can be read by {by}")?;
                }
                _ => {
                    let reason = tls.reason.as_deref().unwrap_or("it is not known why");
                    writeln!(out, "  can't be read in {file}: {}", Visible(reason))?;
                }
            }
        }
        writeln!(out, "links")?;
        for linking in &row.links {
            let of = linking
                .file
                .as_deref()
                .map_or(String::new(), |file| format!(", as {} says", Visible(file)));
            match (linking.by, &linking.reason) {
                (Some(by), _) => writeln!(out, "  its calls can be linked by {by}{of}")?,
                (None, Some(reason)) => {
                    writeln!(out, "  its calls are not linked{of}: {}", Visible(reason))?;
                }
                (None, None) => writeln!(out, "  its calls are not linked{of}")?,
            }
        }
        writeln!(out, "spans")?;
        for sentence in &self.telling {
            writeln!(out, "  {sentence}")?;
        }
        Ok(())
    }

    fn write_admission(&self, out: &mut impl Write) -> io::Result<()> {
        let by = &self.pod_variables;
        match &self.admission {
            Admission::Admitted => Ok(()),
            Admission::Awaited => writeln!(
                out,
                "  it is not known yet whether {by} selects it: its pod, or which of that one's \
                 containers it runs in"
            ),
            Admission::Refused(Unmeant::NoPod) if !self.are_pods_told => writeln!(
                out,
                "  it is not known whether {by} selects it: nobody tells of pods"
            ),
            Admission::Refused(unmeant @ Unmeant::NoPod) => {
                writeln!(out, "  {by} does not select it: it {unmeant}")
            }
            Admission::Refused(unmeant @ Unmeant::Pod(setting)) => {
                writeln!(
                    out,
                    "  {} does not select it: it {unmeant}",
                    setting.variable()
                )
            }
            Admission::Refused(unmeant) => writeln!(
                out,
                "  {} does not exclude it if it is false: it {unmeant}",
                Setting::DefaultExclude.variable()
            ),
        }
    }

    fn write_selection(&self, out: &mut impl Write) -> io::Result<()> {
        let is_nobody = self.criteria.is_empty() && !self.are_pods;
        let verdict = match (is_nobody, self.is_selected()) {
            (true, _) => "no setting says which processes are watched",
            (false, true) => "watched",
            (false, false) => "not watched",
        };
        writeln!(out, "selection: {verdict}")?;
        for criterion in &self.criteria {
            let is = if criterion.selects {
                "selects it"
            } else {
                "does not select it"
            };
            let found = &criterion.found;
            match criterion.setting {
                Some(setting) => writeln!(out, "  {} {is}: it {found}", setting.variable())?,
                None => writeln!(out, "  it {found}")?,
            }
        }
        self.write_admission(out)?;
        let by_ports = |it: &Criterion| it.setting == Some(Setting::OpenPort);
        if !self.is_meant() && self.criteria.iter().any(by_ports) {
            writeln!(
                out,
                "  it is watched once it serves a connection to a selected port, whoever listens"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Purpose;

    fn explained(environment: &[(&str, &str)], pid: u32) -> Option<String> {
        let environment = environment.iter().copied();
        let loaded = Config::load(Purpose::Explain, [], environment).expect("valid");
        let explanation =
            Explanation::of(&ProcRoot::host(), &loaded.config, &Pods::default(), pid)?;
        let mut text = Vec::new();
        explanation.write(&mut text).expect("a vector takes all");
        String::from_utf8(text).ok()
    }

    #[test]
    fn whom_nobody_means_is_not_watched_and_the_reason_is_told() {
        let pid = std::process::id();
        let of_pods = explained(&[("WIRESPAN_K8S_NAMESPACE", "shop")], pid).expect("it is there");
        assert!(of_pods.contains("selection: not watched\n"), "{of_pods}");
        let unknown = "not known whether WIRESPAN_K8S_NAMESPACE selects it: nobody tells of pods";
        assert!(of_pods.contains(unknown), "{of_pods}");
        // A pid is meant wherever it runs.
        let pid_text = pid.to_string();
        let settings = [
            ("WIRESPAN_K8S_NAMESPACE", "shop"),
            ("BEYLA_TARGET_PID", &*pid_text),
        ];
        let named = explained(&settings, pid).expect("it is there");
        assert!(named.contains("selection: watched\n"), "{named}");
    }

    #[test]
    fn a_process_is_explained_from_its_selection_on() {
        // Of itself a daemon sees nothing, but the test's process is none.
        let pid = std::process::id();
        let nothing = explained(&[], pid).expect("it is there");
        assert!(
            nothing.contains("selection: no setting says which processes are watched"),
            "{nothing}"
        );
        for (name, value, verdict) in [
            ("BEYLA_EXECUTABLE_NAME", "no/such", "not watched"),
            ("BEYLA_EXECUTABLE_NAME", ".", "watched"),
            ("BEYLA_OPEN_PORT", "1", "not watched"),
        ] {
            let text = explained(&[(name, value)], pid).expect("it is there");
            let line = format!("selection: {verdict}\n  {name} ");
            assert!(text.contains(&line), "{text}");
            for part in ["\nsockets\n  ", "\nTLS\n  ", "\nlinks\n  ", "\nspans\n  "] {
                assert!(text.contains(part), "{part:?} {text}");
            }
        }
        assert_eq!(explained(&[], u32::MAX), None);
    }
}
