//! Settings that say which headers are believed.

use wirespan::config::Propagator;
use wirespan::config::Propagator::{B3, B3Multi, Jaeger, TraceContext, XRay};

use crate::{config_with, load_with, warnings_of};

fn propagators(text: &str) -> Vec<Propagator> {
    let config = config_with(&[("OTEL_PROPAGATORS", text)]);
    config.spans.propagators().collect()
}

#[test]
fn propagators_are_those_of_the_specification() {
    assert_eq!(
        config_with(&[]).spans.propagators().collect::<Vec<_>>(),
        [TraceContext]
    );
    for (text, expected) in [
        ("tracecontext,baggage", &[TraceContext][..]),
        ("b3, B3Multi ,jaeger,xray", &[B3, B3Multi, Jaeger, XRay]),
        ("baggage", &[]),
        ("none", &[]),
        ("b3,b3,tracecontext", &[B3, TraceContext]),
        ("b3,ottrace", &[B3]),
        ("zipkin", &[TraceContext]),
    ] {
        assert_eq!(propagators(text), expected, "{text}");
    }
}

#[test]
fn propagators_that_are_not_known_are_warned_of_one_by_one() {
    assert_eq!(warnings_of(&[("OTEL_PROPAGATORS", "b3,baggage")]), [""; 0]);
    assert_eq!(
        warnings_of(&[("OTEL_PROPAGATORS", "b3,ottrace,zipkin")]),
        ["ottrace", "zipkin"].map(|name| {
            format!(
                "OTEL_PROPAGATORS: {name:?} is not among the headers that wirespan reads \
                 (tracecontext, b3, b3multi, jaeger, xray): it is ignored"
            )
        })
    );
}

/// Whether header fields and the TCP option carry context, and what is warned of.
fn carriers(environment: &[(&str, &str)]) -> (bool, bool, Vec<String>) {
    let loaded = load_with(environment).expect("it starts");
    let carriers = loaded.config.capture.carriers;
    (carriers.headers, carriers.option, loaded.warnings)
}

#[test]
fn nothing_carries_context_unless_that_is_asked_for() {
    const NAME: &str = "BEYLA_BPF_CONTEXT_PROPAGATION";
    assert_eq!(carriers(&[]), (false, false, vec![]));
    for (text, headers, option) in [
        ("disabled", false, false),
        ("headers", true, false),
        ("tcp", false, true),
        ("headers, tcp", true, true),
        ("all", true, true),
    ] {
        assert_eq!(carriers(&[(NAME, text)]), (headers, option, vec![]));
        // Only who may hear of options has requests wait for what they say.
        let spans = config_with(&[(NAME, text)]).spans;
        assert_eq!(spans.derives_traces(), headers || option, "{text}");
        assert_eq!(spans.heeds_options(), option, "{text}");
    }
    assert!(load_with(&[(NAME, "headers,disabled")]).is_err());
    assert!(load_with(&[(NAME, "header")]).is_err());
}

#[test]
fn the_option_is_one_of_those_for_experiments() {
    const KIND: &str = "WIRESPAN_CONTEXT_PROPAGATION_TCP_KIND";
    const MAGIC: &str = "WIRESPAN_CONTEXT_PROPAGATION_TCP_MAGIC";
    let form = config_with(&[]).capture.carriers.option_form;
    assert_eq!((form.kind, form.magic), (253, 0x5753));
    let given = [(KIND, "254"), (MAGIC, "0f5A")];
    let form = config_with(&given).capture.carriers.option_form;
    assert_eq!((form.kind, form.magic), (254, 0x0f5a));
    for wrong in [(KIND, "25"), (KIND, "8"), (KIND, "510"), (MAGIC, "57")] {
        assert!(load_with(&[wrong]).is_err(), "{wrong:?}");
    }
    assert!(load_with(&[(MAGIC, "+575")]).is_err());
}

#[test]
fn no_field_is_inserted_that_wirespan_itself_would_not_read() {
    let no_header = "BEYLA_BPF_CONTEXT_PROPAGATION: no header carries context, because \
                     OTEL_PROPAGATORS leaves tracecontext out";
    for (text, option) in [("headers", false), ("all", true)] {
        let given = [
            ("BEYLA_BPF_CONTEXT_PROPAGATION", text),
            ("OTEL_PROPAGATORS", "b3"),
        ];
        assert_eq!(
            carriers(&given),
            (false, option, vec![no_header.to_owned()])
        );
    }
}

#[test]
fn services_are_chosen_by_their_names_or_those_with_a_namespace() {
    const NAME: &str = "WIRESPAN_CONTEXT_PROPAGATION_SERVICES";
    let all = config_with(&[]).capture.carriers;
    assert!(all.choose(None, "cart"));
    assert!(!all.to_public);
    let some = config_with(&[(NAME, "ca*, shop/till")]).capture.carriers;
    assert!(some.choose(None, "cart"));
    assert!(some.choose(Some("other"), "cart"));
    assert!(some.choose(Some("shop"), "till"));
    assert!(!some.choose(Some("other"), "till"));
    assert!(!some.choose(None, "till"));
    assert!(load_with(&[(NAME, "ca[")]).is_err());
    let public = ("WIRESPAN_CONTEXT_PROPAGATION_PUBLIC", "true");
    assert!(config_with(&[public]).capture.carriers.to_public);
}

