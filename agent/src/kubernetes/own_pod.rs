//! What wirespan may know of its own pod before it asks anybody: what the machine calls itself
//! there, and the pod or container that its control group and its mounts name.
//!
//! Source: proc_pid_mountinfo(5): 4 is what of a file system is mounted, 5 where. A kubelet mounts
//! `pods/UID/etc-hosts` of its folder as a container's `/etc/hosts`, which a control group
//! namespace does not hide.

use std::fs;

use super::pod::Pod;
use crate::discover::ProcRoot;

/// Of the process that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnPod {
    /// What the machine calls itself: in a pod that has a network of its own the pod's name, cut
    /// off after 63 characters; in one that has not, the node's.
    pub host_name: String,
    /// The pod's uid, as the API server gives it.
    pub uid: Option<String>,
    /// The id of the container.
    pub container: Option<String>,
}

impl OwnPod {
    /// As far as this process can be looked at.
    #[must_use]
    pub fn of(root: &ProcRoot) -> Self {
        let container = root.container(root.own_pid());
        let mounts = fs::read_to_string(root.path().join("self/mountinfo"));
        let mounted = || uid_of_mounts(&mounts.unwrap_or_default());
        let by_group = container.as_ref().and_then(|it| it.pod_uid.clone());
        Self {
            host_name: root.host_name().to_owned(),
            uid: by_group.or_else(mounted),
            container: container.map(|it| it.id),
        }
    }

    /// Whether it is this one; `None` where that can't be told.
    pub(super) fn is(&self, pod: &Pod) -> Option<bool> {
        let by_uid = self.uid.as_ref().map(|uid| *uid == pod.uid);
        // A container that has just begun is not in the pod's status yet.
        let by_container = || {
            let id = self.container.as_ref()?;
            let mut known = pod.containers.iter();
            known.any(|it| it.id == *id).then_some(true)
        };
        match by_uid {
            // The uid that names a static pod's groups is not that of the API server.
            Some(false) | None => by_container().or(by_uid),
            is_it => is_it,
        }
    }

    /// Whether there is anything to know it by but its name.
    pub(super) fn is_marked(&self) -> bool {
        self.uid.is_some() || self.container.is_some()
    }
}

fn uid_of_mounts(mounts: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (mounted, at) = (fields.next()?, fields.next()?);
        let folder = mounted.strip_suffix("/etc-hosts")?;
        let (folder, uid) = folder.rsplit_once('/')?;
        let is_pods = at == "/etc/hosts" && folder.ends_with("/pods");
        (is_pods && !uid.is_empty()).then(|| uid.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::pod::PodContainer;
    use super::*;

    #[test]
    fn a_kubelets_mounts_tell_the_pod() {
        let mounts = "\
            622 621 0:61 / / rw,relatime master:1 - overlay overlay rw\n\
            640 622 8:1 /var/lib/kubelet/pods/u-1/containers/app/x /dev/termination-log rw - ext4\n\
            641 622 8:1 /var/lib/kubelet/pods/u-1/etc-hosts /etc/hosts rw,relatime - ext4 x rw\n";
        assert_eq!(uid_of_mounts(mounts).as_deref(), Some("u-1"));
        for line in [
            "",
            "641 622 8:1",
            "641 622 8:1 /var/lib/docker/containers/x/hosts /etc/hosts rw",
            "641 622 8:1 /var/lib/kubelet/pods/u-1/etc-hosts /mnt/hosts rw",
            "641 622 8:1 /pods//etc-hosts /etc/hosts rw",
        ] {
            assert_eq!(uid_of_mounts(line), None, "{line}");
        }
    }

    #[test]
    fn a_pod_is_its_own_by_uid_or_container_or_nobody_knows() {
        let text = |text: &str| Some(text.to_owned());
        let pod = Pod {
            uid: "u-1".to_owned(),
            containers: vec![PodContainer {
                id: "c-1".to_owned(),
                ..PodContainer::default()
            }],
            ..Pod::default()
        };
        for (uid, container, is_it) in [
            (None, None, None),
            (text("u-1"), None, Some(true)),
            (text("u-1"), text("c-2"), Some(true)),
            (text("u-2"), text("c-2"), Some(false)),
            (text("u-2"), text("c-1"), Some(true)),
            (None, text("c-1"), Some(true)),
            (None, text("c-2"), None),
        ] {
            let own = OwnPod {
                uid,
                container,
                ..OwnPod::default()
            };
            assert_eq!(own.is(&pod), is_it, "{own:?}");
        }
    }
}
