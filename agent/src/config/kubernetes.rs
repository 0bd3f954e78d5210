//! Whether Kubernetes' API server is asked of pods, and where it is. It opens no file: what stands
//! in one is read by who asks.

use std::path::PathBuf;

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Part, fixed, values};

/// Whether and how the API server is asked of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// How to reach it; `None` if it is not to be asked.
    pub reach: Option<ApiReach>,
    /// What it calls this node, if somebody said so.
    pub node: Option<String>,
    /// Only pods of this node are asked for.
    pub local_node_alone: bool,
    /// Whose names it is asked for besides those of pods.
    pub peers: PeersAsked,
    /// Somebody asked for it, so that it is a fault if it can't be had.
    pub is_demanded: bool,
}

/// Objects whose names are told as those of who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeersAsked {
    /// Services. There are few, and they change seldom.
    pub services: bool,
    /// Nodes. Each tells all of its status every five minutes, tens of kilobytes.
    pub nodes: bool,
}

impl Default for PeersAsked {
    fn default() -> Self {
        Self {
            services: true,
            nodes: false,
        }
    }
}

/// How to reach an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiReach {
    /// As a pod does, with the service account that it runs as.
    ServiceAccount {
        /// Name or address.
        host: String,
        /// TCP port.
        port: String,
    },
    /// As this kubeconfig says.
    File(PathBuf),
}

/// What the room is made with is read when it starts.
impl Part for KubernetesConfig {
    fn follow(&self, new: &Self) -> (Self, Vec<Setting>) {
        let differs = [
            (self.reach != new.reach, Setting::KubeMetadataEnable),
            (self.node != new.node, Setting::NodeName),
            (
                self.local_node_alone != new.local_node_alone,
                Setting::KubeRestrictLocalNode,
            ),
            (self.peers != new.peers, Setting::KubePeers),
        ];
        (self.clone(), fixed(differs))
    }
}

/// Whether to ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Enable {
    Yes,
    No,
    WithinPods,
}

fn enable(text: &str) -> Option<Enable> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(Enable::Yes),
        "false" => Some(Enable::No),
        "autodetect" => Some(Enable::WithinPods),
        _ => None,
    }
}

fn peers_asked(text: &str) -> Option<PeersAsked> {
    let mut asked = PeersAsked {
        services: false,
        nodes: false,
    };
    let text = text.to_ascii_lowercase();
    if text == "none" {
        return Some(asked);
    }
    for item in values::items(&text) {
        match item {
            "services" => asked.services = true,
            "nodes" => asked.nodes = true,
            _ => return None,
        }
    }
    (asked.services || asked.nodes).then_some(asked)
}

/// Of Kubernetes' own service, unless it says otherwise.
const PORT_DEFAULT: &str = "443";

pub(super) fn read(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<KubernetesConfig, ConfigError> {
    let enable = match settings.of(Setting::KubeMetadataEnable) {
        None => Enable::WithinPods,
        Some(given) => given.parse(enable, "true, false or autodetect")?,
    };
    let within_pods = || {
        let port = settings.text(Setting::KubernetesServicePort);
        Some(ApiReach::ServiceAccount {
            host: settings.text(Setting::KubernetesServiceHost)?,
            port: port.unwrap_or_else(|| PORT_DEFAULT.to_owned()),
        })
    };
    let reach = match enable {
        Enable::No => None,
        // KUBECONFIG is usually set for other programs.
        Enable::WithinPods => within_pods(),
        Enable::Yes => file(settings, warnings)
            .map(ApiReach::File)
            .or_else(within_pods)
            .or_else(|| Some(ApiReach::File(users_file(settings)?))),
    };
    if enable == Enable::Yes && reach.is_none() {
        warnings.push(
            "pods are to be asked for, but it is not known of whom: this is no pod of Kubernetes, \
             and neither KUBECONFIG nor HOME is set"
                .to_owned(),
        );
    }
    let peers = match settings.of(Setting::KubePeers) {
        None => PeersAsked::default(),
        Some(given) => given.parse(peers_asked, "services, nodes, both with a comma, or none")?,
    };
    let local_node_alone = settings.boolean(Setting::KubeRestrictLocalNode)?;
    Ok(KubernetesConfig {
        reach,
        node: settings.text(Setting::NodeName),
        local_node_alone: local_node_alone.unwrap_or(true),
        peers,
        is_demanded: enable == Enable::Yes,
    })
}

/// Where kubectl looks for one if nobody says where it is.
fn users_file(settings: &Settings) -> Option<PathBuf> {
    let home = settings.text(Setting::Home)?;
    Some(PathBuf::from(home).join(".kube/config"))
}

/// The first of the files that KUBECONFIG names, as kubectl would merge them.
fn file(settings: &Settings, warnings: &mut Vec<String>) -> Option<PathBuf> {
    let named = settings.text(Setting::KubeConfig)?;
    let mut files = named.split(':').filter(|file| !file.is_empty());
    let first = files.next()?;
    if files.next().is_some() {
        warnings.push(format!(
            "KUBECONFIG names several files: only {first} is read"
        ));
    }
    Some(first.into())
}
