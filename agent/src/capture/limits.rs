//! How many descriptors the daemon may have, and how much memory of the kernel's: as many as
//! whoever started it allows. It says nothing where more is not allowed: what needs it will.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::visible::Visible;

/// Raises the soft limit of descriptors to the hard one. The usual soft one (1024) is there for
/// programs that use select(2), and probes take a descriptor or two for each library of a process.
///
/// Raises the limit of locked memory altogether, where `CAP_SYS_RESOURCE` allows it: before 5.11,
/// maps of programs count against it. It has to be done before that capability is given up.
pub fn raise() {
    let mut files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        files.current = files.maximum;
        set(Resource::Nofile, files);
    }
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if getrlimit(Resource::Memlock) != unlimited {
        set(Resource::Memlock, unlimited);
    }
}

fn set(resource: Resource, limit: Rlimit) {
    if let Err(error) = setrlimit(resource, limit) {
        log::debug!("the limit {resource:?} stays as it is: {}", Visible(error));
    }
}
