//! What is known about a process, from procfs. A process that vanishes while it is looked at is
//! described as far as it was seen, or not at all; that is no error.

use std::collections::BTreeMap;

use crate::config::ServiceOverride;
use crate::discover::Process;
use crate::enrich::list;
use crate::enrich::who::{self, Source};
use crate::semconv;

use super::language::Languages;
use super::naming;
use super::proc_root::{ProcRoot, lossy, read_bounded, without_deleted};
use super::uncopied::uncopied;

/// Bytes of `OTEL_RESOURCE_ATTRIBUTES` that are kept. Its format is that of W3C Baggage
/// (OpenTelemetry, Resource SDK), of which 8192 bytes have to be carried (Baggage §3.3.2).
const ATTRIBUTES_LEN_MAX: usize = 8192;
/// How many of its attributes: the limit that OpenTelemetry sets for attributes of other things
/// (Common, Attribute Limits), and leaves open for resources.
const ATTRIBUTES_MAX: usize = 128;
/// Bytes of `OTEL_SERVICE_NAME`.
const NAME_LEN_MAX: usize = 1024;
/// Bytes of arguments that are kept once the service has its name.
const ARGS_KEPT_MAX: usize = 4096;

/// Makes descriptions.
#[derive(Debug)]
pub struct Describer {
    root: ProcRoot,
    service: ServiceOverride,
    languages: Languages,
}

/// Bytes of arguments and of environment that are read of one process. Linux allows more, but a
/// process that has more than this is nothing one would want in memory twice.
const ARGS_LEN_MAX: u64 = 64 * 1024;
const ENVIRONMENT_LEN_MAX: u64 = 1024 * 1024;

impl Describer {
    /// Looks at `root`; names in `service` win over what is found.
    #[must_use]
    pub fn new(root: ProcRoot, service: ServiceOverride) -> Self {
        Self {
            root,
            service,
            languages: Languages::default(),
        }
    }

    /// A running process. `None` if it has gone.
    pub fn describe(&mut self, pid: u32) -> Option<Process> {
        let process = self.root.open(pid)?;
        let (start_ns, _) = self.root.start_and_parent_of(&process)?;
        let executable = without_deleted(process.exe().ok()?);
        let command_args = args(&read_bounded(&process, "cmdline", ARGS_LEN_MAX)?);
        let told = Told::from_environment(
            &read_bounded(&process, "environ", ENVIRONMENT_LEN_MAX).unwrap_or_default(),
        );
        let language = self.languages.of(&process, &executable);
        let found = || {
            naming::service_name(&executable, &command_args, || {
                process.cwd().ok().map(without_deleted)
            })
        };
        Some(Process {
            pid,
            start_ns,
            service_name: self
                .service
                .name
                .clone()
                .or(told.service_name)
                .unwrap_or_else(found),
            service_namespace: self.service_namespace(told.service_namespace),
            service_instance_id: self.instance_id(pid),
            language: language.map(str::to_owned),
            resource_attributes: self.attributes_with(told.resource_attributes),
            host_name: self.root.host_name().to_owned(),
            uncopied: uncopied(&self.root, pid),
            executable,
            command_args: kept(command_args),
            is_cut: told.is_cut,
        })
    }

    /// A process that has gone before anybody looked: all there is of it is the name that the
    /// kernel gave along (`TASK_COMM_LEN` bytes, NUL-padded).
    #[must_use]
    pub fn vanished(&self, pid: u32, comm: &[u8]) -> Process {
        let comm = comm.split(|byte| *byte == 0).next().unwrap_or_default();
        Process {
            pid,
            start_ns: self.start_ns(pid),
            service_name: self.service.name.clone().unwrap_or_else(|| lossy(comm)),
            service_namespace: self.service_namespace(None),
            service_instance_id: self.instance_id(pid),
            resource_attributes: self.attributes_with(BTreeMap::new()),
            host_name: self.root.host_name().to_owned(),
            ..Process::default()
        }
    }

    /// A child that has not run another executable: it is its parent but for its identity.
    #[must_use]
    pub fn child(&self, parent: &Process, pid: u32) -> Process {
        Process {
            pid,
            start_ns: self.start_ns(pid),
            service_instance_id: self.instance_id(pid),
            // That it was cut was told of the parent.
            is_cut: false,
            ..parent.clone()
        }
    }

    /// 0 if it has gone; a process that has the pid later is another one.
    fn start_ns(&self, pid: u32) -> u64 {
        let found = self.root.start_and_parent(pid);
        found.map_or(0, |(start_ns, _)| start_ns)
    }

    fn service_namespace(&self, told: Option<String>) -> Option<String> {
        let given = self.service.namespace.clone().or(told);
        let general = &self.service.resource_attributes;
        given.or_else(|| general.get(semconv::SERVICE_NAMESPACE).cloned())
    }

