//! What the environment of a process says about its service, and said before the process wrote over
//! it: a program that sets its title (setproctitle, Node's `process.title`) uses the memory of its
//! arguments and of what follows them, which is the environment. It reads no file.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::enrich::kubernetes::service::refers;
use crate::enrich::list;
use crate::enrich::who::{self, Source};
use crate::semconv;

use super::proc_root::lossy;

/// What processes said of themselves while they could.
#[derive(Debug, Default)]
pub(super) struct Environments {
    kept: Mutex<Kept>,
}

/// A process: its pid and when it began.
pub(super) type ProcessIdentity = (u32, u64);

#[derive(Debug, Default)]
struct Kept {
    told: HashMap<ProcessIdentity, DeclaredResource>,
    /// Oldest first.
    order: VecDeque<ProcessIdentity>,
}

/// Processes whose environments are remembered.
const KEPT_MAX: usize = 1024;
/// Bytes of one of them; what is longer is not remembered.
const LEN_MAX: usize = 4096;
/// Bytes of `OTEL_RESOURCE_ATTRIBUTES` that are kept. Its format is that of W3C Baggage
/// (OpenTelemetry, Resource SDK), of which 8192 bytes have to be carried (Baggage §3.3.2).
const ATTRIBUTES_LEN_MAX: usize = 8192;
/// How many of its attributes: the limit that OpenTelemetry sets for attributes of other things
/// (Common, Attribute Limits), and leaves open for resources.
const ATTRIBUTES_MAX: usize = 128;
/// Bytes of `OTEL_SERVICE_NAME`.
const NAME_LEN_MAX: usize = 1024;

impl Environments {
    /// What a process says, or has said if its environment was written over since; or what its
    /// parent said before the fork, if it did that with its first breath.
    pub fn told(
        &self,
        identity: ProcessIdentity,
        environment: &[u8],
        parent: impl FnOnce() -> Option<ProcessIdentity>,
    ) -> DeclaredResource {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if is_written_over(environment) {
            if !kept.told.contains_key(&identity)
                && let Some(told) = parent().and_then(|parent| kept.told.get(&parent).cloned())
            {
                kept.remember(identity, &told);
            }
            return kept.told.get(&identity).cloned().unwrap_or_default();
        }
        let told = DeclaredResource::from_environment(environment);
        if told == DeclaredResource::default() || told.len() > LEN_MAX {
            // It may have executed another program, with another environment.
            if let Some(known) = kept.told.get_mut(&identity) {
                *known = DeclaredResource::default();
            }
            return told;
        }
        kept.remember(identity, &told);
        told
    }
}

impl Kept {
    fn remember(&mut self, identity: ProcessIdentity, told: &DeclaredResource) {
        if self.told.insert(identity, told.clone()).is_none() {
            self.order.push_back(identity);
        }
        if self.order.len() > KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
    }
}

/// Whether there is something else in the place of variables: NULs, or a piece of a title. One that
/// is empty from the start has no byte.
fn is_written_over(environment: &[u8]) -> bool {
    let first = environment.split(|byte| *byte == 0).next();
    !environment.is_empty() && !first.is_some_and(|variable| variable.contains(&b'='))
}

/// The value of a variable.
pub(super) fn variable<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find_map(|it| it.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// What a process's environment says about its service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeclaredResource {
    pub service_name: Option<String>,
    pub service_namespace: Option<String>,
    pub resource_attributes: BTreeMap<String, String>,
    /// It says more than is kept.
    pub is_cut: bool,
}

