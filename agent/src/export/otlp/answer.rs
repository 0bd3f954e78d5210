//! A receiver's answer in JSON, by the rules of protobuf's mapping: 64-bit integers are strings,
//! though numbers are to be accepted; names are in camel case, though those of the fields are to be
//! accepted; null is the same as nothing. The generated types of `opentelemetry-proto` accept
//! numbers and camel case only.
//!
//! Source: <https://protobuf.dev/programming-guides/json/>.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default, alias = "partial_success")]
    partial_success: Option<Partial>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Partial {
    #[serde(default, alias = "rejected_spans", deserialize_with = "int64")]
    rejected_spans: i64,
    #[serde(default, alias = "error_message")]
    error_message: Option<String>,
}

/// Reads an answer.
pub(super) fn answer(text: &[u8]) -> serde_json::Result<ExportTraceServiceResponse> {
    let answer: Answer = serde_json::from_slice(text)?;
    Ok(ExportTraceServiceResponse {
        partial_success: answer
            .partial_success
            .map(|partial| ExportTracePartialSuccess {
                rejected_spans: partial.rejected_spans,
                error_message: partial.error_message.unwrap_or_default(),
            }),
    })
}

/// A string or a number, which may have an exponent or an empty fraction.
fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Int(i64),
        Float(f64),
        Text(String),
    }
    let whole = |number: f64| {
        let is_whole = number.fract() == 0.0 && number.abs() < i64::MAX as f64;
        is_whole.then_some(number as i64)
    };
    let number = match Option::<Written>::deserialize(deserializer)? {
        None => Some(0),
        Some(Written::Int(number)) => Some(number),
        Some(Written::Float(number)) => whole(number),
        Some(Written::Text(text)) => {
            let parsed = text.parse().ok();
            parsed.or_else(|| text.parse().ok().and_then(whole))
        }
    };
    number.ok_or_else(|| serde::de::Error::custom("not a 64-bit integer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_however_the_mapping_lets_them_be_written() {
        for (text, rejected, message) in [
            (r#"{"partialSuccess":{"rejectedSpans":"3"}}"#, 3, ""),
            (
                r#"{"partialSuccess":{"rejectedSpans":3,"errorMessage":"old"}}"#,
                3,
                "old",
            ),
            (
                r#"{"partial_success":{"rejected_spans":"3","error_message":"old"}}"#,
                3,
                "old",
            ),
            (r#"{"partialSuccess":{"rejectedSpans":3.0}}"#, 3, ""),
            (r#"{"partialSuccess":{"rejectedSpans":"3e0"}}"#, 3, ""),
            (
                r#"{"partialSuccess":{"rejectedSpans":"9007199254740993"}}"#,
                9_007_199_254_740_993,
                "",
            ),
            (
                r#"{"partialSuccess":{"rejectedSpans":null,"errorMessage":null}}"#,
                0,
                "",
            ),
            (
                r#"{"partialSuccess":{"errorMessage":"careful","new":[1]}}"#,
                0,
                "careful",
            ),
        ] {
            let partial = answer(text.as_bytes())
                .expect(text)
                .partial_success
                .expect(text);
            assert_eq!(
                (partial.rejected_spans, &*partial.error_message),
                (rejected, message)
            );
        }
        for text in ["{}", r#"{"partialSuccess":null}"#, r#"{"other":1}"#] {
            assert_eq!(answer(text.as_bytes()).expect(text).partial_success, None);
        }
        for text in ["", "[1]", r#"{"partialSuccess":{"rejectedSpans":"three"}}"#] {
            assert!(answer(text.as_bytes()).is_err(), "{text}");
        }
    }
}
