//! Go: goroutines. The one that runs on a thread is in a register (R14, since Go 1.17), so the
//! kernel side needs no places.

use std::path::Path;

use wirespan_common::record::TaskKind;

use super::super::tls::go::{is_go, too_old};
use super::super::tls::image::{Damaged, Image};
use super::{RuntimeTasks, RuntimeVerdict};

pub(super) fn find(image: &Image<'_>, _: &Path) -> Result<RuntimeVerdict, Damaged> {
    if !is_go(image) {
        return Ok(RuntimeVerdict::Nothing);
    }
    if let Some(version) = too_old(image) {
        return Ok(RuntimeVerdict::Unknown(format!(
            "it was built with {version}; goroutines are known since Go 1.17"
        )));
    }
    Ok(RuntimeVerdict::Known(RuntimeTasks {
        kind: TaskKind::Goroutine,
        places: Default::default(),
        probes: Vec::new(),
    }))
}
