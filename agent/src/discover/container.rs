//! The container that a process runs in, by the path of its control group: what runtimes call the
//! groups that they make, with either of their drivers (`systemd`: `cri-containerd-ID.scope` below
//! `kubepods-burstable-podUID.slice`; `cgroupfs`: `ID` below `kubepods/burstable/podUID`). It asks
//! no runtime.
//!
//! Who may make groups below their own may call them what they like, so the outermost name counts:
//! that one was given by whoever runs the container. A pod is believed anywhere outside of users'
//! own groups, as a node may itself be a container (kind).

use serde::{Deserialize, Serialize};
use wirespan_protocols::heap;

use crate::engine::Labelled;

/// A container on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// As its runtime calls it: 64 hexadecimal digits, in lower case; of AWS Fargate 32 and a
    /// number.
    pub id: String,
    /// Of the pod of Kubernetes that it belongs to. Not known of static pods, whose groups have
    /// another name than the API server gives them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod_uid: Option<String>,
    /// What its engine calls it, if one was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The image that its engine made it of, as whoever started it wrote it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
}

impl Container {
    /// Bytes of heap that it takes.
    pub(super) fn heap_bytes(&self) -> usize {
        let optional = [&self.pod_uid, &self.name, &self.image];
        let optional = optional.into_iter().flatten();
        let texts = optional.chain([&self.id]);
        texts.map(|text| heap::block(text.capacity())).sum()
    }

    /// One of which no engine was asked.
    pub(crate) fn known_by(id: &str, pod_uid: Option<String>) -> Self {
        Self {
            id: id.to_owned(),
            pod_uid,
            name: None,
            image: None,
        }
    }

    /// Takes in what its engine says of it.
    pub(super) fn label(&mut self, labelled: Labelled) {
        let told = |text: String| Some(text).filter(|text| !text.is_empty());
        self.name = told(labelled.name);
        self.image = told(labelled.image);
    }
}

/// From lines of `/proc/<pid>/cgroup`: `number:controllers:path` (cgroups(7)). The one of the
/// unified hierarchy counts most.
pub(super) fn of_groups(groups: &str) -> Option<Container> {
    let paths = || {
        let lines = groups.lines().map(|line| line.splitn(3, ':'));
        lines.filter_map(|mut parts| Some((parts.next()?, parts.nth(1)?)))
    };
    let unified = paths().filter(|(number, _)| *number == "0");
    let others = paths().filter(|(number, _)| *number != "0");
    unified.chain(others).find_map(|(_, path)| of_path(path))
}

fn of_path(path: &str) -> Option<Container> {
    let folders = || path.split('/').filter(|folder| !folder.is_empty());
    if !folders().any(|folder| folder == "user.slice") {
        let mut below = folders().skip_while(|folder| !is_pods(folder));
        // The group of all pods may be that of the pod, with systemd's names.
        let pod = below.find_map(pod_name);
        if let (Some(pod), Some(id)) = (pod, below.find_map(container_id)) {
            return Some(Container::known_by(id, pod_uid(pod)));
        }
    }
    let id = folders().find_map(container_id)?;
    Some(Container::known_by(id, of_relative(folders())))
}

/// The pod, where wirespan's own control group namespace hides what is above: the path goes up, and
/// then down by what kubelet alone names (driver `cgroupfs`).
fn of_relative<'a>(folders: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut folders = folders.peekable();
    folders.next_if_eq(&"..")?;
    let is_above = |folder: &&str| matches!(*folder, ".." | "burstable" | "besteffort");
    let mut below = folders.skip_while(is_above);
    let uid = pod_uid(below.next()?.strip_prefix("pod")?)?;
    container_id(below.next()?).map(|_| uid)
}

/// Whether a group is that of Kubernetes' pods, or of one of them: "kubepods", "kubepods.slice",
/// "kubelet-kubepods-besteffort.slice".
fn is_pods(folder: &str) -> bool {
    let name = folder.strip_suffix(".slice").unwrap_or(folder);
    name.split('-').any(|part| part == "kubepods")
}

