//! Which room may name which crate, setting, attribute or `unsafe`.

use super::Finding;
use super::source::{Source, words};

/// A path that only some places may name.
struct Fence {
    /// The first segment or segments, as code writes them.
    paths: &'static [&'static str],
    /// Within these, as [`Source::is_in`] takes them.
    scope: &'static str,
    allowed: &'static [&'static str],
    why: &'static str,
}

const FENCES: &[Fence] = &[
    Fence {
        paths: &["aya", "aya_log", "aya_obj"],
        scope: "agent/src",
        allowed: &["agent/src/capture"],
        why: "only capture knows aya",
    },
    Fence {
        paths: &["opentelemetry_proto", "opentelemetry_otlp", "reqwest"],
        scope: "agent/src",
        allowed: &["agent/src/export"],
        why: "only export knows OTLP and its transports",
    },
    Fence {
        paths: &["tonic", "prost", "tonic_prost"],
        scope: "agent/src",
        allowed: &["agent/src/export", "agent/src/engine/containerd"],
        why: "only OTLP and containerd are spoken over gRPC",
    },
    Fence {
        paths: &[
            "std::env",
            "env::var",
            "env::var_os",
            "env::vars",
            "env::vars_os",
        ],
        scope: "agent/src",
        allowed: &["agent/src/config", "agent/src/cli", "agent/src/main"],
        why: "only config reads settings",
    },
    Fence {
        paths: &[
            "crate::http1",
            "crate::http2",
            "crate::grpc",
            "crate::redis",
            "crate::mongodb",
            "super::http2",
        ],
        scope: "agent/protocols/src",
        allowed: &[
            "agent/protocols/src/http1",
            "agent/protocols/src/http2",
            "agent/protocols/src/grpc",
            "agent/protocols/src/redis",
            "agent/protocols/src/mongodb",
            // Its answers are HTTP/1.
            "agent/protocols/src/uwsgi",
            // One line for each.
            "agent/protocols/src/registry",
            "agent/protocols/src/learnt",
            "agent/protocols/src/lib",
        ],
        why: "the contract of protocols knows none of them",
    },
    Fence {
        paths: &["crate::span", "crate::export", "crate::exchanges"],
        scope: "agent/src/connections",
        allowed: &[],
        why: "connections are there before there are spans",
    },
    Fence {
        paths: &[
            "crate::span::db",
            "crate::span::http",
            "crate::span::rpc",
            "crate::export",
        ],
        scope: "agent/src/exchanges",
        allowed: &[],
        why: "what becomes of an exchange does not depend on what was said",
    },
];

pub fn rooms_keep_to_themselves(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for fence in FENCES {
        let fenced = sources.iter().filter(|source| {
            source.is_in(fence.scope) && !fence.allowed.iter().any(|place| source.is_in(place))
        });
        for source in fenced {
            for (line, code) in source.product_code() {
                if let Some(path) = fence.paths.iter().find(|path| names_path(code, path)) {
                    findings.push(Finding::new(
                        source,
                        line,
                        format!("`{path}`: {}", fence.why),
                    ));
                }
            }
        }
    }
    findings
}

/// Whether code names something of `path`: `aya::Ebpf`, `use aya;`, `use std::{env, fs}`.
pub fn names_path(code: &str, path: &str) -> bool {
    if let Some((parent, child)) = path.rsplit_once("::")
        && let Some((_, group)) = code.split_once(&format!("{parent}::{{"))
        && words(group, child).any(|(before, _)| !before.ends_with(':'))
    {
        return true;
    }
    words(code, path).any(|(before, after)| {
        let whole = !before.ends_with(':') || before.ends_with("(::") || before.ends_with(" ::");
        let used = before.trim_start().starts_with("use ") || before.contains(" use ");
        whole && (path.contains("::") || after.starts_with("::") || used)
    })
}

/// First words of the names that OpenTelemetry's conventions give to what spans and resources say.
const ATTRIBUTES: [&str; 17] = [
    "http",
    "url",
    "server",
    "client",
    "network",
    "service",
    "process",
    "telemetry",
    "user_agent",
    "error",
    "host",
    "os",
    "db",
    "rpc",
    "messaging",
    "container",
    "k8s",
];

const ATTRIBUTE_PLACES: [&str; 4] = [
    "agent/src/semconv",
    "agent/src/span",
    "agent/src/enrich",
    // The text printer chooses what a line shows.
    "agent/src/export/printer",
];

