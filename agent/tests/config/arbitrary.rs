//! Whatever a variable holds, it is understood or refused in one line.

use proptest::prelude::*;
use wirespan::config::{Config, Purpose, SETTINGS};

use crate::ENOUGH;

/// Texts made of what the grammars are made of, and any other.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9,.\\- hmsunµ]{0,24}",
        "(https?://)?([a-z@.]{0,8}|\\[::1\\])(:[0-9]{0,6})?(/[a-z?%]{0,6})?",
        "[a-z=,%0-9{}*\\[\\]]{0,24}",
        ".{0,40}",
    ]
}

proptest! {
    #[test]
    fn every_variable_takes_any_text(index in 0..SETTINGS.len(), text in texts()) {
        let variable = SETTINGS[index].variables[0];
        let environment = ENOUGH
            .into_iter()
            .filter(|(name, _)| *name != variable)
            .chain([
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
                ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ])
            .chain([(variable, text.as_str())])
            .collect::<std::collections::BTreeMap<_, _>>();
        match Config::load(Purpose::Trace, [], environment) {
            Ok(loaded) => {
                let otlp = loaded.config.traces.otlp;
                if let Some(otlp) = otlp {
                    let uri: http::Uri = otlp.endpoint.parse().expect("an endpoint is a URI");
                    prop_assert!(uri.scheme().is_some() && uri.host().is_some());
                }
            }
            Err(error) => {
                let line = error.to_string();
                prop_assert!(!line.contains(char::is_control), "{line:?}");
                let names_it = line.contains(variable);
                let is_about_the_whole =
                    line.starts_with("no process") || line.starts_with("spans would");
                prop_assert!(names_it || is_about_the_whole, "{line}");
            }
        }
    }
}
