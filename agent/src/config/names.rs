//! Which settings there are, and by which names. It knows no values.

/// A setting's names.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Which setting.
    pub setting: Setting,
    /// Environment variables, the one that wins first. An empty variable counts as not set.
    pub variables: &'static [&'static str],
    /// What it is for, in a line.
    pub about: &'static str,
}

impl Setting {
    /// The variable that wins.
    #[must_use]
    pub fn variable(self) -> &'static str {
        let names = SETTINGS.iter().find(|names| names.setting == self);
        names.map_or("", |names| names.variables[0])
    }
}

macro_rules! settings {
    ($($setting:ident: $first:literal $($other:literal)* => $about:literal;)*) => {
        /// Everything that can be set, by the name that wins.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Setting {
            $(
                #[doc = concat!("`", $first, "`: ", $about)]
                $setting,
            )*
        }

        /// All settings.
        pub const SETTINGS: &[Names] = &[$(Names {
            setting: Setting::$setting,
            variables: &[$first $(, $other)*],
            about: $about,
        }),*];
    };
}

// Where a setting has a `BEYLA_` and an `OTEL_EBPF_` name, the one by which Beyla itself reads it
// wins: Beyla copies each variable to the other prefix only if that one is not set, and then reads
// its own settings as `BEYLA_X` and those it shares with OpenTelemetry eBPF Instrumentation as
// `OTEL_EBPF_X`.
settings! {
    OpenPort: "BEYLA_OPEN_PORT" "OTEL_EBPF_OPEN_PORT"
        => "Watch what listens on these TCP ports, or serves connections to them: 80,8000-8999";
    AutoTargetExe: "BEYLA_AUTO_TARGET_EXE" "OTEL_EBPF_AUTO_TARGET_EXE" "OTEL_GO_AUTO_TARGET_EXE"
        => "Watch executables whose full path matches one of these globs: '*/nginx,*/python3*'";
    ExecutableName: "BEYLA_EXECUTABLE_NAME" "OTEL_EBPF_EXECUTABLE_NAME"
        => "Watch executables whose full path matches this regular expression";
    TargetPid: "BEYLA_TARGET_PID" "OTEL_EBPF_TARGET_PID"
        => "Watch these processes: 1234,5678";
    K8sNamespace: "WIRESPAN_K8S_NAMESPACE"
        => "Of those, watch only what runs in pods of these namespaces, by globs: 'shop,bank-*'";
    K8sPodName: "WIRESPAN_K8S_POD_NAME"
        => "The same by the names of pods";
    K8sContainerName: "WIRESPAN_K8S_CONTAINER_NAME"
        => "The same by the names of their containers";
    K8sOwnerName: "WIRESPAN_K8S_OWNER_NAME"
        => "The same by the names of whatever made the pod, of any kind";
    K8sDeploymentName: "WIRESPAN_K8S_DEPLOYMENT_NAME"
        => "The same by Deployments";
    K8sReplicasetName: "WIRESPAN_K8S_REPLICASET_NAME"
        => "The same by ReplicaSets";
    K8sStatefulsetName: "WIRESPAN_K8S_STATEFULSET_NAME"
        => "The same by StatefulSets";
    K8sDaemonsetName: "WIRESPAN_K8S_DAEMONSET_NAME"
        => "The same by DaemonSets";
    K8sJobName: "WIRESPAN_K8S_JOB_NAME"
        => "The same by Jobs";
    K8sCronjobName: "WIRESPAN_K8S_CRONJOB_NAME"
        => "The same by CronJobs";
    K8sPodLabels: "WIRESPAN_K8S_POD_LABELS"
        => "The same by labels, all of them: app=web-*,tier=front";
    K8sPodAnnotations: "WIRESPAN_K8S_POD_ANNOTATIONS"
        => "The same by annotations: example.com/traced=true";
    DefaultExclude: "WIRESPAN_DEFAULT_EXCLUDE"
        => "false: watch agents, collectors and the cluster's own namespaces like anything else";
    ServiceName: "OTEL_SERVICE_NAME" "BEYLA_SERVICE_NAME" "OTEL_EBPF_SERVICE_NAME"
        => "service.name of everything that is traced";
    ServiceNamespace: "BEYLA_SERVICE_NAMESPACE" "OTEL_EBPF_SERVICE_NAMESPACE"
        => "service.namespace of everything that is traced";
    ResourceAttributes: "OTEL_RESOURCE_ATTRIBUTES"
        => "Attributes of everything that is traced, where nobody else says them: a=b,c=d";
    KubeMetadataEnable: "OTEL_EBPF_KUBE_METADATA_ENABLE" "BEYLA_KUBE_METADATA_ENABLE"
        => "Ask Kubernetes' API server of pods: true, false, or autodetect, which is within a pod";
    KubeRestrictLocalNode:
        "OTEL_EBPF_KUBE_META_RESTRICT_LOCAL_NODE" "BEYLA_KUBE_META_RESTRICT_LOCAL_NODE"
        => "false: ask for the pods of all nodes, not of this one alone";
    KubeClusterName: "OTEL_EBPF_KUBE_CLUSTER_NAME" "BEYLA_KUBE_CLUSTER_NAME"
        => "k8s.cluster.name of everything that is traced";
    KubePeers: "WIRESPAN_KUBE_PEERS"
        => "Whose names the API server is asked for besides pods': services, nodes, or none";
    KubeServiceNames: "WIRESPAN_KUBE_SERVICE_NAMES"
        => "How services in pods are named: opentelemetry, or beyla, which asks labels first";
    KubeLabels: "WIRESPAN_KUBE_RESOURCE_LABELS"
        => "Labels of pods to tell, as k8s.pod.label.<key>: a,b";
    KubeAnnotations: "WIRESPAN_KUBE_RESOURCE_ANNOTATIONS"
        => "Annotations of pods to tell, as k8s.pod.annotation.<key>: a,b";
    HostId: "OTEL_EBPF_HOST_ID" "BEYLA_HOST_ID"
        => "host.id of everything that is traced, instead of the machine's own";
    CloudMetadata: "WIRESPAN_CLOUD_METADATA"
        => "false: the cloud's metadata service is not asked where the host is";
    ContainerEngines: "WIRESPAN_CONTAINER_ENGINES"
        => "false: Docker, podman and containerd are not asked how containers are called";
    KubeConfig: "KUBECONFIG"
        => "File that says how to reach the API server, where it is asked with metadata true";
    Home: "HOME"
        => "Where .kube/config is taken from, where the API server is asked with metadata true";
    NodeName: "NODE_NAME" "K8S_NODE_NAME" "KUBE_NODE_NAME"
        => "This node, as the API server calls it, and host.name; by default by wirespan's own pod";
    KubernetesServiceHost: "KUBERNETES_SERVICE_HOST"
        => "Where the API server is, which Kubernetes tells each pod";
    KubernetesServicePort: "KUBERNETES_SERVICE_PORT"
        => "Its port";
    Endpoint: "OTEL_EXPORTER_OTLP_ENDPOINT"
        => "Receiver of OTLP; /v1/traces is added over HTTP";
    MetricsEndpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
        => "Where wirespan's own metrics go, over HTTP/protobuf; nowhere if it is not set";
    MetricExportInterval: "OTEL_METRIC_EXPORT_INTERVAL"
        => "Every how many milliseconds they go there";
    TracesEndpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
        => "Receiver of OTLP for traces alone, taken as it is";
    Protocol: "OTEL_EXPORTER_OTLP_PROTOCOL"
        => "grpc, http/protobuf or http/json; by default what the port suggests";
    TracesProtocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
        => "The same for traces alone";
    Headers: "OTEL_EXPORTER_OTLP_HEADERS"
        => "Header fields of each export: name=value,name=value";
    TracesHeaders: "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
        => "The same for traces alone";
    Timeout: "OTEL_EXPORTER_OTLP_TIMEOUT"
        => "Milliseconds that one export may take";
    TracesTimeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"
        => "The same for traces alone";
    Compression: "OTEL_EXPORTER_OTLP_COMPRESSION"
        => "gzip or none";
    TracesCompression: "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"
        => "The same for traces alone";
    Certificate: "OTEL_EXPORTER_OTLP_CERTIFICATE"
        => "PEM file with the certificates that are trusted";
    TracesCertificate: "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"
        => "The same for traces alone";
    ClientCertificate: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
        => "PEM file with the certificate that is shown to the receiver";
    TracesClientCertificate: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE"
        => "The same for traces alone";
    ClientKey: "OTEL_EXPORTER_OTLP_CLIENT_KEY"
        => "PEM file with its private key";
    TracesClientKey: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"
        => "The same for traces alone";
    Insecure: "OTEL_EXPORTER_OTLP_INSECURE"
        => "true: gRPC without TLS where the endpoint has no scheme";
    TracesInsecure: "OTEL_EXPORTER_OTLP_TRACES_INSECURE"
        => "The same for traces alone";
    TracesExporter: "OTEL_TRACES_EXPORTER"
        => "otlp, console or none, several with commas";
    BatchMaxSize:
        "OTEL_EBPF_OTLP_TRACES_BATCH_MAX_SIZE"
        "BEYLA_OTLP_TRACES_BATCH_MAX_SIZE"
        "BEYLA_OTEL_OTLP_TRACES_BATCH_MAX_SIZE"
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
        => "Most spans of one export";
    BatchTimeout:
        "OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT"
        "BEYLA_OTLP_TRACES_BATCH_TIMEOUT"
        "BEYLA_OTEL_OTLP_TRACES_BATCH_TIMEOUT"
        => "How long a span waits for its batch to fill: 1s";
    BatchScheduleDelay: "OTEL_BSP_SCHEDULE_DELAY"
        => "The same in milliseconds";
    QueueSize:
        "OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE"
        "BEYLA_OTLP_TRACES_QUEUE_SIZE"
        "BEYLA_OTEL_OTLP_TRACES_QUEUE_SIZE"
        "OTEL_BSP_MAX_QUEUE_SIZE"
        => "Most spans that wait for each destination; more are lost, and counted";
    TracePrinter: "BEYLA_TRACE_PRINTER" "OTEL_EBPF_TRACE_PRINTER"
        => "Print spans: text, tree, json, json_indent, counter or disabled";
    IgnoreHealthChecks: "WIRESPAN_IGNORE_HEALTH_CHECKS"
        => "true: no spans for gRPC's own health checks and reflection";
    ExcludeInstrumented:
        "BEYLA_EXCLUDE_OTEL_INSTRUMENTED_SERVICES" "OTEL_EBPF_EXCLUDE_OTEL_INSTRUMENTED_SERVICES"
        => "false: trace processes that export traces themselves, too";
    ContextPropagation:
        "BEYLA_BPF_CONTEXT_PROPAGATION" "OTEL_EBPF_BPF_CONTEXT_PROPAGATION"
        => "How calls carry their trace to other nodes: disabled, headers, tcp or all";
    ContextPropagationGroup: "WIRESPAN_CONTEXT_PROPAGATION_CGROUP"
        => "Control group whose processes' calls may carry it; all, if it is not set";
    ContextPropagationServices: "WIRESPAN_CONTEXT_PROPAGATION_SERVICES"
        => "Services whose calls may carry it: globs of names, or of namespace/name; else all";
    ContextPropagationPublic: "WIRESPAN_CONTEXT_PROPAGATION_PUBLIC"
        => "true: calls to public addresses may carry it, too";
    ContextPropagationTcpKind: "WIRESPAN_CONTEXT_PROPAGATION_TCP_KIND"
        => "Kind of the TCP option that carries it: 253 or 254";
    ContextPropagationTcpMagic: "WIRESPAN_CONTEXT_PROPAGATION_TCP_MAGIC"
        => "What tells that option from others of its kind: four hexadecimal digits";
    Propagators: "OTEL_PROPAGATORS"
        => "Headers that name a trace: tracecontext, b3, b3multi, jaeger, xray, or none";
    TracesSampler: "OTEL_TRACES_SAMPLER"
        => "Traces that are told: always_on, always_off, traceidratio, parentbased_always_on, …";
    TracesSamplerArg: "OTEL_TRACES_SAMPLER_ARG"
        => "For traceidratio: the part of all traces, from 0 to 1";
    TailSampling: "WIRESPAN_TAIL_SAMPLING"
        => "Of which traces their end decides: error,slower=500ms,/cart/*:slower=200ms,share=0.05";
    Peers: "WIRESPAN_PEERS"
        => "Agents of other nodes to ask who made a request: name:port,address:port";
    PeersListen: "WIRESPAN_PEERS_LISTEN"
        => "Where agents of other nodes ask: [::]:4319; nowhere if it is not set";
    PeersSecret: "WIRESPAN_PEERS_SECRET"
        => "A secret of at least 16 bytes that agents that ask each other share";
    PeersSecretFile: "WIRESPAN_PEERS_SECRET_FILE"
        => "The same in a file, which is read again for each connection";
    PeersCertificate: "WIRESPAN_PEERS_CERTIFICATE"
        => "PEM file with the certificate that is shown to other agents";
    PeersKey: "WIRESPAN_PEERS_KEY"
        => "PEM file with its private key";
    PeersAuthority: "WIRESPAN_PEERS_CA"
        => "PEM file with the authorities that sign the certificates of other agents";
    PeersTimeout: "WIRESPAN_PEERS_TIMEOUT"
        => "How long after a request its span waits for what other agents know: 1s";
    QueueSpans: "WIRESPAN_QUEUE_SPANS"
        => "true: spans `in queue` and `processing` below a server's";
    LinkRequestIds: "WIRESPAN_LINK_REQUEST_IDS"
        => "true: X-Request-Id is a hint where nothing else links a call";
    LateCalls: "WIRESPAN_LATE_CALLS"
        => "How long after its request a call is still below it: 100ms; later ones point at it";
    MemoryLimit: "WIRESPAN_MEMORY_LIMIT"
        => "Most memory for what others make it remember: 64MiB";
    CpuLimit: "WIRESPAN_CPU_LIMIT"
        => "Cores that it may take before it follows only some connections: 0.5, 500m; off for any";
    ConnectionsMax: "WIRESPAN_CONNECTIONS_MAX"
        => "Connections that the kernel side remembers at a time, 1 to 65536";
    Shards: "WIRESPAN_SHARDS"
        => "Threads that read what the kernel side says, 1 to 8";
    FollowCpuMax: "WIRESPAN_FOLLOW_CPU_MAX"
        => "Percent of a process's CPU time that following its tasks may take; 0: follow none";
    NodeLinks: "WIRESPAN_NODE_LINKS"
        => "false: pass over what Node's script tells";
    SensitiveQueryParamsAdd:
        "OTEL_EBPF_SENSITIVE_QUERY_PARAMS_ADD" "BEYLA_SENSITIVE_QUERY_PARAMS_ADD"
        => "Names of further query parameters whose values are hidden, with commas";
    SensitiveQueryParamsRemove:
        "OTEL_EBPF_SENSITIVE_QUERY_PARAMS_REMOVE" "BEYLA_SENSITIVE_QUERY_PARAMS_REMOVE"
        => "Names of query parameters whose values are not hidden, with commas";
    DropQuery: "WIRESPAN_DROP_QUERY"
        => "true: no queries of URLs";
    Capture: "WIRESPAN_CAPTURE"
        => "auto, socket_tracepoints, fexit, kprobes, syscall_tracepoints, legacy(_kprobes)";
    Btf: "WIRESPAN_BTF"
        => "Where a kernel that tells nothing of itself is described: file or folder, or observe";
    BpfDebug: "OTEL_EBPF_BPF_DEBUG" "BEYLA_BPF_DEBUG"
        => "true: log what the kernel side does";
    ShutdownTimeout: "BEYLA_SHUTDOWN_TIMEOUT" "OTEL_EBPF_SHUTDOWN_TIMEOUT"
        => "How long the last spans may take to leave at the end: 10s";
    HealthCheckPort: "OTEL_EBPF_HEALTH_CHECK_PORT" "BEYLA_HEALTH_CHECK_PORT"
        => "TCP port of /healthz and /readyz; nowhere if it is not set";
    HealthCheckListenAddress:
        "OTEL_EBPF_HEALTH_CHECK_LISTEN_ADDRESS" "BEYLA_HEALTH_CHECK_LISTEN_ADDRESS"
        => "Address of /healthz and /readyz: 127.0.0.1 if it is not set; :: for a kubelet";
    KeepPrivileges: "WIRESPAN_KEEP_PRIVILEGES"
        => "true: give up no capability and no system call after the start";
    LogLevel: "BEYLA_LOG_LEVEL" "OTEL_EBPF_LOG_LEVEL"
        => "error, warn, info, debug, trace or off";
    NoColor: "NO_COLOR"
        => "Anything: no colours";
}
