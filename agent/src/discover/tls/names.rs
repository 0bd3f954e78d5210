//! Which names functions of TLS libraries have in tables of symbols.

use super::{Function, LibraryKind};

use Function::*;

/// Functions by the name that C gives them.
const C_FUNCTIONS: &[(&str, Function)] = &[
    ("SSL_read", SslRead),
    ("SSL_read_ex", SslReadEx),
    ("SSL_write", SslWrite),
    ("SSL_write_ex", SslWriteEx),
    ("SSL_sendfile", SslSendfile),
    ("SSL_do_handshake", SslDoHandshake),
    ("SSL_set_fd", SslSetFd),
    ("SSL_free", SslFree),
    ("gnutls_record_recv", GnutlsRecordRecv),
    ("gnutls_record_send", GnutlsRecordSend),
    ("gnutls_record_send2", GnutlsRecordSend2),
    ("gnutls_record_uncork", GnutlsRecordUncork),
    ("gnutls_record_send_early_data", GnutlsRecordSendEarlyData),
    ("gnutls_record_recv_early_data", GnutlsRecordRecvEarlyData),
    ("gnutls_handshake", GnutlsHandshake),
    ("gnutls_deinit", GnutlsDeinit),
];

/// And Go's.
pub(super) const GO_FUNCTIONS: &[(&str, Function)] = &[
    ("crypto/tls.(*Conn).Read", GoConnRead),
    ("crypto/tls.(*Conn).Write", GoConnWrite),
    ("crypto/tls.(*Conn).Close", GoConnClose),
    ("crypto/tls.(*Conn).Read.deferwrap1", GoConnReadDeferred),
    // Before Go 1.21.
    ("crypto/tls.(*Conn).Read.func1", GoConnReadDeferred),
];

/// The function whose name a string ends with, and the length of that name.
pub(super) fn function(string: &[u8]) -> Option<(usize, Function)> {
    // Most strings are none of these, and differ in their last bytes.
    let by_name = C_FUNCTIONS.iter().chain(GO_FUNCTIONS);
    let exact = by_name
        .filter(|(name, _)| string.ends_with(name.as_bytes()))
        // SSL_read is also the end of names that are longer; then the longer one is meant by the
        // string, and what its tail is used for is told by the table of symbols.
        .max_by_key(|(name, _)| name.len());
    if let Some((name, function)) = exact {
        return Some((name.len(), *function));
    }
    Some((string.len(), super::rustls::function(string)?))
}

/// Whether something of OpenSSL's or GnuTLS's interface has this name.
pub(super) fn is_of_library(name: &[u8]) -> bool {
    name.starts_with(b"SSL_") || name.starts_with(b"gnutls_")
}

impl Function {
    /// Whose function it is.
    #[must_use]
    pub fn library(self) -> LibraryKind {
        match self {
            SslRead | SslReadEx | SslWrite | SslWriteEx | SslSendfile | SslDoHandshake
            | SslReadInner | SslWriteInner | SslSetFd | SslFree => LibraryKind::OpenSsl,
            GnutlsRecordRecv
            | GnutlsRecordSend
            | GnutlsRecordSend2
            | GnutlsRecordUncork
            | GnutlsRecordSendEarlyData
            | GnutlsRecordRecvEarlyData
            | GnutlsHandshake
            | GnutlsDeinit => LibraryKind::GnuTls,
            GoConnRead | GoConnReadDeferred | GoConnWrite | GoConnClose => LibraryKind::Go,
            RustlsRead | RustlsReaderConsume | RustlsConsume | RustlsSendAppdata => {
                LibraryKind::Rustls
            }
        }
    }

    /// Whether its end has to be seen: what was transferred is known only then, or which call on
    /// the same thread no longer belongs to it.
    #[must_use]
    pub fn needs_end(self) -> bool {
        !matches!(
            self,
            SslSetFd
                | SslFree
                | GnutlsDeinit
                | GoConnReadDeferred
                | GoConnWrite
                | GoConnClose
                | RustlsReaderConsume
                | RustlsConsume
        )
    }
}

/// How a message to the user calls a function.
pub(super) fn label(function: Function) -> &'static str {
    let named = C_FUNCTIONS.iter().chain(GO_FUNCTIONS);
    let mut label = named
        .filter(|(_, it)| *it == function)
        .map(|(name, _)| *name);
    label.next().unwrap_or(match function {
        RustlsRead => "rustls's Reader::read",
        RustlsReaderConsume => "rustls's Reader::consume",
        RustlsConsume => "rustls's ChunkVecBuffer::consume_first_chunk",
        _ => "rustls's send_appdata_encrypt",
    })
}
