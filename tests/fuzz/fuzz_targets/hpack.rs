//! HPACK: a list of blocks for a decoder that heard the start, and for one that joined later, both
//! with what was learnt. What the second one knows is what the first one knows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirespan_protocols::http2::hpack::{Decoder, LearntHeaders, Text};

/// A field as it was reported.
type Told = (Option<Vec<u8>>, Option<Vec<u8>>);

fuzz_target!(|bytes: &[u8]| {
    let mut learnt = LearntHeaders::new();
    let mut other = LearntHeaders::new();
    let mut whole = Decoder::from_start();
    let mut joined = Decoder::joined();
    let mut helped = Decoder::joined();
    // Each block is preceded by its length; the first octet says when the others join.
    let Some((joins, mut rest)) = bytes.split_first() else {
        return;
    };
    let mut number = 0usize;
    while let [len, behind @ ..] = rest {
        let (block, after) = behind.split_at(usize::from(*len).min(behind.len()));
        rest = after;
        number += 1;
        let (said, ok) = decode(&mut whole, block, Some(&mut learnt));
        if number <= usize::from(*joins & 15) {
            continue;
        }
        let (heard, heard_ok) = decode(&mut joined, block, None);
        // An inference may be wrong here; what is said to be known may not.
        decode(&mut helped, block, Some(&mut learnt));
        decode(&mut Decoder::joined(), block, Some(&mut other));
        if !ok || !heard_ok {
            // One of them may have found an index that the other could not judge.
            whole.missed_blocks();
            joined.missed_blocks();
            helped.missed_blocks();
            continue;
        }
        assert_eq!(said.len(), heard.len());
        for ((name, value), (heard_name, heard_value)) in said.iter().zip(&heard) {
            assert!(heard_name.is_none() || name.is_none() || name == heard_name);
            assert!(heard_value.is_none() || value.is_none() || value == heard_value);
        }
    }
});

fn decode(
    decoder: &mut Decoder,
    block: &[u8],
    learnt: Option<&mut LearntHeaders>,
) -> (Vec<Told>, bool) {
    let mut told = Vec::new();
    let known = |text: Text<'_>| match text {
        Text::Known(bytes) => Some(bytes.to_vec()),
        Text::Inferred(_) | Text::Unknown => None,
    };
    let outcome = decoder.decode(block, learnt, &mut |field| {
        told.push((known(field.name), known(field.value)));
    });
    assert!(outcome.is_ok() || !decoder.is_complete());
    (told, outcome.is_ok())
}
