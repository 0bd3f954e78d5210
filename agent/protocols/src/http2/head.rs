//! The fields of one header block, as far as spans ask for them. What stands in a part of the table
//! that was not seen is noted as missing; it judges nothing else.

use std::sync::Arc;

use super::hpack::{Field, Text};
use super::part::What;
use crate::family::call::{Call, CallSystem};
use crate::family::http::{Completeness, HttpRequest, HttpResponse, Method, Version};
use crate::fields::forwarded::{self, Forwarded};
use crate::fields::{VALUE_BYTES_MAX, digits, interned, lossy, shortened};
use crate::grpc;
use crate::heap;
use crate::trace_headers::Collector;

/// Values that rarely change within a connection.
#[derive(Debug, Default)]
pub struct Memory {
    host: Option<Arc<str>>,
    user_agent: Option<Arc<str>>,
    forwarded_for: Option<Arc<str>>,
    forwarded_host: Option<Arc<str>>,
}

/// What proxies noted, shared.
#[derive(Debug, Default)]
struct Noted {
    client: Option<Arc<str>>,
    host: Option<Arc<str>>,
    scheme: Option<&'static str>,
}

impl Memory {
    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        let texts = [
            &self.host,
            &self.user_agent,
            &self.forwarded_for,
            &self.forwarded_host,
        ];
        let texts = texts.map(|text| heap::remembered(text.as_ref()));
        texts.iter().sum()
    }
}

/// What one block says.
#[derive(Debug)]
pub struct Head<'m> {
    memory: &'m mut Memory,
    method: Option<Method>,
    path: Option<Box<str>>,
    scheme: Option<&'static str>,
    status: Option<u16>,
    authority: Option<Arc<str>>,
    host: Option<Arc<str>>,
    user_agent: Option<Arc<str>>,
    /// By `Forwarded`.
    forwarded: Option<Noted>,
    /// By its older siblings; the first of each.
    x_forwarded: Noted,
    traces: Collector,
    trace_state: String,
    system: Option<CallSystem>,
    timeout_ns: Option<u64>,
    call_status: Option<u32>,
    /// A pseudo-header field of requests was there, known or not.
    is_request: bool,
    /// A field whose name is not known, or one that matters whose value is not.
    has_unknown: bool,
    has_unknown_timeout: bool,
    has_inferred: bool,
    was_shortened: bool,
}

impl<'m> Head<'m> {
    /// No field yet.
    pub fn new(memory: &'m mut Memory) -> Self {
        Self {
            memory,
            method: None,
            path: None,
            scheme: None,
            status: None,
            authority: None,
            host: None,
            user_agent: None,
            forwarded: None,
            x_forwarded: Noted::default(),
            traces: Collector::default(),
            trace_state: String::new(),
            system: None,
            timeout_ns: None,
            call_status: None,
            is_request: false,
            has_unknown: false,
            has_unknown_timeout: false,
            has_inferred: false,
            was_shortened: false,
        }
    }

    /// Takes one field in the order of the block.
    #[inline]
    pub fn take(&mut self, field: Field<'_>) {
        let Some(name) = field.name.bytes() else {
            self.has_unknown = true;
            return;
        };
        let Some(first) = name.first() else { return };
        match (name.len(), first) {
            (5, b':') if name == b":path" => {
                self.is_request = true;
                if let Some(path) = self.value(field) {
                    self.path = Some(lossy(self.shortened(path)).into());
                }
            }
            (7, b':') if name == b":method" => {
                self.is_request = true;
                if let Some(method) = self.value(field) {
                    let method = self.shortened(method);
                    self.method = Some(Method::from_token(&lossy(method)));
                }
            }
            (7, b':') if name == b":scheme" => {
                self.is_request = true;
                self.scheme = match self.value(field) {
                    Some(b"http") => Some("http"),
                    Some(b"https") => Some("https"),
                    _ => None,
                };
            }
            (7, b':') if name == b":status" => {
                if let Some(status) = self.value(field).and_then(digits) {
                    self.status = status.try_into().ok();
                }
            }
            (10, b':') if name == b":authority" => {
                self.is_request = true;
                let authority = self.value(field).map(|value| self.shortened(value));
                self.authority = interned(&mut self.memory.host, authority);
            }
            (4, b'h') if name == b"host" => {
                let host = self.value(field).map(|value| self.shortened(value));
                self.host = interned(&mut self.memory.host, host);
            }
            (10, b'u') if name == b"user-agent" => {
                let user_agent = self.value(field).map(|value| self.shortened(value));
                self.user_agent = interned(&mut self.memory.user_agent, user_agent);
            }
            (9, b'f') if name == b"forwarded" && self.forwarded.is_none() => {
                let noted = self.value(field).map(Forwarded::standard);
                let noted = noted.unwrap_or_default();
                self.forwarded = Some(Noted {
                    client: interned(&mut self.memory.forwarded_for, noted.client),
                    host: self.host_noted(noted.host),
                    scheme: noted.scheme,
                });
            }
            (15, b'x') if name == b"x-forwarded-for" && self.x_forwarded.client.is_none() => {
                let first = self.value(field).and_then(forwarded::first_client);
                self.x_forwarded.client = interned(&mut self.memory.forwarded_for, first);
            }
            (16, b'x') if name == b"x-forwarded-host" && self.x_forwarded.host.is_none() => {
                let first = self.value(field).and_then(forwarded::first_host);
                self.x_forwarded.host = self.host_noted(first);
            }
            (17, b'x') if name == b"x-forwarded-proto" && self.x_forwarded.scheme.is_none() => {
                let first = self.value(field).and_then(forwarded::first_scheme);
                self.x_forwarded.scheme = first;
            }
            (10, b't') if name == b"tracestate" => {
                if let Some(state) = self.value(field) {
                    self.take_trace_state(state);
                }
            }
            (12, b'c') if name == b"content-type" => {
                self.system = self.value(field).and_then(grpc::system);
            }
            (12, b'g') if name == b"grpc-timeout" => {
                // It is another one for each call.
                match field.value {
                    Text::Known(value) => self.timeout_ns = grpc::timeout_ns(value),
                    Text::Inferred(_) | Text::Unknown => self.has_unknown_timeout = true,
                }
            }
            (11, b'g') if name == b"grpc-status" => {
                self.call_status = self.value(field).and_then(grpc::status::parse);
            }
            (len, &first) if Collector::may_take(len, first) => {
                let value = match field.value {
                    Text::Known(value) => Some(value),
                    // An id of another request would be worse than none.
                    Text::Inferred(_) | Text::Unknown => None,
                };
                self.traces.take(name, value);
            }
            _ => {}
        }
    }

