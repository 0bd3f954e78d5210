//! Who made a pod, as far as the pod itself proves it: its controller is told by a reference, and
//! that one's own by marks that only that one's controller makes. A name that merely looks like it
//! proves nothing: a Job that somebody called `db-migration` is no CronJob's, and a ReplicaSet
//! `web-blue` no Deployment's. It asks nobody.
//!
//! Source of the marks: Kubernetes, pkg/controller/deployment/sync.go (`getNewReplicaSet`: the
//! name is the Deployment's and the hash, a label of the pods too), and
//! pkg/controller/cronjob/utils.go (`getJobName`: the CronJob's and the minute of the schedule
//! since the epoch; until 1.20 the second). Argo Rollouts, rollout/sync.go, for
//! `rollouts-pod-template-hash`.

use super::pod::Owner;
use std::collections::BTreeMap;

/// Of `metadata.ownerReferences`, the one that controls the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controller {
    /// `apiVersion`, a group and a version.
    pub api_version: String,
    /// Itself.
    pub owner: Owner,
}

/// What ReplicaSets of a kind of owner are called after: a label of their pods.
const HASHES: [(&str, &str); 2] = [
    ("pod-template-hash", "Deployment"),
    ("rollouts-pod-template-hash", "Rollout"),
];

/// How long after the minute for which it was scheduled a pod of a CronJob may come to be, in
/// seconds: one that waits for room, or is tried again. And before, by clocks that differ.
const SCHEDULED_BEFORE_S: i64 = 7 * 24 * 3600;
const SCHEDULED_AFTER_S: i64 = 600;

/// The pod's owners, the nearest first. `created` is `metadata.creationTimestamp`.
#[must_use]
pub fn owners(
    controller: Option<Controller>,
    labels: &BTreeMap<String, String>,
    created: &str,
) -> Vec<Owner> {
    let Some(Controller { api_version, owner }) = controller else {
        return Vec::new();
    };
    let (group, _) = api_version.split_once('/').unwrap_or_default();
    // The kubelet says so of a static pod, which it made of a file.
    if group.is_empty() && owner.kind == "Node" {
        return Vec::new();
    }
    let further = match (group, owner.kind.as_str()) {
        ("apps", "ReplicaSet") => of_replica_set(&owner.name, labels),
        ("batch", "Job") => of_job(&owner.name, created),
        _ => None,
    };
    [Some(owner), further].into_iter().flatten().collect()
}

fn of_replica_set(name: &str, labels: &BTreeMap<String, String>) -> Option<Owner> {
    HASHES.iter().find_map(|(label, kind)| {
        let hash = labels.get(*label).filter(|hash| !hash.is_empty())?;
        let name = name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
        named(kind, name)
    })
}

fn of_job(name: &str, created: &str) -> Option<Owner> {
    let (name, scheduled) = name.rsplit_once('-')?;
    if !scheduled.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = scheduled.parse().ok()?;
    let scheduled_s = match scheduled.len() {
        8 => number * 60,
        10 => number,
        _ => return None,
    };
    let late_s = seconds(created)? - scheduled_s;
    let is_schedule = (-SCHEDULED_AFTER_S..=SCHEDULED_BEFORE_S).contains(&late_s);
    is_schedule.then(|| named("CronJob", name)).flatten()
}

fn named(kind: &str, name: &str) -> Option<Owner> {
    (!name.is_empty()).then(|| Owner {
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: String::new(),
    })
}

