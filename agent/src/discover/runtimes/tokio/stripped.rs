//! Whether an executable without names of functions has tokio in it, so that it can be said why its
//! tasks are not told apart.

use memchr::memmem;

use crate::discover::tls::image::Image;

/// The end of a path that messages of tokio's panics have in them.
const SOURCE: &[u8] = b"/src/runtime/task/core.rs";
/// Bytes of constants that are looked through for it, and how many at a time.
const CONSTANTS_LEN_MAX: u64 = 64 << 20;
const PIECE_LEN: usize = 128 * 1024;

/// Whether it has.
pub(super) fn has_tokio(image: &Image<'_>) -> bool {
    is_rust(image) && has_source(image)
}

/// Compilers leave their names in a section that stays when symbols are taken out.
fn is_rust(image: &Image<'_>) -> bool {
    const COMMENT_LEN_MAX: u64 = 4096;
    let comment = image.section(".comment").map(|section| section.place);
    let comment = comment.filter(|place| place.len <= COMMENT_LEN_MAX);
    let comment = comment.and_then(|place| image.read(place.offset, place.len as usize));
    comment.is_some_and(|text| memmem::find(&text, b"rustc").is_some())
}

fn has_source(image: &Image<'_>) -> bool {
    let Some(constants) = image.section(".rodata").map(|section| section.place) else {
        return false;
    };
    let len = constants.len.min(CONSTANTS_LEN_MAX);
    let mut at = 0;
    while at < len {
        let piece = (len - at).min(PIECE_LEN as u64);
        let Some(bytes) = image.read(constants.offset + at, piece as usize) else {
            return false;
        };
        if memmem::find(&bytes, SOURCE).is_some() {
            return true;
        }
        // It may begin in one and end in the next.
        at += match piece < PIECE_LEN as u64 {
            true => piece,
            false => piece - SOURCE.len() as u64,
        };
    }
    false
}
