//! Where TLS libraries hand plaintext over: what was found in the files that a watched process
//! maps, as places to put probes on. It attaches nothing, and knows no library at run time.
//!
//! This file is the contract between who finds the places (`discover`) and who attaches to them
//! (`capture`).

mod analysis;
mod budget;
mod code;
pub(super) mod go;
mod held;
pub(super) mod image;
mod inner;
mod libraries;
mod looks;
mod mapped_code;
mod mappings;
mod marks;
mod names;
mod opening;
mod own_mapping;
pub(in crate::discover) mod rustls;
pub(super) mod symbols;
mod verdicts;

pub use analysis::{FileFinding, Readable};
pub use budget::GivenUp;
pub use held::{FileVersion, HeldFile};
pub use libraries::{Libraries, LibraryChanges};
pub use mapped_code::{MappedCode, Unknown, own_code_offset};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::runtimes::RuntimeTasks;

/// A file by what the kernel knows it as; two paths to one file are one file, and a path in a
/// container is not the host's. As `/proc/<pid>/maps` names it; on some file systems (btrfs,
/// overlayfs of older kernels) `stat` names another device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// As `st_dev` writes it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// A file that holds functions which plaintext passes through, or the code of a runtime.
#[derive(Clone, Debug)]
pub struct Library {
    /// Which file.
    pub file: FileId,
    /// The file that was looked into. What is said here of its functions holds for that version of
    /// it, and for no other.
    pub held: Arc<HeldFile>,
    /// Its path as the process sees it; for people.
    pub name: PathBuf,
    /// Whose functions these are; of the first, if there are several libraries in one executable.
    /// `None` if no plaintext can be read there.
    pub kind: Option<LibraryKind>,
    /// Its functions, sorted; one may be there several times, where a compiler made copies.
    pub functions: Vec<FunctionSite>,
    /// How the tasks of its runtime are told apart, if it has one and they can be.
    pub tasks: Option<RuntimeTasks>,
}

impl Library {
    /// The last place in the file that probes are put on, in bytes.
    #[must_use]
    pub fn last_place(&self) -> u64 {
        let last = |site: &FunctionSite| match &site.end {
            End::Instructions(offsets) => offsets.iter().copied().max().unwrap_or(site.entry),
            End::ReturnProbe | End::NotNeeded => site.entry,
        };
        let of_tasks = self.tasks.iter().flat_map(|tasks| &tasks.probes);
        let functions = self.functions.iter().map(last);
        functions
            .chain(of_tasks.map(|probe| probe.offset))
            .max()
            .unwrap_or(0)
    }
}

/// Whose functions plaintext passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LibraryKind {
    /// OpenSSL, LibreSSL or BoringSSL: the `SSL_*` interface.
    OpenSsl,
    /// GnuTLS.
    GnuTls,
    /// Go's `crypto/tls`, with arguments in registers (Go 1.17 and later).
    Go,
    /// rustls.
    Rustls,
}

/// A function on which probes are put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSite {
    /// Which one.
    pub function: Function,
    /// Where its first instruction lies in the file, in bytes.
    pub entry: u64,
    /// How its end is seen.
    pub end: End,
}

/// How the end of a function is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By a return probe, which replaces the return address: only where stacks stay where they are.
    ReturnProbe,
    /// By probes on its return instructions, which lie at these places in the file, in bytes.
    Instructions(Vec<u64>),
    /// What its entry says is enough.
    NotNeeded,
}

