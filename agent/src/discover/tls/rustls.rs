//! rustls in an executable: its functions by their mangled names, legacy (`_ZN…`) and v0 (`_R…`,
//! rust-lang RFC 2603). A name is not demangled; it is compared piece by piece, in order.
//!
//! Which functions: a release is optimised across crates, and what is small vanishes in its
//! callers, `Writer::write`, `into_first_chunk` and the like among them; some calls would be seen
//! and some not. These are too large for that, called from several places, and all plaintext passes
//! them (rustls 0.23, src/common_state.rs, src/vecbuf.rs): `send_appdata_encrypt` on the way out;
//! on the way in `consume`, with which readers like tokio-rustls take what they borrowed, and
//! `Reader::read`. Compiled with and without thin and fat LTO, and for size, each was there, once
//! (rustls 0.23.46, rustc 1.95). What they are given is read off their code ([`layout`]).

mod layout;

use std::sync::LazyLock;

use memchr::memmem::Finder;

use layout::Buffer;

use super::image::{Damaged, Image};
use super::symbols::{self, Symbol};
use super::{Function, LibraryKind};
use crate::arch::UNREAD;

/// What all of the names hold. C++ mangles its names in nearly the same way, and of those an
/// executable may have hundreds of thousands.
static RUSTLS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("rustls"));

/// For each function, pieces of its name in the two ways of mangling, all of which have to be there
/// in this order; the last one is followed by the hash (legacy) or ends the name (v0).
const NAMES: &[(Function, &[&str], &[&str])] = &[
    (
        Function::RustlsRead,
        &[
            "$LT$rustls..",
            "..Reader$u20$as$u20$std..io..Read$GT$4read17h",
        ],
        &["6rustls", "6Reader", "2io4Read4read"],
    ),
    (
        Function::RustlsReaderConsume,
        &[
            "$LT$rustls..",
            "..Reader$u20$as$u20$std..io..BufRead$GT$7consume17h",
        ],
        &["6rustls", "6Reader", "2io7BufRead7consume"],
    ),
    (
        Function::RustlsConsume,
        &["_ZN6rustls6vecbuf14ChunkVecBuffer19consume_first_chunk17h"],
        &["6rustls6vecbuf", "14ChunkVecBuffer19consume_first_chunk"],
    ),
    (
        Function::RustlsSendAppdata,
        &["_ZN6rustls12common_state11CommonState20send_appdata_encrypt17h"],
        &[
            "6rustls12common_state",
            "11CommonState20send_appdata_encrypt",
        ],
    ),
];

/// Length of a hash in legacy mangling, with the `E` that ends the name.
const HASH_LEN: usize = 17;

/// Leaves of rustls's functions those that have to be seen, if they show all plaintext in both
/// directions; otherwise none, and says why.
pub(super) fn settle(
    image: &Image<'_>,
    found: &mut Vec<Symbol<Function>>,
) -> Result<Result<(), String>, Damaged> {
    let of_rustls = |symbol: &Symbol<Function>| symbol.what.library() == LibraryKind::Rustls;
    let mut own: Vec<_> = found.iter().copied().filter(of_rustls).collect();
    if own.is_empty() {
        return Ok(Ok(()));
    }
    found.retain(|symbol| !of_rustls(symbol));
    if let Some(reason) = UNREAD {
        return Ok(Err(format!("rustls's plaintext can't be seen: {reason}")));
    }
    let has = |function| own.iter().any(|symbol| symbol.what == function);
    if !has(Function::RustlsRead) && has_unseen_reads(image)? {
        return Ok(Err("rustls's Reader::read was optimised away into its \
             callers, so that what they read can't be seen"
            .to_owned()));
    }
    Ok(complete(image, &mut own).map(|()| found.extend(own)))
}

