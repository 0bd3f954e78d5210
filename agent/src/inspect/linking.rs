//! How it would be known for which request a process makes a call: by what was found in its files,
//! else by its threads, else not at all, and why. It decides nothing: the same is decided in a run
//! by what was found there.

use std::path::Path;

use serde::Serialize;
use wirespan_common::record::TaskKind;

use crate::discover::tls::{Finding, Unreadable};
use crate::discover::{Process, runtimes};
use crate::links::Mechanism;

/// A way in which calls of a process are linked, or one that is not gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Linking {
    /// The value of `wirespan.link` that its calls have, if they can be linked.
    pub by: Option<&'static str>,
    /// File that says so, as the process sees it; none where threads do.
    pub file: Option<String>,
    /// Why not.
    pub reason: Option<String>,
}

/// The ways for a process in which this was found; `script` is the file from which it loads the
/// script for Node.
pub(super) fn of(process: &Process, findings: &[Finding], script: Option<String>) -> Vec<Linking> {
    let mut ways: Vec<_> = findings.iter().filter_map(known).collect();
    ways.extend(script.map(|file| Linking {
        by: Some(Mechanism::Task(TaskKind::NodeStore).name()),
        file: Some(file),
        reason: None,
    }));
    if !ways.is_empty() {
        return ways;
    }
    let language = process.language.as_deref();
    if runtimes::may_go_by_threads(language, &process.executable) {
        ways.push(Linking {
            by: Some(Mechanism::Thread.name()),
            file: None,
            reason: None,
        });
    }
    ways.extend(findings.iter().filter_map(unknown));
    if ways.is_empty() {
        ways.push(Linking {
            by: None,
            file: None,
            reason: Some(nothing_found(language, &process.executable)),
        });
    }
    ways
}

fn known(finding: &Finding) -> Option<Linking> {
    let Finding::Readable(library) = finding else {
        return None;
    };
    // What is a part says nothing without the rest, which is found apart.
    let tasks = library.tasks.as_ref().filter(|tasks| !tasks.is_part)?;
    Some(Linking {
        by: Some(Mechanism::Task(tasks.kind).name()),
        file: Some(library.name.to_string_lossy().into_owned()),
        reason: None,
    })
}

fn unknown(finding: &Finding) -> Option<Linking> {
    let Finding::Unlinkable(Unreadable { name, reason, .. }) = finding else {
        return None;
    };
    Some(Linking {
        by: None,
        file: Some(name.to_string_lossy().into_owned()),
        reason: Some(reason.clone()),
    })
}

/// Why there is no way, as a sentence without a full stop.
fn nothing_found(language: Option<&str>, executable: &Path) -> String {
    if runtimes::is_shell(executable) {
        return "it is a shell, and what it starts are processes of their own".to_owned();
    }
    match language {
        Some(language @ "nodejs") => format!(
            "it serves several requests on a thread; those of {language} are told apart only by \
             the script that `wirespan node-script` prints, which neither NODE_OPTIONS nor its \
             arguments name"
        ),
        Some(language) => format!(
            "it serves several requests on a thread, and nothing was found by which those of \
             {language} are told apart"
        ),
        None => "it serves several requests on a thread, in a way that is not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::discover::tls::FileId;

    fn process(language: Option<&str>, executable: &str) -> Process {
        Process {
            language: language.map(str::to_owned),
            executable: executable.into(),
            ..Process::default()
        }
    }

    fn unlinkable(name: &str) -> Finding {
        Finding::Unlinkable(Unreadable {
            file: FileId {
                device: 1,
                inode: 2,
            },
            name: PathBuf::from(name),
            reason: "it is too old".into(),
            given_up: None,
        })
    }

    #[test]
    fn who_has_no_tasks_goes_by_threads() {
        let ways = of(&process(Some("ruby"), "/usr/bin/ruby3.1"), &[], None);
        assert_eq!(ways.len(), 1);
        assert_eq!((ways[0].by, &ways[0].reason), (Some("thread"), &None));
    }

    #[test]
    fn a_reason_is_told_where_there_is_no_way() {
        let go = process(Some("go"), "/srv/shop");
        let ways = of(&go, &[unlinkable("/srv/shop")], None);
        assert_eq!(ways.len(), 1);
        assert_eq!(ways[0].reason.as_deref(), Some("it is too old"));
        assert_eq!(ways[0].file.as_deref(), Some("/srv/shop"));
        let ways = of(&process(Some("nodejs"), "/usr/bin/node"), &[], None);
        let reason = ways[0].reason.as_deref().expect("a reason");
        assert!(reason.contains("nodejs"), "{reason}");
        let ways = of(&process(None, "/usr/bin/redis-server"), &[], None);
        assert_eq!((ways.len(), ways[0].by), (1, None));
        let ways = of(&process(None, "/usr/bin/bash"), &[], None);
        let reason = ways[0].reason.as_deref().expect("a reason");
        assert!(ways[0].by.is_none() && reason.contains("shell"), "{ways:?}");
    }

    #[test]
    fn who_loads_the_script_says_which_request_a_call_is_for() {
        let node = process(Some("nodejs"), "/usr/bin/node");
        let ways = of(&node, &[], Some("/srv/wirespan-node.cjs".into()));
        assert_eq!(ways.len(), 1);
        assert_eq!((ways[0].by, &ways[0].reason), (Some("node_store"), &None));
    }
}