impl DeclaredResource {
    /// From the variables of the OpenTelemetry specification ("Environment Variable
    /// Specification" and "Resource SDK"); `OTEL_SERVICE_NAME` wins over `service.name`.
    pub fn from_environment(environment: &[u8]) -> Self {
        let mut told = Self::default();
        let mut service_name = None;
        for variable in environment.split(|byte| *byte == 0) {
            if let Some(value) = variable.strip_prefix(b"OTEL_SERVICE_NAME=") {
                told.is_cut |= value.len() > NAME_LEN_MAX;
                let name = lossy(&value[..value.len().min(NAME_LEN_MAX)]);
                let is_name = |name: &String| !name.trim().is_empty() && !refers(name);
                service_name = Some(name).filter(is_name);
            } else if let Some(value) = variable.strip_prefix(b"OTEL_RESOURCE_ATTRIBUTES=") {
                let part = whole_pairs(value);
                told.resource_attributes = resource_attributes(&lossy(part));
                told.is_cut |=
                    part.len() < value.len() || told.resource_attributes.len() > ATTRIBUTES_MAX;
                while told.resource_attributes.len() > ATTRIBUTES_MAX {
                    told.resource_attributes.pop_last();
                }
            }
        }
        let attributes = &mut told.resource_attributes;
        told.service_name = attributes.remove(semconv::SERVICE_NAME);
        told.service_namespace = attributes.remove(semconv::SERVICE_NAMESPACE);
        told.service_name = service_name.or(told.service_name);
        told
    }

    /// Bytes of text in it.
    fn len(&self) -> usize {
        let names = [&self.service_name, &self.service_namespace];
        let names = names.into_iter().flatten().map(String::len);
        let attributes = self.resource_attributes.iter();
        names
            .chain(attributes.map(|(key, value)| key.len() + value.len()))
            .sum()
    }
}

/// As much of a list of pairs as is kept, without a part of one.
fn whole_pairs(list: &[u8]) -> &[u8] {
    match list.get(..ATTRIBUTES_LEN_MAX) {
        Some(part) if part.len() < list.len() => {
            let end = part.iter().rposition(|byte| *byte == b',');
            &part[..end.unwrap_or(0)]
        }
        _ => list,
    }
}