/// Functions that plaintext passes through, or that tell which connection it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(
    missing_docs,
    reason = "each is named after the library's own function"
)]
pub enum Function {
    /// `int SSL_read(SSL *, void *, int)`
    SslRead,
    /// `int SSL_read_ex(SSL *, void *, size_t, size_t *)`
    SslReadEx,
    /// `int SSL_write(SSL *, const void *, int)`
    SslWrite,
    /// `int SSL_write_ex(SSL *, const void *, size_t, size_t *)`
    SslWriteEx,
    /// `ossl_ssize_t SSL_sendfile(SSL *, int, off_t, size_t, int)`
    SslSendfile,
    /// What OpenSSL has both `SSL_read` and `SSL_read_ex` call, with the arguments of the latter.
    SslReadInner,
    /// The same for `SSL_write` and `SSL_write_ex`.
    SslWriteInner,
    /// `int SSL_do_handshake(SSL *)`
    SslDoHandshake,
    /// `int SSL_set_fd(SSL *, int)`
    SslSetFd,
    /// `void SSL_free(SSL *)`
    SslFree,
    /// `ssize_t gnutls_record_recv(gnutls_session_t, void *, size_t)`
    GnutlsRecordRecv,
    /// `ssize_t gnutls_record_send(gnutls_session_t, const void *, size_t)`
    GnutlsRecordSend,
    /// `ssize_t gnutls_record_send2(gnutls_session_t, const void *, size_t, size_t, unsigned)`
    GnutlsRecordSend2,
    /// `int gnutls_record_uncork(gnutls_session_t, unsigned)`, which sends what was handed over.
    GnutlsRecordUncork,
    /// `ssize_t gnutls_record_send_early_data(gnutls_session_t, const void *, size_t)`
    GnutlsRecordSendEarlyData,
    /// `ssize_t gnutls_record_recv_early_data(gnutls_session_t, void *, size_t)`
    GnutlsRecordRecvEarlyData,
    /// `int gnutls_handshake(gnutls_session_t)`
    GnutlsHandshake,
    /// `void gnutls_deinit(gnutls_session_t)`
    GnutlsDeinit,
    /// What `crypto/tls.(*Conn).Read` defers, before which its results are set.
    GoConnReadDeferred,
    /// `crypto/tls.(*Conn).Read`
    GoConnRead,
    /// `crypto/tls.(*Conn).Write`
    GoConnWrite,
    /// `crypto/tls.(*Conn).Close`
    GoConnClose,
    /// `fn read(&mut rustls::Reader, &mut [u8]) -> io::Result<usize>`: the second and third
    /// argument are its buffer, and what came of it are two words, of which the first is 0 if all
    /// is well.
    RustlsRead,
    /// `fn consume(&mut rustls::Reader, usize)`, which takes what was lent of the plaintext. Its
    /// first argument points to a word that points to a `ChunkVecBuffer`, its second is how many
    /// bytes of its first chunk are taken. The buffer in words of eight bytes, counted from 0: 3 is
    /// the address of a ring of chunks, 4 the index of the first of them, 6 how many bytes of that
    /// one were taken before. A chunk has three words; word 1 is the address of its bytes.
    RustlsReaderConsume,
    /// The same, where the first argument points to the `ChunkVecBuffer` itself.
    RustlsConsume,
    /// `fn send_appdata_encrypt(&mut CommonState, OutboundChunks, …) -> usize`: the first argument
    /// is the connection, the second points to four words: 0, address and length; or address and
    /// count of slices, and which of their bytes, from and until. Its result is how many bytes were
    /// taken.
    RustlsSendAppdata,
}

/// What was found in one file that a process maps.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Plaintext can be read there, or tasks told apart.
    Readable(Arc<Library>),
    /// It has TLS in it that can't be read.
    Unreadable(Unreadable),
    /// It has a runtime in it whose tasks can't be told apart.
    Unlinkable(Unreadable),
}

impl Finding {
    /// Which file it is about.
    #[must_use]
    pub fn file(&self) -> FileId {
        match self {
            Self::Readable(library) => library.file,
            Self::Unreadable(unreadable) | Self::Unlinkable(unreadable) => unreadable.file,
        }
    }
}

/// A file with TLS that can't be read, or with tasks that can't be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which file.
    pub file: FileId,
    /// Its path as the process sees it.
    pub name: PathBuf,
    /// Why, as a sentence without a full stop.
    pub reason: String,
    /// If nobody knows whether it could be.
    pub given_up: Option<GivenUp>,
}

/// Looks into `bytes` as into a file that a process maps as `name`, for whoever has no process at
/// hand.
#[must_use]
pub fn find_in(bytes: &[u8], name: &Path) -> FileFinding {
    analysis::analyse(&image::InMemory(bytes), name)
}

#[cfg(test)]
mod made;
#[cfg(test)]
mod tests;
