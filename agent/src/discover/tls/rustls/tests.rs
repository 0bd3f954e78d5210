//! rustls in programs that are made here, of the instructions that its functions begin with.

use std::path::Path;

use super::super::made::{Made, PLAIN};
use super::super::{End, FileFinding, Function, find_in};

/// Names as the compiler wrote them, legacy and v0.
const SEND: [&str; 2] = [
    "_ZN6rustls12common_state11CommonState20send_appdata_encrypt17h4e11c142e6e927f3E.llvm.123",
    "_RNvMs2_NtCskTWVeUhwrFY_6rustls12common_stateNtB5_11CommonState20send_appdata_encrypt",
];
const CONSUME: [&str; 2] = [
    "_ZN74_$LT$rustls..conn..connection..Reader$u20$as$u20$std..io..BufRead$GT$7consume17h\
     87a4d674af53eb96E",
    "_RNvXs4_NtNtCskTWVeUhwrFY_6rustls4conn10connectionNtB5_6ReaderNtNtCsjrHSEGnQ3l9_3std2io\
     7BufRead7consumeCs123_7program",
];
const FIRST: &str = "_ZN6rustls6vecbuf14ChunkVecBuffer19consume_first_chunk17h4e11c142e6e927f3E";
const READ: &str = "_ZN71_$LT$rustls..conn..connection..Reader$u20$as$u20$std..io..Read$GT$4read\
     17h87a4d674af53eb96E";
const STREAM: &str = "_ZN66_$LT$rustls..stream..Stream$LT$C$C$T$GT$$u20$as$u20$std..io..Read$GT$\
     4read17h87a4d674af53eb96E";

/// `mov (%rsi),%r8; test %r8,%r8; je +0; mov 16(%rsi),%r13; mov 24(%rsi),%rdi; mov %rdi,%r14;
/// sub %r13,%r14; ret`
const SENDS: &[u8] =
    b"\x4c\x8b\x06\x4d\x85\xc0\x74\0\x4c\x8b\x6e\x10\x48\x8b\x7e\x18\x49\x89\xfe\x4d\x29\xee\xc3";
/// `mov 32(%rdi),%rax; mov 24(%rdi),%r13; mov 48(%rdi),%r14; lea (%rax,%rax,2),%rcx;
/// mov 16(%r13,%rcx,8),%rdx; ret`
const CONSUMES: &[u8] =
    b"\x48\x8b\x47\x20\x4c\x8b\x6f\x18\x4c\x8b\x77\x30\x48\x8d\x0c\x40\x49\x8b\x54\xcd\x10\xc3";
/// `mov (%rdi),%rdi`
const BY_READER: &[u8] = b"\x48\x8b\x3f";

fn look(made: &Made) -> Result<Vec<(Function, u64)>, String> {
    match find_in(&made.bytes(), Path::new("/usr/bin/program")) {
        FileFinding::Readable(library) => {
            let sites = library.functions.iter();
            Ok(sites.map(|site| (site.function, site.entry)).collect())
        }
        FileFinding::Unreadable(reason) => Err(reason),
        FileFinding::Nothing => Err("nothing".to_owned()),
    }
}

#[test]
fn a_release_is_read_in_both_ways_of_mangling() {
    for (send, consume) in SEND.into_iter().zip(CONSUME) {
        let made = Made::program(&[(send, SENDS), (consume, &[BY_READER, CONSUMES].concat())]);
        let expected = [
            (Function::RustlsReaderConsume, made.place(1)),
            (Function::RustlsSendAppdata, made.place(0)),
        ];
        assert_eq!(look(&made).as_deref(), Ok(&expected[..]));
        let FileFinding::Readable(library) = find_in(&made.bytes(), Path::new("/x")) else {
            panic!("not found");
        };
        let ends = library.functions.iter().map(|site| site.end.clone());
        let returns = End::Instructions(vec![made.place(0) + SENDS.len() as u64 - 1]);
        assert_eq!(ends.collect::<Vec<_>>(), [End::NotNeeded, returns]);
    }
}

