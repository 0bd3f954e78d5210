//! What an agent of another node says: reading it ends, wherever it is cut, and what was read is
//! said in the same way again.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../agent/src/asking"]
#[allow(dead_code, reason = "a part of the daemon's crate, without the rest")]
mod asking {
    pub mod frame;
}

use asking::frame::{self, FrameReader, PeerFrame};

fuzz_target!(|bytes: &[u8]| {
    // The first byte says where the rest is cut.
    let Some((at, bytes)) = bytes.split_first() else {
        return;
    };
    let (first, second) = bytes.split_at(bytes.len().min(usize::from(*at)));
    let mut reader = FrameReader::default();
    for part in [first, second] {
        reader.add(part);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => is_said_again(&frame),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(reader.waiting_bytes() <= bytes.len());
});

fn is_said_again(frame: &PeerFrame) {
    let mut bytes = Vec::new();
    match frame {
        PeerFrame::Hello { name, proof } => frame::put_hello(name, proof.as_ref(), &mut bytes),
        PeerFrame::Addresses(addresses) => frame::put_addresses(addresses, &mut bytes),
        PeerFrame::Questions(questions) => frame::put_questions(questions, &mut bytes),
        PeerFrame::Answers(answers) => frame::put_answers(answers, &mut bytes),
    }
    let mut reader = FrameReader::default();
    reader.add(&bytes);
    let mut again: Option<PeerFrame> = None;
    while let Ok(Some(next)) = reader.next_frame() {
        again = Some(match (again, next) {
            (None, next) => next,
            (Some(PeerFrame::Addresses(mut all)), PeerFrame::Addresses(more)) => {
                all.extend(more);
                PeerFrame::Addresses(all)
            }
            (Some(PeerFrame::Questions(mut all)), PeerFrame::Questions(more)) => {
                all.extend(more);
                PeerFrame::Questions(all)
            }
            (Some(PeerFrame::Answers(mut all)), PeerFrame::Answers(more)) => {
                all.extend(more);
                PeerFrame::Answers(all)
            }
            (Some(before), _) => panic!("{before:?} and something else"),
        });
    }
    assert_eq!(again.as_ref(), Some(frame));
    assert_eq!(reader.waiting_bytes(), 0);
}
