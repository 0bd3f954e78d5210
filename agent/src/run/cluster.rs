//! What of the cluster is asked for, and who is told.

use std::io;
use std::sync::Arc;

use crate::config::Config;
use crate::discover::ProcRoot;
use crate::kubernetes::peer::PeerKind;
use crate::kubernetes::{
    NodeResource, OwnPod, PodNews, PodResource, ResourceWatch, ServiceResource, WatchSetup,
};
use crate::live::Live;
use crate::vitals::Vitals;

/// Has the API server asked of what is wanted of it.
pub(super) fn watch(
    config: &Config,
    live: &Live,
    vitals: &Arc<Vitals>,
) -> io::Result<Vec<ResourceWatch>> {
    let needs_pods = !config.discover.targets.pods.is_empty();
    vitals.set_needs_pods(needs_pods);
    let config = &config.kubernetes;
    let setup = || WatchSetup {
        config: config.clone(),
        service_account: None,
        own: OwnPod::of(&ProcRoot::host()),
        decides: false,
    };
    let mut watches = Vec::new();
    let of_pods = WatchSetup {
        decides: needs_pods,
        ..setup()
    };
    let (mut hears, vitals) = (live.hear_of_pods(), Arc::clone(vitals));
    let tell = move |news: PodNews| {
        match &news {
            PodNews::All(_) => vitals.set_pods_told(true),
            PodNews::Silence => vitals.set_pods_told(false),
            PodNews::Is(_) | PodNews::Gone(_) => {}
        }
        hears(news)
    };
    watches.extend(ResourceWatch::start(of_pods, PodResource, tell)?);
    if config.peers.services {
        let hears = live.hear_of_addressed(PeerKind::Service);
        watches.extend(ResourceWatch::start(setup(), ServiceResource, hears)?);
    }
    if config.peers.nodes {
        let hears = live.hear_of_addressed(PeerKind::Node);
        watches.extend(ResourceWatch::start(setup(), NodeResource, hears)?);
    }
    Ok(watches)
}
