//! What is refused, and what a sender can make a decoder hold.

use wirespan_protocols::http2::hpack::decoder::LIST_SIZE_MAX;
use wirespan_protocols::http2::hpack::string::STRING_LEN_MAX;
use wirespan_protocols::http2::hpack::{Decoder, HpackError};

use super::sender::{Form, Sender, complete};
use super::support::{block, fields, texts};

#[track_caller]
fn refused(hex: &str, why: HpackError) {
    let mut decoder = Decoder::from_start();
    assert_eq!(fields(&mut decoder, &block(hex)), Err(why));
    assert!(!decoder.is_complete(), "nothing is known after an error");
    // It goes on: static entries, and insertions from here on.
    let told = fields(&mut decoder, &block("8240016101 62be"));
    let wanted = [(":method", "GET"), ("a", "b"), ("a", "b")];
    assert_eq!(told, Ok(texts(&wanted)));
}

#[test]
fn indices_that_mean_nothing_are_refused() {
    refused("80", HpackError::Index);
    refused("be", HpackError::Index);
    refused("7e0161", HpackError::Index);
    refused("0f2f0161", HpackError::Index);
    // A table of 4096 bytes has 128 entries at most, known or not.
    let mut joined = Decoder::joined();
    assert!(fields(&mut joined, &block("3fe11fffbe00")).is_ok());
    assert_eq!(
        fields(&mut joined, &block("3fe11fffbf00")),
        Err(HpackError::Index)
    );
}

#[test]
fn size_updates_stand_at_the_start_and_stay_within_what_was_allowed() {
    refused("8220", HpackError::SizeUpdate);
    refused("3fe21f", HpackError::SizeUpdate);
    let mut decoder = Decoder::from_start();
    decoder.allow_table_size(8192);
    decoder.allow_table_size(100);
    assert_eq!(
        fields(&mut decoder, &block("203fe13f82")),
        Ok(texts(&[(":method", "GET")]))
    );
    let unlimited = fields(&mut Decoder::joined(), &block("3fe1ff0382"));
    assert_eq!(unlimited, Ok(texts(&[(":method", "GET")])));
}

#[test]
fn a_table_of_no_size_is_complete_again() {
    let mut joined = Decoder::joined();
    assert!(fields(&mut joined, &block("be")).is_ok());
    assert!(fields(&mut joined, &block("203fe11f82")).is_ok());
    assert!(joined.is_complete());
    assert_eq!(fields(&mut joined, &block("be")), Err(HpackError::Index));
}

#[test]
fn huffman_codes_end_in_less_than_an_octet_of_ones() {
    // `a` is 00011.
    assert_eq!(
        fields(&mut Decoder::from_start(), &block("0281 1f")),
        Ok(texts(&[(":method", "a")]))
    );
    refused("02811e", HpackError::Huffman);
    refused("028118", HpackError::Huffman);
    refused("02821fff", HpackError::Huffman);
    // EOS itself.
    refused("0284ffffffff", HpackError::Huffman);
    refused("028afffffffcffffffffffff", HpackError::Huffman);
}

#[test]
fn every_octet_survives_a_huffman_code_in_every_place() {
    for len in 0..40 {
        for octet in 0..=255u8 {
            let mut value: Vec<_> = (0..len).map(|at| b"e0%z\x00\xffA~"[at % 8]).collect();
            value.insert(usize::from(octet) % (len + 1), octet);
            let mut sender = Sender::new();
            sender.bytes(Form::Literal, b"name", &value);
            let told = fields(&mut Decoder::from_start(), &sender.take_block()).unwrap();
            assert!(complete(&told, &[(b"name".to_vec(), value)]));
        }
    }
}

#[test]
fn a_list_that_expands_without_bound_is_given_up() {
    let mut sender = Sender::new();
    sender.field(Form::Indexed, "bomb", &"x".repeat(4000));
    let mut bomb = sender.take_block();
    bomb.extend([0xbe; 16 << 10]);
    let mut decoder = Decoder::from_start();
    let mut expanded = 0;
    let outcome = decoder.decode(&bomb, None, &mut |field| {
        expanded += field.value.bytes().map_or(0, <[u8]>::len);
    });
    assert_eq!(outcome, Err(HpackError::ListTooLong));
    assert!(expanded <= LIST_SIZE_MAX);
    assert!(!decoder.is_complete());
}

#[test]
fn a_string_that_is_too_long_is_not_decoded() {
    let mut sender = Sender::new();
    for (huffman, len) in [(false, STRING_LEN_MAX + 1), (true, STRING_LEN_MAX)] {
        sender.huffman = huffman;
        // Eight bits for each.
        sender.field(Form::Literal, "long", &"X".repeat(len));
        let told = fields(&mut Decoder::from_start(), &sender.take_block());
        assert_eq!(told, Err(HpackError::StringTooLong));
    }
}

#[test]
fn what_is_older_than_the_decoder_remembers_is_unknown() {
    let mut sender = Sender::new();
    let mut decoder = Decoder::from_start();
    decoder.allow_table_size(1 << 20);
    sender.resize(1 << 20);
    for number in 0..200 {
        sender.field(Form::Indexed, "large", &format!("{number:01000}"));
        let told = fields(&mut decoder, &sender.take_block()).unwrap();
        assert!(
            told.iter()
                .all(|(name, value)| name.is_known() && value.is_known())
        );
    }
    sender.field(Form::Indexed, "large", &format!("{:01000}", 199));
    sender.field(Form::Indexed, "large", &format!("{:01000}", 0));
    let told = fields(&mut decoder, &sender.take_block()).unwrap();
    assert!(told[0].1.is_known());
    assert!(told[1].1.is_unknown());
    assert!(!decoder.is_complete());
}
