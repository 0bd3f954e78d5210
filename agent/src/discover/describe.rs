//! What is known about a process, from procfs. A process that vanishes while it is looked at is
//! described as far as it was seen, or not at all; that is no error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use procfs::process;

use crate::config::ServiceOverride;
use crate::discover::Process;
use crate::engine::Engines;
use crate::semconv;

use super::container::{self, Container};
use super::environment::{self, DeclaredResource, Environments};
use super::host::Host;
use super::language::Languages;
use super::naming::{self, Around};
use super::proc_root::{ProcRoot, Stat, lossy, read_bounded, without_deleted};
use super::uncopied::uncopied;
use super::unit;

/// Bytes of arguments that are kept once the service has its name.
const ARGS_KEPT_MAX: usize = 4096;

/// Makes descriptions. Clones share what they remember of files.
#[derive(Clone, Debug)]
pub struct Describer {
    root: ProcRoot,
    host: Arc<Host>,
    host_name: String,
    service: ServiceOverride,
    languages: Arc<Languages>,
    environments: Arc<Environments>,
    /// Who is asked of containers, if anybody is.
    engines: Option<Engines>,
}

/// Bytes of arguments and of environment that are read of one process. Linux allows more, but a
/// process that has more than this is nothing one would want in memory twice.
const ARGS_LEN_MAX: u64 = 64 * 1024;
const ENVIRONMENT_LEN_MAX: u64 = 1024 * 1024;
/// A line for each hierarchy of control groups; a group's path has at most 4096 bytes.
const GROUPS_LEN_MAX: u64 = 64 * 1024;

impl Describer {
    /// Looks at `root`; names in `service` win over what is found. What the machine is called is
    /// settled here, once.
    #[must_use]
    pub fn new(root: ProcRoot, service: ServiceOverride) -> Self {
        let host_name = service.host_name.clone();
        Self {
            host: Arc::new(Host::of(&root)),
            host_name: host_name.unwrap_or_else(|| Host::name_of(&root)),
            root,
            service,
            languages: Arc::default(),
            environments: Arc::default(),
            engines: None,
        }
    }

    /// The same, which asks these of containers.
    #[must_use]
    pub fn asking(mut self, engines: Engines) -> Self {
        self.engines = Some(engines);
        self
    }

    /// Names that win over what is found.
    pub(super) fn service(&self) -> &ServiceOverride {
        &self.service
    }

    /// Names in `service` win from the next description on. Clones that were made before keep to
    /// what they were told.
    pub(super) fn reconfigure(&mut self, service: &ServiceOverride) {
        self.service.clone_from(service);
    }

    /// A running process. `None` if it has gone. It may hang, in the process's memory or in the
    /// file that it runs.
    #[must_use]
    pub fn describe(&self, pid: u32) -> Option<Process> {
        self.describe_in_steps(pid, |_| ())
    }

    /// As [`Describer::describe`], and hands over what is known before any file of the process is
    /// read.
    pub fn describe_in_steps(&self, pid: u32, first: impl FnOnce(&Process)) -> Option<Process> {
        let process = self.root.open(pid)?;
        let Stat {
            start_ns,
            parent,
            comm,
        } = self.root.stat_of(&process)?;
        let executable = without_deleted(process.exe().ok()?);
        let command_args = args(&read_bounded(&process, "cmdline", ARGS_LEN_MAX)?);
        let environment = read_bounded(&process, "environ", ENVIRONMENT_LEN_MAX);
        let environment = environment.unwrap_or_default();
        let told = self.environments.told((pid, start_ns), &environment, || {
            Some((parent, self.root.stat(parent)?.start_ns))
        });
        let around = NamingHints {
            root: &self.root,
            process: &process,
            environment: &environment,
            ancestors_left: ANCESTORS_MAX,
        };
        let found = || naming::service_name(&executable, &command_args, &comm, &around);
        let general = self.general(&told);
        let said = self.service.name.clone().or(told.service_name);
        let mut description = Process {
            pid,
            start_ns,
            is_named_by_what_it_runs: said.is_none(),
            service_name: said.unwrap_or_else(found),
            general,
            service_namespace: self.service_namespace(told.service_namespace),
            service_instance_id: self.instance_id(pid),
            language: None,
            resource_attributes: self.attributes_with(told.resource_attributes),
            host_name: self.host_name.clone(),
            host: Arc::clone(&self.host),
            container: container_of(&process),
            place: None,
            telling: self.service.pods.clone(),
            awaits_place: false,
            uncopied: uncopied(&self.root, pid),
            executable,
            command_args: kept(command_args),
            is_cut: told.is_cut,
        };
        first(&description);
        let language = self.languages.of(&process, &description.executable);
        description.language = language.map(str::to_owned);
        if let (Some(container), Some(engines)) = (&mut description.container, &self.engines)
            && container.pod_uid.is_none()
            && let Some(labelled) = engines.labelled(&container.id)
        {
            container.label(labelled);
        }
        Some(description)
    }