    /// What the block is. `truncated`: it had more fields, which nobody captured.
    pub fn finish(self, truncated: bool) -> What {
        if self.is_request {
            return What::Request(self.request(truncated));
        }
        match self.status {
            Some(100..=199) => What::Interim,
            Some(status) => What::Response(self.response(status, truncated)),
            None if self.has_unknown || truncated => match self.call_status {
                Some(_) => self.trailers(),
                None => What::Unclear,
            },
            None => self.trailers(),
        }
    }

    fn trailers(self) -> What {
        What::Trailers {
            call_status: self.call_status,
            completeness: self.completeness(true),
        }
    }

    fn request(mut self, truncated: bool) -> Box<HttpRequest> {
        let has_target = self.path.is_some() || self.method == Some(Method::Connect);
        // What is not known may say that it is a call.
        let may_be_call =
            self.has_unknown && self.system.is_none() && self.method == Some(Method::Post);
        let is_whole = self.method.is_some() && has_target && !may_be_call;
        let completeness = self.completeness(is_whole);
        // A pseudo-header field is worth more (RFC 9113 §8.3.1).
        let host = self.authority.take().or_else(|| self.host.take());
        let method = self.method.unwrap_or(Method::Unknown);
        let target = match (self.path, &method, &host) {
            (Some(path), _, _) => path,
            (None, Method::Connect, Some(host)) => (&**host).into(),
            (None, _, _) => "".into(),
        };
        let has_state = self.traces.has_trace_context() && !self.trace_state.is_empty();
        let trace_state = has_state.then(|| self.trace_state.into_boxed_str());
        let standard = self.forwarded.unwrap_or_default();
        Box::new(HttpRequest {
            method,
            target,
            version: Version::Http2,
            host,
            user_agent: self.user_agent,
            forwarded_for: standard.client.or(self.x_forwarded.client),
            forwarded_host: standard.host.or(self.x_forwarded.host),
            forwarded_scheme: standard.scheme.or(self.x_forwarded.scheme),
            traces: self.traces.finish(trace_state.as_deref()),
            trace_state,
            body_size: None,
            truncated: truncated || self.was_shortened,
            scheme: self.scheme,
            call: self.system.map(|system| Call {
                system,
                timeout_ns: self.timeout_ns,
                may_time_out: self.timeout_ns.is_none()
                    && (self.has_unknown || self.has_unknown_timeout),
            }),
            completeness,
        })
    }

    fn response(&self, status: u16, truncated: bool) -> HttpResponse {
        HttpResponse {
            status,
            version: Version::Http2,
            body_size: None,
            truncated,
            call_status: self.call_status,
            // What is not known may be how a call ended.
            completeness: self.completeness(!self.has_unknown || self.call_status.is_some()),
        }
    }

    fn completeness(&self, is_whole: bool) -> Completeness {
        match (is_whole, self.has_inferred) {
            (false, _) => Completeness::Incomplete,
            (true, true) => Completeness::Inferred,
            (true, false) => Completeness::Whole,
        }
    }

    fn host_noted(&mut self, host: Option<&[u8]>) -> Option<Arc<str>> {
        let host = host.map(|host| self.shortened(host));
        interned(&mut self.memory.forwarded_host, host)
    }

    fn take_trace_state(&mut self, state: &[u8]) {
        let state = lossy(state.trim_ascii());
        if state.is_empty() || self.trace_state.len() + state.len() >= VALUE_BYTES_MAX {
            return;
        }
        if !self.trace_state.is_empty() {
            self.trace_state.push(',');
        }
        self.trace_state.push_str(&state);
    }

    fn value<'f>(&mut self, field: Field<'f>) -> Option<&'f [u8]> {
        self.has_unknown |= field.value.is_unknown();
        self.has_inferred |= field.value.is_inferred() || field.name.is_inferred();
        field.value.bytes()
    }

    fn shortened<'f>(&mut self, value: &'f [u8]) -> &'f [u8] {
        self.was_shortened |= value.len() > VALUE_BYTES_MAX;
        shortened(value)
    }
}

#[cfg(test)]
mod tests;
