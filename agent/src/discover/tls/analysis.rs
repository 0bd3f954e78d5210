//! What one file holds of TLS: from its bytes to a verdict. It reads nothing but those bytes, so
//! that whatever a stranger put into them can be tried without a process.

use std::path::Path;

use super::code::{self, Refusal};
use super::go;
use super::image::{BytesAt, Damaged, Image, ImageKind};
use super::inner;
use super::marks::{self, TlsMark};
use super::names;
use super::rustls;
use super::symbols::{self, Symbol};
use super::{End, Function, FunctionSite, LibraryKind};
use crate::arch::GO_REGISTERS_SINCE;

/// What was found in a file, before it is known as whose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFinding {
    /// Functions that plaintext passes through.
    Readable(Readable),
    /// TLS that can't be read, and why, as a sentence without a full stop.
    Unreadable(String),
    /// No sign of TLS.
    Nothing,
}

/// Functions that show all plaintext of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// See [`Library::kind`](super::Library::kind).
    pub kind: LibraryKind,
    /// See [`Library::functions`](super::Library::functions).
    pub functions: Vec<FunctionSite>,
}

/// Most places in one file that probes are put on.
const SITES_MAX: usize = 64;

/// Looks into a file that a process maps as `name`.
pub(crate) fn analyse(bytes: &dyn BytesAt, name: &Path) -> FileFinding {
    look(bytes, name).unwrap_or_else(|Damaged(what)| {
        FileFinding::Unreadable(format!("its file is damaged: {what}"))
    })
}

fn look(bytes: &dyn BytesAt, path: &Path) -> Result<FileFinding, Damaged> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let image = match Image::parse(bytes)? {
        ImageKind::Image(image) => image,
        ImageKind::OtherClass if is_tls_library(Path::new(name)) => {
            let reason = "it is a library of a 32-bit program, and wirespan reads 64-bit ones";
            return Ok(FileFinding::Unreadable(reason.to_owned()));
        }
        ImageKind::OtherClass | ImageKind::NotElf => return Ok(FileFinding::Nothing),
    };
    if name == "libjvm.so" {
        return Ok(FileFinding::Unreadable(
            "Java's own TLS (JSSE) is compiled while it runs and has no functions to be found; \
             connections through OpenSSL (netty-tcnative, Conscrypt) are read"
                .to_owned(),
        ));
    }
    // It has OpenSSL's functions, and calls GnuTLS's in them, where all is seen anyway.
    if name.starts_with("libgnutls-openssl.") {
        return Ok(FileFinding::Nothing);
    }
    let is_program = go::is_go(&image) || !(image.may_be_library() && name.contains(".so"));
    let ends = if is_program || name.starts_with("libnode.") {
        EndsSeen::Instructions
    } else {
        EndsSeen::ReturnProbes
    };
    if go::is_go(&image) {
        return go_program(&image);
    }
    let mut found = functions(&image)?;
    let settled = rustls::settle(&image, &mut found)?;
    if found.is_empty() {
        if let Err(reason) = settled {
            return Ok(FileFinding::Unreadable(reason));
        }
        // What uses a library's functions may hold its texts (a log of keys, the version that it
        // was built with), and has its TLS in that library, which is looked into by itself.
        let uses_library = symbols::are_asked_for(&image, &names::is_of_library)?;
        return Ok(match marks::find(&image) {
            Some(mark) if !uses_library || mark == TlsMark::Rustls => {
                FileFinding::Unreadable(unnamed(mark).to_owned())
            }
            _ => FileFinding::Nothing,
        });
    }
    Ok(sites(&image, &found, ends))
}

/// How the ends of functions are seen in a file.
#[derive(Clone, Copy)]
enum EndsSeen {
    /// Shared libraries of C: their callers' stacks stay where they are while they run.
    ReturnProbes,
    /// Programs, which may be runtimes that move or inspect stacks (Go, V8).
    Instructions,
    /// By another function.
    Elsewhere,
}

