//! How spans are made, as records tell it: from the record on, and again in a replay.

use std::sync::Arc;

use wirespan::config::SpanConfig;
use wirespan::health::{Health, Loss};
use wirespan::pipeline::{PipelineConfig, Pipelines};
use wirespan::recording::{Reader, replay};
use wirespan::span::Span;
use wirespan_common::record::{Header, Kind};
use zerocopy::IntoBytes;

use crate::records::{MS, Recorder};
use crate::{Bench, CLIENT, OK, SERVER, WALL_NS, attribute};

const QUERY: &str = "GET /a?b=c&ticket=7&code=8 HTTP/1.1\r\nHost: o\r\n\r\n";

fn ask(recorder: &mut Recorder, id: u64) {
    recorder.at(id * MS).open_tcp(id, SERVER, CLIENT);
    recorder.read(id, QUERY).write(id, OK);
}

fn queries(spans: &[Span]) -> Vec<Option<String>> {
    let query = |span: &Span| attribute(span, "url.query");
    spans.iter().map(query).collect()
}

fn drop_query(drops: bool) -> SpanConfig {
    SpanConfig {
        drop_query: Some(drops),
        ..SpanConfig::default()
    }
}

fn other_names() -> SpanConfig {
    SpanConfig {
        sensitive_query_params_add: Some(vec!["ticket".into()]),
        sensitive_query_params_remove: Some(vec!["code".into()]),
        ..SpanConfig::default()
    }
}

/// A run whose settings change twice.
fn story() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop");
    ask(&mut recorder, 1);
    recorder.settings(&other_names());
    ask(&mut recorder, 2);
    recorder.settings(&drop_query(true));
    ask(&mut recorder, 3);
    recorder.settings(&SpanConfig::default());
    ask(&mut recorder, 4);
    recorder
}

const DEFAULT: &str = "b=c&ticket=7&code=REDACTED";
const OTHER_NAMES: &str = "b=c&ticket=REDACTED&code=8";

fn told(config: PipelineConfig) -> Vec<Option<String>> {
    let mut bench = Bench::new(config);
    bench.feed(&mut story()).finish();
    queries(&bench.spans)
}

#[test]
fn what_is_set_holds_from_its_record_on() {
    let told = told(PipelineConfig::default());
    let told: Vec<_> = told.iter().map(Option::as_deref).collect();
    assert_eq!(
        told,
        [Some(DEFAULT), Some(OTHER_NAMES), None, Some(DEFAULT)]
    );
}

#[test]
fn what_was_given_to_the_pipeline_wins_over_records_setting_by_setting() {
    let given = told(PipelineConfig {
        spans: drop_query(false),
        ..PipelineConfig::default()
    });
    let given: Vec<_> = given.iter().map(Option::as_deref).collect();
    assert_eq!(
        given,
        [
            Some(DEFAULT),
            Some(OTHER_NAMES),
            Some(DEFAULT),
            Some(DEFAULT)
        ]
    );
    let given = told(PipelineConfig {
        spans: SpanConfig {
            sensitive_query_params_add: Some(vec!["b".into()]),
            ..SpanConfig::default()
        },
        ..PipelineConfig::default()
    });
    let given: Vec<_> = given.iter().map(Option::as_deref).collect();
    assert_eq!(
        given,
        [
            Some("b=REDACTED&ticket=7&code=REDACTED"),
            // The names that are told are those of the run.
            Some("b=REDACTED&ticket=7&code=8"),
            None,
            Some("b=REDACTED&ticket=7&code=REDACTED"),
        ]
    );
}

#[test]
fn a_replay_gives_the_spans_of_the_run_by_the_settings_of_the_run() {
    let seeded = || PipelineConfig {
        seed: Some(1),
        ..PipelineConfig::default()
    };
    let mut live = Bench::new(seeded());
    live.feed(&mut story()).finish();
    let file = story().file();
    let mut pipelines = Pipelines::new(seeded(), Arc::new(Health::default()));
    let mut again = Vec::new();
    let mut reader = Reader::new(file.as_slice()).expect("a recording");
    replay(&mut reader, &mut pipelines, |spans| {
        again.append(spans);
    })
    .expect("whole");
    assert_eq!(reader.unknown(), 0);
    assert_eq!(format!("{again:?}"), format!("{:?}", live.spans));
}

#[test]
fn attributes_of_a_process_are_hidden_as_was_set_when_it_was_described() {
    let mut recorder = Recorder::new(WALL_NS);
    let process = wirespan::discover::Process {
        pid: crate::records::PID,
        service_name: "shop".into(),
        resource_attributes: [("ticket".to_owned(), "7".to_owned())].into(),
        ..Default::default()
    };
    recorder.settings(&other_names()).process(&process);
    ask(&mut recorder, 1);
    let spans = crate::spans_of(&mut recorder);
    let ticket = spans[0].resource.get("ticket").and_then(|it| it.as_str());
    assert_eq!(ticket, Some("REDACTED"));
}

fn raw(json: &[u8]) -> Vec<u8> {
    let header = Header {
        len: (size_of::<Header>() + json.len()) as u32,
        kind: Kind::Settings as u8,
        shard: 0,
        reserved: [0; 2],
        time_ns: 0,
        tgid: 0,
        tid: 0,
    };
    [header.as_bytes(), json].concat()
}

#[test]
fn what_is_no_setting_is_counted_and_what_a_later_version_sets_is_passed_over() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.settings(&other_names());
    for json in [&b""[..], b"{", b"\"a\"", b"{\"drop_query\":1}", b"\xff"] {
        recorder.records.push(raw(json));
    }
    ask(&mut recorder, 1);
    recorder
        .records
        .push(raw(br#"{"drop_query":true,"route_patterns":["/a"]}"#));
    ask(&mut recorder, 2);
    let mut bench = Bench::seeded();
    bench.feed(&mut recorder).finish();
    assert_eq!(bench.health.losses(Loss::Undecodable), 5);
    let told = queries(&bench.spans);
    assert_eq!(told, [Some(OTHER_NAMES.to_owned()), None]);
}

#[test]
fn a_record_of_settings_spells_out_the_defaults_and_nothing_else() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.settings(&SpanConfig::default());
    let json = &recorder.records[1][size_of::<Header>()..];
    assert_eq!(
        String::from_utf8_lossy(json),
        "{\"ignore_health_checks\":false,\"sensitive_query_params_add\":[],\
         \"sensitive_query_params_remove\":[],\"drop_query\":false,\
         \"propagators\":[\"tracecontext\"],\"link_request_ids\":false,\
         \"late_calls_ms\":100,\"sampler\":{\"is_parent_based\":true,\"threshold\":0},\
         \"derive_traces\":false,\"heeds_options\":false,\"tail_sampling\":[],\
         \"queue_spans\":false,\"exclude_instrumented\":true,\"asked_within_ms\":0}"
    );
}
