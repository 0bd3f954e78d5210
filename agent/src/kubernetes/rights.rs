//! Whether the API server lets who asks do what a run asks it for. It is asked just that
//! (SelfSubjectAccessReview), which every authenticated user may and which costs it nothing; where
//! that is refused, a single object is asked for, as its answer holds whatever it is that grants or
//! refuses. It keeps nothing of what it is told.
//!
//! Source: Kubernetes' API reference, `SelfSubjectAccessReview` v1 authorization.k8s.io.

use std::path::PathBuf;

use serde_json::json;

use super::client::{ApiClient, AskFailure};
use super::once::{BriefAsker, PATIENCE};
use super::resource::ApiResource;
use super::stream;
use super::watch::garbage;
use super::wire;
use crate::config::KubernetesConfig;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// What a run does, and how little of it is asked for where nothing less tells. A watch begins with
/// all that there is, so it is one of a single name.
const RIGHTS: [(&str, &str); 2] = [
    ("list", "limit=1"),
    (
        "watch",
        "watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dnone",
    ),
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
    let once = match BriefAsker::new(reach, account) {
        Ok(once) => once,
        Err(why) => return Some(ResourceRights::NotAsked(why)),
    };
    let mut refused = (Vec::new(), String::new());
    for (verb, least) in RIGHTS {
        match may(&once.client, verb, R::NAME, least) {
            Ok(()) => {}
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

/// `Err(Forbidden)` if not, in the server's words.
fn may(client: &ApiClient, verb: &str, kind: &str, least: &str) -> Result<(), AskFailure> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "resource": kind}},
    });
    match client.post(REVIEWS, review.to_string(), PATIENCE) {
        Ok(answer) => {
            let told = stream::one(answer).map_err(garbage)?;
            let none = || AskFailure::Garbage("no review of a right".to_owned());
            wire::review(told.get()).ok_or_else(none)?.map_err(|why| {
                let plain = || format!("nothing grants {verb} {kind}");
                AskFailure::Forbidden(why.unwrap_or_else(plain))
            })
        }
        Err(AskFailure::Forbidden(_) | AskFailure::Refused(..)) => {
            client.get(&format!("/api/v1/{kind}?{least}"), PATIENCE)?;
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}
