//! Which traces are told, decided when their spans are made, alike for all of a trace that is known
//! on this node and, by the end of its id, for all who decide as OpenTelemetry does
//! (opentelemetry-specification, trace/sdk.md, Built-in samplers; trace/tracestate-probability-
//! sampling.md).

use super::SpanContext;
use crate::config::Sampler;

/// What a trace's randomness is of: 56 bits.
const RANDOM_BITS: u64 = (1 << 56) - 1;

/// Longest entry of `tracestate` (W3C Trace Context §3.3.1.3.2).
const ENTRY_CHARACTERS_MAX: usize = 256;

/// What becomes of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is not told.
    Drop,
    /// It is.
    Keep,
    /// It is, and so is one in so many: those whose randomness reaches this.
    KeepFrom(u64),
}

impl Sampler {
    /// Whether spans that stand here are told.
    #[must_use]
    pub fn choose(self, context: &SpanContext) -> Choice {
        match context.decided {
            Some(true) if self.is_parent_based => Choice::Keep,
            Some(false) if self.is_parent_based => Choice::Drop,
            _ if self.threshold == 0 => Choice::Keep,
            _ if randomness(context) >= self.threshold => Choice::KeepFrom(self.threshold),
            _ => Choice::Drop,
        }
    }
}

/// By which all who sample the trace decide.
#[must_use]
pub fn randomness(context: &SpanContext) -> u64 {
    let [.., a, b, c, d, e, f, g] = context.trace_id;
    let of_id = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    context.randomness.unwrap_or(of_id) & RANDOM_BITS
}

/// `tracestate` with `th`, and with `rv` where the trace has one; what else is in it stays.
#[must_use]
pub fn with_threshold(
    trace_state: Option<&str>,
    threshold: u64,
    randomness: Option<u64>,
) -> Box<str> {
    let digits = format!("{threshold:014x}");
    let mut ours = format!("ot=th:{}", digits.trim_end_matches('0'));
    if let Some(randomness) = randomness {
        ours.push_str(&format!(";rv:{randomness:014x}"));
    }
    let state = trace_state.unwrap_or_default();
    let entries = || state.split(',').map(str::trim).filter(|it| !it.is_empty());
    let before = entries().find_map(|entry| entry.strip_prefix("ot="));
    for pair in before.iter().flat_map(|before| before.split(';')) {
        let is_new = pair.starts_with("th:") || pair.starts_with("rv:");
        if !is_new && ours.len() + 1 + pair.len() <= ENTRY_CHARACTERS_MAX {
            ours.push(';');
            ours.push_str(pair);
        }
    }
    // Who changes an entry puts it first (W3C Trace Context §3.5).
    for other in entries().filter(|entry| !entry.starts_with("ot=")) {
        ours.push(',');
        ours.push_str(other);
    }
    ours.into_boxed_str()
}

