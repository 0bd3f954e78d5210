//! What comes of a list and of a watch, taken out of the stream one by one, so that no more than
//! one of them is in memory as it was written. One that can't be understood is passed over; what
//! is no JSON, or longer than any object can be, ends the stream.
//!
//! Source: Kubernetes, "API concepts", on lists and on watches: a watch is a stream of objects.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::wire::{self, WatchEvent};

/// Bytes of one object as it is written. What etcd takes of one is 1.5 MiB.
const ITEM_BYTES_MAX: usize = 8 << 20;
/// Read ahead.
const BUFFER_BYTES: usize = 16 << 10;

/// Bytes up to a bound that begins anew with each item.
struct Bounded<R> {
    inner: R,
    since_item: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.since_item.set(self.since_item.get() + read);
        if self.since_item.get() > ITEM_BYTES_MAX {
            let endless = "what it writes does not end";
            return Err(io::Error::new(io::ErrorKind::InvalidData, endless));
        }
        Ok(read)
    }
}

fn bounded<R: Read>(inner: R) -> (BufReader<Bounded<R>>, Rc<Cell<usize>>) {
    let since_item = Rc::new(Cell::new(0));
    let bounded = Bounded {
        inner,
        since_item: Rc::clone(&since_item),
    };
    (BufReader::with_capacity(BUFFER_BYTES, bounded), since_item)
}

/// Reads a list and hands each of its objects over, as it is written. What comes back is the
/// list's `resourceVersion`, from which a watch goes on.
///
/// # Errors
/// It is none, ends early or does not end.
pub fn list(input: impl Read, mut take: impl FnMut(&str)) -> io::Result<String> {
    let (input, since_item) = bounded(input);
    let take = |json: &RawValue| {
        since_item.set(0);
        take(json.get());
    };
    let mut input = serde_json::Deserializer::from_reader(input);
    Ok(input.deserialize_map(ListVisitor(take))?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
}

struct ListVisitor<F>(F);

impl<'de, F: FnMut(&RawValue)> Visitor<'de> for ListVisitor<F> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<String, A::Error> {
        let mut version = None;
        let mut has_items = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" => version = Some(map.next_value::<ListMetadata>()?.resource_version),
                "items" => {
                    map.next_value_seed(Items(&mut self.0))?;
                    has_items = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = || serde::de::Error::custom("no list of objects");
        version.filter(|_| has_items).ok_or_else(missing)
    }
}

struct Items<'a, F>(&'a mut F);

impl<'de, F: FnMut(&RawValue)> DeserializeSeed<'de> for Items<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&RawValue)> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    /// `null`: there are none.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(json) = items.next_element::<Box<RawValue>>()? {
            (self.0)(&json);
        }
        Ok(())
    }
}

/// A single object, as it is written.
///
/// # Errors
/// It is none, or does not end.
pub fn one(input: impl Read) -> io::Result<Box<RawValue>> {
    let (input, _) = bounded(input);
    Ok(serde_json::from_reader(input)?)
}

#[derive(Deserialize)]
struct WireEvent {
    #[serde(rename = "type")]
    kind: String,
    object: Box<RawValue>,
}

/// The events of a watch. An error is the last thing it tells.
pub fn events(input: impl Read) -> impl Iterator<Item = io::Result<WatchEvent>> {
    let (input, since_item) = bounded(input);
    let stream = serde_json::Deserializer::from_reader(input).into_iter::<WireEvent>();
    stream.filter_map(move |event| {
        since_item.set(0);
        match event {
            Ok(WireEvent { kind, object }) => wire::event(&kind, object).map(Ok),
            Err(error) => Some(Err(error.into())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, node: &str) -> String {
        format!(
            r#"{{"metadata":{{"uid":"{uid}","name":"pod-{uid}","resourceVersion":"8"}},
                "spec":{{"nodeName":"{node}"}}}}"#
        )
    }

    fn listed(text: &str) -> Result<(String, Vec<String>), String> {
        let mut names = Vec::new();
        let version = list(text.as_bytes(), |json| {
            let pod = wire::pod(json).map(|told| told.object);
            names.extend(
                pod.filter(|pod| pod.node_name == "here")
                    .map(|pod| pod.name.clone()),
            );
        });
        Ok((version.map_err(|error| error.to_string())?, names))
    }

    #[test]
    fn a_list_is_read_pod_by_pod_and_what_is_none_is_passed_over() {
        let items = [
            pod("1", "here"),
            pod("2", "there"),
            "7".into(),
            r#"{"a":[{}]}"#.into(),
            pod("3", "here"),
        ];
        let items = items.join(",");
        let list = format!(
            r#"{{"kind":"PodList","metadata":{{"resourceVersion":"9"}},"items":[{items}]}}"#
        );
        assert_eq!(
            listed(&list),
            Ok(("9".into(), vec!["pod-1".into(), "pod-3".into()]))
        );
        let none = r#"{"items":null,"metadata":{"resourceVersion":"9","continue":""}}"#;
        assert_eq!(listed(none), Ok(("9".into(), vec![])));
        for end in 0..list.len() {
            assert!(listed(&list[..end]).is_err(), "cut at {end}");
        }
        for garbage in [
            "",
            "[]",
            "7",
            "{}",
            "<html>",
            r#"{"metadata":{"resourceVersion":"1"}}"#,
            r#"{"items":[]}"#,
        ] {
            assert!(listed(garbage).is_err(), "{garbage}");
        }
    }

    #[test]
    fn events_are_read_until_they_end() {
        let one = pod("1", "here");
        let text = format!(
            "{{\"type\":\"ADDED\",\"object\":{one}}}\n{{\"object\":{one},\"type\":\"DELETED\"}}\n\
             {{\"type\":\"ADDED\",\"object\":[]}}{{\"type\":\"LATER\",\"object\":{one}}}\n\
             {{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"12\"}}}}}}\n\
             {{\"type\":\"ERROR\",\"object\":{{\"status\":\"Failure\",\"code\":410,\
             \"message\":\"too old\"}}}}\n"
        );
        let told = |text: &str| -> Vec<String> {
            let named = |json: &RawValue| match wire::pod(json.get()) {
                Some(told) => told.object.name.clone(),
                None => "no pod".to_owned(),
            };
            let events = events(text.as_bytes()).map(|event| match event {
                Ok(WatchEvent::Is(json)) => format!("is {}", named(&json)),
                Ok(WatchEvent::Gone(json)) => format!("gone {}", named(&json)),
                Ok(WatchEvent::Bookmark(version)) => version,
                Ok(WatchEvent::Error(code, message)) => format!("{code} {message}"),
                Err(_) => "broken".into(),
            });
            events.collect()
        };
        let all = ["is pod-1", "gone pod-1", "is no pod", "12", "410 too old"];
        assert_eq!(told(&text), all);
        assert_eq!(
            told(&format!("{text}<html>")).last().expect("one"),
            "broken"
        );
        assert_eq!(told(&text[..text.len() - 3]).last().expect("one"), "broken");
        assert_eq!(told(""), [""; 0]);
    }

    #[test]
    fn what_does_not_end_is_given_up() {
        let endless = Read::chain(
            &b"{\"metadata\":{\"resourceVersion\":\""[..],
            io::repeat(b'1'),
        );
        let failed = list(endless, |_| ()).expect_err("it does not end");
        assert!(failed.to_string().contains("does not end"), "{failed}");
        let endless = Read::chain(
            &b"{\"type\":\"ADDED\",\"object\":{\"x\":"[..],
            io::repeat(b'['),
        );
        assert!(events(endless).all(|event| event.is_err()));
    }
}
