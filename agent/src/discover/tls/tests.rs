//! Verdicts in executables that are made here, whole and broken.

use std::path::Path;

use super::made::{Made, PLAIN, TEXT};
use super::*;

fn library(made: &Made) -> Readable {
    match find_in(&made.bytes(), Path::new("/usr/bin/program")) {
        FileFinding::Readable(library) => library,
        other => panic!("{other:?}"),
    }
}

fn reason(made: &Made) -> String {
    match find_in(&made.bytes(), Path::new("/usr/bin/program")) {
        FileFinding::Unreadable(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn site(library: &Readable, function: Function) -> &FunctionSite {
    let mut sites = library.functions.iter();
    sites.find(|site| site.function == function).expect("there")
}

fn openssl(read: &[u8]) -> Made {
    Made::program(&[("SSL_read", read), ("SSL_write", PLAIN)])
}

#[test]
fn a_program_is_probed_on_its_return_instructions() {
    let made = openssl(PLAIN);
    let library = library(&made);
    assert_eq!(library.kind, LibraryKind::OpenSsl);
    assert_eq!(
        *site(&library, Function::SslRead),
        FunctionSite {
            function: Function::SslRead,
            entry: TEXT,
            end: End::Instructions(vec![TEXT + 7]),
        }
    );
    assert_eq!(site(&library, Function::SslWrite).entry, made.place(1));
}

#[test]
fn a_library_is_probed_by_return_probes() {
    let made = Made::library(&[("gnutls_record_recv", PLAIN), ("gnutls_record_send", PLAIN)]);
    let found = find_in(&made.bytes(), Path::new("/opt/x/libgnutls-ab12.so.30"));
    let FileFinding::Readable(library) = found else {
        panic!("{found:?}");
    };
    assert_eq!(library.kind, LibraryKind::GnuTls);
    let ends = library.functions.iter().map(|site| &site.end);
    assert!(ends.clone().count() == 2 && ends.clone().all(|end| *end == End::ReturnProbe));
    // What has no such name may be a static-PIE program.
    let FileFinding::Readable(program) = find_in(&made.bytes(), Path::new("/opt/program")) else {
        panic!("not found");
    };
    assert!(matches!(program.functions[0].end, End::Instructions(_)));
}

#[test]
fn the_probe_is_put_behind_what_has_no_effect() {
    let endbr64 = [0xf3, 0x0f, 0x1e, 0xfa];
    let nop5 = [0x0f, 0x1f, 0x44, 0, 0];
    for (prefix, skipped) in [
        (&endbr64[..], 4),
        (&nop5, 5),
        (&[&endbr64[..], &nop5].concat(), 9),
    ] {
        let found = library(&openssl(&[prefix, PLAIN].concat()));
        let site = site(&found, Function::SslRead);
        assert_eq!(site.entry, TEXT + skipped);
        assert_eq!(site.end, End::Instructions(vec![TEXT + skipped + 7]));
    }
}

#[test]
fn what_may_end_unseen_is_refused() {
    let elsewhere = "SSL_read may end in another function, so that its return can't be seen";
    // jmp rel32 far ahead; jne the same; jmp *%rax; jmp *8(%rax)
    for (code, expected) in [
        (&b"\x55\x5d\xe9\0\x10\0\0\xc3"[..], elsewhere),
        (b"\x55\x5d\x0f\x85\0\x10\0\0\xc3", elsewhere),
        (b"\x55\x5d\xff\xe0\xc3", elsewhere),
        (b"\x55\x5d\xff\x60\x08\xc3", elsewhere),
        (b"\x55\x5d\x90\x0f\x0b", "SSL_read never returns"),
        (
            b"\x55\x06\x5d\xc3",
            "SSL_read holds bytes that are no instructions",
        ),
        (b"\x55\x48\xcf\xc3", "SSL_read returns in a way of its own"),
        (&[0; 32], "SSL_read does not begin with code"),
        (b"\x0f\x0b\x90\x90\xc3", "SSL_read does not begin with code"),
        (b"\x90\xc3", "SSL_read is too short to be a function"),
    ] {
        assert_eq!(reason(&openssl(code)), expected, "{}", code.escape_ascii());
    }
}

#[test]
fn a_jump_within_the_function_or_by_a_table_is_no_end() {
    // jmp +0; jmp *0x400000(,%rax,8); add %rcx,%rax; jmp *%rax (behind notrack)
    for code in [
        &b"\x55\xeb\0\x5d\xc3"[..],
        b"\x55\xff\x24\xc5\0\0\x40\0\x5d\xc3",
        b"\x55\x48\x01\xc8\x3e\xff\xe0\x5d\xc3",
    ] {
        let found = library(&openssl(code));
        let last = TEXT + code.len() as u64 - 1;
        let expected = End::Instructions(vec![last]);
        assert_eq!(site(&found, Function::SslRead).end, expected);
    }
}

#[test]
fn a_function_that_only_helps_may_be_missing() {
    let jumps = b"\x55\x5d\xe9\0\x10\0\0\xc3";
    let found = library(&Made::program(&[
        ("SSL_read", PLAIN),
        ("SSL_write", PLAIN),
        ("SSL_do_handshake", jumps),
    ]));
    assert_eq!(found.functions.len(), 2);
}

#[test]
fn half_of_a_library_is_not_enough() {
    let made = Made::program(&[("SSL_read", PLAIN), ("SSL_set_fd", PLAIN)]);
    assert!(reason(&made).starts_with("only some of the functions"));
}

#[test]
fn code_outside_of_what_is_mapped_is_refused() {
    let made = openssl(PLAIN);
    let mut bytes = made.bytes();
    // The segment's length in the file, at the end of which the code has to lie.
    bytes[64 + 32..64 + 40].copy_from_slice(&(TEXT + 4).to_le_bytes());
    let found = find_in(&bytes, Path::new("/usr/bin/program"));
    assert!(
        matches!(&found, FileFinding::Unreadable(it)
            if it == "SSL_read does not lie within the executable's code"),
        "{found:?}"
    );
    let mut bytes = made.bytes();
    bytes[64 + 4] = 4; // readable only
    assert!(matches!(
        find_in(&bytes, Path::new("/usr/bin/program")),
        FileFinding::Unreadable(_)
    ));
}

#[test]
fn functions_that_are_only_used_are_not_found() {
    let mut made = openssl(PLAIN);
    made.functions.clear();
    let mut bytes = openssl(PLAIN).bytes();
    let symbols = find(&bytes, &[0x12, 0, 1, 0]);
    for at in symbols {
        bytes[at + 2] = 0; // SHN_UNDEF
    }
    assert_eq!(find_in(&bytes, Path::new("/x")), FileFinding::Nothing);
}

/// HAProxy writes keys to its log, and names the version of OpenSSL that it was built with.
#[test]
fn what_uses_a_library_does_not_hold_it_whatever_texts_it_has() {
    let texts = b"CLIENT_HANDSHAKE_TRAFFIC_SECRET\0OpenSSL 3.0.17 1 Jul 2025\0";
    for (name, is_used) in [("SSL_new", true), ("gnutls_init", true), ("SSLv3", false)] {
        let made = Made::library(&[(name, PLAIN)]).with(".rodata", texts);
        let mut bytes = made.bytes();
        for at in find(&bytes, &[0x12, 0, 1, 0]) {
            bytes[at + 2] = 0; // SHN_UNDEF
        }
        let found = find_in(&bytes, Path::new("/usr/sbin/haproxy"));
        assert_eq!(found == FileFinding::Nothing, is_used, "{name}: {found:?}");
        // One that has the function itself is another matter.
        let found = find_in(&made.bytes(), Path::new("/usr/sbin/haproxy"));
        assert!(matches!(found, FileFinding::Unreadable(_)), "{found:?}");
    }
}

/// As libraries have it that keep an old version of a function, and such as let the processor
/// choose (`STT_GNU_IFUNC`), whose symbol names the function that chooses.
#[test]
fn each_version_of_a_function_is_probed_and_none_that_only_chooses_one() {
    let read = ("SSL_read", PLAIN);
    let made = Made::library(&[read, read, ("SSL_write", PLAIN)]);
    let sites_of_read = |bytes: &[u8]| {
        let FileFinding::Readable(library) = find_in(bytes, Path::new("/lib/libssl.so.1.1")) else {
            panic!("not found");
        };
        let sites = library.functions.iter().map(|site| site.function);
        sites.filter(|it| *it == Function::SslRead).count()
    };
    let mut bytes = made.bytes();
    assert_eq!(sites_of_read(&bytes), 2);
    let symbols = find(&bytes, &[0x12, 0, 1, 0]);
    bytes[symbols[1]] = 0x1a;
    assert_eq!(sites_of_read(&bytes), 1);
}

#[test]
fn what_only_looks_ahead_is_not_counted() {
    let made = Made::program(&[
        ("SSL_peek", PLAIN),
        ("SSL_peek_ex", PLAIN),
        ("SSL_pending", PLAIN),
        ("SSL_read", PLAIN),
        ("SSL_write", PLAIN),
    ]);
    let functions = library(&made).functions.clone();
    let entries: Vec<_> = functions.iter().map(|site| site.entry).collect();
    assert_eq!(entries, [made.place(3), made.place(4)]);
}

fn find(bytes: &[u8], sought: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(bytes, sought).collect()
}

#[test]
fn what_is_stripped_is_named() {
    let stripped = |texts: &str| Made::program(&[]).with(".rodata", texts.as_bytes());
    let key_log = "CLIENT_HANDSHAKE_TRAFFIC_SECRET";
    for (texts, expected) in [
        ("OpenSSL 3.0.1", "OpenSSL is linked"),
        ("BoringSSL OpenSSL 1.1.1", "BoringSSL is linked"),
        ("/rustls-0.23/src", "rustls is linked"),
        ("", "it holds an implementation"),
    ] {
        let reason = reason(&stripped(&format!("{texts}\0{key_log}\0")));
        assert!(reason.starts_with(expected), "{reason}");
        // A program that only uses a library has its name, too.
        let found = find_in(&stripped(texts).bytes(), Path::new("/x"));
        assert_eq!(found, FileFinding::Nothing);
    }
    // Across the pieces that are read at a time.
    let far = " ".repeat(128 * 1024 - 10) + key_log + "rustls";
    assert!(reason(&stripped(&far)).starts_with("rustls"));
}

#[test]
fn of_a_jvm_it_is_said_what_is_read() {
    let found = find_in(
        &openssl(PLAIN).bytes(),
        Path::new("/jvm/lib/server/libjvm.so"),
    );
    assert!(matches!(found, FileFinding::Unreadable(it) if it.contains("JSSE")));
}

#[test]
fn what_is_no_64_bit_elf_file_is_left_alone() {
    for bytes in [&b""[..], b"#!/bin/sh", b"\x7fELF", b"MZ"] {
        assert_eq!(find_in(bytes, Path::new("/x")), FileFinding::Nothing);
    }
    let mut of_32_bits = openssl(PLAIN).bytes();
    of_32_bits[4] = 1;
    assert_eq!(find_in(&of_32_bits, Path::new("/x")), FileFinding::Nothing);
    let found = find_in(&of_32_bits, Path::new("/lib/libssl.so.3"));
    assert!(matches!(found, FileFinding::Unreadable(it) if it.contains("32-bit")));
}

#[test]
fn a_file_cut_or_damaged_anywhere_is_survived() {
    for whole in [openssl(PLAIN).bytes(), go::made::stripped(0).bytes()] {
        for len in 0..whole.len() {
            let _ = find_in(&whole[..len], Path::new("/x"));
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                let _ = find_in(&damaged, Path::new("/x"));
            }
        }
    }
}

#[test]
fn huge_counts_are_refused_before_they_cost_anything() {
    let whole = openssl(PLAIN).bytes();
    let damaged = |at: usize, value: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        match find_in(&bytes, Path::new("/x")) {
            FileFinding::Unreadable(reason) => reason,
            other => panic!("{other:?}"),
        }
    };
    let all = [0xff; 8];
    for (at, value, expected) in [
        (40, &all[..], "its section headers lie outside of it"),
        (32, &all, "its program headers lie outside of it"),
        (
            60,
            &all[..2],
            "its section headers are not those of an executable",
        ),
        (
            56,
            &all[..2],
            "its program headers are not those of an executable",
        ),
        (64 + 32, &all, "a segment lies outside of it"),
    ] {
        let reason = damaged(at, value);
        assert_eq!(reason, format!("its file is damaged: {expected}"));
    }
}
