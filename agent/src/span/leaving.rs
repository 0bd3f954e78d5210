//! The last look at a span before it leaves: no text of it may hold a secret. It looks at all texts
//! that came from outside, whichever attribute they are in, so that a new attribute is covered by
//! being there.

use std::borrow::Cow;

use super::Value;
use super::description::Description;
use crate::redact::{Grammar, Redaction};
use crate::semconv;

/// Takes the secrets out of a description; texts without any stay where they are.
pub fn redact(redaction: &Redaction, description: &mut Description) {
    if redaction.drops_query() {
        drop_queries(&mut description.attributes);
    }
    for (name, value) in &mut description.attributes {
        let told = match value {
            Value::Owned(text) => redaction.of(grammar_of(name), text),
            // The kernel said it, not the peer.
            Value::Shared(_) if *name == semconv::NETWORK_PEER_ADDRESS => continue,
            Value::Shared(text) => redaction.of(grammar_of(name), text),
            // Spans have no lists.
            Value::Static(_) | Value::Int(_) | Value::Bool(_) | Value::List(_) => continue,
        };
        if let Cow::Owned(told) = told {
            *value = Value::Owned(told);
        }
    }
    let state = description.trace_state.take();
    description.trace_state = state.and_then(|state| trace_state(redaction, state));
    if let Cow::Owned(name) = &description.name
        && let Cow::Owned(told) = redaction.of(Grammar::Url, name)
    {
        description.name = Cow::Owned(told);
    }
}

/// What of a `tracestate` (W3C Trace Context §3.3) may leave: whole entries, because half of one
/// would be none that its owner wrote.
fn trace_state(redaction: &Redaction, state: Box<str>) -> Option<Box<str>> {
    let is_fit = |entry: &&str| matches!(redaction.of(Grammar::Query, entry), Cow::Borrowed(_));
    if state.split(',').all(|entry| is_fit(&entry.trim())) {
        return Some(state);
    }
    let fit: Vec<_> = state.split(',').map(str::trim).filter(is_fit).collect();
    (!fit.is_empty()).then(|| fit.join(",").into())
}

fn grammar_of(name: &str) -> Grammar {
    match name {
        semconv::URL_QUERY => Grammar::Query,
        semconv::USER_AGENT_ORIGINAL => Grammar::Text,
        _ => Grammar::Url,
    }
}

fn drop_queries(attributes: &mut Vec<(&'static str, Value)>) {
    attributes.retain(|(name, _)| *name != semconv::URL_QUERY);
    for (name, value) in attributes {
        if *name == semconv::URL_FULL
            && let Value::Owned(url) = value
            && let Some(len) = url.find(['?', '#'])
        {
            url.truncate(len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_trace_state_leave_whole_or_not_at_all() {
        for (state, wanted) in [
            ("a=b, c=d", Some("a=b, c=d")),
            ("a=b,token=S", Some("a=b")),
            ("password=S , a=b", Some("a=b")),
            ("access_token=S", None),
        ] {
            let told = trace_state(&Redaction::default(), state.into());
            assert_eq!(told.as_deref(), wanted, "{state}");
        }
    }
}
