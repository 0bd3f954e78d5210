//! Where in Kubernetes a process is: in which pod, as which of its containers. It looks nothing up.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pod::{Pod, PodContainer};

/// The pod that a process runs in, as it was known last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodPlace {
    /// The pod.
    pub pod: Arc<Pod>,
    /// `name` of the container within it; `None` while the API server has not told which one has
    /// the process's container id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container: Option<String>,
}

impl PodPlace {
    /// Keeps what names the place, and drops what else its pod says; whether there was anything.
    pub fn cut(&mut self) -> bool {
        let pod = &self.pod;
        if pod.labels.is_empty() && pod.annotations.is_empty() {
            return false;
        }
        let pod = Arc::make_mut(&mut self.pod);
        pod.labels.clear();
        pod.annotations.clear();
        true
    }

    /// The container, if it is known which one.
    #[must_use]
    pub fn container(&self) -> Option<&PodContainer> {
        let name = self.container.as_ref()?;
        let mut containers = self.pod.containers.iter();
        containers.find(|container| container.name == *name)
    }
}
