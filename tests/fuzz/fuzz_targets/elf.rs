//! An executable that a stranger wrote: what is found of TLS in it lies within it, and looking for
//! it ends.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

#[path = "../../../agent/src/discover"]
#[allow(
    dead_code,
    unused_imports,
    reason = "a part of the daemon's crate, without the rest"
)]
mod discover {
    mod naming;
    mod proc_root;
    pub mod runtimes;
    pub mod tls;

    pub use proc_root::ProcRoot;
}

#[path = "../../../agent/src"]
#[allow(dead_code, reason = "nothing is looked at on other threads here")]
mod agent {
    pub mod arch;
    pub mod blocking;
}

use agent::{arch, blocking};
use discover::tls::{End, FileFinding, find_in};

/// Names that are treated in different ways: a library and a program.
const NAMES: [&str; 2] = ["/usr/lib/libssl.so.3", "/usr/bin/program"];

fuzz_target!(|bytes: &[u8]| {
    for name in NAMES {
        match find_in(bytes, Path::new(name)) {
            FileFinding::Readable(library) => {
                assert!(!library.functions.is_empty());
                let len = bytes.len() as u64;
                for site in &library.functions {
                    assert!(site.entry < len);
                    if let End::Instructions(places) = &site.end {
                        assert!(!places.is_empty());
                        assert!(places.iter().all(|place| (site.entry..len).contains(place)));
                        assert!(places.iter().all(|place| {
                            // ret, ret imm16, behind any prefixes
                            let code = &bytes[*place as usize..];
                            code.iter().take(15).any(|byte| matches!(byte, 0xc2 | 0xc3))
                        }));
                    }
                }
            }
            FileFinding::Unreadable(reason) => assert!(!reason.is_empty()),
            FileFinding::Nothing => {}
        }
    }
});