/// As files of these libraries are called: `libssl.so.3`, and with a hash in Python's wheels.
pub(super) fn is_tls_library(name: &Path) -> bool {
    let name = name.to_str().unwrap_or_default();
    ["libssl.", "libssl-", "libgnutls.", "libgnutls-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn unnamed(mark: TlsMark) -> &'static str {
    match mark {
        TlsMark::OpenSsl => {
            "OpenSSL is linked into it and its symbols are stripped, so that SSL_read and \
             SSL_write can't be found"
        }
        TlsMark::BoringSsl => {
            "BoringSSL is linked into it and its symbols are stripped, so that SSL_read and \
             SSL_write can't be found"
        }
        TlsMark::Rustls => {
            "rustls is linked into it without symbols of the functions that are needed: it was \
             stripped, or its rustls is not one that wirespan knows"
        }
        TlsMark::Other => "it holds an implementation of TLS that wirespan does not know",
    }
}

/// Functions of any library, by either table of symbols. The one that is stripped first has all
/// that the other has, where it is there.
fn functions(image: &Image<'_>) -> Result<Vec<Symbol<Function>>, Damaged> {
    let mut found = symbols::find(image, ".symtab", &names::function)?;
    found.extend(symbols::find(image, ".dynsym", &names::function)?);
    // By place too: a function may have two names, and one name several functions.
    found.sort_by_key(|symbol| (symbol.what, symbol.address, symbol.len));
    found.dedup_by_key(|symbol| (symbol.what, symbol.address));
    Ok(found)
}

fn go_program(image: &Image<'_>) -> Result<FileFinding, Damaged> {
    let mut found = functions(image)?;
    let of_go = |symbol: &Symbol<Function>| symbol.what.library() == LibraryKind::Go;
    if !found.iter().any(of_go) {
        match go::functions(image)? {
            Some(more) => found.extend(more),
            None if marks::find(image).is_some() => {
                return Ok(FileFinding::Unreadable(
                    "it is a Go program without symbols, and its own table of functions is not one \
                     that wirespan knows"
                        .to_owned(),
                ));
            }
            None => {}
        }
    }
    if let Some(symbol) = found.iter().find(|symbol| of_go(symbol)) {
        if let Some(version) = go::too_old(image) {
            return Ok(FileFinding::Unreadable(format!(
                "it was built with {version}; programs built with Go 1.{GO_REGISTERS_SINCE} or \
                 later can be read"
            )));
        }
        if !go::begins_as_known(image, symbol.address) {
            return Ok(FileFinding::Unreadable(
                "its Go functions do not begin as those of known versions do".to_owned(),
            ));
        }
    }
    if found.is_empty() {
        return Ok(FileFinding::Nothing);
    }
    keep_deferred_if_it_tells(image, &mut found);
    Ok(sites(image, &found, EndsSeen::Instructions))
}

/// Leaves out what Go's `Read` defers, unless its result can be seen there: then no return
/// instruction needs a probe, which would be stepped over.
fn keep_deferred_if_it_tells(image: &Image<'_>, found: &mut Vec<Symbol<Function>>) {
    let only = |function| {
        let mut named = found.iter().filter(|symbol| symbol.what == function);
        let symbol = named.next().filter(|_| named.next().is_none())?;
        code::check(image, symbol.address, symbol.len).ok()
    };
    let tells = only(Function::GoConnRead).is_some_and(|it| it.keeps_result())
        && only(Function::GoConnReadDeferred).is_some_and(|it| it.on_stack_check().is_some());
    if !tells {
        found.retain(|symbol| symbol.what != Function::GoConnReadDeferred);
    }
}

/// Places for probes on functions that were found, if they are enough to read all that passes:
/// with a part of it, what is read would be gaps.
fn sites(image: &Image<'_>, found: &[Symbol<Function>], ends: EndsSeen) -> FileFinding {
    let has = |function| found.iter().any(|symbol| symbol.what == function);
    let mut sites = Vec::new();
    let mut kinds = Vec::new();
    for symbol in found {
        let function = symbol.what;
        let ends = match function {
            Function::GoConnRead if has(Function::GoConnReadDeferred) => EndsSeen::Elsewhere,
            _ => ends,
        };
        match site(image, symbol, ends) {
            Ok(site) => sites.push(site),
            Err(_) if is_helpful_only(function) => continue,
            Err(refusal) => {
                return FileFinding::Unreadable(format!("{} {refusal}", names::label(function)));
            }
        }
        kinds.push(function.library());
    }
    let complete = |kind: &LibraryKind| match kind {
        LibraryKind::OpenSsl => has(Function::SslRead) && has(Function::SslWrite),
        LibraryKind::GnuTls => has(Function::GnutlsRecordRecv) && has(Function::GnutlsRecordSend),
        LibraryKind::Go => has(Function::GoConnRead) && has(Function::GoConnWrite),
        // Settled before; see there.
        LibraryKind::Rustls => has(Function::RustlsSendAppdata),
    };
    let Some(kind) = kinds.iter().copied().find(complete) else {
        return FileFinding::Unreadable(
            "only some of the functions of its TLS library can be found, so that the rest of what \
             passes would be missing"
                .to_owned(),
        );
    };
    sites.retain(|site| complete(&site.function.library()));
    if matches!(ends, EndsSeen::ReturnProbes) {
        prefer_inner(image, found, &mut sites);
    }
    if sites.len() > SITES_MAX {
        return FileFinding::Unreadable("there are too many copies of its functions".to_owned());
    }
    sites.sort_by_key(|site| (site.function, site.entry));
    sites.dedup_by_key(|site| (site.function, site.entry));
    FileFinding::Readable(Readable {
        kind,
        functions: sites,
    })
}

/// Replaces OpenSSL's functions by those that they call, where that is known and cheaper.
fn prefer_inner(image: &Image<'_>, found: &[Symbol<Function>], sites: &mut Vec<FunctionSite>) {
    let only = |function| {
        let mut named = found.iter().filter(|symbol| symbol.what == function);
        named.next().filter(|_| named.next().is_none())
    };
    for (plain, ex, inner) in [
        (
            Function::SslRead,
            Function::SslReadEx,
            Function::SslReadInner,
        ),
        (
            Function::SslWrite,
            Function::SslWriteEx,
            Function::SslWriteInner,
        ),
    ] {
        let (Some(one), Some(other)) = (only(plain), only(ex)) else {
            continue;
        };
        let entry = inner::of_both(image, one.address, other.address)
            .and_then(|address| image.code_offset(address, 1));
        if let Some(entry) = entry {
            sites.retain(|site| ![plain, ex].contains(&site.function));
            sites.push(FunctionSite {
                function: inner,
                entry,
                end: End::ReturnProbe,
            });
        }
    }
}

/// Without these, what passes is read all the same.
fn is_helpful_only(function: Function) -> bool {
    matches!(
        function,
        Function::SslDoHandshake | Function::GnutlsHandshake
    )
}

fn site(
    image: &Image<'_>,
    symbol: &Symbol<Function>,
    ends: EndsSeen,
) -> Result<FunctionSite, Refusal> {
    let mut checked = code::check(image, symbol.address, symbol.len)?;
    if symbol.what.library() == LibraryKind::Go {
        let unknown = "does not begin as in known versions";
        checked = checked.on_stack_check().ok_or(unknown)?;
    }
    let end = match ends {
        EndsSeen::Elsewhere => End::NotNeeded,
        _ if !symbol.what.needs_end() => End::NotNeeded,
        EndsSeen::ReturnProbes => End::ReturnProbe,
        EndsSeen::Instructions => End::Instructions(checked.returns()?),
    };
    Ok(FunctionSite {
        function: symbol.what,
        entry: checked.entry,
        end,
    })
}
