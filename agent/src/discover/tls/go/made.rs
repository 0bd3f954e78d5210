//! Go programs made of as little as an analysis looks at, for tests.

use super::super::made::{BASE, Made, TEXT};

/// `cmp 16(%r14),%rsp; jbe +0; xor %eax,%eax; ret; int3…`
pub const GO_PLAIN: &[u8] = &[
    0x49, 0x3b, 0x66, 0x10, 0x76, 0, 0x31, 0xc0, 0xc3, 0xcc, 0xcc, 0xcc,
];

/// The three functions, in the order of the program.
pub const NAMES: [&str; 3] = [
    "crypto/tls.(*Conn).Write",
    "crypto/tls.(*Conn).Read",
    "crypto/tls.(*Conn).Close",
];

/// A program without symbols, with a table as Go 1.20 and later writes it. Its code begins
/// `start_up` functions behind the begin of `.text`.
pub fn stripped(start_up: usize) -> Made {
    let mut functions = vec![("", b"\x55\x5d\xc3\x90".to_vec()); start_up];
    functions.extend([
        ("", GO_PLAIN.to_vec()),
        ("", GO_PLAIN.to_vec()),
        ("", GO_PLAIN.to_vec()),
    ]);
    let made = Made {
        functions,
        ..Made::program(&[])
    };
    let offsets: Vec<u64> = (0..3)
        .map(|index| made.place(start_up + index) - made.place(start_up))
        .collect();
    let table = table_1_20(&offsets, offsets[2] + GO_PLAIN.len() as u64);
    made.with(".gopclntab", &table)
        .with(".go.buildinfo", &build_info("go1.27.3"))
}

fn table_1_20(offsets: &[u64], end: u64) -> Vec<u8> {
    let mut names = Vec::new();
    let name_at: Vec<u32> = NAMES
        .iter()
        .map(|name| {
            let at = names.len() as u32;
            names.extend(name.bytes().chain([0]));
            at
        })
        .collect();
    let header_len = 8 + 8 * 8_u64;
    let functions_at = header_len + names.len() as u64;
    let mut table = 0xffff_fff1_u32.to_le_bytes().to_vec();
    table.extend([0, 0, 1, 8]);
    for word in [
        3,
        0,
        0,
        header_len,
        functions_at,
        functions_at,
        functions_at,
        functions_at,
    ] {
        table.extend(word.to_le_bytes());
    }
    table.extend(names);
    let about_at = (3 * 2 + 1) * 4_u32;
    for (index, offset) in offsets.iter().enumerate() {
        table.extend((*offset as u32).to_le_bytes());
        table.extend((about_at + index as u32 * 8).to_le_bytes());
    }
    table.extend((end as u32).to_le_bytes());
    for (offset, name) in offsets.iter().zip(name_at) {
        table.extend((*offset as u32).to_le_bytes());
        table.extend(name.to_le_bytes());
    }
    table
}

/// As Go 1.18 and later writes it.
pub fn build_info(version: &str) -> Vec<u8> {
    let mut section = b"\xff Go buildinf:\x08\x02".to_vec();
    section.resize(32, 0);
    section.push(version.len() as u8);
    section.extend(version.bytes());
    section.extend([0; 2]);
    section
}

/// As Go 1.17 and earlier wrote it: pointers to strings, which follow here.
pub fn build_info_by_pointer(version: &str, address: u64) -> Vec<u8> {
    let mut section = b"\xff Go buildinf:\x08\x00".to_vec();
    for word in [address + 32, 0, address + 48, version.len() as u64] {
        section.extend(word.to_le_bytes());
    }
    section.extend(version.bytes());
    section
}

/// Where a section that follows a program's own lies in memory, if that program has these
/// functions.
pub fn address_behind_text(made: &Made) -> u64 {
    let probe = Made {
        functions: made.functions.clone(),
        sections: vec![(".go.buildinfo", vec![0xa5; 64])],
        ..Made::program(&[])
    };
    let bytes = probe.bytes();
    let at = memchr::memmem::find(&bytes, &[0xa5; 64]).expect("there");
    assert!(at as u64 > TEXT);
    BASE + at as u64
}
