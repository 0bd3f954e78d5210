//! rustls in an executable: its functions by their mangled names, legacy (`_ZN…`) and v0 (`_R…`,
//! rust-lang RFC 2603). A name is not demangled; it is compared piece by piece, in order.
//!
//! Which functions: tokio-rustls before 0.26.1, and whoever uses rustls itself, reads with
//! `Reader::read`; later ones borrow the plaintext with `Reader::into_first_chunk` and say with
//! `consume` how much of it they took. `Writer::write` does nothing but call the connection behind
//! it (`PlaintextSink`) in tail position, so that its end can't be seen; the callee's can.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::Function;

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
        Function::RustlsFirstChunk,
        &["_ZN6rustls4conn10connection6Reader16into_first_chunk17h"],
        &["6rustls", "6Reader16into_first_chunk"],
    ),
    (
        Function::RustlsConsume,
        &[
            "$LT$rustls..",
            "..Reader$u20$as$u20$std..io..BufRead$GT$7consume17h",
        ],
        &["6rustls", "6Reader", "2io7BufRead7consume"],
    ),
    (
        Function::RustlsWrite,
        &[
            "$LT$rustls..",
            "..Writer$u20$as$u20$std..io..Write$GT$5write17h",
        ],
        &["6rustls", "6Writer", "2io5Write5write"],
    ),
    (
        Function::RustlsSinkWrite,
        &[
            "rustls..conn..ConnectionCommon",
            "..PlaintextSink$GT$5write17h",
        ],
        &["6rustls", "16ConnectionCommon", "13PlaintextSink5write"],
    ),
    (
        Function::RustlsSinkWriteVectored,
        &[
            "rustls..conn..ConnectionCommon",
            "..PlaintextSink$GT$14write_vectored17h",
        ],
        &[
            "6rustls",
            "16ConnectionCommon",
            "13PlaintextSink14write_vectored",
        ],
    ),
];

/// Length of a hash in legacy mangling, with the `E` that ends the name.
const HASH_LEN: usize = 17;

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
fn after_pieces(name: &[u8], pieces: &[&str]) -> Option<usize> {
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
