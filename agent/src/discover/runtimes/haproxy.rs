//! HAProxy: its table of descriptors is exported, and from there pointers lead from a connection to
//! a server to the client's. Where they stand differs by version, so only versions are taken that
//! were tried; the kernel side checks both ends of each path besides.

use std::path::Path;

use wirespan_common::record::TaskKind;
use wirespan_common::runtime::{HaproxyLayout, PLACES};

use super::super::tls::image::{Damaged, Image};
use super::super::tls::symbols::{Symbol, find_objects};
use super::{RuntimePlace, RuntimeTasks, RuntimeVerdict};

/// Longest version that is read: `2.6.12-1+deb12u4`.
const VERSION_LEN: usize = 32;

/// Layouts by the versions that have them: the first two numbers.
///
/// Of 2.6: `struct fdtab.owner` (include/haproxy/fd-t.h), `struct connection.handle.fd` and `.ctx`
/// (connection-t.h), `struct h1c.h1s`, `struct h1s.sess` (src/mux_h1.c), `struct session.origin`
/// (session-t.h).
const LAYOUTS: [(&str, HaproxyLayout); 1] = [(
    "2.6.",
    HaproxyLayout {
        table_at: 0,
        entry_size: 64,
        owner: 40,
        descriptor: 104,
        path: [40, 136, 32, 16],
    },
)];

/// Which variable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variable {
    Table,
    Version,
}

pub(super) fn find(image: &Image<'_>, name: &Path) -> Result<RuntimeVerdict, Damaged> {
    if name.file_name().is_none_or(|name| name != "haproxy") {
        return Ok(RuntimeVerdict::Nothing);
    }
    let variables = find_objects(image, ".dynsym", &|name: &[u8]| match name {
        b"fdtab" => Some((name.len(), Variable::Table)),
        b"haproxy_version" => Some((name.len(), Variable::Version)),
        _ => None,
    })?;
    let of = |what| variables.iter().find(|symbol| symbol.what == what);
    let (Some(table), Some(version)) = (of(Variable::Table), of(Variable::Version)) else {
        return Ok(RuntimeVerdict::Unknown(
            "it does not export its table of descriptors".into(),
        ));
    };
    let Some(version) = version_at(image, version) else {
        return Ok(RuntimeVerdict::Unknown(
            "its version is not to be read".into(),
        ));
    };
    let known = LAYOUTS
        .iter()
        .find(|(prefix, _)| version.starts_with(prefix));
    let Some((_, layout)) = known else {
        return Ok(RuntimeVerdict::Unknown(format!(
            "HAProxy {version} keeps its connections in another way than the versions that were \
             tried (2.6)"
        )));
    };
    let values = layout.into_runtime().places;
    let mut places: [RuntimePlace; PLACES] = values.map(|value| match value {
        0 => RuntimePlace::None,
        value => RuntimePlace::Value(value),
    });
    places[1] = RuntimePlace::address(image, table.address);
    Ok(RuntimeVerdict::Known(RuntimeTasks {
        kind: TaskKind::ProxyRequest,
        places,
        is_part: false,
        probes: Vec::new(),
    }))
}

/// What a variable that is an array of characters begins with.
fn version_at(image: &Image<'_>, variable: &Symbol<Variable>) -> Option<String> {
    let bytes = image.read_address(variable.address, VERSION_LEN)?;
    let text = bytes.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    text.starts_with(|first: char| first.is_ascii_digit())
        .then(|| text.to_owned())
}
