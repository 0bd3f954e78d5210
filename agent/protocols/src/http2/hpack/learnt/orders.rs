//! The orders in which a program sends its fields: names alone, one list for each kind of message.

use std::sync::Arc;

use crate::heap;
use crate::http2::hpack::slots::KnownField;

/// Orders that are remembered; the oldest one makes room.
const ORDERS_MAX: usize = 64;

/// Names longer than this are no library's.
const NAME_LEN_MAX: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Orders {
    known: Vec<Vec<OrderedField>>,
    /// What they own.
    heap_bytes: usize,
    next: usize,
}

fn heap_bytes(order: &Vec<OrderedField>) -> usize {
    let names = order.iter().map(|place| heap::shared(place.name.len()));
    heap::vec::<OrderedField>(order.capacity()) + names.sum::<usize>()
}

/// A field of an order.
#[derive(Debug)]
struct OrderedField {
    name: Arc<[u8]>,
    /// It was sent as what stands in the table that everybody has. What stands in another one is
    /// something else.
    is_static: bool,
}

impl Orders {
    /// Bytes of heap that they take.
    pub fn heap_bytes(&self) -> usize {
        heap::vec::<Vec<OrderedField>>(self.known.capacity()) + self.heap_bytes
    }

    /// A block had these fields, whose names are all known.
    pub fn hear(&mut self, told: &[KnownField<'_>]) {
        let is_same = |order: &Vec<OrderedField>| {
            let mut pairs = order.iter().zip(told);
            order.len() == told.len()
                && pairs.all(|(place, told)| {
                    Some(&*place.name) == told.name && place.is_static == told.is_static
                })
        };
        if self.known.iter().any(is_same) {
            return;
        }
        let order: Option<Vec<OrderedField>> = told
            .iter()
            .map(|told| {
                Some(OrderedField {
                    name: told.name.filter(|name| name.len() <= NAME_LEN_MAX)?.into(),
                    is_static: told.is_static,
                })
            })
            .collect();
        let Some(order) = order else { return };
        self.heap_bytes += heap_bytes(&order);
        if self.known.len() < ORDERS_MAX {
            self.known.push(order);
        } else {
            let oldest = std::mem::replace(&mut self.known[self.next % ORDERS_MAX], order);
            self.heap_bytes -= heap_bytes(&oldest);
            self.next += 1;
        }
    }

    /// What all orders that fit say of each name; nothing if none fits.
    pub fn recall(&self, told: &[KnownField<'_>]) -> Vec<Option<Arc<[u8]>>> {
        let fits = |order: &&Vec<OrderedField>| {
            let mut pairs = order.iter().zip(told);
            order.len() == told.len()
                && pairs.all(|(place, told)| match told.name {
                    Some(name) => *name == *place.name,
                    None => !place.is_static,
                })
        };
        let mut fitting = self.known.iter().filter(fits);
        let Some(first) = fitting.next() else {
            return Vec::new();
        };
        let names = first.iter().map(|place| Some(Arc::clone(&place.name)));
        let mut agreed: Vec<_> = names.collect();
        for other in fitting {
            for (name, other) in agreed.iter_mut().zip(other) {
                if name.as_ref() != Some(&other.name) {
                    *name = None;
                }
            }
        }
        agreed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<'n>(names: &[&'n str]) -> Vec<KnownField<'n>> {
        let told = names.iter().map(|name| KnownField {
            name: (!name.is_empty()).then_some(name.as_bytes()),
            is_static: *name == ":method" || *name == ":status",
        });
        told.collect()
    }

    #[track_caller]
    fn expect(orders: &Orders, names: &[&str], wanted: &[&str]) {
        let names = orders.recall(&told(names));
        let names: Vec<_> = names.iter().map(Option::as_deref).collect();
        let wanted: Vec<_> = told(wanted).iter().map(|told| told.name).collect();
        assert_eq!(names, wanted);
    }

    #[test]
    fn names_are_told_where_all_orders_that_fit_agree() {
        let mut orders = Orders::default();
        orders.hear(&told(&[":path", ":method", "te", "user-agent"]));
        orders.hear(&told(&[":path", ":method", "x-id", "user-agent"]));
        let request = ["", ":method", "", ""];
        expect(&orders, &request, &[":path", ":method", "", "user-agent"]);
        expect(&orders, &["", ""], &[]);
        expect(&orders, &["", ":scheme", "", ""], &[]);
    }

    #[test]
    fn what_everybody_knows_is_not_sent_by_another_index() {
        let mut orders = Orders::default();
        orders.hear(&told(&[":status", "content-type"]));
        orders.hear(&told(&["grpc-status", "grpc-message"]));
        expect(&orders, &["", ""], &["grpc-status", "grpc-message"]);
    }
}
