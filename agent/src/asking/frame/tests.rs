//! What is said, read and refused.

use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Result<Vec<PeerFrame>, FrameError> {
    let mut reader = FrameReader::default();
    reader.add(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    assert_eq!(reader.waiting_bytes(), 0, "all was whole");
    Ok(frames)
}

fn context() -> impl Strategy<Value = ToldContext> {
    let ids = (any::<[u8; 16]>(), any::<Option<[u8; 8]>>(), any::<u8>());
    let rest = (any::<Option<bool>>(), any::<Option<u64>>());
    (ids, rest).prop_filter_map("ids are not 0", |((trace_id, span_id, flags), rest)| {
        let is_one = trace_id != [0; 16] && span_id != Some([0; 8]);
        is_one.then_some(ToldContext {
            trace_id,
            span_id,
            flags,
            decided: rest.0,
            randomness: rest.1.map(|it| it & RANDOM_BITS),
        })
    })
}

fn answer() -> impl Strategy<Value = ToldAnswer> {
    prop_oneof![
        Just(ToldAnswer::Unknown),
        Just(ToldAnswer::Later),
        context().prop_map(ToldAnswer::Stands),
    ]
}

fn request() -> impl Strategy<Value = AskedRequest> {
    (any::<[u32; 2]>(), any::<u64>()).prop_map(|(starts, at)| AskedRequest { starts, at })
}

proptest! {
    #[test]
    fn what_is_said_is_read_back(
        questions in prop::collection::vec((any::<u32>(), request()), 1..1000),
        answers in prop::collection::vec((any::<u32>(), answer()), 1..1000),
        addresses in prop::collection::vec(any::<IpAddr>(), 0..2000),
    ) {
        let mut bytes = Vec::new();
        put_questions(&questions, &mut bytes);
        put_addresses(&addresses, &mut bytes);
        put_answers(&answers, &mut bytes);
        let (mut asked, mut told, mut known) = (Vec::new(), Vec::new(), Vec::new());
        for frame in read(&bytes).expect("frames") {
            match frame {
                PeerFrame::Questions(some) => asked.extend(some),
                PeerFrame::Answers(some) => told.extend(some),
                PeerFrame::Addresses(some) => known.extend(some),
                PeerFrame::Hello { .. } => panic!("nobody said hello"),
            }
        }
        let addresses: Vec<_> = addresses.iter().map(IpAddr::to_canonical).collect();
        prop_assert_eq!((asked, told, known), (questions, answers, addresses));
    }

    #[test]
    fn any_bytes_are_frames_or_an_error_wherever_they_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
    ) {
        let take = |parts: &[&[u8]]| {
            let mut reader = FrameReader::default();
            let mut taken = Vec::new();
            for part in parts {
                reader.add(part);
                loop {
                    match reader.next_frame() {
                        Ok(Some(frame)) => taken.push(Ok(frame)),
                        Ok(None) => break,
                        Err(error) => {
                            taken.push(Err(error));
                            return taken;
                        }
                    }
                }
            }
            taken
        };
        let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
        prop_assert_eq!(take(&[&bytes]), take(&[first, second]));
    }
}

#[test]
fn the_longest_entries_fit_their_frames() {
    let request = AskedRequest {
        starts: [u32::MAX; 2],
        at: u64::MAX,
    };
    let told = ToldContext {
        trace_id: [0xff; 16],
        span_id: Some([0xff; 8]),
        flags: 0xff,
        decided: Some(true),
        randomness: Some(RANDOM_BITS),
    };
    let mut bytes = Vec::new();
    // Each number is as far from the one before it as can be.
    let number = |place: u32| if place.is_multiple_of(2) { 1 << 31 } else { 0 };
    let questions: Vec<_> = (0..ENTRIES_MAX as u32)
        .map(|it| (number(it), request))
        .collect();
    put_questions(&questions, &mut bytes);
    let answers: Vec<_> = (0..ENTRIES_MAX as u32)
        .map(|it| (number(it), ToldAnswer::Stands(told)))
        .collect();
    put_answers(&answers, &mut bytes);
    put_addresses(
        &[Ipv6Addr::from([0xff; 16]).into(); ADDRESSES_MAX],
        &mut bytes,
    );
    assert_eq!(read(&bytes).map(|frames| frames.len()), Ok(3));
}

#[test]
fn a_usual_question_and_its_answer_take_thirty_bytes() {
    let starts = [0x1234_5678; 2];
    let questions: Vec<_> = (1..=10)
        .map(|it| {
            let at = u64::from(it) * 300;
            (it, AskedRequest { starts, at })
        })
        .collect();
    let told = ToldContext {
        trace_id: [7; 16],
        span_id: None,
        flags: 1,
        decided: None,
        randomness: None,
    };
    let answers: Vec<_> = (1..=10).map(|it| (it, ToldAnswer::Stands(told))).collect();
    let mut bytes = Vec::new();
    put_questions(&questions, &mut bytes);
    put_answers(&answers, &mut bytes);
    assert!(bytes.len() <= 300, "{}", bytes.len());
}

#[test]
fn what_is_no_frame_is_refused() {
    let mut hello = Vec::new();
    put_hello(&[1; 16], None, &mut hello);
    assert_eq!(hello.len(), 2 + 1 + 16);
    for (bytes, error) in [
        (&[0, 0][..], FrameError::Length),
        (&[0x40, 1], FrameError::Length),
        (&[0, 1, 0], FrameError::Kind),
        (&[0, 1, 5], FrameError::Kind),
        (&[0, 2, HELLO, 1], FrameError::Body),
        // No question, no answer.
        (&[0, 1, QUESTIONS], FrameError::Body),
        (&[0, 1, ANSWERS], FrameError::Body),
        // A family that there is not; an address that is cut.
        (&[0, 2, ADDRESSES, 5], FrameError::Body),
        (&[0, 3, ADDRESSES, 4, 1], FrameError::Body),
        // Unknown bits; sampled, and not decided; a trace of zeros.
        (&[0, 3, ANSWERS, 2, 0x41], FrameError::Body),
        (&[0, 3, ANSWERS, 2, 0x02], FrameError::Body),
        (
            &[
                0, 19, ANSWERS, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
            FrameError::Body,
        ),
        // A number of too many bits, and one with a byte too many.
        (
            &[0, 7, ANSWERS, 0xff, 0xff, 0xff, 0xff, 0x1f, 0],
            FrameError::Body,
        ),
        (&[0, 4, ANSWERS, 0x82, 0, 0], FrameError::Body),
    ] {
        assert_eq!(read(bytes), Err(error), "{bytes:?}");
    }
}
