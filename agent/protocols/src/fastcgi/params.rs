//! Parameters of a request (specification, 3.4; RFC 3875, 4.1), made into what HTTP asked. Values
//! that no span asks for are passed over.

use std::sync::Arc;

use crate::family::http::{Completeness, HttpRequest, Method, Version};
use crate::fields::{Fields, interned, lossy, shortened};

/// Longest name of a header field that is looked at.
const NAME_BYTES_MAX: usize = 40;

/// Values that rarely change within a connection.
#[derive(Debug, Default)]
pub(super) struct Interned {
    host: Option<Arc<str>>,
    user_agent: Option<Arc<str>>,
    client: Option<Arc<str>>,
    forwarded_host: Option<Arc<str>>,
}

/// What CGI's own parameters say.
#[derive(Debug, Default)]
struct CgiVariables<'b> {
    method: &'b [u8],
    uri: Option<&'b [u8]>,
    script: Option<&'b [u8]>,
    document: Option<&'b [u8]>,
    path_info: &'b [u8],
    query: &'b [u8],
    scheme: Option<&'static str>,
    server: Option<&'b [u8]>,
    client: Option<&'b [u8]>,
}

/// The request that parameters describe, as far as they are there.
pub(super) fn request(content: &[u8], truncated: bool, interned_: &mut Interned) -> HttpRequest {
    let mut cgi = CgiVariables::default();
    let mut fields = Fields::default();
    let mut rest = content;
    while let Some((name, value, behind)) = pair(rest) {
        rest = behind;
        match name.strip_prefix(b"HTTP_") {
            Some(field) => take_field(field, value, &mut fields),
            None => cgi.take(name, value),
        }
    }
    let forwarded = fields.forwarded();
    let (traces, trace_state) = fields.traces();
    let target = cgi.target();
    let kept = shortened(&target);
    let method = str::from_utf8(cgi.method).ok().filter(|it| !it.is_empty());
    let client = forwarded.client.or(cgi.client);
    HttpRequest {
        method: method.map_or(Method::Unknown, Method::from_token),
        target: lossy(kept).into(),
        version: Version::FastCgi,
        host: interned(
            &mut interned_.host,
            fields.host.or(cgi.server).map(shortened),
        ),
        user_agent: interned(&mut interned_.user_agent, fields.user_agent.map(shortened)),
        forwarded_for: interned(&mut interned_.client, client.map(shortened)),
        forwarded_host: interned(&mut interned_.forwarded_host, forwarded.host),
        forwarded_scheme: forwarded.scheme,
        traces,
        trace_state,
        body_size: None,
        truncated: truncated || kept.len() < target.len(),
        scheme: cgi.scheme,
        call: None,
        completeness: Completeness::Whole,
    }
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
    fn take(&mut self, name: &[u8], value: &'b [u8]) {
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
            b"REQUEST_SCHEME" if value == b"https" => self.scheme = Some("https"),
            b"REQUEST_SCHEME" if value == b"http" => self.scheme = Some("http"),
            b"HTTPS" if value.eq_ignore_ascii_case(b"on") => self.scheme = Some("https"),
            _ => {}
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

/// The first name with its value, and what stands behind them; `None` if they are not whole.
fn pair(content: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = length(content)?;
    let (value, rest) = length(rest)?;
    let (name, rest) = rest.split_at_checked(name)?;
    let (value, rest) = rest.split_at_checked(value)?;
    Some((name, value, rest))
}

/// A length of one byte, or of four if the highest bit is set.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ ..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [a, b, c, d, rest @ ..] => {
            let long = u32::from_be_bytes([*a & 0x7f, *b, *c, *d]);
            Some((usize::try_from(long).ok()?, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in pairs {
            for len in [name.len(), value.len()] {
                match u8::try_from(len) {
                    Ok(short @ ..=0x7f) => bytes.push(short),
                    _ => bytes.extend((len as u32 | 1 << 31).to_be_bytes()),
                }
            }
            bytes.extend(name.bytes().chain(value.bytes()));
        }
        bytes
    }

    fn read(pairs: &[(&str, &str)]) -> HttpRequest {
        request(&content(pairs), false, &mut Interned::default())
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
    fn what_is_cut_is_passed_over() {
        let whole = content(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/a")]);
        for len in 0..whole.len() {
            let asked = request(&whole[..len], true, &mut Interned::default());
            assert!(asked.target.is_empty() && asked.truncated);
        }
        let bad = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        request(&bad, false, &mut Interned::default());
    }
}
