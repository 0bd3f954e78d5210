//! What a relay writes in front of everything else (PROXY protocol), whatever comes behind it.

use wirespan_protocols::conversation::Understanding;
use wirespan_protocols::exchange::Role;

use super::wire::{GET, OK, ROLES, Wire, at_every_cut};

/// Headers, and whom they name.
fn headers() -> [(Vec<u8>, &'static [&'static str]); 5] {
    let binary = |command: u8, family: u8, rest: &[u8]| {
        let len = (rest.len() as u16).to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len, rest].concat()
    };
    let four = [192, 0, 2, 9, 10, 0, 0, 1, 0xc0, 0x01, 0, 80];
    // A checksum that is none, and the name that a TLS client asked for.
    let tlvs = b"\x03\0\x04\xde\xad\xbe\xef\x02\0\x04shop";
    [
        (
            b"PROXY TCP6 2001:db8::9 2001:db8::1 49153 80\r\n".to_vec(),
            &["[2001:db8::9]:49153"],
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), &[]),
        (
            binary(0x21, 0x11, &[&four[..], tlvs].concat()),
            &["192.0.2.9:49153"],
        ),
        (binary(0x20, 0x00, b""), &[]),
        (binary(0x21, 0x31, &[b'u'; 216]), &[]),
    ]
}

/// A client's first bytes, cut once.
fn ask_cut(wire: &mut Wire, bytes: &[u8], cut: usize) {
    let (first, second) = bytes.split_at(cut);
    if !first.is_empty() {
        wire.ask(first);
    }
    wire.ask(second);
}

#[test]
fn requests_behind_it_are_told_wherever_the_bytes_are_cut() {
    for (header, via) in headers() {
        let bytes = [&header[..], GET.as_bytes()].concat();
        at_every_cut(bytes.len(), |wire, cut| {
            ask_cut(wire, &bytes, cut);
            wire.answer(OK);
            wire.ask("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
            wire.answer(OK);
            let place = format!("{header:?} {:?} cut at {cut}", wire.role);
            assert_eq!(
                wire.lines(),
                ["GET /a 200 0/5", "GET /b 200 0/5"],
                "{place}"
            );
            assert_eq!(wire.told.via, via, "{place}");
            assert_eq!(wire.told.discards, [], "{place}");
            let moved = bytes.len() + GET.len() + 2 * OK.len();
            assert_eq!(
                wire.conversation.understood_bytes(),
                moved as u64,
                "{place}"
            );
        });
    }
}

#[test]
fn the_name_in_a_hello_behind_it_is_found() {
    let name = b"shop.example";
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 1, 1, 0]);
    let len = name.len() as u8;
    hello.extend([0, len + 9, 0, 0, 0, len + 5, 0, len + 3, 0, 0, len]);
    hello.extend(name);
    let len = hello.len() as u8;
    let hello = [&[22, 3, 1, 0, len + 4, 1, 0, 0, len][..], &hello].concat();
    for (header, via) in headers() {
        let bytes = [&header[..], &hello].concat();
        at_every_cut(bytes.len(), |wire, cut| {
            ask_cut(wire, &bytes, cut);
            let place = format!("{header:?} {:?} cut at {cut}", wire.role);
            assert!(wire.conversation.begins_tls(), "{place}");
            wire.answer(b"\x16\x03\x03\0\x7a\x02");
            assert_eq!(
                wire.conversation.verdict(),
                Understanding::Encrypted,
                "{place}"
            );
            assert_eq!(
                wire.conversation.server_name(),
                Some("shop.example"),
                "{place}"
            );
            assert_eq!(wire.told.via, via, "{place}");
        });
    }
}

#[test]
fn http2_behind_it_is_found_with_all_that_it_says() {
    let frames: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
        \0\0\x07\x01\x05\0\0\0\x01\x82\x86\x84\x41\x02hi";
    let answer: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88";
    for (header, via) in headers() {
        let bytes = [&header[..], frames].concat();
        at_every_cut(bytes.len(), |wire, cut| {
            ask_cut(wire, &bytes, cut);
            wire.answer(answer);
            let place = format!("{header:?} {:?} cut at {cut}", wire.role);
            assert_eq!(wire.lines(), ["GET / 200 0/0"], "{place}");
            assert_eq!(wire.told.via, via, "{place}");
            assert_eq!(wire.told.discards, [], "{place}");
        });
    }
}

#[test]
fn what_the_capture_left_out_of_it_does_no_harm() {
    let rest = [&[192, 0, 2, 9, 10, 0, 0, 1, 0xc0, 1, 0, 80][..], &[0; 6000]].concat();
    let len = (rest.len() as u16).to_be_bytes();
    let header = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &len[..], &rest].concat();
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.call(true, &header, 4096);
        wire.ask(GET);
        wire.answer(OK);
        assert_eq!(wire.lines(), ["GET /a 200 0/5"]);
        assert_eq!(wire.told.via, ["192.0.2.9:49153"]);
    }
}

#[test]
fn it_stands_at_the_start_and_nowhere_else() {
    let mut wire = Wire::new(Role::Server);
    wire.ask(GET);
    wire.answer(OK);
    wire.ask("PROXY TCP4 192.0.2.9 10.0.0.1 49153 80\r\n");
    wire.ask(GET);
    assert_eq!(wire.told.via, [""; 0]);
    let mut twice = Wire::new(Role::Server);
    twice.ask("PROXY TCP4 192.0.2.9 10.0.0.1 1 80\r\nPROXY TCP4 192.0.2.10 10.0.0.1 2 80\r\n");
    twice.answer("?");
    twice.ask("PROXY TCP4 192.0.2.11 10.0.0.1 3 80\r\n");
    assert_eq!(twice.told.via, ["192.0.2.9:1"]);
}
