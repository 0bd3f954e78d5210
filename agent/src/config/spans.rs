//! What decides how exchanges become spans. It travels as a record, so that a recording replays to
//! the spans of its run: whatever is added here has to be told there, and may hold no secret.

use serde::{Deserialize, Serialize};

use super::asking;
use super::names::Setting;
use super::propagators::{self, Propagator};
use super::sampler::{self, Sampler};
use super::settings::Settings;
use super::tail::{self, TailRule};
use super::{ConfigError, Part, values};
use crate::redact::Redaction;

/// A tenth of a second: what a request starts and does not wait for is done soon, or somebody
/// else's.
const LATE_CALLS_MS: u32 = 100;
/// Requests that are over are remembered as long as this.
const LATE_CALLS_MS_MAX: u32 = 10_000;

/// How spans are made. What is `None` was not set, and means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpanConfig {
    /// No spans for gRPC's own health checks and reflection.
    pub ignore_health_checks: Option<bool>,
    /// Names of further parameters whose values are hidden.
    pub sensitive_query_params_add: Option<Vec<String>>,
    /// Names of parameters whose values are not hidden.
    pub sensitive_query_params_remove: Option<Vec<String>>,
    /// Queries are left out altogether.
    pub drop_query: Option<bool>,
    /// Which header fields are believed to name a trace.
    pub propagators: Option<Vec<Propagator>>,
    /// A call belongs to the only request with the same `X-Request-Id`, if nothing else is known.
    pub link_request_ids: Option<bool>,
    /// How long after its end a request has calls of tasks that outlive it, in milliseconds.
    pub late_calls_ms: Option<u32>,
    /// Which traces are told.
    pub sampler: Option<Sampler>,
    /// Ids of traces that begin here follow from the connection, as the kernel side computes them.
    pub derive_traces: Option<bool>,
    /// Requests wait a moment for what a TCP option says of them.
    pub heeds_options: Option<bool>,
    /// Which traces are told once it is known what became of them; all, if there are no rules.
    pub tail_sampling: Option<Vec<TailRule>>,
    /// Spans for the time in the queue, and for that of processing, below those of servers.
    pub queue_spans: Option<bool>,
    /// Spans of processes that export traces themselves are left to these.
    pub exclude_instrumented: Option<bool>,
    /// How long after the end of an exchange other nodes may still answer who asked for it, in
    /// milliseconds; 0: none is asked.
    pub asked_within_ms: Option<u32>,
}

impl Part for SpanConfig {
    fn follow(&self, new: &Self) -> (Self, Vec<Setting>) {
        let follows = Self {
            // As the kernel side does, which was told at its start.
            derive_traces: self.derive_traces,
            heeds_options: self.heeds_options,
            ..new.clone()
        };
        (follows, Vec::new())
    }
}

