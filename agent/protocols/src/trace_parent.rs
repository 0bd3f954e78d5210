//! Where an exchange stands in a trace, as its request says, whatever protocol carries that; and
//! how W3C Trace Context writes it. Other formats are read in [`crate::trace_headers`].

/// The span that asked, in any format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// Not all zero.
    pub parent_id: [u8; 8],
    /// Those of W3C Trace Context; bit 0: sampled.
    pub flags: u8,
    /// Whether it is sampled was left to whoever comes next. W3C Trace Context can't say that.
    pub is_deferred: bool,
}

impl TraceParent {
    /// Reads `traceparent`, version 00 or what later versions share with it (W3C Trace Context,
    /// Level 2, §3.2.2): lower-case hex only, no version ff, no id of zeros; version 00 ends with
    /// the flags, later ones may go on behind a dash.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let version = hex::<1>(value.get(0..2)?)?[0];
        let rest_fits = match version {
            0xff => false,
            0 => value.len() == 55,
            _ => value.len() == 55 || value.get(55) == Some(&b'-'),
        };
        if !rest_fits
            || [2, 35, 52]
                .iter()
                .any(|&dash| value.get(dash) != Some(&b'-'))
        {
            return None;
        }
        let parsed = Self {
            trace_id: hex(value.get(3..35)?)?,
            parent_id: hex(value.get(36..52)?)?,
            flags: hex::<1>(value.get(53..55)?)?[0],
            is_deferred: false,
        };
        (parsed.trace_id != [0; 16] && parsed.parent_id != [0; 8]).then_some(parsed)
    }
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read() {
        let parsed = TraceParent::parse(VALID.as_bytes()).expect("valid");
        assert_eq!(parsed.trace_id[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(parsed.parent_id[6..], [0x33, 0x31]);
        assert_eq!(parsed.flags, 1);
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        let zero_trace = VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let zero_parent = VALID.replace("b7ad6b7169203331", &"0".repeat(16));
        for bad in [
            &VALID[..54],
            &format!("{VALID}-00"),
            &format!("{VALID}0"),
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replacen('-', "_", 1),
            &zero_trace,
            &zero_parent,
            "",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_may_go_on_behind_a_dash() {
        let later = VALID.replacen("00", "cc", 1);
        assert!(TraceParent::parse(later.as_bytes()).is_some());
        assert!(TraceParent::parse(format!("{later}-what-ever").as_bytes()).is_some());
        assert!(TraceParent::parse(format!("{later}.what").as_bytes()).is_none());
    }
}
