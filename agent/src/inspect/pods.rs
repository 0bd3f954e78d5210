//! The pods of this node, asked for once, where the settings say that they decide who is watched.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::config::Config;
use crate::discover::ProcRoot;
use crate::kubernetes::{OwnPod, PodNews, PodResource, Pods, ResourceWatch, WatchSetup};

/// How long the API server is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Memory that pods may take: those of one node are few.
const BYTES_MAX: usize = 64 << 20;

/// As far as the API server says in time; `None` if nobody tells. The service account's files are
/// in `account`, if not at their usual place.
#[must_use]
pub fn pods(config: &Config, account: Option<PathBuf>) -> Option<Pods> {
    config.kubernetes.reach.as_ref()?;
    let mut pods = Pods::default();
    let setup = WatchSetup {
        config: config.kubernetes.clone(),
        service_account: account,
        own: OwnPod::of(&ProcRoot::host()),
        decides: !config.discover.targets.pods.is_empty(),
    };
    let (told, hears) = sync_channel(1);
    // Whoever has heard all wants to know no more.
    let watch = ResourceWatch::start(setup, PodResource, move |news| told.send(news).is_ok());
    let told = match (&watch, hears.recv_timeout(PATIENCE)) {
        (Ok(Some(_)), Ok(news @ PodNews::All(_))) => {
            pods.hear(news, BYTES_MAX);
            Some(pods)
        }
        _ => None,
    };
    drop(watch);
    told
}
