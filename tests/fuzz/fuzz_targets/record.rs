//! A file of records: decoding ends, never panics, and stays within the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirespan_common::record::{Body, DecodeError, Record};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = match Record::decode(rest) {
            Ok((record, len)) => {
                assert_eq!(Record::len_of(rest), Ok(len));
                if let Body::Chunk { chunk, bytes, .. } = record.body {
                    assert_eq!(bytes.len(), chunk.captured as usize);
                    assert!(chunk.captured <= chunk.len);
                    assert!(chunk.position.checked_add(u64::from(chunk.len)).is_some());
                }
                len
            }
            Err(DecodeError::Unknown) => match Record::len_of(rest) {
                Ok(len) => len,
                Err(_) => return,
            },
            Err(DecodeError::Truncated | DecodeError::Inconsistent) => return,
        };
        assert!(len > 0);
        let Some(behind) = rest.get(len..) else {
            return;
        };
        rest = behind;
    }
});
