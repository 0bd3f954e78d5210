//! Joining at any block: what is reported as known is what was sent.

use proptest::prelude::*;
use wirespan_protocols::http2::hpack::{Decoder, LearntHeaders};

use super::sender::{Form, Pair, Sender, complete};
use super::support::{fields, fields_with};

/// What a sender does next.
#[derive(Clone, Debug)]
enum Step {
    Field(Form, bool, Vec<u8>, Vec<u8>),
    /// Only at the start of a block; elsewhere it begins a new one.
    Resize(usize),
    EndBlock,
}

fn step() -> impl Strategy<Value = Step> {
    let form = prop_oneof![
        6 => Just(Form::Indexed),
        2 => Just(Form::Inserted),
        1 => Just(Form::Literal),
        1 => Just(Form::Never),
    ];
    let name = prop_oneof![
        4 => prop::sample::select(vec![":path", ":method", "cookie", "te", "a", "bc"])
            .prop_map(|name| name.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let value = prop_oneof![
        4 => prop::sample::select(vec!["", "GET", "/", "1", "22", "trailers"])
            .prop_map(|value| value.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..300),
        1 => "[ -~]{0,80}".prop_map(String::into_bytes),
    ];
    let size = prop_oneof![Just(0usize), 0..200usize, 0..4097usize];
    prop_oneof![
        20 => (form, any::<bool>(), name, value).prop_map(|(form, huffman, name, value)| {
            Step::Field(form, huffman, name, value)
        }),
        1 => size.prop_map(Step::Resize),
        6 => Just(Step::EndBlock),
    ]
}

/// What is sent, block by block.
fn blocks(steps: &[Step]) -> Vec<(Vec<u8>, Vec<Pair>)> {
    let mut sender = Sender::new();
    let mut blocks = Vec::new();
    let mut sent: Vec<Pair> = Vec::new();
    for step in steps {
        match step {
            Step::Field(form, huffman, name, value) => {
                sender.huffman = *huffman;
                sender.bytes(*form, name, value);
                sent.push((name.clone(), value.clone()));
            }
            Step::Resize(size) => {
                if !sent.is_empty() {
                    blocks.push((sender.take_block(), std::mem::take(&mut sent)));
                }
                sender.resize(*size);
            }
            Step::EndBlock => blocks.push((sender.take_block(), std::mem::take(&mut sent))),
        }
    }
    blocks.push((sender.take_block(), sent));
    blocks
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whoever_listens_from_the_start_knows_everything(
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut decoder = Decoder::from_start();
        for (block, sent) in blocks(&steps) {
            let fields = fields(&mut decoder, &block).unwrap();
            prop_assert!(complete(&fields, &sent));
            prop_assert!(fields.iter().all(|(name, value)| name.is_known() && value.is_known()));
        }
    }

    #[test]
    fn whoever_joins_anywhere_is_never_wrong(
        steps in prop::collection::vec(step(), 0..300),
        joins in 0..100usize,
        misses in 0..100usize,
    ) {
        let blocks = blocks(&steps);
        let (joins, misses) = (joins % blocks.len(), misses % blocks.len());
        let mut decoder = Decoder::joined();
        for (at, (block, sent)) in blocks.iter().enumerate().skip(joins) {
            if at == misses {
                decoder.missed_blocks();
                continue;
            }
            let was_complete = decoder.is_complete();
            let complete = complete(&fields(&mut decoder, block).unwrap(), sent);
            prop_assert!(complete || !was_complete);
        }
    }

    /// With evidence of the same connection from its start, everything is found again: the
    /// evidence is as good as it can be.
    #[test]
    fn whoever_joins_with_lore_of_the_same_history_is_never_wrong(
        steps in prop::collection::vec(step(), 0..200),
        joins in 0..60usize,
    ) {
        let blocks = blocks(&steps);
        let mut learnt = LearntHeaders::new();
        let mut teacher = Decoder::from_start();
        for (block, _) in &blocks {
            fields_with(&mut teacher, block, Some(&mut learnt)).unwrap();
        }
        let mut decoder = Decoder::joined();
        for (block, sent) in blocks.iter().skip(joins % blocks.len()) {
            let fields = fields_with(&mut decoder, block, Some(&mut learnt)).unwrap();
            for ((name, value), sent) in fields.iter().zip(sent) {
                prop_assert!(!name.is_known() || name.agrees_with(&sent.0));
                prop_assert!(!value.is_known() || value.agrees_with(&sent.1));
            }
        }
    }

    #[test]
    fn a_block_that_is_cut_reports_nothing_that_was_not_sent(
        steps in prop::collection::vec(step(), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut decoder = Decoder::from_start();
        let blocks = blocks(&steps);
        let (last, before) = blocks.split_last().unwrap();
        for (block, _) in before {
            fields(&mut decoder, block).unwrap();
        }
        let (block, sent) = last;
        let mut told = Vec::new();
        let cut = &block[..cut.index(block.len() + 1)];
        let outcome = decoder.decode(cut, None, &mut |field| {
            told.push((field.name.into(), field.value.into()));
        });
        prop_assert!(told.len() <= sent.len());
        prop_assert!(complete(&told, &sent[..told.len()]));
        prop_assert!(outcome.is_ok() || !decoder.is_complete());
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..8),
        joined in any::<bool>(),
    ) {
        let mut learnt = LearntHeaders::new();
        let mut decoder = if joined { Decoder::joined() } else { Decoder::from_start() };
        for block in blocks {
            let refused = fields_with(&mut decoder, &block, Some(&mut learnt)).is_err();
            prop_assert!(!refused || !decoder.is_complete());
        }
    }
}
