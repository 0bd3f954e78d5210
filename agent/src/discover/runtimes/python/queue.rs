//! `_queue`, the extension in which executors keep what threads are to do: where items are put into
//! its `SimpleQueue` and taken out. Its functions have no symbols; they are found by the table of
//! methods (`PyMethodDef`: name, function, flags, text), which relocations fill in.

use std::collections::BTreeMap;

use wirespan_common::record::TaskKind;

use super::super::super::tls::image::{Damaged, Image};
use super::super::relocations::Relocations;
use super::super::{RuntimeTasks, RuntimeVerdict, TaskPoint, TaskProbe};
use super::code_at;
use crate::arch::python::returns_by_jumps;

/// Entries of the table of relocations; the module has some sixty.
const RELOCATIONS_MAX: u64 = 16 * 1024;
/// Return instructions of all functions together.
const RETURNS_MAX: usize = 32;

/// Methods by name, and what is seen of them. `get_nowait` may be no more than a jump to `get`.
const METHODS: [(&[u8], TaskPoint); 4] = [
    (b"put\0", TaskPoint::PythonPut),
    (b"put_nowait\0", TaskPoint::PythonPut),
    (b"get\0", TaskPoint::PythonGot),
    (b"get_nowait\0", TaskPoint::PythonGot),
];

pub(super) fn find(image: &Image<'_>) -> Result<RuntimeVerdict, Damaged> {
    let Some(probes) = probes(image) else {
        return Ok(RuntimeVerdict::Unknown(
            "the methods of its queues can't be found, so that work which threads take from them \
             is nobody's"
                .to_owned(),
        ));
    };
    Ok(RuntimeVerdict::Known(RuntimeTasks {
        kind: TaskKind::PythonContext,
        places: Default::default(),
        is_part: true,
        probes,
    }))
}

fn probes(image: &Image<'_>) -> Option<Vec<TaskProbe>> {
    let words = Relocations::read(image, RELOCATIONS_MAX)?;
    let words: BTreeMap<u64, u64> = words.addresses().collect();
    let mut probes = Vec::new();
    for (name, point) in METHODS {
        let function = method(image, &words, name)?;
        let places = match point {
            TaskPoint::PythonGot => returns_by_jumps(&|address| code_at(image, address), function)?,
            _ => vec![function],
        };
        for place in places {
            let offset = image.code_offset(place, 1)?;
            probes.push(TaskProbe { point, offset });
        }
    }
    probes.sort_unstable();
    probes.dedup();
    (probes.len() <= RETURNS_MAX).then_some(probes)
}

/// The function of a method.
fn method(image: &Image<'_>, words: &BTreeMap<u64, u64>, name: &[u8]) -> Option<u64> {
    let mut functions = words.iter().filter_map(|(at, text)| {
        let is_name = image.read_address(*text, name.len())? == name;
        let function = words.get(&at.checked_add(8)?).filter(|_| is_name)?;
        image.code_offset(*function, 1).map(|_| *function)
    });
    let function = functions.next()?;
    functions.next().is_none().then_some(function)
}
