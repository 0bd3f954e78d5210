//! The file format: what is written is read back, and what was damaged is refused with its place.

use super::*;

use wirespan_common::record::{Body, LifeEvent};

fn life_record(tgid: u32) -> Vec<u8> {
    let life = Life {
        event: LifeEvent::Listen as u8,
        watched: 1,
        port: 80,
        other: 0,
        comm: [0; 16],
    };
    user_record(Kind::Life, 5, tgid, life.as_bytes())
}

fn process(pid: u32) -> Process {
    Process {
        pid,
        service_name: "shop".into(),
        ..Process::default()
    }
}

fn sample() -> (Vec<Vec<u8>>, Vec<u8>) {
    let records = vec![
        clock_record(1, -7),
        process_record(2, &process(9)),
        life_record(9),
        life_record(10),
    ];
    (records.clone(), recording_of(&records))
}

fn recording_of(records: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    for record in records {
        writer.write(record).expect("a record");
    }
    assert_eq!(writer.records(), records.len() as u64);
    let bytes = writer.bytes();
    let file = writer.finish().expect("memory");
    assert_eq!(file.len() as u64, bytes);
    file
}

/// Reads everything; the processes of the records, and how it ended.
fn read(file: impl Read) -> (Vec<u32>, Result<Reader<impl Read>, ReadError>) {
    let mut tgids = Vec::new();
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return (tgids, Err(error)),
    };
    loop {
        match reader.read_record(|record| tgids.push(record.tgid)) {
            Ok(true) => {}
            Ok(false) => return (tgids, Ok(reader)),
            Err(error) => return (tgids, Err(error)),
        }
    }
}

/// A source that gives one byte at a time, and is interrupted in between.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = self.0.len().min(1);
        buf[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn what_was_written_is_read_back() {
    let (_, file) = sample();
    let mut reader = Reader::new(&file[..]).expect("a recording");
    let clock = |record: &Record<'_>| {
        assert_eq!(record.time_ns, 1);
        assert_eq!(record.body, Body::Clock(Clock { wall_offset_ns: -7 }));
    };
    assert!(reader.read_record(clock).expect("readable"));
    let description = |record: &Record<'_>| {
        let Body::Process(json) = record.body else {
            panic!("a description")
        };
        let read: Process = serde_json::from_slice(json).expect("JSON");
        assert_eq!((record.time_ns, read), (2, process(9)));
    };
    assert!(reader.read_record(description).expect("readable"));
    assert_eq!(read(&file[..]).0, [0, 9, 9, 10]);
    assert_eq!(read(Trickle(&file, false)).0, [0, 9, 9, 10]);
}

#[test]
fn a_file_cut_anywhere_yields_the_whole_records_and_says_where_it_ends() {
    let (records, file) = sample();
    let mut ends = vec![size_of::<FileHeader>()];
    for record in &records {
        ends.push(ends[ends.len() - 1] + record.len());
    }
    for cut in 0..file.len() {
        let (read, outcome) = read(&file[..cut]);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(read.len(), whole.saturating_sub(1), "cut at {cut}");
        match outcome {
            Ok(_) => assert!(ends.contains(&cut), "cut at {cut}"),
            Err(ReadError::NotARecording) => assert_eq!(cut, 0),
            Err(ReadError::Cut { offset }) => {
                let begin = if whole == 0 { 0 } else { ends[whole - 1] };
                assert_eq!(offset, begin as u64, "cut at {cut}");
            }
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
}

#[test]
fn lengths_that_no_record_has_are_refused_with_their_place() {
    let (records, file) = sample();
    let second = size_of::<FileHeader>() + records[0].len();
    for len in [0, 23, RECORD_BYTES_MAX as u32 + 1, u32::MAX] {
        let mut file = file.clone();
        file[second..second + 4].copy_from_slice(&len.to_ne_bytes());
        let (read, outcome) = read(&file[..]);
        assert_eq!(read, [0]);
        let error = outcome.err().expect("refused");
        assert!(
            matches!(error, ReadError::Length { offset, len: told }
                if offset == second as u64 && told == len),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("byte {second}")));
    }
}

#[test]
fn records_that_are_unknown_or_contradict_themselves_are_passed_over_and_counted() {
    let mut unknown = life_record(1);
    unknown[4] = 99;
    let short = user_record(Kind::Life, 0, 2, &[0; 3]);
    let file = recording_of(&[life_record(3), unknown, short, life_record(4)]);
    let (read, outcome) = read(&file[..]);
    assert_eq!(read, [3, 4]);
    let reader = outcome.expect("readable");
    assert_eq!(
        (reader.records(), reader.unknown(), reader.undecodable()),
        (2, 1, 1)
    );
    assert_eq!(reader.offset(), file.len() as u64);
}

#[test]
fn other_files_versions_and_byte_orders_are_told_apart() {
    let (_, file) = sample();
    let altered = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        read(io::Cursor::new(file)).1.err().expect("refused")
    };
    assert!(matches!(altered(0, b"\x7fELF"), ReadError::NotARecording));
    assert!(matches!(altered(8, &[9; 4]), ReadError::NotARecording));
    let swapped = BYTE_ORDER_MARK.swap_bytes().to_ne_bytes();
    assert!(matches!(altered(8, &swapped), ReadError::OtherByteOrder));
    assert!(matches!(
        altered(12, &2u16.to_ne_bytes()),
        ReadError::Version { format: 2, .. }
    ));
    let error = altered(14, &7u16.to_ne_bytes());
    assert!(matches!(error, ReadError::Version { layout: 7, .. }));
    assert!(error.to_string().contains("layouts 7"), "{error}");
}

#[test]
fn the_padding_of_a_ring_buffer_is_not_written() {
    let mut padded = life_record(1);
    padded.extend([0; 7]);
    let mut writer = Writer::new(Vec::new()).expect("memory");
    writer.write(&padded).expect("a record");
    writer.write(&life_record(2)).expect("a record");
    assert_eq!(read(&writer.finish().expect("memory")[..]).0, [1, 2]);
}

#[test]
fn half_a_record_is_not_written() {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    for bad in [&life_record(1)[..30], &[], &[0xff; 40]] {
        let error = writer.write(bad).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(writer.records(), 0);
}

#[test]
fn a_description_that_would_be_too_long_is_told_without_its_arguments() {
    let mut process = process(9);
    process.command_args = vec!["x".repeat(RECORD_BYTES_MAX)];
    let record = process_record(1, &process);
    assert!(record.len() < RECORD_BYTES_MAX);
    assert_eq!(read(&recording_of(&[record])[..]).0, [9]);
}

#[test]
fn a_long_record_is_read_although_the_buffer_is_shorter() {
    let mut process = process(9);
    process.command_args = vec!["x".repeat(3 * READ_BYTES)];
    let file = recording_of(&[life_record(1), process_record(1, &process), life_record(2)]);
    assert_eq!(read(&file[..]).0, [1, 9, 2]);
}
