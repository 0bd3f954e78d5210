//! What the settings have become of a process's spans, once they are made: which are told, and
//! where they go. It asks no receiver.

use crate::config::{Config, OtlpProtocol, PrinterFormat, Sampler};
use crate::export::endpoint_without_secrets;

/// One sentence each.
pub fn of(config: &Config) -> Vec<String> {
    let spans = &config.spans;
    let mut lines = vec![sampled(&spans.sampler.unwrap_or_default())];
    if spans
        .tail_sampling
        .as_ref()
        .is_some_and(|it| !it.is_empty())
    {
        lines.push("of these, WIRESPAN_TAIL_SAMPLING chooses once they are over".to_owned());
    }
    if spans.exclude_instrumented.unwrap_or(true) {
        lines.push("if it exports traces itself, they are left to it".to_owned());
    }
    if spans.ignore_health_checks.unwrap_or_default() {
        lines.push("health checks of gRPC make none (WIRESPAN_IGNORE_HEALTH_CHECKS)".to_owned());
    }
    lines.push(goes(config));
    lines
}

fn sampled(sampler: &Sampler) -> String {
    // Of 2^56 values, those from the threshold on.
    let share = 1.0 - sampler.threshold as f64 / (1_u64 << 56) as f64;
    let told = match sampler.threshold {
        0 => "all traces are told".to_owned(),
        _ if share <= 0.0 => "no trace is told (OTEL_TRACES_SAMPLER)".to_owned(),
        _ => format!(
            "{:.4}% of traces are told (OTEL_TRACES_SAMPLER)",
            share * 100.0
        ),
    };
    match sampler.is_parent_based {
        true => format!("{told}, unless its caller decided otherwise"),
        false => told,
    }
}

fn goes(config: &Config) -> String {
    let traces = &config.traces;
    let to = traces.otlp.as_ref().map(|otlp| {
        let protocol = match otlp.protocol {
            OtlpProtocol::Grpc => "grpc",
            OtlpProtocol::HttpProtobuf => "http/protobuf",
            OtlpProtocol::HttpJson => "http/json",
        };
        let endpoint = endpoint_without_secrets(&otlp.endpoint);
        format!("they go to {endpoint} by {protocol}")
    });
    let printed = (traces.printer != PrinterFormat::Disabled).then(|| "they are printed".into());
    let ways: Vec<String> = to.into_iter().chain(printed).collect();
    if ways.is_empty() {
        return "they go nowhere: no endpoint and no printer is set".to_owned();
    }
    ways.join(", and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Purpose;

    fn told(environment: &[(&str, &str)]) -> Vec<String> {
        let environment = environment.iter().copied();
        let loaded = Config::load(Purpose::Explain, [], environment).expect("valid");
        of(&loaded.config)
    }

    #[test]
    fn what_settings_do_to_spans_is_said_in_order() {
        assert_eq!(
            told(&[]),
            [
                "all traces are told, unless its caller decided otherwise",
                "if it exports traces itself, they are left to it",
                "they go nowhere: no endpoint and no printer is set",
            ]
        );
        assert_eq!(
            told(&[
                ("OTEL_TRACES_SAMPLER", "traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
                ("WIRESPAN_TAIL_SAMPLING", "error"),
                ("BEYLA_EXCLUDE_OTEL_INSTRUMENTED_SERVICES", "false"),
                ("WIRESPAN_IGNORE_HEALTH_CHECKS", "true"),
                (
                    "OTEL_EXPORTER_OTLP_ENDPOINT",
                    "http://me:secret@collector:4317"
                ),
                ("BEYLA_TRACE_PRINTER", "text"),
            ]),
            [
                "25.0000% of traces are told (OTEL_TRACES_SAMPLER)",
                "of these, WIRESPAN_TAIL_SAMPLING chooses once they are over",
                "health checks of gRPC make none (WIRESPAN_IGNORE_HEALTH_CHECKS)",
                "they go to http://collector:4317 by grpc, and they are printed",
            ]
        );
        let none = told(&[("OTEL_TRACES_SAMPLER", "always_off")]);
        assert_eq!(none[0], "no trace is told (OTEL_TRACES_SAMPLER)");
    }
}
