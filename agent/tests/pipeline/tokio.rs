//! Which request a task of tokio asks for: the one that it serves or was made for, or that of who
//! handed it something through a channel. Where that is not certain there is none.

use wirespan::span::{Span, SpanKind};
use wirespan_common::record::{TaskEvent, TaskKind};

use crate::goroutines::{PREFACE, SETTINGS, request, response};
use crate::links::{FRONT, INNER, OUTER, all, find, get, link, tell};
use crate::records::{MS, Recorder};
use crate::{Bench, OK};

const TOKIO: TaskKind = TaskKind::Tokio;
/// Tasks: one that reads requests, the one of a client's connection, and one that was made.
const READER: u64 = 10;
const CONNECTION: u64 = 20;
const MADE: u64 = 30;
/// The channel from which the connection's task takes, and one of somebody else.
const CHANNEL: u64 = 0x7000;
const OTHER: u64 = 0x8000;
/// The table of functions of a task that is made.
const TABLE: u32 = 0x40_1000;

/// A task of the front does something next.
fn by(recorder: &mut Recorder, task: u64) -> &mut Recorder {
    recorder.of(FRONT).as_task(TOKIO, task, 0)
}

fn served(recorder: &mut Recorder, path: &str) {
    by(recorder, READER).read(OUTER[1], get(path));
}

fn answered(recorder: &mut Recorder) {
    by(recorder, READER).write(OUTER[1], OK);
}

/// A task of the front is made.
fn born(recorder: &mut Recorder, task: u64, parent: u64, table: u32) {
    recorder.of(FRONT);
    recorder.note(TaskEvent::Born, TOKIO, task, parent, table);
}

/// It puts something into a channel, at a place of which `next` says one more than is taken next.
fn puts(recorder: &mut Recorder, task: u64, channel: u64, place: u32, numbers: [u64; 4]) {
    recorder.of(FRONT);
    recorder.note_with(TaskEvent::Put, TOKIO, [task, channel], place, &numbers);
}

/// It gives the connection's task something to send.
fn gives(recorder: &mut Recorder, task: u64) {
    puts(recorder, task, CHANNEL, 0, [CONNECTION, 0, 0, 0]);
}

fn sent(recorder: &mut Recorder, path: &str) {
    by(recorder, CONNECTION).write(INNER[0], get(path));
}

fn heard(recorder: &mut Recorder) {
    by(recorder, CONNECTION).read(INNER[0], OK);
}

/// A call of a task of the front by way of the connection's, and its answer.
fn called(recorder: &mut Recorder, task: u64, path: &str) {
    gives(recorder, task);
    sent(recorder, path);
    heard(recorder);
}

/// The path of the request that a call is linked to.
fn parent_of(spans: &[Span], path: &str) -> Option<String> {
    let call = find(spans, SpanKind::Client, path);
    let mut servers = spans.iter().filter(|span| span.kind == SpanKind::Server);
    let server = servers.find(|server| {
        let link = link(&call, server);
        assert!(link.is_none() || link.as_deref() == Some("tokio"));
        link.is_some()
    })?;
    let text = format!("{:?}", server.attributes);
    let path = text.split('"').find(|part| part.starts_with('/'));
    path.map(str::to_owned)
}

#[test]
fn a_call_is_for_who_put_it_into_the_connections_channel_last() {
    let mut recorder = all();
    served(&mut recorder, "/1");
    called(&mut recorder, READER, "/1/own");
    born(&mut recorder, MADE, READER, TABLE);
    called(&mut recorder, MADE, "/1/made");
    answered(&mut recorder);
    served(&mut recorder, "/2");
    // Somebody who serves nothing.
    called(&mut recorder, 99, "/none");
    // What was put there and given up, and then another one's, whose channel waits for nobody.
    gives(&mut recorder, 99);
    puts(&mut recorder, READER, CHANNEL, 1, [0; 4]);
    sent(&mut recorder, "/2/own");
    heard(&mut recorder);
    // One that nobody put there.
    sent(&mut recorder, "/unseen");
    heard(&mut recorder);
    answered(&mut recorder);
    let spans = tell(&mut recorder);
    let parent = |path| parent_of(&spans, path);
    assert_eq!(parent("/1/own").as_deref(), Some("/1"));
    assert_eq!(parent("/1/made").as_deref(), Some("/1"));
    assert_eq!(parent("/none"), None);
    assert_eq!(parent("/2/own").as_deref(), Some("/2"));
    assert_eq!(parent("/unseen"), None);
}

/// The task of a connection that the first request made is not that one's.
#[test]
fn a_connections_task_has_nothing_of_the_request_that_made_it() {
    let mut recorder = all();
    served(&mut recorder, "/1");
    born(&mut recorder, CONNECTION, READER, TABLE);
    gives(&mut recorder, 99);
    sent(&mut recorder, "/other");
    heard(&mut recorder);
    sent(&mut recorder, "/unseen");
    heard(&mut recorder);
    answered(&mut recorder);
    let spans = tell(&mut recorder);
    assert_eq!(parent_of(&spans, "/other"), None);
    assert_eq!(parent_of(&spans, "/unseen"), None);
}

