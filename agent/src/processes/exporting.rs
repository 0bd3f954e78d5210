//! Whether a process exports traces itself. It is known by doing it: an export of its own that was
//! accepted. A process that takes exports of others, as collectors and proxies do, passes them on,
//! and says nothing of itself by that.

use wirespan_protocols::exchange::Role;

/// What a process was seen to do with traces since it runs its executable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Exporting {
    /// Nothing.
    #[default]
    Nothing,
    /// It sends them: an SDK in it makes them.
    Itself,
    /// It receives them.
    ForOthers,
}

/// How long a proxy may take for an export that it passes on, in nanoseconds: as long as SDKs wait
/// for an answer (opentelemetry-specification, protocol/exporter.md, `OTEL_EXPORTER_OTLP_TIMEOUT`).
const PASSED_ON_WITHIN_NS: u64 = 10_000_000_000;

/// Whether what a process sends may be what it was asked to take at that time. A proxy has its
/// answer before it gives its own, by which it would be known.
pub(super) fn may_be_anothers(asked_ns: Option<u64>, now_ns: u64) -> bool {
    asked_ns.is_some_and(|asked_ns| now_ns.saturating_sub(asked_ns) < PASSED_ON_WITHIN_NS)
}

impl Exporting {
    /// What it is once an export was accepted that it sent, as a client, or took, as a server.
    pub(super) fn seen(self, role: Role) -> Self {
        match (self, role) {
            (_, Role::Server) | (Self::ForOthers, _) => Self::ForOthers,
            (Self::Nothing | Self::Itself, Role::Client) => Self::Itself,
        }
    }
}
