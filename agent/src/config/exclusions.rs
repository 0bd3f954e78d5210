//! Whom nobody means who does not name them: agents and collectors, and what a cluster runs for
//! itself. Beyla excludes the same by default (`default_exclude_instrument`). There, a glob over
//! the whole path also excludes `/app/my-obi`; here, executables are compared by base name.

use std::path::Path;

/// Executables and namespaces that are excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exclusions {
    executables: &'static [&'static str],
    namespaces: &'static [&'static str],
}

/// Base names. What follows a dash behind `otelcol` names a distribution: `otelcol-contrib`.
const EXECUTABLES: &[&str] = &[
    "alloy",
    "beyla",
    "ebpf-instrument",
    "obi",
    "otelcol",
    "prometheus-config-reloader",
    "wirespan",
];

const NAMESPACES: &[&str] = &[
    "cert-manager",
    "gatekeeper-system",
    "gke-connect",
    "gke-gmp-system",
    "gke-managed-cim",
    "gke-managed-filestorecsi",
    "gke-managed-metrics-server",
    "gke-managed-system",
    "gke-managed-volumepopulator",
    "gke-system",
    "grafana-alloy",
    "kube-node-lease",
    "kube-system",
    "local-path-storage",
    "monitoring",
];

impl Exclusions {
    pub(super) fn default_ones() -> Self {
        Self {
            executables: EXECUTABLES,
            namespaces: NAMESPACES,
        }
    }

    /// Whether what runs this is excluded.
    #[must_use]
    pub fn have_executable(&self, executable: &Path) -> bool {
        let name = executable.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let is_build_of = |it: &str| {
            let build = name.strip_prefix(it);
            build.is_some_and(|build| build.is_empty() || it == "otelcol" && build.starts_with('-'))
        };
        self.executables.iter().copied().any(is_build_of)
    }

    /// Whether what runs in this namespace is excluded.
    #[must_use]
    pub fn have_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains(&namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_compared_by_base_name() {
        let exclusions = Exclusions::default_ones();
        for (path, expected) in [
            ("/usr/bin/otelcol", true),
            ("/otelcol-contrib", true),
            ("/bin/alloy", true),
            ("beyla", true),
            ("/opt/wirespan", true),
            ("/app/my-obi", false),
            ("/app/otelcollector", false),
            ("/app/obi-wan", false),
            ("/beyla/server", false),
            ("/", false),
        ] {
            assert_eq!(
                exclusions.have_executable(Path::new(path)),
                expected,
                "{path}"
            );
        }
        assert!(!Exclusions::default().have_executable(Path::new("/bin/alloy")));
        assert!(exclusions.have_namespace("kube-system"));
        assert!(!exclusions.have_namespace("shop"));
    }
}