pub fn attribute_names_are_in_one_place(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let allowed = ATTRIBUTE_PLACES.iter().any(|place| source.is_in(place));
        if allowed || !(source.is_in("agent/src") || source.is_in("agent/protocols/src")) {
            continue;
        }
        for (line, text) in &source.strings {
            if *line < source.tests_from && is_attribute(text) {
                let what = format!("attribute name {text:?} belongs into agent/src/semconv.rs");
                findings.push(Finding::new(source, *line, what));
            }
        }
    }
    findings
}

fn is_attribute(text: &str) -> bool {
    let Some((first, rest)) = text.split_once('.') else {
        return false;
    };
    ATTRIBUTES.contains(&first)
        && rest.starts_with(|character: char| character.is_ascii_lowercase())
        && rest
            .chars()
            .all(|character| character.is_ascii_lowercase() || "._0123456789".contains(character))
}

const UNSAFE_PLACES: [&str; 2] = ["agent-ebpf/src/memory", "agent-ebpf/src/maps"];

/// Further files of the kernel side, each with the reason why it cannot do without.
const UNSAFE_EXCEPTIONS: &[(&str, &str)] = &[];

pub fn unsafe_code_is_in_two_files(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let exceptions = UNSAFE_EXCEPTIONS.iter().map(|(place, _)| place);
    let allowed: Vec<_> = UNSAFE_PLACES.iter().chain(exceptions).collect();
    for source in sources {
        if !source.is_in("agent-ebpf/src") || allowed.iter().any(|place| source.is_in(place)) {
            continue;
        }
        for (line, code) in source.product_code() {
            // `#[unsafe(link_section = …)]` names a place and does nothing.
            if words(code, "unsafe").any(|(before, _)| !before.ends_with("#[")) {
                let what = "the kernel side's unsafe code lives in memory.rs and maps.rs";
                findings.push(Finding::new(source, line, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(rule: fn(&[Source]) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(&[Source::new(path, text)]).len()
    }

    #[test]
    fn aya_outside_capture_is_found() {
        let check = |path, text| one(rooms_keep_to_themselves, path, text);
        assert_eq!(check("agent/src/pipeline.rs", "use aya::Ebpf;"), 1);
        assert_eq!(
            check("agent/src/pipeline.rs", "fn a(x: &mut aya::Ebpf) {}"),
            1
        );
        assert_eq!(check("agent/src/capture/load.rs", "use aya::Ebpf;"), 0);
        assert_eq!(check("agent/src/pipeline.rs", "let aya = maya::x();"), 0);
        assert_eq!(
            check(
                "agent/src/pipeline.rs",
                "#[cfg(test)]\nmod tests {\nuse aya::E;\n}"
            ),
            0
        );
    }

    #[test]
    fn otlp_outside_export_is_found() {
        let check = |path, text| one(rooms_keep_to_themselves, path, text);
        assert_eq!(
            check("agent/src/span.rs", "use opentelemetry_proto::tonic::Span;"),
            1
        );
        assert_eq!(check("agent/src/export/otlp.rs", "use prost::Message;"), 0);
    }

    #[test]
    fn settings_read_outside_config_are_found() {
        let check = |path, text| one(rooms_keep_to_themselves, path, text);
        assert_eq!(check("agent/src/span.rs", "let a = std::env::var(x);"), 1);
        assert_eq!(check("agent/src/span.rs", "use std::{env, fs};"), 1);
        assert_eq!(
            check("agent/src/config/values.rs", "let a = std::env::var(x);"),
            0
        );
        assert_eq!(check("agent/src/span.rs", "let a = env!(x);"), 0);
    }

    #[test]
    fn attribute_names_elsewhere_are_found() {
        let check = |path, text| one(attribute_names_are_in_one_place, path, text);
        assert_eq!(
            check("agent/src/discover.rs", "let a = \"service.name\";"),
            1
        );
        assert_eq!(
            check("agent/src/semconv.rs", "let a = \"service.name\";"),
            0
        );
        assert_eq!(
            check("agent/src/discover.rs", "let a = \"http.rs is a file\";"),
            0
        );
        assert_eq!(
            check("agent/src/discover.rs", "// says \"service.name\""),
            0
        );
    }

    #[test]
    fn unsafe_code_elsewhere_in_the_kernel_side_is_found() {
        let check = |path, text| one(unsafe_code_is_in_two_files, path, text);
        assert_eq!(
            check("agent-ebpf/src/hooks/accept.rs", "unsafe { read() }"),
            1
        );
        assert_eq!(check("agent-ebpf/src/memory.rs", "unsafe { read() }"), 0);
        assert_eq!(check("agent-ebpf/src/main.rs", "#[unsafe(no_mangle)]"), 0);
    }
}
