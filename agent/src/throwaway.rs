//! throw-away
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use object::{Object, ObjectSymbol, ObjectSegment};

use crate::discover::tls::*;

pub fn find(pid: u32) -> Vec<Arc<Library>> {
    let Ok(maps) = std::fs::read_to_string(format!("/proc/{pid}/maps")) else { return vec![] };
    let mut seen = HashSet::new();
    let mut out = vec![];
    for line in maps.lines() {
        let f: Vec<_> = line.split_whitespace().collect();
        if f.len() < 6 || !f[1].contains('x') { continue }
        let name = PathBuf::from(f[5]);
        if !seen.insert(name.clone()) { continue }
        let s = f[5];
        if !(s.contains("libssl") || s.contains("libgnutls.so") || s.ends_with("/node") ) { continue }
        let open_path = PathBuf::from(format!("/proc/{pid}/map_files/{}", f[0]));
        let Ok(meta) = std::fs::metadata(&open_path) else { log::warn!("meta"); continue };
        let Ok(data) = std::fs::read(&open_path) else { continue };
        let Ok(file) = object::File::parse(&*data) else { continue };
        let offset_of = |address: u64| file.segments().find_map(|seg| {
            (address >= seg.address() && address < seg.address() + seg.size())
                .then(|| address - seg.address() + seg.file_range().0)
        });
        let mut functions = vec![];
        let gnutls = s.contains("gnutls");
        let mut done = HashSet::new();
        for symbol in file.dynamic_symbols().chain(file.symbols()) {
            let Ok(n) = symbol.name() else { continue };
            let n = n.split('@').next().unwrap_or(n);
            use Function::*;
            let function = match n {
                "SSL_read" => SslRead, "SSL_read_ex" => SslReadEx, "SSL_write" => SslWrite,
                "SSL_write_ex" => SslWriteEx, "SSL_sendfile" => SslSendfile, "SSL_do_handshake" => SslDoHandshake,
                "SSL_set_fd" => SslSetFd, "SSL_free" => SslFree,
                "gnutls_record_recv" => GnutlsRecordRecv, "gnutls_record_send" => GnutlsRecordSend,
                "gnutls_record_send2" => GnutlsRecordSend2, "gnutls_handshake" => GnutlsHandshake,
                "gnutls_deinit" => GnutlsDeinit,
                _ => continue,
            };
            if symbol.address() == 0 || !done.insert(function) { continue }
            let Some(entry) = offset_of(symbol.address()) else { continue };
            let end = match function { SslSetFd | SslFree | GnutlsDeinit => End::NotNeeded, _ => End::ReturnProbe };
            functions.push(FunctionSite { function, entry, end });
        }
        if functions.is_empty() { continue }
        out.push(Arc::new(Library {
            file: FileId { device: meta.dev(), inode: meta.ino() },
            open_path, name,
            kind: if gnutls { LibraryKind::GnuTls } else { LibraryKind::OpenSsl },
            functions,
        }));
    }
    out
}
