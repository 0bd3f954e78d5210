//! Java (HotSpot): which of its threads runs on a thread of the kernel, where virtual ones may.
//!
//! The virtual machine keeps its structure of a thread in thread-local memory, which is found as
//! `__tls_get_addr` finds it. It is believed if it names the C library's thread that this one is.
//! There, two handles lead to the thread of Java that the structure was made for and to the one
//! that runs on it now; where they lead to the same there is no virtual one. Its number stands
//! beside them or, before Java 24, in the object itself.

use wirespan_common::java::{IS_VIRTUAL, JavaLayout};
use wirespan_common::runtime::Runtime;

use super::{Task, threads};
use crate::memory::{Delivered, current_task, kernel_value, offset, user_value};
use crate::transfer::Transfer;

/// Where a `java.lang.Thread` has `eetop` (the address of the virtual machine's structure, 0 of a
/// virtual thread) and, right after it, `tid`, in versions that are read so: behind the header and
/// what fills it up to 16 bytes.
const OBJECT_FIELDS: u64 = 16;

/// Numbers are given out one after the other; a word that is as large as an address is none.
const NUMBER_MAX: u64 = 1 << 40;

/// What `eetop` and `tid` have.
type ObjectFields = [u64; 2];

/// The thread of Java that moved bytes.
#[inline(always)]
pub fn current(transfer: &Transfer, runtime: &Runtime) -> Option<Task> {
    find(transfer, &JavaLayout::of(runtime)).ok().flatten()
}

#[inline(always)]
fn find(transfer: &Transfer, layout: &JavaLayout) -> Delivered<Option<Task>> {
    let thread = structure(layout)?;
    if thread == 0 {
        return Ok(None);
    }
    let [own, mounted]: [u64; 2] = user_value(thread.wrapping_add(layout.handles))?;
    let [own, mounted]: [u64; 2] = [user_value(own)?, user_value(mounted)?];
    let number = match layout.number {
        0 => 0,
        at => user_value(thread.wrapping_add(at))?,
    };
    if own == mounted {
        return Ok(of_the_kernel(transfer, number));
    }
    if layout.number != 0 {
        return Ok(is_number(number).then_some(is_virtual(number)));
    }
    // The other one's fields, first of all, tell that they are where they are looked for.
    let [eetop, _]: ObjectFields = user_value(own.wrapping_add(OBJECT_FIELDS))?;
    let [of_mounted, number]: ObjectFields = user_value(mounted.wrapping_add(OBJECT_FIELDS))?;
    Ok(match of_mounted {
        _ if eetop != thread => None,
        0 if is_number(number) => Some(is_virtual(number)),
        // The same object, which the garbage collector just moves.
        found if found == thread => of_the_kernel(transfer, 0),
        _ => None,
    })
}

/// Address of the virtual machine's structure (`JavaThread`) of this thread; 0 if there is none.
#[inline(always)]
fn structure(layout: &JavaLayout) -> Delivered<u64> {
    let fs = kernel_value::<u64>(current_task() + offset(|o| &o.task_struct_fsbase))?;
    let [module, within]: [u64; 2] = user_value(layout.current_at)?;
    // `tcbhead_t.dtv` and `dtv_t` (glibc's sysdeps/x86_64/nptl/tls.h, sysdeps/generic/dl-dtv.h).
    let modules: u64 = user_value(fs.wrapping_add(8))?;
    let block: u64 = user_value(modules.wrapping_add(16 * module))?;
    let thread: u64 = user_value(block.wrapping_add(within))?;
    let os_thread: u64 = user_value(thread.wrapping_add(layout.os_thread))?;
    let pthread: u64 = user_value(os_thread.wrapping_add(layout.pthread))?;
    Ok(if pthread == fs { thread } else { 0 })
}

#[inline(always)]
fn of_the_kernel(transfer: &Transfer, number: u64) -> Option<Task> {
    let part = threads::thread(transfer)?.part;
    Some(Task { id: number, part })
}

#[inline(always)]
fn is_virtual(number: u64) -> Task {
    Task {
        id: number,
        part: IS_VIRTUAL,
    }
}

#[inline(always)]
fn is_number(number: u64) -> bool {
    number != 0 && number < NUMBER_MAX
}