    /// A process that has gone before anybody looked: all there is of it is what the kernel calls
    /// it.
    #[must_use]
    pub fn vanished(&self, pid: u32, comm: &str) -> Process {
        Process {
            pid,
            start_ns: self.start_ns(pid),
            service_name: self.service.name.clone().unwrap_or_else(|| comm.to_owned()),
            is_named_by_what_it_runs: self.service.name.is_none(),
            telling: self.service.pods.clone(),
            general: self.general(&DeclaredResource::default()),
            service_namespace: self.service_namespace(None),
            service_instance_id: self.instance_id(pid),
            resource_attributes: self.attributes_with(BTreeMap::new()),
            host_name: self.host_name.clone(),
            host: Arc::clone(&self.host),
            ..Process::default()
        }
    }

    /// A running process as the kernel describes it by itself: this never hangs. `None` if it has
    /// gone.
    #[must_use]
    pub fn glance(&self, pid: u32) -> Option<Process> {
        let comm = self.root.stat(pid)?.comm;
        Some(self.unseen(pid, self.root.executable(pid).as_deref(), &comm))
    }

    /// A process that can't be looked at: its name is that of its executable, else the kernel's.
    #[must_use]
    pub fn unseen(&self, pid: u32, executable: Option<&Path>, comm: &str) -> Process {
        let by_file = executable.map(|it| naming::service_name(it, &[], comm, &()));
        let known = self.vanished(pid, by_file.as_deref().unwrap_or(comm));
        let process = self.root.open(pid);
        Process {
            container: process.as_ref().and_then(container_of),
            executable: executable.map(Path::to_owned).unwrap_or_default(),
            ..known
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
        self.root.stat(pid).map_or(0, |stat| stat.start_ns)
    }

    fn service_namespace(&self, told: Option<String>) -> Option<String> {
        let given = self.service.namespace.clone().or(told);
        let general = &self.service.resource_attributes;
        given.or_else(|| general.get(semconv::SERVICE_NAMESPACE).cloned())
    }

    /// What is said of all processes, and not by this one.
    fn general(&self, told: &DeclaredResource) -> BTreeSet<String> {
        let is_general = |name: &&String| {
            if *name == semconv::SERVICE_NAMESPACE {
                self.service.namespace.is_none() && told.service_namespace.is_none()
            } else {
                !told.resource_attributes.contains_key(*name)
            }
        };
        let general = self.service.resource_attributes.keys();
        general.filter(is_general).cloned().collect()
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
        format!("{}:{pid}", self.host_name)
    }
}

fn groups(process: &process::Process) -> Option<String> {
    let groups = read_bounded(process, "cgroup", GROUPS_LEN_MAX)?;
    Some(lossy(&groups))
}

fn container_of(process: &process::Process) -> Option<Container> {
    container::of_groups(&groups(process)?)
}

impl ProcRoot {
    /// The container that a process runs in. The kernel answers that by itself.
    pub(crate) fn container(&self, pid: u32) -> Option<Container> {
        container_of(&self.open(pid)?)
    }
}

/// Parents that are asked for their names.
const ANCESTORS_MAX: u32 = 3;

/// What names may be taken from besides executable and arguments.
struct NamingHints<'a> {
    root: &'a ProcRoot,
    process: &'a process::Process,
    environment: &'a [u8],
    ancestors_left: u32,
}

impl Around for NamingHints<'_> {
    fn working_directory(&self) -> Option<PathBuf> {
        self.process.cwd().ok().map(without_deleted)
    }

    fn unit(&self) -> Option<String> {
        unit::of_groups(&groups(self.process)?)
    }

    fn parent(&self) -> Option<String> {
        let ancestors_left = self.ancestors_left.checked_sub(1)?;
        let parent = self.root.stat_of(self.process)?.parent;
        let process = &self.root.open(parent)?;
        let environment = read_bounded(process, "environ", ENVIRONMENT_LEN_MAX);
        let environment = &environment.unwrap_or_default();
        let told = DeclaredResource::from_environment(environment).service_name;
        told.or_else(|| {
            let executable = without_deleted(process.exe().ok()?);
            let args = args(&read_bounded(process, "cmdline", ARGS_LEN_MAX)?);
            let comm = process.stat().ok()?.comm;
            let around = NamingHints {
                root: self.root,
                process,
                environment,
                ancestors_left,
            };
            Some(naming::service_name(&executable, &args, &comm, &around))
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        environment::variable(self.environment, name).map(lossy)
    }
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
    fn of_arguments_only_so_many_are_kept() {
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