fn complete(image: &Image<'_>, own: &mut Vec<Symbol<Function>>) -> Result<(), String> {
    let firsts: Vec<u64> = own
        .iter()
        .filter(|symbol| symbol.what == Function::RustlsConsume)
        .map(|symbol| symbol.address)
        .collect();
    let mut kept = Vec::new();
    for mut symbol in own.drain(..) {
        match symbol.what {
            Function::RustlsSendAppdata if !layout::takes_chunks(image, symbol.address) => {
                return Err(
                    "rustls's send_appdata_encrypt takes its plaintext in a way that \
                     wirespan does not know"
                        .to_owned(),
                );
            }
            Function::RustlsReaderConsume | Function::RustlsConsume => {
                let Some(taken) = layout::takes_from(image, symbol.address) else {
                    return Err(
                        "rustls's Reader::consume keeps its plaintext in a way that \
                         wirespan does not know"
                            .to_owned(),
                    );
                };
                // It ends in the other one, where the same bytes would be seen again.
                if taken.by.is_some_and(|by| firsts.contains(&by)) {
                    continue;
                }
                symbol.what = match taken.buffer {
                    Buffer::Direct => Function::RustlsConsume,
                    Buffer::ByReader => Function::RustlsReaderConsume,
                };
            }
            _ => {}
        }
        kept.push(symbol);
    }
    *own = kept;
    let has = |function| own.iter().any(|symbol| symbol.what == function);
    let missing = |what: &str| {
        format!("rustls's {what} can't be found, so that half of what passes would be missing")
    };
    if !has(Function::RustlsSendAppdata) {
        return Err(missing("send_appdata_encrypt"));
    }
    let reads = [
        Function::RustlsRead,
        Function::RustlsReaderConsume,
        Function::RustlsConsume,
    ];
    if !reads.into_iter().any(has) {
        return Err(missing("Reader::consume or Reader::read"));
    }
    Ok(())
}

/// Whether something reads with `Reader::read` (rustls's own blocking streams).
fn has_unseen_reads(image: &Image<'_>) -> Result<bool, Damaged> {
    let reads = |name: &[u8]| {
        let stream = if name.starts_with(b"_ZN") {
            after_pieces(name, &["$LT$rustls..stream..Stream", "..io..Read$GT$"])
        } else {
            after_pieces(name, &["6rustls6stream", "6Stream", "2io4Read"])
        };
        stream.map(|_| (name.len(), ()))
    };
    Ok(!symbols::find(image, ".symtab", &reads)?.is_empty())
}

/// The function that a mangled name is the name of.
pub(super) fn function(name: &[u8]) -> Option<Function> {
    let legacy = name.starts_with(b"_ZN");
    if !legacy && !name.starts_with(b"_R") || RUSTLS.find(name).is_none() {
        return None;
    }
    // What LLVM appends to names of internal functions that it had to rename.
    let name = match memchr::memmem::find(name, b".llvm.") {
        Some(end) => &name[..end],
        None => name,
    };
    NAMES
        .iter()
        .find_map(|(function, legacy_pieces, v0_pieces)| {
            let pieces = if legacy { legacy_pieces } else { v0_pieces };
            let rest = after_pieces(name, pieces)?;
            let ends = if legacy {
                rest == HASH_LEN
            } else {
                is_v0_end(name, rest)
            };
            ends.then_some(*function)
        })
}

/// Number of bytes behind the last piece, if all are there in order.
pub(in crate::discover) fn after_pieces(name: &[u8], pieces: &[&str]) -> Option<usize> {
    let mut rest = name;
    for piece in pieces {
        let at = memchr::memmem::find(rest, piece.as_bytes())?;
        rest = &rest[at + piece.len()..];
    }
    Some(rest.len())
}

/// A v0 name may be followed by the crate that made the copy (`Cs…_4name`).
fn is_v0_end(name: &[u8], rest: usize) -> bool {
    let rest = &name[name.len() - rest..];
    rest.is_empty() || rest.starts_with(b"C")
}

#[cfg(test)]
mod tests;
