//! The sans-IO crate: what no protocol may touch, and that protocols do not know each other.

use super::Finding;
use super::fences::names_path;
use super::source::{Source, words};

const ROOM: &str = "agent/protocols/src";

/// The world outside. Bytes, positions, times and losses are handed in.
const FORBIDDEN: [&str; 10] = [
    "aya",
    "tokio",
    "log",
    "std::net",
    "std::fs",
    "std::io",
    "std::time",
    "std::thread",
    "std::env",
    "std::process",
];

/// One protocol that is carried by another, or answered in it, and the other.
const CARRIED: [(&str, &str); 2] = [("grpc", "http2"), ("uwsgi", "http1")];

pub fn protocols_touch_nothing(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_in(ROOM)) {
        for (line, code) in source.product_code() {
            if let Some(path) = FORBIDDEN.iter().find(|path| names_path(code, path)) {
                let what = format!("`{path}`: a protocol is handed bytes and reaches for nothing");
                findings.push(Finding::new(source, line, what));
            }
        }
        for (line, code) in super::source::numbered(&source.code) {
            if words(code, "unsafe").next().is_some() {
                let what = "protocols read hostile bytes without unsafe code";
                findings.push(Finding::new(source, line, what));
            }
        }
    }
    findings
}

pub fn protocols_do_not_know_each_other(sources: &[Source]) -> Vec<Finding> {
    let registry = format!("{ROOM}/registry.rs");
    let Some(registry) = sources.iter().find(|source| source.path == registry) else {
        return Vec::new();
    };
    let protocols = registered(&registry.code);
    let mut findings = Vec::new();
    for one in &protocols {
        let place = format!("{ROOM}/{one}");
        for source in sources.iter().filter(|source| source.is_in(&place)) {
            for (line, code) in source.product_code() {
                for other in &protocols {
                    if one != other && !CARRIED.contains(&(one, other)) && names_module(code, other)
                    {
                        let what = format!("the protocol {one} names the protocol {other}");
                        findings.push(Finding::new(source, line, what));
                    }
                }
            }
        }
    }
    findings
}

/// Names of the modules whose `PROTOCOL` the registry lists.
fn registered(registry: &str) -> Vec<&str> {
    registry
        .split("::PROTOCOL")
        .filter_map(|before| {
            before
                .rsplit("crate::")
                .next()
                .filter(|_| before.contains("crate::"))
        })
        .filter(|name| {
            name.chars()
                .all(|character| character.is_alphanumeric() || character == '_')
        })
        .collect()
}

fn names_module(code: &str, module: &str) -> bool {
    names_path(code, module)
        || names_path(code, &format!("crate::{module}"))
        || names_path(code, &format!("super::{module}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_a_socket_and_unsafe_code_are_found() {
        for text in [
            "use std::time::Instant;",
            "use std::{fmt, net};",
            "log::info!(x);",
            "let a = unsafe { b };",
        ] {
            let sources = [Source::new("agent/protocols/src/http1/head.rs", text)];
            assert_eq!(protocols_touch_nothing(&sources).len(), 1, "{text}");
        }
        let sources = [Source::new("agent/protocols/src/http1.rs", "use std::fmt;")];
        assert!(protocols_touch_nothing(&sources).is_empty());
    }

    #[test]
    fn a_protocol_that_names_another_is_found() {
        let registry = Source::new(
            "agent/protocols/src/registry.rs",
            "&[crate::http1::PROTOCOL, crate::http2::PROTOCOL, crate::grpc::PROTOCOL]",
        );
        let broken = Source::new(
            "agent/protocols/src/http1/head.rs",
            "use crate::http2::Frame;",
        );
        let carried = Source::new("agent/protocols/src/grpc.rs", "use crate::http2::Frame;");
        let own = Source::new("agent/protocols/src/http2.rs", "use crate::http2::frame;");
        let findings = protocols_do_not_know_each_other(&[registry, broken, carried, own]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "agent/protocols/src/http1/head.rs");
    }

    #[test]
    fn the_registry_tells_the_protocols() {
        let registry = "&[crate::http1::PROTOCOL, crate::redis::PROTOCOL]; crate::x::Other";
        assert_eq!(registered(registry), ["http1", "redis"]);
    }
}