/// What the target may say of itself. A list with a fault says nothing, and neither does what
/// Kubernetes left as it was written, because it refers to a variable that there is not.
fn resource_attributes(text: &str) -> BTreeMap<String, String> {
    let mut attributes = list::parse(text).unwrap_or_default();
    attributes.retain(|_, value| !refers(value));
    who::refuse(Source::Target, &mut attributes);
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refers_to_a_variable_that_there_is_not_says_nothing() {
        let told = DeclaredResource::from_environment(
            b"OTEL_SERVICE_NAME=$(NAME)\0\
              OTEL_RESOURCE_ATTRIBUTES=service.name=shop,team=$(TEAM),price=5$,service.version=$(",
        );
        assert_eq!(told.service_name.as_deref(), Some("shop"));
        let attributes = [("price", "5$"), ("service.version", "$(")];
        assert_eq!(
            told.resource_attributes,
            attributes
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        );
    }

    #[test]
    fn the_environment_tells_name_namespace_and_attributes() {
        let told = DeclaredResource::from_environment(
            b"PATH=/bin\0OTEL_RESOURCE_ATTRIBUTES=service.name=a, service.namespace=b%20c,\
              deployment.environment.name=prod,service.instance.id=7,host.name=x,k8s.pod.name=y,\
              cloud.region=z,os.type=plan9,process.pid=1\0HOME=/\0",
        );
        assert_eq!(told.service_name.as_deref(), Some("a"));
        assert_eq!(told.service_namespace.as_deref(), Some("b c"));
        assert_eq!(
            told.resource_attributes,
            BTreeMap::from([("deployment.environment.name".into(), "prod".into())])
        );

        let both = b"OTEL_RESOURCE_ATTRIBUTES=service.name=a\0OTEL_SERVICE_NAME=b\0";
        assert_eq!(
            DeclaredResource::from_environment(both)
                .service_name
                .as_deref(),
            Some("b")
        );
        let reversed = b"OTEL_SERVICE_NAME=b\0OTEL_RESOURCE_ATTRIBUTES=service.name=a\0";
        assert_eq!(
            DeclaredResource::from_environment(reversed)
                .service_name
                .as_deref(),
            Some("b")
        );
        let empty = b"OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES=service.name=a\0";
        assert_eq!(
            DeclaredResource::from_environment(empty)
                .service_name
                .as_deref(),
            Some("a")
        );
        assert_eq!(
            DeclaredResource::from_environment(b""),
            DeclaredResource::default()
        );
        let malformed = b"OTEL_RESOURCE_ATTRIBUTES=service.name=a,broken\0";
        assert_eq!(
            DeclaredResource::from_environment(malformed),
            DeclaredResource::default()
        );
    }

    #[test]
    fn of_what_a_process_says_only_so_much_is_kept() {
        let pairs = |count: usize, len: usize| {
            let value = "v".repeat(len);
            let pairs: Vec<_> = (0..count).map(|n| format!("key{n:04}={value}")).collect();
            format!("OTEL_RESOURCE_ATTRIBUTES={}", pairs.join(","))
        };
        for (count, len, kept) in [(100, 10, 100), (1000, 1, 128), (400, 1000, 8), (1, 9000, 0)] {
            let told = DeclaredResource::from_environment(pairs(count, len).as_bytes());
            assert_eq!(told.resource_attributes.len(), kept, "{count} of {len}");
            assert_eq!(told.is_cut, kept < count, "{count} of {len}");
            let values = told.resource_attributes.values();
            assert!(values.into_iter().all(|value| value.len() == len), "whole");
        }
        let told = DeclaredResource::from_environment(
            format!("OTEL_SERVICE_NAME={}", "n".repeat(2000)).as_bytes(),
        );
        assert_eq!(told.service_name.map(|name| name.len()), Some(NAME_LEN_MAX));
        assert!(told.is_cut);
    }

    #[test]
    fn what_was_said_before_the_title_was_set_is_remembered() {
        let environments = Environments::default();
        let name = |pid, start, environment: &[u8]| {
            let told = environments.told((pid, start), environment, || None);
            told.service_name
        };
        let given = b"PATH=/bin\0OTEL_SERVICE_NAME=shop\0";
        assert_eq!(name(7, 1, given).as_deref(), Some("shop"));
        for written_over in [&b"\0\0\0\0"[..], b"er [shop:app]\0\0\0\0", b"\0\0X=y\0"] {
            assert_eq!(name(7, 1, written_over).as_deref(), Some("shop"));
            assert_eq!(name(7, 2, written_over), None, "another process");
            assert_eq!(name(8, 1, written_over), None, "another process");
        }
        // Another program, or the same one run anew without the variable.
        for other in [&b"PATH=/bin\0"[..], b""] {
            assert_eq!(name(7, 1, given).as_deref(), Some("shop"));
            assert_eq!(name(7, 1, other), None);
            assert_eq!(name(7, 1, b"\0\0"), None);
        }
    }

    #[test]
    fn a_child_that_wrote_over_it_at_once_says_what_its_parent_said() {
        let environments = Environments::default();
        let name = |pid, environment: &[u8], parent| {
            let told = environments.told((pid, 1), environment, || parent);
            told.service_name
        };
        assert_eq!(
            name(7, b"OTEL_SERVICE_NAME=shop\0", None).as_deref(),
            Some("shop")
        );
        assert_eq!(name(8, b"\0\0", Some((7, 1))).as_deref(), Some("shop"));
        assert_eq!(
            name(8, b"\0\0", Some((1, 1))).as_deref(),
            Some("shop"),
            "adopted"
        );
        assert_eq!(name(9, b"\0\0", Some((7, 2))), None, "another parent");
        assert_eq!(name(9, b"PATH=/bin\0", Some((7, 1))), None, "its own");
    }

    #[test]
    fn not_more_is_remembered_than_there_is_room_for() {
        let environments = Environments::default();
        let kept = || environments.kept.lock().expect("whole");
        let long = format!("OTEL_RESOURCE_ATTRIBUTES=a={}", "x".repeat(LEN_MAX + 1));
        let told = environments.told((7, 1), long.as_bytes(), || None);
        assert!(!told.resource_attributes.is_empty() && kept().told.is_empty());
        for pid in 0..2000 {
            environments.told((pid, 1), b"OTEL_SERVICE_NAME=shop", || None);
            environments.told((pid, 1), b"PATH=/bin", || None);
            environments.told((pid, 1), b"OTEL_SERVICE_NAME=shop", || None);
        }
        assert_eq!(kept().told.len(), KEPT_MAX);
        assert_eq!(kept().order.len(), KEPT_MAX);
    }
}
