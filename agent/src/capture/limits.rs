//! How many descriptors the daemon may have: as many as whoever started it allows. It asks for no
//! more than that.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::visible::Visible;

/// Raises the soft limit of descriptors to the hard one. The usual soft one (1024) is there for
/// programs that use select(2), and probes take a descriptor or two for each library of a process.
pub fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::debug!("the limit of open files stays as it is: {}", Visible(error));
    }
}
