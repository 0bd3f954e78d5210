//! Whether the API server lets who asks do what a run asks it for, found out by asking for as
//! little of that as can be: its answer holds whatever it is that grants or refuses. It keeps
//! nothing of what it is told.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::access::{Access, NoAccess, SERVICE_ACCOUNT};
use super::client::{ApiClient, AskFailure, Waits};
use super::resource::ApiResource;
use crate::config::KubernetesConfig;

/// For an answer to come: who asks waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a run does, and the query by which it is asked for.
const RIGHTS: [(&str, &str); 2] = [
    ("list", "limit=1&resourceVersion=0"),
    ("watch", "watch=true&timeoutSeconds=1"),
];

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceRights {
    /// All that a run needs.
    Granted,
    /// Some of it is refused: the verbs, and what the server says.
    Refused(Vec<&'static str>, String),
    /// It could not be asked; why.
    NotAsked(String),
}

/// Asks what may be done with a kind of object; `None` where a run would ask nobody. The service
/// account's files are in `account`, if not at their usual place.
///
/// # Panics
/// On a thread of a runtime.
#[must_use]
pub fn rights<R: ApiResource>(
    config: &KubernetesConfig,
    account: Option<PathBuf>,
) -> Option<ResourceRights> {
    let reach = config.reach.as_ref()?;
    let account = account.unwrap_or_else(|| SERVICE_ACCOUNT.into());
    // Until all is asked.
    let (_stop, stopped) = watch::channel(());
    let waits = match Waits::new(stopped) {
        Ok(waits) => waits,
        Err(error) => return Some(ResourceRights::NotAsked(error.to_string())),
    };
    let client = match Access::read(reach, &account) {
        Ok(access) => ApiClient::new(access, waits),
        Err(NoAccess(why)) => return Some(ResourceRights::NotAsked(why)),
    };
    let client = match client {
        Ok(client) => client,
        Err(failure) => return Some(ResourceRights::NotAsked(failure.to_string())),
    };
    let mut refused = (Vec::new(), String::new());
    for (verb, query) in RIGHTS {
        match client.get(&format!("/api/v1/{}?{query}", R::NAME), PATIENCE) {
            Ok(_) => {}
            Err(AskFailure::Forbidden(why)) => {
                refused.0.push(verb);
                refused.1 = why;
            }
            Err(failure) => return Some(ResourceRights::NotAsked(failure.to_string())),
        }
    }
    Some(match refused.0.is_empty() {
        true => ResourceRights::Granted,
        false => ResourceRights::Refused(refused.0, refused.1),
    })
}
