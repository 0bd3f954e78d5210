//! What wirespan can do, each with the test that shows it. Whether a kernel offers what it takes is
//! written down here, so that a kernel where it stops working is a failure and no gap.

/// Something that wirespan can do.
pub struct Capability {
    pub name: &'static str,
    /// The way into socket calls; the daemon's choice if it is empty.
    pub strategy: &'static str,
    /// The file in `tests/tests`.
    pub executable: &'static str,
    /// One of its tests; all of them if it is empty.
    pub test: &'static str,
    /// Series of kernels that don't offer what it takes.
    lacking: &'static [&'static str],
}

impl Capability {
    const fn new(name: &'static str, executable: &'static str, test: &'static str) -> Self {
        Self {
            name,
            strategy: "",
            executable,
            test,
            lacking: &[],
        }
    }

    /// Every way of using sockets, by one of the ways into their calls.
    const fn sockets(
        name: &'static str,
        strategy: &'static str,
        lacking: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            strategy,
            executable: "strategies",
            test: "",
            lacking,
        }
    }

    /// What the object for kernels without a ring buffer does, forced.
    const fn legacy(name: &'static str, executable: &'static str, test: &'static str) -> Self {
        Self {
            strategy: "legacy",
            ..Self::new(name, executable, test)
        }
    }

    /// Whether a kernel of this series can be expected to do it.
    pub fn is_offered_by(&self, series: &str) -> bool {
        !self.lacking.contains(&series)
    }

    /// Whether what it takes is compiled for AArch64, and wirespan can do it there.
    pub fn is_on_aarch64(&self) -> bool {
        ON_AARCH64.contains(&self.name)
    }
}

/// Those that are run on AArch64, by name. Of the others the programs are not there.
const ON_AARCH64: [&str; 14] = [
    "sockets: tracepoints of sockets",
    "sockets: fexit",
    "sockets: tracepoints of system calls",
    "sockets: kretprobes",
    "losses are counted",
    "TLS: OpenSSL",
    "TLS: OpenSSL in nginx",
    "TLS: GnuTLS",
    "TLS: Go",
    "links: threads",
    "links: Go",
    "links: nginx",
    "links: both ends on one node",
    "doctor",
];

/// All of them: the ways into sockets, TLS by family, links by structures, and what tells of it.
pub const CAPABILITIES: [Capability; 30] = [
    // The tracepoints are of Linux 6.3.
    Capability::sockets(
        "sockets: tracepoints of sockets",
        "socket_tracepoints",
        &["5.10", "6.1", "6.1-arm64"],
    ),
    // This kernel was built without what fexit takes; on 5.10 it can't follow the types; AArch64
    // has it for functions of the kernel since 6.4.
    Capability::sockets("sockets: fexit", "fexit", &["here", "5.10", "6.1-arm64"]),
    Capability::sockets(
        "sockets: tracepoints of system calls",
        "syscall_tracepoints",
        &[],
    ),
    Capability::sockets("sockets: kretprobes", "kprobes", &["here"]),
    Capability::legacy("legacy: sockets", "strategies", ""),
    Capability::sockets("legacy: kretprobes", "legacy_kprobes", &["here"]),
    Capability::legacy(
        "legacy: losses are counted",
        "legacy",
        "what_perf_buffers_had_no_room_for_is_counted_and_nothing_is_made_up",
    ),
    Capability::legacy("legacy: OpenSSL", "tls", "an_object_that_owns_its_socket"),
    Capability::legacy(
        "legacy: GnuTLS",
        "tls_gnutls",
        "a_server_on_gnutls_is_told_as_it_served",
    ),
    Capability::legacy(
        "legacy: Go's TLS",
        "tls_go",
        "the_newest_go_is_told_as_it_served",
    ),
    Capability::legacy(
        "legacy: rustls",
        "tls_rustls",
        "hyper_over_rustls_is_told_as_it_served",
    ),
    Capability::new(
        "legacy: chosen where bpf(2) is as in 4.18",
        "old_kernels",
        "where_bpf_is_as_in_4_18_the_daemon_falls_back_by_itself",
    ),
    Capability::new(
        "sockets: passed on, shared, used again",
        "sockets",
        "sockets_are_passed_on_in_every_way",
    ),
    Capability::new(
        "losses are counted",
        "losses",
        "who_fills_the_ring_loses_its_own_records_and_a_quiet_neighbour_none",
    ),
    Capability::new("TLS: OpenSSL", "tls", "an_object_that_owns_its_socket"),
    Capability::new(
        "TLS: OpenSSL in nginx",
        "tls_openssl",
        "nginx_over_tls_is_told_as_it_logged",
    ),
    Capability::new(
        "TLS: GnuTLS",
        "tls_gnutls",
        "a_server_on_gnutls_is_told_as_it_served",
    ),
    Capability::new("TLS: Go", "tls_go", "the_newest_go_is_told_as_it_served"),
    Capability::new(
        "TLS: rustls",
        "tls_rustls",
        "hyper_over_rustls_is_told_as_it_served",
    ),
    Capability::new(
        "TLS: OpenSSL in a Java program",
        "tls_java",
        "netty_over_openssl_is_told_as_it_served",
    ),
    Capability::new("gRPC", "grpc", "grpc_go_and_tonic_are_told_as_they_saw_it"),
    Capability::new(
        "links: threads",
        "links_threads",
        "flask_has_a_thread_for_each_connection",
    ),
    Capability::new("links: Go", "links_go", "the_newest_go_over_http1"),
    Capability::new("links: nginx", "links_proxies", "nginx_passes_requests_on"),
    Capability::new("links: Python", "links_python", "fastapi_and_httpx"),
    Capability::new(
        "links: Node",
        "links_node",
        "calls_are_linked_where_the_script_was_loaded",
    ),
    Capability::new(
        "links: Java",
        "links_java",
        "virtual_threads_of_the_newest_java",
    ),
    Capability::new("links: tokio", "links_tokio", "over_http1"),
    Capability::new("links: both ends on one node", "links_joins", "over_tcp"),
    Capability::new(
        "doctor",
        "doctor",
        "where_all_is_well_it_says_how_a_run_would_work",
    ),
];