/// The same, of a span that was chosen before: it keeps a threshold that is higher.
#[must_use]
pub fn raise_threshold(
    trace_state: Option<&str>,
    threshold: u64,
    randomness: Option<u64>,
) -> Box<str> {
    let mut entries = trace_state.unwrap_or_default().split(',').map(str::trim);
    let ours = entries.find_map(|entry| entry.strip_prefix("ot="));
    let digits = ours.and_then(|ours| ours.split(';').find_map(|it| it.strip_prefix("th:")));
    let before = digits.filter(|digits| (1..=14).contains(&digits.len()));
    let before = before.and_then(|digits| u64::from_str_radix(&format!("{digits:0<14}"), 16).ok());
    with_threshold(trace_state, threshold.max(before.unwrap_or(0)), randomness)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(randomness: u64, decided: Option<bool>) -> SpanContext {
        let mut trace_id = [0xab; 16];
        trace_id[8..].copy_from_slice(&(0xff << 56 | randomness).to_be_bytes());
        SpanContext {
            trace_id,
            span_id: [1; 8],
            parent: None,
            flags: 0,
            decided,
            randomness: None,
        }
    }

    const HALF: u64 = 1 << 55;

    #[test]
    fn the_end_of_the_id_decides_unless_there_is_explicit_randomness() {
        let sampler = Sampler {
            is_parent_based: false,
            threshold: HALF,
        };
        let choose = |context| sampler.choose(&context);
        assert_eq!(choose(context(HALF, None)), Choice::KeepFrom(HALF));
        assert_eq!(choose(context(HALF - 1, None)), Choice::Drop);
        assert_eq!(choose(context(RANDOM_BITS, None)), Choice::KeepFrom(HALF));
        let explicit = |randomness| SpanContext {
            randomness: Some(randomness),
            ..context(HALF, None)
        };
        assert_eq!(choose(explicit(0)), Choice::Drop);
        assert_eq!(choose(explicit(HALF)), Choice::KeepFrom(HALF));
    }

    #[test]
    fn only_those_that_ask_the_parent_are_bound_by_it() {
        for (is_parent_based, decided, threshold, expected) in [
            (true, Some(true), HALF, Choice::Keep),
            (true, Some(true), 1 << 56, Choice::Keep),
            (true, Some(false), 0, Choice::Drop),
            (true, None, 0, Choice::Keep),
            (true, None, 1 << 56, Choice::Drop),
            (false, Some(false), 0, Choice::Keep),
            (false, Some(true), 1 << 56, Choice::Drop),
            (false, Some(false), HALF, Choice::KeepFrom(HALF)),
        ] {
            let sampler = Sampler {
                is_parent_based,
                threshold,
            };
            let choice = sampler.choose(&context(HALF, decided));
            assert_eq!(choice, expected, "{sampler:?} {decided:?}");
        }
    }

    #[test]
    fn what_a_lower_ratio_keeps_a_higher_one_keeps_too() {
        let mut rng = fastrand::Rng::with_seed(1);
        let keeps = |threshold, context: &SpanContext| {
            let sampler = Sampler {
                is_parent_based: false,
                threshold,
            };
            sampler.choose(context) != Choice::Drop
        };
        let mut kept = 0;
        for _ in 0..10_000 {
            let context = context(rng.u64(..=RANDOM_BITS), None);
            let (a, b) = (rng.u64(..=1 << 56), rng.u64(..=1 << 56));
            if keeps(a.max(b), &context) {
                assert!(keeps(a.min(b), &context));
            }
            kept += u32::from(keeps(HALF / 2 * 3, &context));
        }
        assert!((2300..2700).contains(&kept), "a quarter: {kept}");
    }

    #[test]
    fn a_threshold_is_raised_and_never_lowered() {
        for (state, expected) in [
            ("", "ot=th:8"),
            ("ot=th:c", "ot=th:c"),
            ("ot=th:4,a=b", "ot=th:8,a=b"),
            ("ot=th:0", "ot=th:8"),
            ("ot=th:x", "ot=th:8"),
            ("ot=th:ffffffffffffffff", "ot=th:8"),
        ] {
            assert_eq!(
                &*raise_threshold(Some(state), HALF, None),
                expected,
                "{state}"
            );
        }
    }

    #[test]
    fn the_threshold_stands_in_the_state_beside_what_else_is_there() {
        for (state, randomness, expected) in [
            (None, None, "ot=th:8"),
            (Some(""), None, "ot=th:8"),
            (Some("a=b"), None, "ot=th:8,a=b"),
            (Some("a=b, ot=th:c ,c=d"), None, "ot=th:8,a=b,c=d"),
            (
                Some("ot=p:8;rv:6e6d1a75832a2f"),
                Some(0x006e_6d1a_7583_2a2f),
                "ot=th:8;rv:6e6d1a75832a2f;p:8",
            ),
        ] {
            let told = with_threshold(state, HALF, randomness);
            assert_eq!(&*told, expected, "{state:?}");
        }
        let long = format!("ot=x:{}", "1".repeat(251));
        let told = with_threshold(Some(&long), HALF, None);
        assert_eq!(&*told, "ot=th:8");
        let precise = with_threshold(None, 0x00fd_70a4_0000_0000, None);
        assert_eq!(&*precise, "ot=th:fd70a4");
    }
}
