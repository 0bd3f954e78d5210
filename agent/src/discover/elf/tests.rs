//! Executables made of headers alone.

use std::io::{Seek, Write};

use super::*;

/// A little-endian 64-bit ELF file with these sections: name, type, bytes, section it links to.
fn elf(sections: &[(&str, u32, &[u8], u32)]) -> Vec<u8> {
    let mut names = b"\0.shstrtab\0".to_vec();
    let mut body = Vec::new();
    // A null section, then the table of names, as section 1.
    let mut headers = vec![[0_u64; 8]];
    let mut all = vec![(1, 3, 0, Vec::new(), 0)];
    for (name, kind, bytes, link) in sections {
        all.push((
            names.len() as u64,
            u64::from(*kind),
            0,
            bytes.to_vec(),
            u64::from(*link),
        ));
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    all[0].3 = names;
    for (name, kind, flags, bytes, link) in all {
        while body.len() % 8 != 0 {
            body.push(0);
        }
        let offset = 64 + body.len() as u64;
        // sh_name and sh_type share a word, as do sh_link and sh_info.
        headers.push([
            name | kind << 32,
            flags,
            0,
            offset,
            bytes.len() as u64,
            link,
            1,
            if kind == 6 { 16 } else { 0 },
        ]);
        body.extend(bytes);
    }
    while body.len() % 8 != 0 {
        body.push(0);
    }
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(2_u16.to_le_bytes()); // e_type: executable
    file.extend(62_u16.to_le_bytes()); // e_machine: x86-64
    file.extend(1_u32.to_le_bytes()); // e_version
    file.extend(0_u64.to_le_bytes()); // e_entry
    file.extend(0_u64.to_le_bytes()); // e_phoff
    file.extend((64 + body.len() as u64).to_le_bytes()); // e_shoff
    file.extend(0_u32.to_le_bytes()); // e_flags
    for half in [64_u16, 56, 0, 64, headers.len() as u16, 1] {
        file.extend(half.to_le_bytes());
    }
    file.extend(body);
    file.extend(headers.iter().flatten().flat_map(|word| word.to_le_bytes()));
    file
}

fn traits_of(bytes: &[u8]) -> Option<Traits> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file.rewind().expect("rewound");
    traits(file)
}

const PROGBITS: u32 = 1;
const STRTAB: u32 = 3;
const DYNAMIC: u32 = 6;

fn complete() -> Vec<u8> {
    // Entries are a tag and a value: DT_NEEDED with offsets into the strings, then DT_NULL.
    let dynamic: Vec<u8> = [1_u64, 1, 1, 14, 0, 0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    elf(&[
        (".comment", PROGBITS, b"GCC: 12\0rustc version 1.95.0\0", 0),
        (".dynstr", STRTAB, b"\0libstdc++.so\0libc.so.6\0", 0),
        (".dynamic", DYNAMIC, &dynamic, 3),
    ])
}

#[test]
fn compiler_and_libraries_are_read() {
    assert_eq!(
        traits_of(&complete()),
        Some(Traits {
            go: false,
            rust: true,
            needed: vec!["libstdc++.so".to_owned(), "libc.so.6".to_owned()],
        })
    );
}

#[test]
fn either_mark_of_go_is_enough() {
    for mark in [".go.buildinfo", ".note.go.buildid"] {
        let traits = traits_of(&elf(&[(mark, PROGBITS, b"x", 0)])).expect("an ELF file");
        assert!(traits.go && !traits.rust, "{mark}");
    }
}

#[test]
fn a_large_comment_is_not_read() {
    let mut comment = b"rustc version".to_vec();
    comment.resize(SECTION_LEN_MAX as usize + 1, b' ');
    let traits = traits_of(&elf(&[(".comment", PROGBITS, &comment, 0)])).expect("an ELF file");
    assert!(!traits.rust);
}

#[test]
fn what_is_no_elf_file_has_no_traits() {
    for bytes in [
        &b""[..],
        b"#!/bin/sh\necho",
        b"\x7fELF",
        b"\x7fELF\x09aaaaaaaaaaaaaaaaaaa",
    ] {
        assert_eq!(traits_of(bytes), None);
    }
}

#[test]
fn a_file_cut_or_damaged_anywhere_is_survived() {
    let whole = complete();
    for len in 0..whole.len() {
        let _ = traits_of(&whole[..len]);
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        let _ = traits_of(&damaged);
    }
}
