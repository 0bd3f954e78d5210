//! Traces of requests that came beside them, by TCP options: the request's span is part of the
//! client's, whose id follows from the connection. A header in the request says more, and wins.

use hashbrown::HashMap;
use wirespan_common::record::CarriedTrace;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;
use wirespan_protocols::trace_parent::TraceParent;

use super::{Begun, JoinKey, Meeting};
use crate::trace_context::Named;

/// Requests of which this is remembered until they begin. Of more, it is forgotten of all.
const CARRIED_MAX: usize = 4096;

/// A request: the first sequence numbers of its client and its server, and where it begins.
type Place = ([u32; 2], u32);

/// Traces of requests that have not begun.
#[derive(Debug, Default)]
pub struct CarriedTraces {
    traces: HashMap<Place, ([u8; 16], u8)>,
}

impl CarriedTraces {
    /// A request is about to begin.
    pub fn add(&mut self, trace: &CarriedTrace) {
        if trace.trace_id == [0; 16] {
            return;
        }
        if self.traces.len() >= CARRIED_MAX {
            self.traces.clear();
        }
        let place = (trace.starts, trace.position);
        self.traces.insert(place, (trace.trace_id, trace.flags));
    }

    /// What is to be believed of a request that begins and says this itself.
    pub fn believed(&mut self, begun: &Begun, named: Named) -> Named {
        if self.traces.is_empty() || begun.role != Role::Server {
            return named;
        }
        let Some(Meeting::Tcp(key @ JoinKey { starts, at })) = begun.ends.map(|ends| ends.key)
        else {
            return named;
        };
        match self.traces.remove(&(starts, at as u32)) {
            Some((trace_id, flags)) if named.parent.is_none() => Named {
                parent: Some(TraceParent {
                    trace_id,
                    parent_id: key.span_id(),
                    flags,
                    is_deferred: false,
                }),
                ..named
            },
            _ => named,
        }
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(Place, ([u8; 16], u8))>(self.traces.capacity())
    }
}