/// What stands behind "pod" in the name of a pod's group.
fn pod_name(folder: &str) -> Option<&str> {
    match folder.strip_suffix(".slice") {
        // Parents' names come first. Dashes of the uid are underscores there.
        Some(slice) => slice.rsplit('-').next()?.strip_prefix("pod"),
        None => folder.strip_prefix("pod"),
    }
    .filter(|name| !name.is_empty())
}

/// A uid as the API server gives it (RFC 9562 §4).
fn pod_uid(name: &str) -> Option<String> {
    let uid = name.replace('_', "-");
    let lengths = uid.split('-').map(str::len);
    let is_uid = lengths.eq([8, 4, 4, 4, 12]) && uid.split('-').all(is_hex);
    is_uid.then_some(uid)
}

fn container_id(folder: &str) -> Option<&str> {
    let id = match folder.strip_suffix(".scope") {
        Some(scope) => {
            let (runtime, id) = scope.rsplit_once('-')?;
            // Who watches over a container is not in it: crio-conmon-ID.scope.
            (!runtime.ends_with("conmon")).then_some(id)?
        }
        None => folder,
    };
    // CRI-O's driver without systemd: "crio-ID".
    let id = id.strip_prefix("crio-").unwrap_or(id);
    let id = id.strip_prefix("libpod-").unwrap_or(id);
    let is_fargates = || {
        let (task, number) = id.split_once('-')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        Some(task.len() == 32 && is_hex(task) && is_number)
    };
    let is_id = id.len() == 64 && is_hex(id) || is_fargates() == Some(true);
    is_id.then_some(id)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may be in `/proc/<pid>/cgroup`: a kind of host, the path, the pod's uid and whether
    /// there is a container. `ID` and `OTHER` stand for 64 digits, `UID` and `U_I_D` for a uid.
    const PATHS: &str = include_str!("container/paths.txt");

    const ID: &str = "4f7c2f1d5f0e8e4a3b9c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f70";
    const OTHER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "1f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0";

    fn filled_in(text: &str) -> String {
        text.replace("OTHER", OTHER)
            .replace("U_I_D", &UID.replace('-', "_"))
            .replace("UID", UID)
            .replace("ID", ID)
    }

    #[test]
    fn groups_of_containers_are_known_and_no_others() {
        for line in PATHS.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [path, expected] = columns[..] else {
                panic!("two columns: {line}");
            };
            let groups = format!("0::{}\n", filled_in(path));
            let found = of_groups(&groups);
            let told = match &found {
                None => "nothing",
                Some(Container { id, .. }) if id != ID => "another",
                Some(Container { pod_uid: None, .. }) => "container",
                Some(Container { pod_uid, .. }) if pod_uid.as_deref() == Some(UID) => "pod",
                Some(_) => "another pod",
            };
            assert_eq!(told, expected, "{path}: {found:?}");
        }
    }

    #[test]
    fn the_unified_hierarchy_counts_most() {
        let groups = filled_in(
            "12:pids:/docker/OTHER\n1:name=systemd:/\n0::/system.slice/docker-ID.scope\n",
        );
        assert_eq!(of_groups(&groups).expect("one").id, ID);
        // Of version 1, any that knows.
        let groups = filled_in("12:pids:/\n4:memory:/docker/ID\n0::/\n");
        assert_eq!(of_groups(&groups).expect("one").id, ID);
    }

    #[test]
    fn what_is_no_group_is_nothing() {
        for groups in [
            "",
            "0",
            "0:",
            "0::",
            ":::::",
            "\u{0}",
            "0::/\u{fffd}-.scope",
        ] {
            assert_eq!(of_groups(groups), None, "{groups:?}");
        }
        let fargate = format!("9:cpu:/ecs/{}/{}-3131673713\n", &ID[..32], &ID[..32]);
        assert_eq!(of_groups(&fargate).expect("one").id.len(), 43);
    }
}