/// Since the epoch, of a time as the API server writes it: RFC 3339 in UTC, to the second.
fn seconds(time: &str) -> Option<i64> {
    let time = Some(time).filter(|time| time.ends_with('Z'))?;
    Some(time.parse::<jiff::Timestamp>().ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind and name of each, as `kind/name`.
    fn told(controller: &str, label: &str, created: &str) -> String {
        let (api_version, rest) = controller.split_once(' ').expect("three words");
        let (kind, name) = rest.split_once(' ').expect("three words");
        let controller = Controller {
            api_version: api_version.to_owned(),
            owner: Owner {
                kind: kind.to_owned(),
                name: name.to_owned(),
                uid: "u".to_owned(),
            },
        };
        let label = label.split_once('=');
        let labels = label.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let owners = owners(Some(controller), &labels.into_iter().collect(), created);
        assert!(owners.first().is_none_or(|owner| owner.uid == "u"));
        let told = owners.iter().map(|it| format!("{}/{}", it.kind, it.name));
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_what_is_proved_is_told() {
        const NOW: &str = "2026-11-27T13:00:03Z";
        const HASH: &str = "pod-template-hash=7f9c";
        for (controller, label, created, expected) in [
            (
                "apps/v1 ReplicaSet web-7f9c",
                HASH,
                NOW,
                "ReplicaSet/web-7f9c Deployment/web",
            ),
            (
                "apps/v1 ReplicaSet a-b-7f9c",
                HASH,
                NOW,
                "ReplicaSet/a-b-7f9c Deployment/a-b",
            ),
            // By hand.
            (
                "apps/v1 ReplicaSet web-blue",
                "",
                NOW,
                "ReplicaSet/web-blue",
            ),
            (
                "apps/v1 ReplicaSet web-blue",
                HASH,
                NOW,
                "ReplicaSet/web-blue",
            ),
            (
                "apps/v1 ReplicaSet web7f9c",
                HASH,
                NOW,
                "ReplicaSet/web7f9c",
            ),
            ("apps/v1 ReplicaSet -7f9c", HASH, NOW, "ReplicaSet/-7f9c"),
            (
                "apps/v1 ReplicaSet web-",
                "pod-template-hash=",
                NOW,
                "ReplicaSet/web-",
            ),
            (
                "apps/v1 ReplicaSet web-6d",
                "rollouts-pod-template-hash=6d",
                NOW,
                "ReplicaSet/web-6d Rollout/web",
            ),
            // Somebody else's kind of that name.
            (
                "example.com/v1 ReplicaSet web-7f9c",
                HASH,
                NOW,
                "ReplicaSet/web-7f9c",
            ),
            // 29929740 is the minute of 13:00.
            (
                "batch/v1 Job db-29929740",
                "",
                NOW,
                "Job/db-29929740 CronJob/db",
            ),
            (
                "batch/v1 Job db-1795784400",
                "",
                NOW,
                "Job/db-1795784400 CronJob/db",
            ),
            (
                "batch/v1 Job db-29929740",
                "",
                "2026-11-29T13:00:00Z",
                "Job/db-29929740 CronJob/db",
            ),
            ("batch/v1 Job db-migration", "", NOW, "Job/db-migration"),
            ("batch/v1 Job db-123", "", NOW, "Job/db-123"),
            // A day, a minute of another year, a version.
            ("batch/v1 Job db-20261127", "", NOW, "Job/db-20261127"),
            ("batch/v1 Job db-29029740", "", NOW, "Job/db-29029740"),
            ("batch/v1 Job db-29929740", "", "", "Job/db-29929740"),
            ("batch/v1 Job -29929740", "", NOW, "Job/-29929740"),
            ("apps/v1 StatefulSet db", HASH, NOW, "StatefulSet/db"),
            ("v1 Node node-1", "", NOW, ""),
        ] {
            assert_eq!(
                told(controller, label, created),
                expected,
                "{controller} {label}"
            );
        }
        assert_eq!(owners(None, &BTreeMap::new(), NOW), []);
    }

    #[test]
    fn times_are_read() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:01Z", Some(951_825_601)),
            ("2026-11-27T13:00:00Z", Some(1_795_784_400)),
            ("2026-11-27T13:00:00+01:00", None),
            ("2026-13-27T13:00:00Z", None),
            ("", None),
            ("äöüäöüäöüäöüäöüäöü", None),
        ] {
            assert_eq!(seconds(time), expected, "{time}");
        }
    }
}