/// Who sends what it gets one behind the other is no connection of HTTP/1.
#[test]
fn who_gets_more_before_the_answer_is_nobodys() {
    let mut recorder = all();
    served(&mut recorder, "/1");
    gives(&mut recorder, READER);
    sent(&mut recorder, "/1/first");
    gives(&mut recorder, 99);
    heard(&mut recorder);
    called(&mut recorder, READER, "/1/second");
    answered(&mut recorder);
    let spans = tell(&mut recorder);
    assert_eq!(parent_of(&spans, "/1/first").as_deref(), Some("/1"));
    assert_eq!(parent_of(&spans, "/1/second"), None);
}

#[test]
fn who_reads_ahead_has_no_request_that_is_certain() {
    let mut recorder = all();
    by(&mut recorder, READER).read(OUTER[1], [get("/1"), get("/2")].concat());
    called(&mut recorder, READER, "/call");
    answered(&mut recorder);
    answered(&mut recorder);
    let spans = tell(&mut recorder);
    assert_eq!(parent_of(&spans, "/call"), None);
}

/// For what a task does besides it is waited whether it does something though its request is over.
#[test]
fn who_works_on_for_others_is_nobodys_and_who_does_not_is_its_requests() {
    for serves_others in [false, true] {
        let mut bench = Bench::seeded();
        let mut recorder = all();
        served(&mut recorder, "/1");
        born(&mut recorder, MADE, READER, TABLE);
        called(&mut recorder, MADE, "/1/first");
        called(&mut recorder, MADE, "/1/second");
        answered(&mut recorder);
        recorder.at(40 * MS);
        if serves_others {
            called(&mut recorder, MADE, "/2/call");
        }
        recorder.at(60 * MS);
        served(&mut recorder, "/3");
        born(&mut recorder, MADE + 1, READER, TABLE);
        called(&mut recorder, MADE + 1, "/3/like");
        answered(&mut recorder);
        recorder.at(1000 * MS).clock(0);
        bench.feed(&mut recorder).finish();
        let parent = |path| parent_of(&bench.spans, path);
        assert_eq!(parent("/1/first").as_deref(), Some("/1"));
        let of = |path| (!serves_others).then_some(path);
        assert_eq!(parent("/1/second").as_deref(), of("/1"));
        assert_eq!(parent("/3/like").as_deref(), of("/3"));
        if serves_others {
            assert_eq!(parent("/2/call"), None);
        }
    }
}

/// Who is told something by somebody else does not work for the request that it was made for.
#[test]
fn who_takes_from_a_channel_is_nobodys() {
    let mut recorder = all();
    served(&mut recorder, "/1");
    born(&mut recorder, MADE, READER, TABLE);
    // It waits for what comes from tasks of its own request.
    puts(&mut recorder, READER, OTHER, 0, [MADE, 1, 0, 0]);
    called(&mut recorder, MADE, "/1/told");
    puts(&mut recorder, 99, OTHER, 1, [MADE, 2, 0, 0]);
    called(&mut recorder, MADE, "/1/by-another");
    answered(&mut recorder);
    let spans = tell(&mut recorder);
    assert_eq!(parent_of(&spans, "/1/told").as_deref(), Some("/1"));
    assert_eq!(parent_of(&spans, "/1/by-another"), None);
}

/// Two connections of clients have served a request each: the second of the front's.
const SECOND: [u64; 2] = [31, 32];
/// The task that gives streams, made right behind the one that writes them.
const GIVER: u64 = CONNECTION + 1;

/// A request on each of two connections; both ask over one connection of HTTP/2.
fn over_http2(recorder: &mut Recorder) {
    let [user, front, _] = crate::links::LOOP;
    recorder.open_both([(SECOND[0], 100, user), (SECOND[1], FRONT, front)], [5, 6]);
    served(recorder, "/1");
    by(recorder, READER + 1).read(SECOND[1], get("/2"));
    born(recorder, CONNECTION, READER, TABLE);
    born(recorder, GIVER, READER, TABLE + 1);
    by(recorder, READER).write(INNER[0], PREFACE);
    by(recorder, CONNECTION).read(INNER[0], SETTINGS);
}

fn sends(recorder: &mut Recorder, stream: u8, took: u64) {
    recorder.of(FRONT);
    let who = [GIVER, CHANNEL];
    recorder.note_with(TaskEvent::Sends, TOKIO, who, stream.into(), &[took]);
}

fn on_stream(recorder: &mut Recorder, stream: u8, path: &str) {
    by(recorder, CONNECTION).write(INNER[0], request(stream, path));
}

