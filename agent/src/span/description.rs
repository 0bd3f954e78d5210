//! What the exchanges of every family look like as spans: what is left once family, role and
//! outcome have been put into words. It knows no family.

use std::borrow::Cow;

use wirespan_protocols::exchange::Outcome;

use super::{Event, Status, Value};
use crate::semconv::error_type;

/// An exchange in the vocabulary of spans.
pub struct Description {
    /// Low-cardinality name.
    pub name: Cow<'static, str>,
    /// Names are semantic conventions or begin with `wirespan.`.
    pub attributes: Vec<(&'static str, Value)>,
    /// In the order of time.
    pub events: Vec<Event>,
    /// W3C `tracestate` as received.
    pub trace_state: Option<Box<str>>,
    /// Whether the operation failed.
    pub status: Status,
}

/// `error.type` and the status of an exchange whose answer does not tell them; `None` if it went to
/// its end. Where it was the observation that failed, and perhaps not the operation, the status
/// stays unset.
pub fn judge(outcome: Outcome) -> Option<(&'static str, Status)> {
    Some(match outcome {
        Outcome::Complete | Outcome::OneWay | Outcome::EndInferred | Outcome::Left => return None,
        Outcome::Closed => (error_type::CONNECTION_CLOSED, Status::Error),
        Outcome::Reset => (error_type::CONNECTION_RESET, Status::Error),
        Outcome::ProcessExited => (error_type::PROCESS_EXITED, Status::Error),
        Outcome::Aborted(code) => (error_type::of_http2(code), Status::Error),
        Outcome::Refused => (error_type::GOING_AWAY, Status::Error),
        Outcome::Evicted => (error_type::OBSERVATION_ENDED, Status::Unset),
        Outcome::NotObserved => (error_type::RESPONSE_NOT_OBSERVED, Status::Unset),
    })
}
