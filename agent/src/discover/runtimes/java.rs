//! Java (HotSpot): which thread of Java runs on a thread of the kernel, where virtual ones may.
//! What the virtual machine tells debuggers of its structures (`gHotSpotVMStructs`) says where it
//! keeps that. Of one that has no virtual threads yet (before Java 19), threads are the tasks.
//!
//! Refused: virtual machines other than HotSpot, and those of another C library than glibc, whose
//! thread-local memory lies elsewhere. Nothing is known of their threads, not even that they do one
//! thing at a time.

mod structs;

use std::path::Path;

use wirespan_common::java::JavaLayout;
use wirespan_common::record::TaskKind;
use wirespan_common::runtime::PLACES;

use super::super::tls::image::{Damaged, Image};
use super::super::tls::symbols;
use super::relocations::Relocations;
use super::{RuntimePlace, RuntimeTasks, RuntimeVerdict};
use crate::arch::UNREAD;
use crate::arch::hotspot::{HEAD_LEN, thread_local_asked_for};
use structs::Structs;

/// Functions that ask for the current thread before they do anything else: the macro
/// `JVM_ENTRY_NO_ENV` (src/hotspot/share/runtime/interfaceSupport.inline.hpp) has them do so.
const ASKING: [&[u8]; 3] = [b"JVM_GC", b"JVM_TotalMemory", b"JVM_MaxMemory"];

/// Functions of the virtual machine by which it is known whether it has virtual threads: one that
/// it has had since there are any, and one that it had for as long as there were none.
const WITH_VIRTUAL: &[u8] = b"JVM_SetCurrentThread";
const WITHOUT_VIRTUAL: &[u8] = b"JVM_SuspendThread";

/// Entries of the table of relocations; there are 120,000.
const RELOCATIONS_MAX: u64 = 1024 * 1024;

pub(super) fn find(image: &Image<'_>, path: &Path) -> Result<RuntimeVerdict, Damaged> {
    let name = path.file_name().and_then(|name| name.to_str());
    if name != Some("libjvm.so") {
        return Ok(RuntimeVerdict::Nothing);
    }
    Ok(match tasks(image)? {
        Ok(tasks) => RuntimeVerdict::Known(tasks),
        Err(reason) => RuntimeVerdict::Sharing(
            TaskKind::VirtualThread,
            format!("its virtual threads can't be told apart: {reason}"),
        ),
    })
}

fn tasks(image: &Image<'_>) -> Result<Result<RuntimeTasks, &'static str>, Damaged> {
    if !has_virtual_threads(image)? {
        return Ok(Ok(of_kind(TaskKind::Thread, Default::default())));
    }
    if let Some(reason) = UNREAD {
        return Ok(Err(reason));
    }
    let Some(relocations) = Relocations::read(image, RELOCATIONS_MAX) else {
        return Ok(Err("it has no table of relocations that can be read"));
    };
    let structs = match Structs::read(image, &relocations)? {
        Ok(structs) => structs,
        Err(reason) => return Ok(Err(reason)),
    };
    // Versions of symbols, which other C libraries have not.
    if !symbols::has_string(image, ".dynstr", b"libc.so.6")? {
        return Ok(Err(
            "it uses another C library than glibc, whose threads wirespan does not know",
        ));
    }
    let Some(current_at) = current_at(image, &relocations)? else {
        return Ok(Err("it finds its own thread in a way of its own"));
    };
    Ok(match layout(&structs) {
        Some(layout) => {
            let mut places: [RuntimePlace; PLACES] =
                layout.into_runtime().places.map(|value| match value {
                    0 => RuntimePlace::None,
                    value => RuntimePlace::Value(value),
                });
            places[0] = RuntimePlace::address(image, current_at);
            Ok(of_kind(TaskKind::VirtualThread, places))
        }
        None => Err("its threads have another layout than those of known versions"),
    })
}

/// Whether it has, or may have.
fn has_virtual_threads(image: &Image<'_>) -> Result<bool, Damaged> {
    let found = symbols::find(image, ".dynsym", &|name: &[u8]| {
        [WITH_VIRTUAL, WITHOUT_VIRTUAL]
            .contains(&name)
            .then_some((name.len(), name == WITHOUT_VIRTUAL))
    })?;
    let is_older = !found.is_empty() && found.iter().all(|function| function.what);
    Ok(!is_older)
}

fn of_kind(kind: TaskKind, places: [RuntimePlace; PLACES]) -> RuntimeTasks {
    RuntimeTasks {
        kind,
        places,
        is_part: false,
        probes: Vec::new(),
    }
}

/// Address of the two words by which `Thread::_thr_current` is found, if all functions that can be
/// asked agree.
fn current_at(image: &Image<'_>, relocations: &Relocations) -> Result<Option<u64>, Damaged> {
    let asking = symbols::find(image, ".dynsym", &|name: &[u8]| {
        ASKING.contains(&name).then_some((name.len(), ()))
    })?;
    let mut found = asking.iter().map(|function| {
        let offset = image.code_offset(function.address, HEAD_LEN as u64)?;
        let head = image.read(offset, HEAD_LEN)?;
        thread_local_asked_for(&head, function.address)
    });
    let Some(first) = found.next().flatten() else {
        return Ok(None);
    };
    let agree = found.all(|other| other == Some(first));
    let is_certain = agree && asking.len() == ASKING.len() && relocations.is_module(first);
    Ok(is_certain.then_some(first))
}

/// Where threads have what is read of them; `JavaLayout::current_at` is left open.
fn layout(structs: &Structs) -> Option<JavaLayout> {
    let own = structs.offset("JavaThread", "_threadObj")?;
    let mounted = structs.offset("JavaThread", "_vthread")?;
    // A handle is the address of the reference, and both are read as one.
    if structs.offset("OopHandle", "_obj")? != 0 || mounted != own + 8 {
        return None;
    }
    let number = ["_monitor_owner_id", "_lock_id"].map(|name| structs.offset("JavaThread", name));
    let os_thread = ["Thread", "JavaThread"].map(|name| structs.offset(name, "_osthread"));
    Some(JavaLayout {
        current_at: 0,
        os_thread: os_thread.into_iter().flatten().next()?,
        pthread: structs.offset("OSThread", "_pthread_id")?,
        handles: own,
        number: number.into_iter().flatten().next().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests;