impl SpanConfig {
    /// What is set here, and of the rest what `other` says.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let names = |ours: &Option<Vec<String>>, theirs: &Option<Vec<String>>| {
            ours.as_ref().or(theirs.as_ref()).cloned()
        };
        Self {
            ignore_health_checks: self.ignore_health_checks.or(other.ignore_health_checks),
            sensitive_query_params_add: names(
                &self.sensitive_query_params_add,
                &other.sensitive_query_params_add,
            ),
            sensitive_query_params_remove: names(
                &self.sensitive_query_params_remove,
                &other.sensitive_query_params_remove,
            ),
            drop_query: self.drop_query.or(other.drop_query),
            propagators: self
                .propagators
                .as_ref()
                .or(other.propagators.as_ref())
                .cloned(),
            link_request_ids: self.link_request_ids.or(other.link_request_ids),
            late_calls_ms: self.late_calls_ms.or(other.late_calls_ms),
            sampler: self.sampler.or(other.sampler),
            derive_traces: self.derive_traces.or(other.derive_traces),
            heeds_options: self.heeds_options.or(other.heeds_options),
            tail_sampling: self
                .tail_sampling
                .as_ref()
                .or(other.tail_sampling.as_ref())
                .cloned(),
            queue_spans: self.queue_spans.or(other.queue_spans),
            exclude_instrumented: self.exclude_instrumented.or(other.exclude_instrumented),
            asked_within_ms: self.asked_within_ms.or(other.asked_within_ms),
        }
    }

    /// The same with the defaults spelt out, so that another version's don't matter.
    #[must_use]
    pub fn spelt_out(&self) -> Self {
        self.or(&Self {
            ignore_health_checks: Some(false),
            sensitive_query_params_add: Some(Vec::new()),
            sensitive_query_params_remove: Some(Vec::new()),
            drop_query: Some(false),
            propagators: Some(propagators::DEFAULT.to_vec()),
            link_request_ids: Some(false),
            late_calls_ms: Some(LATE_CALLS_MS),
            sampler: Some(Sampler::default()),
            derive_traces: Some(false),
            heeds_options: Some(false),
            tail_sampling: Some(Vec::new()),
            queue_spans: Some(false),
            exclude_instrumented: Some(true),
            asked_within_ms: Some(0),
        })
    }

    /// Whether gRPC's own health checks and reflection make no spans.
    #[must_use]
    pub fn ignores_health_checks(&self) -> bool {
        self.ignore_health_checks.unwrap_or_default()
    }

    /// Which header fields are believed to name a trace.
    pub fn propagators(&self) -> impl Iterator<Item = Propagator> + '_ {
        let propagators = self.propagators.as_deref();
        propagators.unwrap_or(&propagators::DEFAULT).iter().copied()
    }

    /// Whether calls are linked by `X-Request-Id`.
    #[must_use]
    pub fn links_request_ids(&self) -> bool {
        self.link_request_ids.unwrap_or_default()
    }

    /// Whether ids of traces that begin here follow from the connection.
    #[must_use]
    pub fn derives_traces(&self) -> bool {
        self.derive_traces.unwrap_or_default()
    }

    /// Whether requests wait for what a TCP option says of them.
    #[must_use]
    pub fn heeds_options(&self) -> bool {
        self.heeds_options.unwrap_or_default()
    }

    /// How long after its end a request has calls of tasks that outlive it, in nanoseconds.
    #[must_use]
    pub fn late_calls_ns(&self) -> u64 {
        u64::from(self.late_calls_ms.unwrap_or(LATE_CALLS_MS)) * 1_000_000
    }

    /// Whether the stages of what servers do are spans.
    #[must_use]
    pub fn tells_queue(&self) -> bool {
        self.queue_spans.unwrap_or_default()
    }

    /// Whether spans of processes that export traces themselves are left to these.
    #[must_use]
    pub fn excludes_instrumented(&self) -> bool {
        self.exclude_instrumented.unwrap_or(true)
    }

    /// How long answers of other nodes are waited for, in nanoseconds; 0: none is asked.
    #[must_use]
    pub fn asked_within_ns(&self) -> u64 {
        u64::from(self.asked_within_ms.unwrap_or_default()) * 1_000_000
    }

    /// What of texts must not leave.
    #[must_use]
    pub fn redaction(&self) -> Redaction {
        let names = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
        Redaction::new(
            &names(&self.sensitive_query_params_add),
            &names(&self.sensitive_query_params_remove),
        )
        .dropping_queries(self.drop_query.unwrap_or_default())
    }
}

fn late_calls(settings: &Settings) -> Result<Option<u32>, ConfigError> {
    let milliseconds = |text: &str| {
        let ms = u32::try_from(values::duration(text)?.as_millis()).ok()?;
        (ms <= LATE_CALLS_MS_MAX).then_some(ms)
    };
    let given = settings.of(Setting::LateCalls);
    given
        .map(|given| given.parse(milliseconds, "a duration of at most 10s, such as 100ms"))
        .transpose()
}

pub(super) fn read(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<SpanConfig, ConfigError> {
    let boolean = |setting| settings.boolean(setting);
    // Names are separated by commas, as Beyla's lists are.
    let names = |setting| {
        let items = values::items(&settings.of(setting)?.text);
        Some(items.map(str::to_owned).collect())
    };
    Ok(SpanConfig {
        ignore_health_checks: boolean(Setting::IgnoreHealthChecks)?,
        sensitive_query_params_add: names(Setting::SensitiveQueryParamsAdd),
        sensitive_query_params_remove: names(Setting::SensitiveQueryParamsRemove),
        drop_query: boolean(Setting::DropQuery)?,
        propagators: propagators::read(settings, warnings),
        link_request_ids: boolean(Setting::LinkRequestIds)?,
        late_calls_ms: late_calls(settings)?,
        sampler: sampler::read(settings, warnings),
        derive_traces: None,
        heeds_options: None,
        tail_sampling: tail::read(settings, warnings)?,
        queue_spans: boolean(Setting::QueueSpans)?,
        exclude_instrumented: boolean(Setting::ExcludeInstrumented)?,
        asked_within_ms: asking::timeout(settings)?,
    })
}