#[test]
fn a_stream_is_for_who_put_it_where_it_was_taken() {
    let mut recorder = all();
    over_http2(&mut recorder);
    puts(&mut recorder, READER + 1, CHANNEL, 0, [GIVER, 1, 0, 0]);
    // One that is given up before it was taken, and two that the task finds when it comes round.
    puts(&mut recorder, 99, CHANNEL, 1, [0, 1, 0, 0]);
    puts(&mut recorder, READER, CHANNEL, 2, [0, 1, 0, 0]);
    sends(&mut recorder, 1, 1);
    sends(&mut recorder, 3, 3);
    on_stream(&mut recorder, 1, "/2/call");
    on_stream(&mut recorder, 3, "/1/call");
    // A place that nobody was seen to fill, and a stream of which nothing was told.
    sends(&mut recorder, 5, 9);
    on_stream(&mut recorder, 5, "/5");
    on_stream(&mut recorder, 7, "/7");
    for stream in [1, 3, 5, 7] {
        by(&mut recorder, CONNECTION).read(INNER[0], response(stream));
    }
    answered(&mut recorder);
    by(&mut recorder, READER + 1).write(SECOND[1], OK);
    let spans = tell(&mut recorder);
    let parent = |path| parent_of(&spans, path);
    assert_eq!(parent("/2/call").as_deref(), Some("/2"));
    assert_eq!(parent("/1/call").as_deref(), Some("/1"));
    assert_eq!(parent("/5"), None);
    assert_eq!(parent("/7"), None);
}

/// tower's `Buffer` stands in front of the channel; who else takes from a channel is not followed.
#[test]
fn what_is_passed_on_is_for_who_put_it_into_the_first_channel() {
    const BUFFER: u64 = 40;
    let mut recorder = all();
    over_http2(&mut recorder);
    puts(&mut recorder, READER, OTHER, 0, [BUFFER, 1, 0, 0]);
    puts(&mut recorder, READER + 1, OTHER, 1, [0, 1, 0, 0]);
    puts(&mut recorder, BUFFER, CHANNEL, 0, [GIVER, 1, OTHER, 1]);
    puts(&mut recorder, BUFFER, CHANNEL, 1, [0, 1, OTHER, 2]);
    puts(&mut recorder, READER, OTHER, 2, [BUFFER, 3, 0, 0]);
    // Not told to be one that passes on.
    puts(&mut recorder, BUFFER, CHANNEL, 2, [0, 1, 0, 0]);
    for (stream, path) in [(1, "/1/call"), (3, "/2/call"), (5, "/nobody")] {
        sends(&mut recorder, stream, u64::from(stream).div_ceil(2));
        on_stream(&mut recorder, stream, path);
        by(&mut recorder, CONNECTION).read(INNER[0], response(stream));
    }
    answered(&mut recorder);
    by(&mut recorder, READER + 1).write(SECOND[1], OK);
    let spans = tell(&mut recorder);
    let parent = |path| parent_of(&spans, path);
    assert_eq!(parent("/1/call").as_deref(), Some("/1"));
    assert_eq!(parent("/2/call").as_deref(), Some("/2"));
    assert_eq!(parent("/nobody"), None);
}

/// A server's streams, each of which has a task; which it is, is known when it answers.
#[test]
fn what_a_streams_task_asks_for_is_known_when_it_answers() {
    let mut recorder = all();
    by(&mut recorder, READER).read(OUTER[1], PREFACE);
    by(&mut recorder, READER).write(OUTER[1], SETTINGS);
    let both = [request(1, "/1"), request(3, "/3"), request(5, "/5")].concat();
    by(&mut recorder, READER).read(OUTER[1], both);
    for stream in [1, 3, 5] {
        born(&mut recorder, MADE + stream, READER, TABLE);
    }
    // One that it makes asks, too.
    born(&mut recorder, MADE + 10, MADE + 3, TABLE + 1);
    called(&mut recorder, MADE + 10, "/3/made");
    called(&mut recorder, MADE + 3, "/3/call");
    called(&mut recorder, MADE + 1, "/1/call");
    called(&mut recorder, MADE + 5, "/5/call");
    // Which half of the number is the stream is seen where the other one is even; one that may be
    // either waits until then.
    for (stream, number) in [(5, 5 << 32 | 3), (3, 3 << 32 | 2), (1, 1 << 32 | 5)] {
        recorder.of(FRONT);
        let who = [MADE + stream, 0];
        recorder.note_with(TaskEvent::Answers, TOKIO, who, 0, &[number]);
        by(&mut recorder, READER).write(OUTER[1], response(stream as u8));
    }
    called(&mut recorder, MADE + 3, "/3/after");
    let spans = tell(&mut recorder);
    let parent = |path| parent_of(&spans, path);
    assert_eq!(parent("/3/made").as_deref(), Some("/3"));
    assert_eq!(parent("/3/call").as_deref(), Some("/3"));
    assert_eq!(parent("/1/call").as_deref(), Some("/1"));
    assert_eq!(parent("/5/call").as_deref(), Some("/5"));
    assert_eq!(parent("/3/after").as_deref(), Some("/3"));
}
