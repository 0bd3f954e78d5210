//! The gRPC side of the receiver: the generated service over `State`.

use std::sync::Arc;

use ::http::{Request, Response};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Refusal, State};

const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(super) async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Response<tonic::body::Body> {
    let mut server = TraceServiceServer::new(Traces(state))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    match server.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

struct Traces(Arc<State>);

#[tonic::async_trait]
impl TraceService for Traces {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let taken = self.0.take(request.into_inner(), headers).await;
        taken
            .map(tonic::Response::new)
            .map_err(|refusal| match refusal {
                Refusal::Grpc {
                    code,
                    retry_delay: Some(delay),
                } => {
                    let details = ErrorDetails::with_retry_info(Some(delay));
                    Status::with_error_details(code, "refused by the test", details)
                }
                Refusal::Grpc {
                    code,
                    retry_delay: None,
                } => Status::new(code, "refused by the test"),
                Refusal::Http { .. } | Refusal::Partial { .. } => Status::new(
                    Code::Internal,
                    "the test ordered an answer of another protocol",
                ),
            })
    }
}
