//! OTLP/gRPC over one HTTP/2 connection. Requests are encoded before they come here: the codec
//! passes bytes through, so that a repeated attempt costs no second encoding.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::uri::{PathAndQuery, Scheme, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::SetupError;
use super::reply::Reply;
use super::tls::{self, Connector, Speaks};
use crate::config::OtlpConfig;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    client: tonic::client::Grpc<Channel>,
    headers: MetadataMap,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, SetupError> {
        let refused = || SetupError::Endpoint(config.endpoint.clone());
        let receiver = super::http::endpoint(&config.endpoint)?;
        let endpoint = Endpoint::from(in_plain(&receiver).ok_or_else(refused)?)
            .origin(receiver.clone())
            .user_agent(crate::own::USER_AGENT)
            .map_err(|_| refused())?;
        let connector = tls::connector(config.into(), Speaks::Http2)?;
        let channel = endpoint.connect_with_connector_lazy(To {
            receiver,
            connector,
        });
        let mut client = tonic::client::Grpc::new(channel);
        if config.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let mut headers = MetadataMap::new();
        for (name, value) in &config.headers {
            let refused = || SetupError::Header(name.clone());
            let name = name.to_ascii_lowercase();
            let name = MetadataKey::<Ascii>::from_bytes(name.as_bytes()).map_err(|_| refused())?;
            let value = MetadataValue::try_from(value).map_err(|_| refused())?;
            headers.insert(name, value);
        }
        Ok(Self {
            client,
            headers,
            timeout: config.timeout,
        })
    }

    pub(super) async fn send(&self, body: Bytes) -> Reply {
        let mut client = self.client.clone();
        if let Err(error) = client.ready().await {
            return Reply::unreachable(&error);
        }
        let mut request = Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        request.set_timeout(self.timeout);
        match client
            .unary(request, PathAndQuery::from_static(EXPORT), Encoded)
            .await
        {
            Ok(response) => Reply::from_response(response.into_inner()),
            Err(status) => Reply::from_grpc_status(&status),
        }
    }
}

/// The same address with the scheme `http`.
fn in_plain(receiver: &Uri) -> Option<Uri> {
    let mut parts = receiver.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    Uri::from_parts(parts).ok()
}

/// Connects to one receiver, whatever it is asked for. tonic is told an address in plain: compiled
/// with TLS of its own, as some other crate of a build may want it, it refuses `https` from a
/// connector that has done TLS already.
#[derive(Clone)]
struct To {
    receiver: Uri,
    connector: Connector,
}

impl Service<Uri> for To {
    type Response = <Connector as Service<Uri>>::Response;
    type Error = <Connector as Service<Uri>>::Error;
    type Future = <Connector as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.connector.call(self.receiver.clone())
    }
}

/// Bytes of a request out, a response in.
#[derive(Clone, Copy, Debug)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(item.remaining());
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        // A success with a body that is no answer is a success all the same.
        Ok(Some(
            ExportTraceServiceResponse::decode(from).unwrap_or_default(),
        ))
    }
}
