//! Python (CPython 3.9 and later): the `contextvars.Context` that runs on a thread. Everything is
//! read off the interpreter's own functions, which load what is wanted from where it lies; what the
//! kernel side finds by it says at each look whether it is a context. It knows no table of
//! versions.
//!
//! Refused: interpreters without exported symbols, those of another C library than glibc (threads
//! keep their values elsewhere), and code that does otherwise than is known.

mod queue;

use std::path::Path;

use wirespan_common::record::TaskKind;

use super::super::tls::image::{Damaged, Image};
use super::super::tls::symbols;
use super::{RuntimePlace, RuntimeTasks, RuntimeVerdict, TaskPoint, TaskProbe};
use crate::arch::python::{birth, context_of_state, entered, state};
use crate::arch::{PythonState, UNREAD};

/// What is looked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PythonName {
    ThisThreadState,
    CopyCurrent,
    Enter,
    Runtime,
    ContextType,
}

const FUNCTIONS: &[(&str, PythonName)] = &[
    ("PyGILState_GetThisThreadState", PythonName::ThisThreadState),
    ("PyContext_CopyCurrent", PythonName::CopyCurrent),
    ("PyContext_Enter", PythonName::Enter),
];
const DATA: &[(&str, PythonName)] = &[
    ("_PyRuntime", PythonName::Runtime),
    ("PyContext_Type", PythonName::ContextType),
];

/// Where glibc keeps the first values that a thread has by key: `specific_1stblock` of
/// `struct pthread` (nptl/descr.h), the same since 2.3 on this processor.
const KEYED_VALUES: u64 = 0x310;

/// Bytes of code that are read at a time.
const CODE_LEN: [u64; 3] = [512, 128, 16];

pub(super) fn find(image: &Image<'_>, path: &Path) -> Result<RuntimeVerdict, Damaged> {
    let name = path.file_name().and_then(|name| name.to_str());
    if name.is_some_and(|name| name.starts_with("_queue.")) {
        return queue::find(image);
    }
    let functions = names(image, FUNCTIONS, false)?;
    let address = |wanted| address_of(&functions, wanted);
    let (Some(this_state), Some(copy), Some(enter)) = (
        address(PythonName::ThisThreadState),
        address(PythonName::CopyCurrent),
        address(PythonName::Enter),
    ) else {
        return Ok(RuntimeVerdict::Nothing);
    };
    if let Some(reason) = UNREAD {
        return Ok(unknown(reason));
    }
    let data = names(image, DATA, true)?;
    let (Some(runtime), Some(kind)) = (
        address_of(&data, PythonName::Runtime),
        address_of(&data, PythonName::ContextType),
    ) else {
        return Ok(unknown("its types have no symbols"));
    };
    if !uses_glibc(image)? {
        return Ok(unknown(
            "it uses another C library than glibc, whose threads wirespan does not know",
        ));
    }
    let code = |address| code_at(image, address);
    let Some(state) = state(&code, this_state, runtime) else {
        return Ok(unknown("it finds a thread's state in a way of its own"));
    };
    // As `PythonLayout` has them.
    let (key, values) = match state {
        PythonState::Keyed(key) => (RuntimePlace::address(image, key), KEYED_VALUES),
        PythonState::ThreadLocal(at) => (RuntimePlace::None, at),
    };
    let Some(context) = context_of_state(&code, copy) else {
        return Ok(unknown("it finds a thread's context in a way of its own"));
    };
    let Some(entered) = entered(&code, enter) else {
        return Ok(unknown("it enters a context in a way of its own"));
    };
    let Some((births, register)) = birth(&code, copy) else {
        return Ok(unknown("it copies a context in a way of its own"));
    };
    let Some(probes) = births.iter().map(|it| copied_at(image, *it)).collect() else {
        return Ok(unknown("it copies a context outside of its code"));
    };
    // As `PythonLayout` has them.
    Ok(RuntimeVerdict::Known(RuntimeTasks {
        kind: TaskKind::PythonContext,
        places: [
            key,
            RuntimePlace::Value(values),
            RuntimePlace::Value(context),
            RuntimePlace::address(image, kind),
            RuntimePlace::Value(entered),
            RuntimePlace::Value(register),
            RuntimePlace::None,
            RuntimePlace::None,
        ],
        is_part: false,
        probes,
    }))
}

fn copied_at(image: &Image<'_>, address: u64) -> Option<TaskProbe> {
    let point = TaskPoint::PythonCopied;
    let offset = image.code_offset(address, 1)?;
    Some(TaskProbe { point, offset })
}

fn unknown(reason: &str) -> RuntimeVerdict {
    RuntimeVerdict::Unknown(format!("its contexts can't be told apart: {reason}"))
}

/// Addresses by name. Interpreters export all of these, for extensions.
fn names(
    image: &Image<'_>,
    wanted: &[(&str, PythonName)],
    are_data: bool,
) -> Result<Vec<symbols::Symbol<PythonName>>, Damaged> {
    // A name may be stored as the end of a longer one (`_PyContext_Enter`, which 3.15 exports).
    let by_name = |string: &[u8]| {
        let mut names = wanted.iter();
        let found = names.find(|(name, _)| string.ends_with(name.as_bytes()));
        found.map(|(name, what)| (name.len(), *what))
    };
    if are_data {
        symbols::find_objects(image, ".dynsym", &by_name)
    } else {
        symbols::find(image, ".dynsym", &by_name)
    }
}

fn address_of(found: &[symbols::Symbol<PythonName>], wanted: PythonName) -> Option<u64> {
    let mut addresses = found.iter().filter(|symbol| symbol.what == wanted);
    addresses.next().map(|symbol| symbol.address)
}

/// Code from an address on, as much as there is.
fn code_at(image: &Image<'_>, address: u64) -> Option<Vec<u8>> {
    CODE_LEN.into_iter().find_map(|len| {
        let offset = image.code_offset(address, len)?;
        image.read(offset, len as usize)
    })
}

fn uses_glibc(image: &Image<'_>) -> Result<bool, Damaged> {
    // Versions of symbols, which other C libraries have not.
    symbols::has_string(image, ".dynstr", b"libc.so.6")
}

#[cfg(test)]
mod tests;