/// Whether the parent decides, and what of randomness it takes otherwise.
fn sampler(environment: &[(&str, &str)]) -> (bool, u64) {
    let sampler = config_with(environment).spans.sampler.unwrap_or_default();
    (sampler.is_parent_based, sampler.threshold)
}

#[test]
fn samplers_are_those_of_the_specification() {
    const ALL: u64 = 0;
    const NONE: u64 = 1 << 56;
    assert_eq!(sampler(&[]), (true, ALL));
    for (name, argument, expected) in [
        ("always_on", "", (false, ALL)),
        ("Always_Off", "", (false, NONE)),
        ("traceidratio", "", (false, ALL)),
        ("traceidratio", "0.25", (false, NONE / 4 * 3)),
        ("traceidratio", "1", (false, ALL)),
        ("traceidratio", "0", (false, NONE)),
        ("traceidratio", " 1e-16 ", (false, NONE - 7)),
        ("parentbased_always_on", "0.5", (true, ALL)),
        ("parentbased_always_off", "", (true, NONE)),
        ("parentbased_traceidratio", "0.5", (true, NONE / 2)),
    ] {
        let environment = [
            ("OTEL_TRACES_SAMPLER", name),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ];
        assert_eq!(sampler(&environment), expected, "{name} {argument}");
        assert_eq!(warnings_of(&environment), [""; 0]);
    }
}

#[test]
fn a_sampler_or_an_argument_that_is_wrong_is_warned_of_and_ignored() {
    for name in ["jaeger_remote", "parentbased_jaeger_remote", "xray", "0.5"] {
        let environment = [("OTEL_TRACES_SAMPLER", name)];
        assert_eq!(sampler(&environment), (true, 0));
        assert_eq!(
            warnings_of(&environment),
            [format!(
                "OTEL_TRACES_SAMPLER: {name:?} is not among the samplers that wirespan has \
                 (always_on, always_off, traceidratio, parentbased_always_on, \
                 parentbased_always_off, parentbased_traceidratio): parentbased_always_on is used"
            )]
        );
    }
    for argument in ["1.1", "-0.1", "half", "NaN", "inf", "50%"] {
        let environment = [
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ];
        assert_eq!(sampler(&environment), (true, 0));
        assert_eq!(
            warnings_of(&environment),
            [format!(
                "OTEL_TRACES_SAMPLER_ARG: {argument:?} is not a number from 0 to 1: all traces \
                 are sampled"
            )]
        );
    }
}

#[test]
fn what_has_no_effect_is_warned_of() {
    assert_eq!(
        warnings_of(&[("OTEL_TRACES_SAMPLER_ARG", "0.5")]),
        [
            "OTEL_TRACES_SAMPLER_ARG: without OTEL_TRACES_SAMPLER it means nothing: \
          parentbased_always_on is used"
        ]
    );
    for (rules, of) in [
        ("share=0.5,error,share=0.1", Some("")),
        ("/a:share=1,/a:share=0", Some(" of /a")),
        ("/a:share=1,/b:share=0,share=0.5", None),
    ] {
        let expected = of.map(|of| {
            format!("WIRESPAN_TAIL_SAMPLING: there are several shares{of}: the first one counts")
        });
        let warnings = warnings_of(&[("WIRESPAN_TAIL_SAMPLING", rules)]);
        assert_eq!(warnings, expected.into_iter().collect::<Vec<_>>());
    }
}

fn tail(text: &str) -> Option<Vec<String>> {
    let rules = load_with(&[("WIRESPAN_TAIL_SAMPLING", text)]).ok()?;
    let rules = rules.config.spans.tail_sampling.expect("set");
    let told = rules.iter().map(|rule| {
        let path = rule.path.as_deref().unwrap_or("-");
        format!("{path} {:?}", rule.condition)
    });
    Some(told.collect())
}

#[test]
fn rules_for_traces_that_are_over() {
    assert_eq!(config_with(&[]).spans.tail_sampling, None);
    for (text, expected) in [
        ("error", &["- Error"][..]),
        (
            "error, slower=500ms ,/cart/*:slower=1m30s,share=0.25",
            &[
                "- Error",
                "- SlowerNs(500000000)",
                "/cart/* SlowerNs(90000000000)",
                "- Threshold(54043195528445952)",
            ],
        ),
        (
            "/{a,b}:error,*/health: share=0",
            &["/{a,b} Error", "*/health Threshold(72057594037927936)"],
        ),
        ("/a:b:error", &["/a:b Error"]),
    ] {
        let expected = expected.iter().map(|rule| (*rule).to_owned()).collect();
        assert_eq!(tail(text), Some(expected), "{text}");
    }
    for text in [
        "errors",
        "error=1",
        "slower",
        "slower=500",
        "slower=-1s",
        "share=2",
        "share=5%",
        "cart:error",
        "/[:error",
        "/a:",
        ":error",
        "error;share=1",
        "slower=99999999h,error=",
    ] {
        assert_eq!(tail(text), None, "{text}");
    }
}
