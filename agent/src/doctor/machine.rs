//! What files say of the machine and of this process. A tree that is laid out alike can stand in
//! its place. It judges nothing.

use std::fs;
use std::path::PathBuf;

use crate::discover::ProcRoot;

/// Where it is looked.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Of processes, and of this one.
    pub proc: ProcRoot,
    /// As `/sys`.
    pub sys: PathBuf,
    /// Where Kubernetes puts what a pod is given of its service account.
    pub service_account: PathBuf,
}

impl Machine {
    /// The one this process runs on.
    #[must_use]
    pub fn host() -> Self {
        Self {
            proc: ProcRoot::host(),
            sys: PathBuf::from("/sys"),
            service_account: PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"),
        }
    }

    /// A file of this process, without the blanks around its text.
    #[must_use]
    pub fn own(&self, file: &str) -> Option<String> {
        text(self.proc.path().join("self").join(file))
    }

    /// A field of this process's status (proc(5)).
    #[must_use]
    pub fn status(&self, field: &str) -> Option<String> {
        let status = self.own("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.strip_prefix(':')?.trim().to_owned())
    }

    /// The effective capabilities of this process.
    #[must_use]
    pub fn capabilities(&self) -> Option<u64> {
        u64::from_str_radix(&self.status("CapEff")?, 16).ok()
    }

    /// A setting of the kernel, below `/proc/sys`.
    #[must_use]
    pub fn sysctl(&self, name: &str) -> Option<String> {
        text(self.proc.path().join("sys").join(name))
    }

    /// A file below `/sys`.
    #[must_use]
    pub fn sys(&self, file: &str) -> Option<String> {
        text(self.sys.join(file))
    }

    /// The namespace of Kubernetes of the pod that this process is in.
    #[must_use]
    pub fn kubernetes_namespace(&self) -> Option<String> {
        text(self.service_account.join("namespace"))
    }
}

fn text(path: PathBuf) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
