//! nginx, and what is made of it under other names. Its requests are found by structures that have
//! begun alike in all its versions and that the kernel side checks each time, so nothing is read
//! from the file: it is known by its name.

use std::path::Path;

use wirespan_common::record::TaskKind;
use wirespan_common::runtime::Proxy;

use super::super::tls::image::{Damaged, Image};
use super::{RuntimePlace, RuntimeTasks, RuntimeVerdict};

/// Programs that are nginx: itself, and those with the same structures.
const NAMES: [&str; 6] = [
    "nginx",
    "nginx-debug",
    "openresty",
    "freenginx",
    "angie",
    "tengine",
];

pub(super) fn find(_: &Image<'_>, name: &Path) -> Result<RuntimeVerdict, Damaged> {
    let is_it = name
        .file_name()
        .is_some_and(|name| NAMES.iter().any(|it| name == *it));
    if !is_it {
        return Ok(RuntimeVerdict::Nothing);
    }
    let mut places = <[RuntimePlace; _]>::default();
    places[0] = RuntimePlace::Value(Proxy::Nginx as u64);
    Ok(RuntimeVerdict::Known(RuntimeTasks {
        kind: TaskKind::ProxyRequest,
        places,
        is_part: false,
        probes: Vec::new(),
    }))
}
