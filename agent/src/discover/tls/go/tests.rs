//! Verdicts in Go programs that are made here.

use std::path::Path;

use super::super::made::{Made, PLAIN};
use super::super::{End, FileFinding, Function, LibraryKind, find_in};
use super::made::{
    GO_PLAIN, NAMES, address_behind_text, build_info, build_info_by_pointer, stripped,
};

fn look(made: &Made) -> FileFinding {
    find_in(&made.bytes(), Path::new("/usr/bin/program"))
}

fn reason(made: &Made) -> String {
    match look(made) {
        FileFinding::Unreadable(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn with_symbols(code: &[u8]) -> Made {
    Made::program(&NAMES.map(|name| (name, code)))
}

#[test]
fn functions_are_found_with_and_without_symbols() {
    let symbols = with_symbols(GO_PLAIN).with(".go.buildinfo", &build_info("go1.22.1"));
    for (made, first) in [(symbols, 0), (stripped(0), 0), (stripped(5), 5)] {
        let found = look(&made);
        let FileFinding::Readable(library) = &found else {
            panic!("{found:?}");
        };
        assert_eq!(library.kind, LibraryKind::Go);
        let places: Vec<_> = library
            .functions
            .iter()
            .map(|site| (site.function, site.entry))
            .collect();
        assert_eq!(
            places,
            [
                (Function::GoConnRead, made.place(first + 1) + JUMP),
                (Function::GoConnWrite, made.place(first) + JUMP),
                (Function::GoConnClose, made.place(first + 2) + JUMP),
            ]
        );
        let returns = End::Instructions(vec![made.place(first + 1) + 8]);
        assert_eq!(library.functions[0].end, returns);
    }
}

/// Of [`GO_PLAIN`], on which the probe is.
const JUMP: u64 = 4;

/// `cmp 16(%r14),%rsp; jbe +0; call *%rax; mov 0x20(%rsp),%rax; ret; int3`
const DEFERS: &[u8] = &[
    0x49, 0x3b, 0x66, 0x10, 0x76, 0, 0xff, 0xd0, 0x48, 0x8b, 0x44, 0x24, 0x20, 0xc3, 0xcc, 0xcc,
];

#[test]
fn where_read_defers_something_its_returns_need_no_probes() {
    for (name, read, is_seen_there) in [
        ("crypto/tls.(*Conn).Read.deferwrap1", DEFERS, true),
        ("crypto/tls.(*Conn).Read.func1", DEFERS, true),
        ("crypto/tls.(*Conn).Read.func2", DEFERS, false),
        ("crypto/tls.(*Conn).Read.deferwrap1", GO_PLAIN, false),
    ] {
        let made = Made::program(&[
            ("crypto/tls.(*Conn).Read", read),
            ("crypto/tls.(*Conn).Write", GO_PLAIN),
            (name, GO_PLAIN),
        ]);
        let made = made.with(".go.buildinfo", &build_info("go1.22.1"));
        let found = look(&made);
        let FileFinding::Readable(library) = &found else {
            panic!("{found:?}");
        };
        let mut sites = library.functions.iter();
        let deferred = sites.find(|site| site.function == Function::GoConnReadDeferred);
        let expected = is_seen_there.then(|| made.place(2) + JUMP);
        assert_eq!(deferred.map(|site| site.entry), expected, "{name}");
        let mut sites = library.functions.iter();
        let read = sites.find(|site| site.function == Function::GoConnRead);
        let end = &read.expect("it is there").end;
        assert_eq!(*end == End::NotNeeded, is_seen_there, "{name}: {end:?}");
    }
}

#[test]
fn versions_before_register_arguments_are_refused() {
    let old = with_symbols(GO_PLAIN).with(".go.buildinfo", &build_info("go1.16.15"));
    assert!(reason(&old).starts_with("it was built with go1.16.15;"));

    let made = with_symbols(GO_PLAIN);
    let section = build_info_by_pointer("go1.15", address_behind_text(&made));
    // The address is that of the section if it comes first.
    let older = made.with(".go.buildinfo", &section);
    let found = look(&older);
    assert!(
        matches!(&found, FileFinding::Unreadable(it) if it.contains("go1.15;")),
        "{found:?}"
    );
}

#[test]
fn functions_that_begin_otherwise_are_refused() {
    let made = with_symbols(PLAIN).with(".go.buildinfo", &build_info("go1.22.1"));
    assert!(reason(&made).starts_with("its Go functions do not begin"));
}

#[test]
fn a_program_without_tls_is_no_finding() {
    let made = Made::program(&[("main.main", GO_PLAIN)]);
    let made = made.with(".go.buildinfo", &build_info("go1.16"));
    assert_eq!(look(&made), FileFinding::Nothing);
}
