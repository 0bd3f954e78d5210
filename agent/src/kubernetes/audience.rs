//! Who is told of objects as they are heard of. The way of asking is the same for each kind of
//! object, and compiled once; what one of them is, is known here.

use super::resource::{ApiResource, ResourceNews};
use super::wire::Versioned;

/// Those who want to know of objects of one kind.
pub trait Audience: Send {
    /// A list begins; what was listed before and not told is forgotten.
    fn list_begins(&mut self);

    /// One of the list, as it is written. Only what is on `node` is kept, if that is said.
    fn listed(&mut self, json: &str, node: Option<&str>);

    /// The list is whole, and told.
    fn list_ends(&mut self) -> ListTold;

    /// One was added, or changed. What is on another node than `node` is not told. `None` if it
    /// can't be understood.
    fn is(&mut self, json: &str, node: Option<&str>) -> Option<HeardObject>;

    /// One is no more. `None` if it can't be understood.
    fn gone(&mut self, json: &str) -> Option<HeardObject>;

    /// Nothing more is to be expected.
    fn silence(&mut self);
}

/// What came of a list.
pub struct ListTold {
    /// How many there are.
    pub count: usize,
    /// Somebody still wants to know.
    pub goes_on: bool,
}

/// What came of an event.
pub struct HeardObject {
    /// Everything up to this was heard; empty if it does not say.
    pub resource_version: String,
    /// Somebody still wants to know.
    pub goes_on: bool,
}

impl HeardObject {
    /// One that concerns nobody.
    pub fn of(resource_version: String) -> Self {
        Self {
            resource_version,
            goes_on: true,
        }
    }
}

/// Somebody who takes the news of `R`, and says whether there is to be more.
pub struct Listeners<R: ApiResource, F> {
    tell: F,
    listed: Vec<R::Object>,
}

impl<R: ApiResource, F> Listeners<R, F> {
    pub fn new(tell: F) -> Self {
        Self {
            tell,
            listed: Vec::new(),
        }
    }
}

fn is_on<R: ApiResource>(object: &R::Object, node: Option<&str>) -> bool {
    node.is_none_or(|node| R::is_on(object, node))
}

impl<R, F> Audience for Listeners<R, F>
where
    R: ApiResource,
    F: FnMut(ResourceNews<R::Object>) -> bool + Send,
{
    fn list_begins(&mut self) {
        self.listed.clear();
    }

    fn listed(&mut self, json: &str, node: Option<&str>) {
        let object = R::read(json).map(|told| told.object);
        let wanted = object.filter(|object| is_on::<R>(object, node));
        self.listed.extend(wanted);
    }

    fn list_ends(&mut self) -> ListTold {
        let listed = std::mem::take(&mut self.listed);
        ListTold {
            count: listed.len(),
            goes_on: (self.tell)(ResourceNews::All(listed)),
        }
    }

    fn is(&mut self, json: &str, node: Option<&str>) -> Option<HeardObject> {
        let Versioned {
            object,
            resource_version,
        } = R::read(json)?;
        Some(HeardObject {
            resource_version,
            goes_on: !is_on::<R>(&object, node) || (self.tell)(ResourceNews::Is(object)),
        })
    }

    fn gone(&mut self, json: &str) -> Option<HeardObject> {
        let told = R::read(json)?;
        Some(HeardObject {
            resource_version: told.resource_version,
            goes_on: (self.tell)(ResourceNews::Gone(R::uid(&told.object).into())),
        })
    }

    fn silence(&mut self) {
        (self.tell)(ResourceNews::Silence);
    }
}
