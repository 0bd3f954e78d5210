//! tokio in an executable: its tasks. Which one runs on a thread is in the thread's own memory, and
//! which makes, asks or answers for whom is told by probes, found by mangled names and by the code
//! behind them (`arch::tokio`); what the code does not show is not said.
//! Tried with tokio 1.54, hyper 1.12, h2 0.4.20 and tower 0.5.3, compiled by Rust 1.95 with and
//! without thin and fat LTO; and with what was there two years before: tokio 1.41, hyper 1.5,
//! h2 0.4.7 and tower 0.4.13.
//!
//! Refused: programs without a table of symbols, and libraries, whose code asks at run time where a
//! thread's memory is.

mod names;
mod places;
mod stripped;

use std::path::Path;

use memchr::memmem;
use wirespan_common::record::TaskKind;
use wirespan_common::tokio::TokioLayout;

use super::super::tls::image::{Damaged, Image};
use super::super::tls::symbols::{self, Symbol};
use super::{RuntimePlace, RuntimeTasks, RuntimeVerdict, TaskPoint, TaskProbe};
use crate::arch::UNREAD;
use crate::arch::tokio::{Binding, bindings, calls, current_task_id, putting};
use TaskPoint::{TokioAnswers, TokioAnswersBySecond, TokioBorn, TokioPut};
use names::TokioName::{self, Binds, Point, Puts, SetsCurrent};
use names::wanted;
use places::{TaskPlaces, bound_anywhere, code_of};

/// What wakes a task (tokio/src/runtime/task/waker.rs), in both ways of mangling.
const WAKER_TABLE: &[u8] = b"5tokio7runtime4task5waker12WAKER_VTABLE";

/// Probes of one kind; generic functions are compiled for each type that they are used with.
const PROBES_MAX: usize = 64;

pub(super) fn find(image: &Image<'_>, _: &Path) -> Result<RuntimeVerdict, Damaged> {
    if image.section(".symtab").is_none() {
        return Ok(match stripped::has_tokio(image) {
            true => unknown("it has no table of symbols, by which tokio's functions are found"),
            false => RuntimeVerdict::Nothing,
        });
    }
    let functions = symbols::find(image, ".symtab", &wanted)?;
    if !functions.iter().any(|it| it.what == SetsCurrent) {
        return Ok(RuntimeVerdict::Nothing);
    }
    let by_name = |name: &[u8]| memmem::find(name, WAKER_TABLE).map(|_| (name.len(), ()));
    let tables = symbols::find_objects(image, ".symtab", &by_name)?;
    if let Some(reason) = UNREAD {
        return Ok(unknown(reason));
    }
    Ok(match tasks(image, &functions, &tables) {
        Ok(tasks) => RuntimeVerdict::Known(tasks),
        Err(reason) => unknown(reason),
    })
}

fn unknown(reason: &str) -> RuntimeVerdict {
    RuntimeVerdict::Unknown(format!("tokio's tasks can't be told apart: {reason}"))
}

fn tasks(
    image: &Image<'_>,
    functions: &[Symbol<TokioName>],
    tables: &[Symbol<()>],
) -> Result<RuntimeTasks, &'static str> {
    let of = |what| functions.iter().filter(move |it| it.what == what);
    let mut current: Vec<_> = of(SetsCurrent)
        .map(|symbol| current_task_id(&code_of(image, symbol)?, symbol.address))
        .collect();
    current.dedup();
    let [Some(current_id)] = current[..] else {
        return Err("a thread keeps its current task in a way of its own");
    };
    let [table] = tables else {
        return Err("it has no table of a waker's functions, or several");
    };
    let places = places(image, functions)?;
    let Some(&Binding { vtable, id, .. }) = places.bound.first() else {
        return Err("it can't be seen where tasks are made");
    };
    let layout = TokioLayout {
        current_id: current_id as u64,
        waker_table: table.address,
        vtable: vtable as u16,
        id_offset: id as u16,
        born_register: places.born_register,
        put_register: places.put_register,
        others: places.others,
    };
    let mut told = layout.places().map(RuntimePlace::Value);
    told[1] = RuntimePlace::address(image, table.address);
    Ok(RuntimeTasks {
        kind: TaskKind::Tokio,
        places: told,
        is_part: false,
        probes: probes(image, functions, &places)?,
    })
}

/// Where tasks are bound, and values put into channels.
fn places(image: &Image<'_>, functions: &[Symbol<TokioName>]) -> Result<TaskPlaces, &'static str> {
    let of = |what| functions.iter().filter(move |it| it.what == what);
    let mut bound: Vec<Binding> = of(Binds)
        .filter_map(|symbol| Some(bindings(&code_of(image, symbol)?, symbol.address)))
        .flatten()
        .collect();
    let Some(&known) = bound.first() else {
        return Err("it can't be seen where tasks are made");
    };
    if bound
        .iter()
        .any(|it| (it.vtable, it.id) != (known.vtable, known.id))
    {
        return Err("headers of tasks seem to have several layouts");
    }
    bound.extend(bound_anywhere(image, known).map_err(|Damaged(reason)| reason)?);
    bound.sort_unstable_by_key(|it| it.jump);
    bound.dedup();
    let put = of(Puts)
        .filter_map(|symbol| putting(&code_of(image, symbol)?, symbol.address))
        .collect();
    TaskPlaces::new(bound, put).ok_or("there are too many places to look at")
}

fn probes(
    image: &Image<'_>,
    functions: &[Symbol<TokioName>],
    places: &TaskPlaces,
) -> Result<Vec<TaskProbe>, &'static str> {
    let born = places.bound.iter().map(|it| (TokioBorn, it.jump));
    let put = places.put.iter().map(|it| (TokioPut, it.jump));
    // The one may be no more than a call of the other.
    let answers = functions.iter().filter(|it| it.what == Point(TokioAnswers));
    let answers: Vec<_> = answers.map(|it| it.address).collect();
    let is_call =
        |symbol| code_of(image, symbol).is_none_or(|code| calls(&code, symbol.address, &answers));
    let begins = functions.iter().filter_map(|symbol| match symbol.what {
        Point(TokioAnswersBySecond) if is_call(symbol) => None,
        Point(point) => Some((point, symbol.address)),
        _ => None,
    });
    let all = born.chain(put).chain(begins);
    let mut probes: Vec<_> = all
        .filter_map(|(point, address)| {
            let offset = image.code_offset(address, 1)?;
            Some(TaskProbe { point, offset })
        })
        .collect();
    probes.sort_unstable();
    probes.dedup();
    let mut by_point = probes.chunk_by(|a, b| a.point == b.point);
    match by_point.any(|of_point| of_point.len() > PROBES_MAX) {
        true => Err("there are too many places to look at"),
        false => Ok(probes),
    }
}

#[cfg(test)]
mod tests;
