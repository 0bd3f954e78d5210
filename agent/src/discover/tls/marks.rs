//! Signs of TLS in files that have no names of functions: texts that only an implementation of TLS
//! holds. They tell the user what can't be read, and never where anything is.

use memchr::memmem::Finder;

use super::image::{FileRange, Image};
use super::symbols::parts;

/// An implementation of TLS, by its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMark {
    OpenSsl,
    BoringSsl,
    Rustls,
    Other,
}

/// A label of the key log that all libraries write (draft-ietf-tls-keylogfile), and programs that
/// only use one do not.
const KEY_LOG: &[u8] = b"CLIENT_HANDSHAKE_TRAFFIC_SECRET";

/// Texts that tell which library it is, most telling first.
const TEXTS: &[(TlsMark, &[u8])] = &[
    (TlsMark::BoringSsl, b"BoringSSL"),
    (TlsMark::BoringSsl, b"ssl/ssl_lib.cc"),
    (TlsMark::OpenSsl, b"ssl/ssl_lib.c"),
    (TlsMark::OpenSsl, b"OpenSSL 3."),
    (TlsMark::OpenSsl, b"OpenSSL 1."),
    (TlsMark::Rustls, b"rustls"),
];

/// Most bytes that are looked at.
const LEN_MAX: u64 = 96 << 20;
const PIECE_LEN: usize = 128 * 1024;
/// Longer than any text; so much of a piece is looked at again with the next.
const OVERLAP: usize = 64;

/// Looks for the texts in what the file has of constants.
pub(super) fn find(image: &Image<'_>) -> Option<TlsMark> {
    let key_log = Finder::new(KEY_LOG);
    let texts: Vec<_> = TEXTS.iter().map(|(_, text)| Finder::new(text)).collect();
    let mut is_tls = false;
    let mut found = vec![false; TEXTS.len()];
    let mut piece = vec![0; OVERLAP + PIECE_LEN];
    for place in constants(image) {
        piece[..OVERLAP].fill(0);
        for part in parts(place, PIECE_LEN) {
            let end = OVERLAP + part.len as usize;
            image.read_into(part.offset, &mut piece[OVERLAP..end])?;
            is_tls = is_tls || key_log.find(&piece[..end]).is_some();
            for (found, text) in found.iter_mut().zip(&texts) {
                *found = *found || text.find(&piece[..end]).is_some();
            }
            piece.copy_within(end - OVERLAP..end, 0);
        }
    }
    let which = TEXTS.iter().zip(found).find(|(_, found)| *found);
    is_tls.then(|| which.map_or(TlsMark::Other, |((mark, _), _)| *mark))
}

/// Where constants lie: the section for them, or whatever is mapped read-only.
fn constants(image: &Image<'_>) -> Vec<FileRange> {
    let places: Vec<FileRange> = match image.section(".rodata") {
        Some(section) => vec![section.place],
        None => image.constants().map(|segment| segment.place).collect(),
    };
    let mut left = LEN_MAX;
    places
        .into_iter()
        .map(|place| {
            let len = place.len.min(left);
            left -= len;
            FileRange { len, ..place }
        })
        .collect()
}
