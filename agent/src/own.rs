//! What wirespan calls itself towards receivers, and how its exports are recognised by it in what
//! others say; and how those of others are.
//!
//! The daemon does not trace its own connections: its process is never watched, and where the
//! receiver is, the kernel side leaves out the other end by its addresses. That can't tell where
//! addresses change on the way (a proxy, a published port of a container), nor where two daemons
//! export to receivers that they watch for each other; either would make a span of each export,
//! which is exported in turn, for ever. There the exports are known by what they say. Only what has
//! both the name and a target of OTLP is left out: a name alone would let any client hide.

use wirespan_protocols::exchange::Exchange;
use wirespan_protocols::family::Family;
use wirespan_protocols::family::http::Method;

/// `User-Agent` of all exports.
pub const USER_AGENT: &str = concat!("wirespan/", env!("CARGO_PKG_VERSION"), " (rust; otlp)");

/// `User-Agent` of what is asked of Kubernetes' API server.
pub const ASKING_USER_AGENT: &str = concat!("wirespan/", env!("CARGO_PKG_VERSION"));

/// What each version of it begins with.
const PRODUCT: &str = "wirespan/";
/// What follows the version; a library may append its own name.
const COMMENT: &str = " (rust; otlp)";

/// Where OTLP goes by default: paths over HTTP, methods over gRPC (opentelemetry-specification,
/// protocol/exporter.md; opentelemetry-proto, collector/*/v1). A path may have a prefix.
const TARGETS: [&str; 4] = [
    TRACES_OVER_HTTP,
    "/v1/metrics",
    TRACES_OVER_GRPC,
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
];

const TRACES_OVER_HTTP: &str = "/v1/traces";
const TRACES_OVER_GRPC: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Whether a request for this may be an export of traces.
#[must_use]
pub fn is_for_traces(target: &str) -> bool {
    target.ends_with(TRACES_OVER_HTTP) || target.ends_with(TRACES_OVER_GRPC)
}

/// Whether an exchange is an export of traces, whoever makes it, that was accepted. Over HTTP it
/// has to call itself an exporter of OTLP too, as the specification asks of SDKs ("User Agent",
/// protocol/exporter.md): whoever can have a program post to a path of his choice would else have
/// it left alone.
#[must_use]
pub fn exports_traces(exchange: &Exchange) -> bool {
    let Some(http) = exchange.family.http() else {
        return false;
    };
    let is_call = matches!(exchange.family, Family::Rpc(_));
    let target = if is_call {
        TRACES_OVER_GRPC
    } else {
        TRACES_OVER_HTTP
    };
    let is_accepted = http.response.as_ref().is_some_and(|response| {
        (200..300).contains(&response.status) && (!is_call || response.call_status == Some(0))
    });
    let names_itself = || {
        http.request.user_agent.as_deref().is_some_and(|agent| {
            let agent = agent.to_ascii_lowercase();
            agent.contains("otel") && agent.contains("otlp")
        })
    };
    // By what most exchanges fail first.
    http.request.target.ends_with(target)
        && http.request.method == Method::Post
        && is_accepted
        && (is_call || names_itself())
}

/// Whether an exchange is an export of this daemon or of another one.
#[must_use]
pub fn is_export(exchange: &Exchange) -> bool {
    let Some(http) = exchange.family.http() else {
        return false;
    };
    let request = &http.request;
    let named = request.user_agent.as_deref().is_some_and(|agent| {
        agent
            .strip_prefix(PRODUCT)
            .is_some_and(|rest| rest.contains(COMMENT))
    });
    named
        && request.method == Method::Post
        && TARGETS
            .iter()
            .any(|target| request.target.ends_with(target))
}
