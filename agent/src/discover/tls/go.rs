//! Go's programs: whether a file is one, which version made it, and its functions where symbols
//! were stripped. Nothing about Go's structures at run time is known here.
//!
//! A Go function is believed to be one when it begins with the check of its stack's size, which all
//! functions of `crypto/tls` that matter do. Since Go 1.17 that check takes the goroutine from a
//! register, so that it tells two things at once: that the place is right, and that arguments come
//! in registers.

mod build_info;
mod functions;

use super::Function;
use super::image::{Damaged, Image};
use super::names::GO_FUNCTIONS;
use super::symbols::Symbol;
use crate::arch;

pub(in crate::discover) use build_info::too_old;
pub(in crate::discover) use functions::FunctionTable;

/// Whether Go's linker wrote the file.
pub(in crate::discover) fn is_go(image: &Image<'_>) -> bool {
    [
        ".go.buildinfo",
        ".gopclntab",
        ".data.rel.ro.gopclntab",
        ".note.go.buildid",
    ]
    .iter()
    .any(|name| image.section(name).is_some())
}

/// The functions that matter, from the table that Go's runtime itself uses (pclntab). `None` if
/// there is no such table that is understood.
pub(super) fn functions(image: &Image<'_>) -> Result<Option<Vec<Symbol<Function>>>, Damaged> {
    let Some(table) = FunctionTable::find(image)? else {
        return Ok(None);
    };
    let found = table.look_up(image, GO_FUNCTIONS, NEIGHBOURS)?;
    if found.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let is_function = |_, address| begins_as_known(image, address);
    Ok(table.placed(image, &found, is_function))
}

/// Functions whose names begin so show where the code begins.
const NEIGHBOURS: &str = "crypto/tls.(*Conn).";

/// Whether the code at an address begins as a Go function with register arguments does.
pub(in crate::discover) fn begins_as_known(image: &Image<'_>, address: u64) -> bool {
    image
        .code_offset(address, arch::STACK_CHECK_LEN as u64)
        .and_then(|offset| image.read(offset, arch::STACK_CHECK_LEN))
        .is_some_and(|head| arch::begins_with_stack_check(&head))
}

#[cfg(test)]
pub(super) mod made;
#[cfg(test)]
mod tests;
