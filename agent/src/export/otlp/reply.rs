//! What a receiver's answer means for the spans of a request. It sends nothing and counts nothing.
//!
//! Source: OTLP specification 1.x, "OTLP/gRPC Response", "OTLP/HTTP Response", and its table of
//! retryable codes.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::backoff::retry_after;

/// The outcome of one attempt.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// All but `rejected` spans were taken; the text says why not those, or is a warning.
    Taken { rejected: u64, message: String },
    /// It will not be taken, however often it is sent.
    Refused(String),
    /// It may be taken later: at the earliest `after` this, if the receiver said so.
    Later {
        after: Option<Duration>,
        why: String,
    },
}

impl Reply {
    /// The connection broke, or never came to be.
    pub(super) fn unreachable(why: &dyn std::error::Error) -> Self {
        let mut text = why.to_string();
        let mut source = why.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self::Later {
            after: None,
            why: text,
        }
    }

    pub(super) fn timed_out(timeout: Duration) -> Self {
        Self::Later {
            after: None,
            why: format!("no answer within {timeout:?}"),
        }
    }

    pub(super) fn from_response(response: ExportTraceServiceResponse) -> Self {
        let partial = response.partial_success.unwrap_or_default();
        Self::Taken {
            rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
            message: partial.error_message,
        }
    }

    pub(super) fn from_grpc_status(status: &Status) -> Self {
        use std::error::Error;
        // An answer of the receiver has no cause; a failure on the way to it has one.
        if status.source().is_some() {
            return Self::unreachable(status);
        }
        let after = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        let why = format!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Self::Later { after, why },
            // Only the detail tells a busy receiver from a request that is too large.
            Code::ResourceExhausted if after.is_some() => Self::Later { after, why },
            _ => Self::Refused(why),
        }
    }

    /// Of an answer that is not a success.
    pub(super) fn from_http_status(
        status: StatusCode,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Self {
        let why = format!("HTTP status {status}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Later {
                after: retry_after(headers, now),
                why,
            },
            _ => Self::Refused(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: u16, retry_after: Option<&str>) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(::http::header::RETRY_AFTER, text.parse().unwrap());
        }
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 07:00:00 GMT").unwrap();
        Reply::from_http_status(StatusCode::from_u16(status).unwrap(), &headers, now)
    }

    fn after(reply: &Reply) -> Option<Duration> {
        match reply {
            Reply::Later { after, .. } => *after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_four_http_statuses_are_worth_another_attempt() {
        for status in 300..600 {
            let later = matches!(http(status, None), Reply::Later { .. });
            assert_eq!(later, [429, 502, 503, 504].contains(&status), "{status}");
        }
    }

    #[test]
    fn a_time_to_wait_is_taken_along() {
        assert_eq!(after(&http(503, None)), None);
        assert_eq!(after(&http(503, Some("7"))), Some(Duration::from_secs(7)));
    }

    #[test]
    fn grpc_codes_follow_the_table_of_the_specification() {
        use Code::*;
        let retryable = [
            Cancelled,
            DeadlineExceeded,
            Aborted,
            OutOfRange,
            Unavailable,
            DataLoss,
        ];
        for code in (1..=16).map(Code::from_i32) {
            let reply = Reply::from_grpc_status(&Status::new(code, "x"));
            let later = matches!(reply, Reply::Later { .. });
            assert_eq!(later, retryable.contains(&code), "{code:?}");
        }
    }

    #[test]
    fn an_exhausted_receiver_that_names_a_delay_is_asked_again() {
        let details = tonic_types::ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::ResourceExhausted, "busy", details);
        let reply = Reply::from_grpc_status(&status);
        assert_eq!(after(&reply), Some(Duration::from_millis(1500)));
    }
}