    /// What is said of all processes, and of this one in particular.
    fn attributes_with(&self, told: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut attributes = self.service.resource_attributes.clone();
        attributes.remove(semconv::SERVICE_NAMESPACE);
        attributes.extend(told);
        attributes
    }

    /// As Beyla makes it where there is no container orchestrator.
    fn instance_id(&self, pid: u32) -> String {
        format!("{}:{pid}", self.root.host_name())
    }
}

/// What a process's environment says about its service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    service_name: Option<String>,
    service_namespace: Option<String>,
    resource_attributes: BTreeMap<String, String>,
    /// It says more than is kept.
    is_cut: bool,
}

impl Told {
    /// From the variables of the OpenTelemetry specification ("Environment Variable
    /// Specification" and "Resource SDK"); `OTEL_SERVICE_NAME` wins over `service.name`.
    fn from_environment(environment: &[u8]) -> Self {
        let mut told = Self::default();
        let mut service_name = None;
        for variable in environment.split(|byte| *byte == 0) {
            if let Some(value) = variable.strip_prefix(b"OTEL_SERVICE_NAME=") {
                told.is_cut |= value.len() > NAME_LEN_MAX;
                let name = lossy(&value[..value.len().min(NAME_LEN_MAX)]);
                service_name = Some(name).filter(|name| !name.trim().is_empty());
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

/// What the target may say of itself. A list with a fault says nothing.
fn resource_attributes(text: &str) -> BTreeMap<String, String> {
    let mut attributes = list::parse(text).unwrap_or_default();
    who::refuse(Source::Target, &mut attributes);
    attributes
}

/// The first arguments, as many as are kept.
fn kept(mut args: Vec<String>) -> Vec<String> {
    let mut len = 0;
    let whole = args.iter().take_while(|arg| {
        len += arg.len() + size_of::<String>();
        len <= ARGS_KEPT_MAX
    });
    let whole = whole.count();
    if whole < args.len() {
        args.truncate(whole);
        args.shrink_to_fit();
    }
    args
}

/// Arguments are separated by NUL, and the last is ended by one. A program that set its title
/// leaves one string and NULs after it.
fn args(cmdline: &[u8]) -> Vec<String> {
    let used = cmdline
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    if used == 0 {
        return Vec::new();
    }
    cmdline[..used]
        .split(|byte| *byte == 0)
        .map(lossy)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_tells_name_namespace_and_attributes() {
        let told = Told::from_environment(
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
            Told::from_environment(both).service_name.as_deref(),
            Some("b")
        );
        let reversed = b"OTEL_SERVICE_NAME=b\0OTEL_RESOURCE_ATTRIBUTES=service.name=a\0";
        assert_eq!(
            Told::from_environment(reversed).service_name.as_deref(),
            Some("b")
        );
        let empty = b"OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES=service.name=a\0";
        assert_eq!(
            Told::from_environment(empty).service_name.as_deref(),
            Some("a")
        );
        assert_eq!(Told::from_environment(b""), Told::default());
        let malformed = b"OTEL_RESOURCE_ATTRIBUTES=service.name=a,broken\0";
        assert_eq!(Told::from_environment(malformed), Told::default());
    }

    #[test]
    fn of_what_a_process_says_only_so_much_is_kept() {
        let pairs = |count: usize, len: usize| {
            let value = "v".repeat(len);
            let pairs: Vec<_> = (0..count).map(|n| format!("key{n:04}={value}")).collect();
            format!("OTEL_RESOURCE_ATTRIBUTES={}", pairs.join(","))
        };
        for (count, len, kept) in [(100, 10, 100), (1000, 1, 128), (400, 1000, 8), (1, 9000, 0)] {
            let told = Told::from_environment(pairs(count, len).as_bytes());
            assert_eq!(told.resource_attributes.len(), kept, "{count} of {len}");
            assert_eq!(told.is_cut, kept < count, "{count} of {len}");
            let values = told.resource_attributes.values();
            assert!(values.into_iter().all(|value| value.len() == len), "whole");
        }
        let told =
            Told::from_environment(format!("OTEL_SERVICE_NAME={}", "n".repeat(2000)).as_bytes());
        assert_eq!(told.service_name.map(|name| name.len()), Some(NAME_LEN_MAX));
        assert!(told.is_cut);
        let many = kept(vec!["0123456789".to_owned(); 1000]);
        assert!((50..200).contains(&many.len()), "{}", many.len());
        assert_eq!(kept(vec!["x".to_owned(); 3]).len(), 3);
    }

    #[test]
    fn arguments_end_where_the_padding_begins() {
        assert_eq!(
            args(b"nginx\0-g\0daemon off;\0"),
            ["nginx", "-g", "daemon off;"]
        );
        assert_eq!(
            args(b"nginx: worker process\0\0\0\0\0"),
            ["nginx: worker process"]
        );
        assert_eq!(args(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(args(b"\0\0"), [""; 0]);
        assert_eq!(args(b""), [""; 0]);
    }
}