#[test]
fn an_argument_that_the_optimiser_handed_over_by_itself_is_told_from_a_pointer_to_it() {
    let made = Made::program(&[(SEND[0], SENDS), (CONSUME[0], CONSUMES)]);
    let found = look(&made).expect("readable");
    assert_eq!(found[0], (Function::RustlsConsume, made.place(1)));
}

#[test]
fn bytes_that_pass_two_functions_are_seen_in_one() {
    // mov (%rdi),%rdi; jmp +8, where the next function begins
    let jumps = [BY_READER, b"\xe9\x08\0\0\0"].concat();
    let made = Made::program(&[(CONSUME[0], &jumps), (FIRST, CONSUMES), (SEND[0], SENDS)]);
    let found = look(&made).expect("readable");
    let expected = [
        (Function::RustlsConsume, made.place(1)),
        (Function::RustlsSendAppdata, made.place(2)),
    ];
    assert_eq!(found, expected);
    // The other one without a name, as where it is compiled for size.
    let made = Made::program(&[(CONSUME[0], &jumps), ("other", CONSUMES), (SEND[0], SENDS)]);
    let found = look(&made).expect("readable");
    assert_eq!(found[0], (Function::RustlsReaderConsume, made.place(0)));
}

#[test]
fn one_direction_is_not_enough() {
    let reads = Made::program(&[(CONSUME[0], CONSUMES), (READ, PLAIN)]);
    assert_eq!(
        look(&reads),
        Err(
            "rustls's send_appdata_encrypt can't be found, so that half of what passes would be \
             missing"
                .to_owned()
        )
    );
    let writes = Made::program(&[(SEND[0], SENDS)]);
    let reason = look(&writes).expect_err("refused");
    assert!(reason.starts_with("rustls's Reader::consume or Reader::read can't"));
}

#[test]
fn reads_that_would_not_be_seen_are_noticed() {
    let made = |more| {
        let both = [(SEND[0], SENDS), (CONSUME[0], CONSUMES), (STREAM, PLAIN)];
        Made::program(&[&both[..], more].concat())
    };
    let reason = look(&made(&[])).expect_err("refused");
    assert!(reason.starts_with("rustls's Reader::read was optimised away"));
    let found = look(&made(&[(READ, PLAIN)])).expect("readable");
    assert_eq!(found[0].0, Function::RustlsRead);
}

#[test]
fn other_layouts_are_refused() {
    // One byte of an offset each.
    for at in [3, 7, 11, 20] {
        let mut code = CONSUMES.to_vec();
        code[at] += 8;
        let made = Made::program(&[(SEND[0], SENDS), (CONSUME[0], &code)]);
        let reason = look(&made).expect_err("refused");
        assert!(reason.starts_with("rustls's Reader::consume keeps"), "{at}");
    }
    for at in [11, 15] {
        let mut code = SENDS.to_vec();
        code[at] += 8;
        let made = Made::program(&[(SEND[0], &code), (CONSUME[0], CONSUMES)]);
        let reason = look(&made).expect_err("refused");
        assert!(
            reason.starts_with("rustls's send_appdata_encrypt takes"),
            "{at}"
        );
    }
}

#[test]
fn jumps_in_a_circle_are_survived() {
    // jmp -5
    let made = Made::program(&[(SEND[0], SENDS), (CONSUME[0], b"\xe9\xfb\xff\xff\xff")]);
    assert!(look(&made).is_err());
}

#[test]
fn a_file_damaged_anywhere_is_survived() {
    let jumps = [BY_READER, b"\xe9\x08\0\0\0"].concat();
    let made = Made::program(&[(CONSUME[0], &jumps), ("other", CONSUMES), (SEND[0], SENDS)]);
    let whole = made.bytes();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            let _ = find_in(&damaged, Path::new("/x"));
        }
    }
}
