//! Variables of CGI (RFC 3875 §4.1), as other protocols carry them, made into what HTTP asked.
//! Values that no span asks for are passed over. How they are written is the protocols' own.

use std::sync::Arc;

use crate::family::http::{Completeness, HttpRequest, Method, Version};
use crate::fields::{Fields, interned, lossy, shortened};
use crate::message::{Message, Then};
use crate::parser::Crossed;

/// Longest name of a header field that is looked at.
const NAME_BYTES_MAX: usize = 40;

/// Values that rarely change within a connection.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    host: Option<Arc<str>>,
    user_agent: Option<Arc<str>>,
    client: Option<Arc<str>>,
    forwarded_host: Option<Arc<str>>,
}

/// What is known of a request so far.
#[derive(Debug, Default)]
pub(crate) struct CgiVariables<'b> {
    fields: Fields<'b>,
    method: &'b [u8],
    uri: Option<&'b [u8]>,
    script: Option<&'b [u8]>,
    document: Option<&'b [u8]>,
    path_info: &'b [u8],
    query: &'b [u8],
    scheme: Option<&'static str>,
    server: Option<&'b [u8]>,
    client: Option<&'b [u8]>,
    content_length: Option<u64>,
}

/// A field of HTTP by its name as CGI spells it (RFC 3875, 4.1.18).
fn take_field<'b>(name: &[u8], value: &'b [u8], fields: &mut Fields<'b>) {
    let mut spelt = [0; NAME_BYTES_MAX];
    let Some(spelt) = spelt.get_mut(..name.len()) else {
        return;
    };
    for (to, from) in spelt.iter_mut().zip(name) {
        *to = if *from == b'_' { b'-' } else { *from };
    }
    fields.take(spelt, value);
}

impl<'b> CgiVariables<'b> {
    /// Takes one in.
    pub fn take(&mut self, name: &[u8], value: &'b [u8]) {
        if let Some(field) = name.strip_prefix(b"HTTP_") {
            return take_field(field, value, &mut self.fields);
        }
        let value = value.trim_ascii();
        let some = (!value.is_empty()).then_some(value);
        match name {
            b"REQUEST_METHOD" => self.method = value,
            b"REQUEST_URI" => self.uri = some,
            b"SCRIPT_NAME" => self.script = some,
            b"DOCUMENT_URI" => self.document = some,
            b"PATH_INFO" => self.path_info = value,
            b"QUERY_STRING" => self.query = value,
            b"SERVER_NAME" => self.server = some,
            b"REMOTE_ADDR" => self.client = some,
            b"CONTENT_LENGTH" => self.content_length = number(value),
            b"REQUEST_SCHEME" | b"UWSGI_SCHEME" if value == b"https" => self.scheme = Some("https"),
            b"REQUEST_SCHEME" | b"UWSGI_SCHEME" if value == b"http" => self.scheme = Some("http"),
            b"HTTPS" if value.eq_ignore_ascii_case(b"on") => self.scheme = Some("https"),
            _ => {}
        }
    }

    /// Bytes of the body, as far as that is said.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// The request that they describe, as far as they are there.
    pub fn request(
        self,
        version: Version,
        truncated: bool,
        interned_: &mut Interned,
    ) -> HttpRequest {
        let fields = &self.fields;
        let forwarded = fields.forwarded();
        let (traces, trace_state) = fields.traces();
        let target = self.target();
        let kept = shortened(&target);
        let method = str::from_utf8(self.method).ok().filter(|it| !it.is_empty());
        let client = forwarded.client.or(self.client);
        HttpRequest {
            method: method.map_or(Method::Unknown, Method::from_token),
            target: lossy(kept).into(),
            version,
            host: interned(
                &mut interned_.host,
                fields.host.or(self.server).map(shortened),
            ),
            user_agent: interned(&mut interned_.user_agent, fields.user_agent.map(shortened)),
            forwarded_for: interned(&mut interned_.client, client.map(shortened)),
            forwarded_host: interned(&mut interned_.forwarded_host, forwarded.host),
            forwarded_scheme: forwarded.scheme,
            traces,
            trace_state,
            body_size: None,
            truncated: truncated || kept.len() < target.len(),
            scheme: self.scheme,
            call: None,
            completeness: Completeness::Whole,
        }
    }

    /// What was asked for; empty if nothing says so.
    fn target(&self) -> std::borrow::Cow<'b, [u8]> {
        let path = match (self.uri, self.document, self.script) {
            (Some(uri), ..) => return uri.into(),
            (None, Some(document), _) => document.to_vec(),
            (None, None, Some(script)) => [script, self.path_info].concat(),
            (None, None, None) => return [].as_slice().into(),
        };
        match self.query {
            [] => path.into(),
            query => [&path, query].join(&b'?').into(),
        }
    }
}

/// What a head that was cut says: the request that is known of it, if anything is.
pub(crate) fn cut<S>(request: HttpRequest) -> Crossed<Message<Box<HttpRequest>, S>> {
    match request.method.as_str().is_empty() && request.target.is_empty() {
        true => Crossed::Lost,
        false => Crossed::Cut(Message::Request {
            request: Box::new(request),
            then: Then::Unknown,
        }),
    }
}

/// A number in decimal digits alone; one that is too large is none.
fn number(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| str::from_utf8(text).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> HttpRequest {
        let mut variables = CgiVariables::default();
        for (name, value) in pairs {
            variables.take(name.as_bytes(), value.as_bytes());
        }
        variables.request(Version::FastCgi, false, &mut Interned::default())
    }

    #[test]
    fn parameters_say_what_http_asked() {
        let long = format!("/shop/{}?a=b", "x".repeat(200));
        let asked = read(&[
            ("QUERY_STRING", "a=b"),
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", "/index.php"),
            ("REQUEST_URI", &long),
            ("REQUEST_SCHEME", "https"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("SERVER_NAME", "_"),
            ("HTTP_HOST", "shop.example:81"),
            ("HTTP_USER_AGENT", "curl/8"),
            (
                "HTTP_TRACEPARENT",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
        ]);
        assert_eq!((asked.method, &*asked.target), (Method::Post, &*long));
        assert_eq!(asked.host.as_deref(), Some("shop.example:81"));
        assert_eq!(asked.user_agent.as_deref(), Some("curl/8"));
        assert_eq!(asked.forwarded_for.as_deref(), Some("192.0.2.7"));
        assert_eq!(asked.scheme, Some("https"));
        assert_ne!(asked.traces, crate::trace_headers::TraceHeaders::default());
    }

    #[test]
    fn without_a_target_cgi_says_what_was_asked_for() {
        let target = |pairs: &[(&str, &str)]| read(pairs).target;
        let query = ("QUERY_STRING", "a=b");
        let script = [("SCRIPT_NAME", "/i.php"), ("PATH_INFO", "/x"), query];
        assert_eq!(&*target(&script), "/i.php/x?a=b");
        assert_eq!(&*target(&[("DOCUMENT_URI", "/d"), script[0]]), "/d");
        assert_eq!(&*target(&[query]), "");
        assert_eq!(read(&[query]).method, Method::Unknown);
    }

    #[test]
    fn a_length_that_is_none_is_not_made_up() {
        let length = |value: &str| {
            let mut variables = CgiVariables::default();
            variables.take(b"CONTENT_LENGTH", value.as_bytes());
            variables.content_length()
        };
        assert_eq!(length("17"), Some(17));
        for value in ["", "-1", "+1", "1x", "99999999999999999999"] {
            assert_eq!(length(value), None, "{value}");
        }
    }
}
