//! Names and values of OpenTelemetry's semantic conventions that wirespan uses, each with its
//! stability. Own constants, because the published Rust crate lags behind the schema. It does not
//! decide when an attribute is set: `span` and `enrich` do.

/// `schema_url` of resources and scopes: the schema that all names below belong to.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.45.0";

/// How far the conventions promise to keep a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Will not change.
    Stable,
    /// May change with the next schema.
    Development,
    /// Not of the conventions: Beyla's, whose users look for it.
    Beyla,
    /// Not of the conventions: wirespan's own, beginning with `wirespan.`.
    Own,
}

macro_rules! attributes {
    ($($stability:ident $name:ident = $text:literal;)*) => {
        $(
            #[doc = concat!("`", $text, "` (", stringify!($stability), ")")]
            pub const $name: &str = $text;
        )*

        /// Every attribute name, sorted, with its stability.
        pub const ATTRIBUTES: &[(&str, Stability)] = &[$(($text, Stability::$stability)),*];
    };
}

attributes! {
    Stable CLIENT_ADDRESS = "client.address";
    Stable CLIENT_PORT = "client.port";
    Development CLIENT_SERVICE_NAME = "client.service.name";
    Development CLIENT_SERVICE_NAMESPACE = "client.service.namespace";
    Development CLOUD_ACCOUNT_ID = "cloud.account.id";
    Development CLOUD_AVAILABILITY_ZONE = "cloud.availability_zone";
    Development CLOUD_PLATFORM = "cloud.platform";
    Development CLOUD_PROVIDER = "cloud.provider";
    Development CLOUD_REGION = "cloud.region";
    Development CLOUD_RESOURCE_ID = "cloud.resource_id";
    Stable CONTAINER_ID = "container.id";
    Stable CONTAINER_IMAGE_NAME = "container.image.name";
    Stable CONTAINER_IMAGE_TAGS = "container.image.tags";
    Development CONTAINER_NAME = "container.name";
    Stable DB_COLLECTION_NAME = "db.collection.name";
    Stable DB_NAMESPACE = "db.namespace";
    Stable DB_OPERATION_BATCH_SIZE = "db.operation.batch.size";
    Stable DB_OPERATION_NAME = "db.operation.name";
    Stable DB_QUERY_TEXT = "db.query.text";
    Stable DB_RESPONSE_STATUS_CODE = "db.response.status_code";
    Stable DB_STORED_PROCEDURE_NAME = "db.stored_procedure.name";
    Stable DB_SYSTEM_NAME = "db.system.name";
    Stable ERROR_TYPE = "error.type";
    Development HOST_ARCH = "host.arch";
    Development HOST_ID = "host.id";
    Development HOST_IMAGE_ID = "host.image.id";
    Development HOST_NAME = "host.name";
    Development HOST_TYPE = "host.type";
    Development HTTP_REQUEST_BODY_SIZE = "http.request.body.size";
    Stable HTTP_REQUEST_METHOD = "http.request.method";
    Stable HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original";
    Development HTTP_RESPONSE_BODY_SIZE = "http.response.body.size";
    Stable HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
    Stable K8S_CLUSTER_NAME = "k8s.cluster.name";
    Stable K8S_CONTAINER_NAME = "k8s.container.name";
    Development K8S_CONTAINER_RESTART_COUNT = "k8s.container.restart_count";
    Stable K8S_CRONJOB_NAME = "k8s.cronjob.name";
    Stable K8S_CRONJOB_UID = "k8s.cronjob.uid";
    Stable K8S_DAEMONSET_NAME = "k8s.daemonset.name";
    Stable K8S_DAEMONSET_UID = "k8s.daemonset.uid";
    Stable K8S_DEPLOYMENT_NAME = "k8s.deployment.name";
    Stable K8S_DEPLOYMENT_UID = "k8s.deployment.uid";
    Stable K8S_JOB_NAME = "k8s.job.name";
    Stable K8S_JOB_UID = "k8s.job.uid";
    Beyla K8S_KIND = "k8s.kind";
    Stable K8S_NAMESPACE_NAME = "k8s.namespace.name";
    Stable K8S_NODE_NAME = "k8s.node.name";
    Beyla K8S_OWNER_NAME = "k8s.owner.name";
    Stable K8S_POD_NAME = "k8s.pod.name";
    Development K8S_POD_START_TIME = "k8s.pod.start_time";
    Stable K8S_POD_UID = "k8s.pod.uid";
    Stable K8S_REPLICASET_NAME = "k8s.replicaset.name";
    Stable K8S_REPLICASET_UID = "k8s.replicaset.uid";
    Stable K8S_STATEFULSET_NAME = "k8s.statefulset.name";
    Stable K8S_STATEFULSET_UID = "k8s.statefulset.uid";
    Stable NETWORK_PEER_ADDRESS = "network.peer.address";
    Stable NETWORK_PEER_PORT = "network.peer.port";
    Stable NETWORK_PROTOCOL_NAME = "network.protocol.name";
    Stable NETWORK_PROTOCOL_VERSION = "network.protocol.version";
    Stable NETWORK_TRANSPORT = "network.transport";
    Development OS_DESCRIPTION = "os.description";
    Development OS_NAME = "os.name";
    Development OS_TYPE = "os.type";
    Development OS_VERSION = "os.version";
    Development PROCESS_EXECUTABLE_NAME = "process.executable.name";
    Development PROCESS_EXECUTABLE_PATH = "process.executable.path";
    Development PROCESS_PID = "process.pid";
    Stable RPC_METHOD = "rpc.method";
    Stable RPC_STATUS_CODE = "rpc.status_code";
    Stable RPC_SYSTEM_NAME = "rpc.system.name";
    Stable SERVER_ADDRESS = "server.address";
    Stable SERVER_PORT = "server.port";
    Development SERVER_SERVICE_NAME = "server.service.name";
    Development SERVER_SERVICE_NAMESPACE = "server.service.namespace";
    Stable SERVICE_INSTANCE_ID = "service.instance.id";
    Stable SERVICE_NAME = "service.name";
    Stable SERVICE_NAMESPACE = "service.namespace";
    Stable SERVICE_VERSION = "service.version";
    Stable TELEMETRY_DISTRO_NAME = "telemetry.distro.name";
    Stable TELEMETRY_DISTRO_VERSION = "telemetry.distro.version";
    Stable TELEMETRY_SDK_LANGUAGE = "telemetry.sdk.language";
    Stable TELEMETRY_SDK_NAME = "telemetry.sdk.name";
    Stable TELEMETRY_SDK_VERSION = "telemetry.sdk.version";
    Stable URL_FULL = "url.full";
    Stable URL_PATH = "url.path";
    Stable URL_QUERY = "url.query";
    Stable URL_SCHEME = "url.scheme";
    Stable USER_AGENT_ORIGINAL = "user_agent.original";
    Own WIRESPAN_CAPTURE_TRUNCATED = "wirespan.capture.truncated";
    Own WIRESPAN_END_INFERRED = "wirespan.end_inferred";
    Own WIRESPAN_HTTP2_HEADERS_INCOMPLETE = "wirespan.http2.headers_incomplete";
    Own WIRESPAN_HTTP2_HEADERS_INFERRED = "wirespan.http2.headers_inferred";
    Own WIRESPAN_LINK = "wirespan.link";
    Own WIRESPAN_RPC_REQUEST_MESSAGES = "wirespan.rpc.request.messages";
    Own WIRESPAN_RPC_RESPONSE_MESSAGES = "wirespan.rpc.response.messages";
}

