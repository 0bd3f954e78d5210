//! Asks a metadata service: a short question, a short answer. It follows nobody who sends it
//! elsewhere, and uses no proxy: the service is on the host's own link.

use std::fmt;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longest answer, in bytes: an identity document has less than one KiB.
const ANSWER_MAX: usize = 16 << 10;

/// Why nothing was told.
#[derive(Debug)]
pub enum NotTold {
    /// It took too long.
    Late,
    /// It can't be reached, or its answer not be read; why.
    Away(String),
    /// It answered with this status.
    Status(StatusCode),
    /// Its answer is not what was asked for.
    Garbage,
}

impl fmt::Display for NotTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("does not answer in time"),
            Self::Away(why) => write!(f, "can't be asked: {why}"),
            Self::Status(status) => write!(f, "answers {status}"),
            Self::Garbage => f.write_str("answers what is not understood"),
        }
    }
}

/// Who asks.
pub struct MetadataClient<'a> {
    client: Client<HttpConnector, Empty<Bytes>>,
    service: &'a str,
}

impl<'a> MetadataClient<'a> {
    /// Of this service, a URL without a path.
    pub fn new(service: &'a str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            service,
        }
    }

    /// What `path` answers, as text.
    pub async fn text(
        &self,
        method: Method,
        path: &str,
        header: (&str, &str),
    ) -> Result<String, NotTold> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.service))
            .header(header.0, header.1)
            .header("user-agent", crate::own::ASKING_USER_AGENT)
            .body(Empty::new())
            .map_err(|_| NotTold::Garbage)?;
        let away = |error: &dyn std::error::Error| NotTold::Away(error.to_string());
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| away(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(NotTold::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| NotTold::Away(error.to_string()))?;
        String::from_utf8(body.to_bytes().into()).map_err(|_| NotTold::Garbage)
    }

    /// The same of what may not be there.
    pub async fn optional(
        &self,
        path: &str,
        header: (&str, &str),
    ) -> Result<Option<String>, NotTold> {
        match self.text(Method::GET, path, header).await {
            Ok(text) => Ok(Some(text)),
            Err(NotTold::Status(StatusCode::NOT_FOUND)) => Ok(None),
            Err(why) => Err(why),
        }
    }
}
