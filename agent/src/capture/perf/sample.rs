//! What stands in a perf buffer (`struct perf_event_header` and what follows it,
//! include/uapi/linux/perf_event.h), and the records in a sample. It reads no memory of the kernel.

use wirespan_common::record::Header;
use zerocopy::FromBytes as _;

/// `PERF_RECORD_LOST`.
const LOST: u32 = 2;
/// `PERF_RECORD_SAMPLE`.
const SAMPLE: u32 = 9;
/// Length of a header: type, flags, length of the whole.
pub const HEADER_LEN: usize = 8;

/// What an entry says.
#[derive(Debug, PartialEq, Eq)]
pub enum PerfEntry<'a> {
    /// What a program sent; what the kernel fills it up with may stand behind it.
    Sample(&'a [u8]),
    /// So many entries had no room before this one.
    Lost(u64),
}

/// Length of the entry that begins with this header; `None` if it can't be one.
pub fn entry_len(header: [u8; HEADER_LEN]) -> Option<usize> {
    let [.., low, high] = header;
    let len = usize::from(u16::from_ne_bytes([low, high]));
    (len >= HEADER_LEN && len.is_multiple_of(8)).then_some(len)
}

/// The entry, header included; `None` if it is of no kind that is known here.
pub fn event(entry: &[u8]) -> Option<PerfEntry<'_>> {
    let (kind, _) = u32::read_from_prefix(entry).ok()?;
    let body = entry.get(HEADER_LEN..)?;
    match kind {
        SAMPLE => {
            let (len, rest) = u32::read_from_prefix(body).ok()?;
            Some(PerfEntry::Sample(rest.get(..len as usize)?))
        }
        LOST => {
            let ([_, count], _) = <[u64; 2]>::read_from_prefix(body).ok()?;
            Some(PerfEntry::Lost(count))
        }
        _ => None,
    }
}

/// Hands each record of a sample to `take`, up to one that is not whole: what the kernel filled up.
pub fn records<'a>(sample: &'a [u8], mut take: impl FnMut(&'a [u8])) {
    let mut rest = sample;
    while let Ok((header, _)) = Header::read_from_prefix(rest) {
        let len = header.len as usize;
        if len < size_of::<Header>() {
            return;
        }
        let Some((record, behind)) = rest.split_at_checked(len) else {
            return;
        };
        take(record);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes as _;

    fn record(len: u32, time_ns: u64) -> Vec<u8> {
        let header = Header {
            len,
            kind: 3,
            shard: 0,
            reserved: [0; 2],
            time_ns,
            tgid: 1,
            tid: 2,
        };
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(len as usize, 7);
        bytes
    }

    fn entry(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (HEADER_LEN + body.len()) as u16;
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(len.to_ne_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_sample_has_records_one_behind_the_other_and_what_the_kernel_adds() {
        let sample = [record(25, 1), record(80, 2), vec![0; 3]].concat();
        let mut body = (sample.len() as u32).to_ne_bytes().to_vec();
        body.extend(&sample);
        let entry = entry(SAMPLE, &body);
        let Some(PerfEntry::Sample(found)) = event(&entry) else {
            panic!("no sample");
        };
        let mut lens = Vec::new();
        records(found, |record| lens.push(record.len()));
        assert_eq!(lens, [25, 80]);
    }

    #[test]
    fn a_loss_says_how_many() {
        let entry = entry(LOST, [4u64, 17].as_bytes());
        assert_eq!(event(&entry), Some(PerfEntry::Lost(17)));
    }

    #[test]
    fn what_is_cut_or_unknown_is_nothing() {
        assert_eq!(event(&entry(LOST, &[1; 8])), None);
        assert_eq!(event(&entry(SAMPLE, &[255; 8])), None);
        assert_eq!(event(&entry(1, &[0; 16])), None);
        assert_eq!(entry_len([0; 8]), None);
        for cut in 0..80 {
            let whole = [record(24, 1), record(80, 2)].concat();
            let mut count = 0;
            records(&whole[..24 + cut], |_| count += 1);
            assert_eq!(count, 1, "cut at {cut}");
        }
    }
}