/// `db.system.name` of Redis.
pub const DB_REDIS: &str = "redis";
/// `db.system.name` of MongoDB.
pub const DB_MONGODB: &str = "mongodb";
/// `http.request.method` of a method that is not known.
pub const METHOD_OTHER: &str = "_OTHER";
/// `network.transport` of Unix sockets.
pub const TRANSPORT_UNIX: &str = "unix";
/// `rpc.system.name` of gRPC, and of gRPC-Web.
pub const RPC_GRPC: &str = "grpc";
/// `service.name` of a process that nothing is known about.
pub const UNKNOWN_SERVICE: &str = "unknown_service";
/// What a secret is replaced by.
pub const REDACTED: &str = "REDACTED";

/// Values of `error.type` for exchanges without a complete response. Where a response's status
/// says that it failed, `error.type` is that status instead.
pub mod error_type {
    /// It failed, and nobody said how.
    pub const OTHER: &str = "_OTHER";
    /// The connection ended before the response did.
    pub const CONNECTION_CLOSED: &str = "connection_closed";
    /// The connection was reset before the response was complete.
    pub const CONNECTION_RESET: &str = "connection_reset";
    /// The process ended before the response was complete.
    pub const PROCESS_EXITED: &str = "process_exited";
    /// There may have been a response; the capture has a gap where it would have been.
    pub const RESPONSE_NOT_OBSERVED: &str = "response_not_observed";
    /// wirespan ended, or forgot the exchange to make room, before its response came: nothing is
    /// known of what became of it, and nothing is wrong with the service.
    pub const OBSERVATION_ENDED: &str = "observation_ended";
    /// The server said that it would serve no more on this connection (GOAWAY).
    pub const GOING_AWAY: &str = "going_away";

    /// Error codes of RFC 9113 §7, by number, in the form of the other values.
    const HTTP2: [&str; 14] = [
        "http2_no_error",
        "http2_protocol_error",
        "http2_internal_error",
        "http2_flow_control_error",
        "http2_settings_timeout",
        "http2_stream_closed",
        "http2_frame_size_error",
        "http2_refused_stream",
        "http2_cancel",
        "http2_compression_error",
        "http2_connect_error",
        "http2_enhance_your_calm",
        "http2_inadequate_security",
        "http2_http_1_1_required",
    ];

    /// The stream was reset with this error code; codes that do not exist count as
    /// `INTERNAL_ERROR` (RFC 9113 §7).
    #[must_use]
    pub fn of_http2(code: u32) -> &'static str {
        let known = usize::try_from(code).ok().and_then(|code| HTTP2.get(code));
        known.copied().unwrap_or(HTTP2[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_unique_and_own_ones_say_so() {
        assert!(ATTRIBUTES.is_sorted_by(|one, next| one.0 < next.0));
        for (name, stability) in ATTRIBUTES {
            assert_eq!(
                name.starts_with("wirespan."),
                *stability == Stability::Own,
                "{name}"
            );
        }
    }
}
