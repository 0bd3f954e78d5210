//! Which settings there are, and by which names. It knows no values.

/// A setting's names.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Which setting.
    pub setting: Setting,
    /// Environment variables, the one that wins first. An empty variable counts as not set.
    pub variables: &'static [&'static str],
}

macro_rules! settings {
    ($($setting:ident: $first:literal $($other:literal)*;)*) => {
        /// Everything that can be set, by the name that wins.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Setting {
            $(
                #[doc = concat!("`", $first, "`")]
                $setting,
            )*
        }

        /// All settings.
        pub const SETTINGS: &[Names] = &[$(Names {
            setting: Setting::$setting,
            variables: &[$first $(, $other)*],
        }),*];
    };
}

// Where a setting has a `BEYLA_` and an `OTEL_EBPF_` name, the one by which Beyla itself reads it
// wins: Beyla copies each variable to the other prefix only if that one is not set, and then reads
// its own settings as `BEYLA_X` and those it shares with OpenTelemetry eBPF Instrumentation as
// `OTEL_EBPF_X`.
settings! {
    OpenPort: "BEYLA_OPEN_PORT" "OTEL_EBPF_OPEN_PORT";
    AutoTargetExe: "BEYLA_AUTO_TARGET_EXE" "OTEL_EBPF_AUTO_TARGET_EXE" "OTEL_GO_AUTO_TARGET_EXE";
    ExecutableName: "BEYLA_EXECUTABLE_NAME" "OTEL_EBPF_EXECUTABLE_NAME";
    TargetPid: "BEYLA_TARGET_PID" "OTEL_EBPF_TARGET_PID";
    ServiceName: "OTEL_SERVICE_NAME" "BEYLA_SERVICE_NAME" "OTEL_EBPF_SERVICE_NAME";
    ServiceNamespace: "BEYLA_SERVICE_NAMESPACE" "OTEL_EBPF_SERVICE_NAMESPACE";
    ResourceAttributes: "OTEL_RESOURCE_ATTRIBUTES";
    Endpoint: "OTEL_EXPORTER_OTLP_ENDPOINT";
    MetricsEndpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    MetricExportInterval: "OTEL_METRIC_EXPORT_INTERVAL";
    TracesEndpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    Protocol: "OTEL_EXPORTER_OTLP_PROTOCOL";
    TracesProtocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    Headers: "OTEL_EXPORTER_OTLP_HEADERS";
    TracesHeaders: "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
    Timeout: "OTEL_EXPORTER_OTLP_TIMEOUT";
    TracesTimeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
    Compression: "OTEL_EXPORTER_OTLP_COMPRESSION";
    TracesCompression: "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION";
    Certificate: "OTEL_EXPORTER_OTLP_CERTIFICATE";
    TracesCertificate: "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE";
    ClientCertificate: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
    TracesClientCertificate: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE";
    ClientKey: "OTEL_EXPORTER_OTLP_CLIENT_KEY";
    TracesClientKey: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY";
    Insecure: "OTEL_EXPORTER_OTLP_INSECURE";
    TracesInsecure: "OTEL_EXPORTER_OTLP_TRACES_INSECURE";
    TracesExporter: "OTEL_TRACES_EXPORTER";
    BatchMaxSize:
        "OTEL_EBPF_OTLP_TRACES_BATCH_MAX_SIZE"
        "BEYLA_OTLP_TRACES_BATCH_MAX_SIZE"
        "BEYLA_OTEL_OTLP_TRACES_BATCH_MAX_SIZE"
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    BatchTimeout:
        "OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT"
        "BEYLA_OTLP_TRACES_BATCH_TIMEOUT"
        "BEYLA_OTEL_OTLP_TRACES_BATCH_TIMEOUT";
    BatchScheduleDelay: "OTEL_BSP_SCHEDULE_DELAY";
    QueueSize:
        "OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE"
        "BEYLA_OTLP_TRACES_QUEUE_SIZE"
        "BEYLA_OTEL_OTLP_TRACES_QUEUE_SIZE"
        "OTEL_BSP_MAX_QUEUE_SIZE";
    TracePrinter: "BEYLA_TRACE_PRINTER" "OTEL_EBPF_TRACE_PRINTER";
    IgnoreHealthChecks: "WIRESPAN_IGNORE_HEALTH_CHECKS";
    ExcludeInstrumented:
        "BEYLA_EXCLUDE_OTEL_INSTRUMENTED_SERVICES" "OTEL_EBPF_EXCLUDE_OTEL_INSTRUMENTED_SERVICES";
    Propagators: "OTEL_PROPAGATORS";
    TracesSampler: "OTEL_TRACES_SAMPLER";
    TracesSamplerArg: "OTEL_TRACES_SAMPLER_ARG";
    TailSampling: "WIRESPAN_TAIL_SAMPLING";
    QueueSpans: "WIRESPAN_QUEUE_SPANS";
    LinkRequestIds: "WIRESPAN_LINK_REQUEST_IDS";
    LateCalls: "WIRESPAN_LATE_CALLS";
    MemoryLimit: "WIRESPAN_MEMORY_LIMIT";
    ConnectionsMax: "WIRESPAN_CONNECTIONS_MAX";
    Shards: "WIRESPAN_SHARDS";
    FollowCpuMax: "WIRESPAN_FOLLOW_CPU_MAX";
    NodeLinks: "WIRESPAN_NODE_LINKS";
    SensitiveQueryParamsAdd:
        "OTEL_EBPF_SENSITIVE_QUERY_PARAMS_ADD" "BEYLA_SENSITIVE_QUERY_PARAMS_ADD";
    SensitiveQueryParamsRemove:
        "OTEL_EBPF_SENSITIVE_QUERY_PARAMS_REMOVE" "BEYLA_SENSITIVE_QUERY_PARAMS_REMOVE";
    DropQuery: "WIRESPAN_DROP_QUERY";
    Capture: "WIRESPAN_CAPTURE";
    BpfDebug: "OTEL_EBPF_BPF_DEBUG" "BEYLA_BPF_DEBUG";
    ShutdownTimeout: "BEYLA_SHUTDOWN_TIMEOUT" "OTEL_EBPF_SHUTDOWN_TIMEOUT";
    LogLevel: "BEYLA_LOG_LEVEL" "OTEL_EBPF_LOG_LEVEL";
    NoColor: "NO_COLOR";
}
