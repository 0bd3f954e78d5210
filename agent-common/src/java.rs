//! What both sides agree on of threads of Java (HotSpot): how the one that runs is found from a
//! thread of the kernel, and what the number of a task says. Names are those of OpenJDK's sources.

use crate::runtime::Runtime;

/// How the thread of Java that runs on a thread is found. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JavaLayout {
    /// Address of two words in the table of global offsets: which module's thread-local memory has
    /// `Thread::_thr_current`, and where in it. 0 if nothing is known of the rest.
    pub current_at: u64,
    /// In a `JavaThread`: its `OSThread`.
    pub os_thread: u64,
    /// In an `OSThread`: its `pthread_t`.
    pub pthread: u64,
    /// In a `JavaThread`: handles of its own `java.lang.Thread` and, right after it, of the one
    /// that runs on it now.
    pub handles: u64,
    /// In a `JavaThread`: the number of the one that runs on it now; 0 in versions that have none.
    pub number: u64,
}

impl JavaLayout {
    /// As places.
    #[must_use]
    pub const fn into_runtime(self) -> Runtime {
        Runtime::new([
            self.current_at,
            self.os_thread,
            self.pthread,
            self.handles,
            self.number,
            0,
            0,
            0,
        ])
    }

    /// From places.
    #[must_use]
    #[inline(always)]
    pub const fn of(runtime: &Runtime) -> Self {
        let places = &runtime.places;
        Self {
            current_at: places[0],
            os_thread: places[1],
            pthread: places[2],
            handles: places[3],
            number: places[4],
        }
    }
}

/// The part of a task that is a virtual thread. Any less is a [`Polled`](crate::record::Polled): of
/// a thread that Java has from the kernel.
pub const IS_VIRTUAL: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_read_back_as_it_was_written() {
        let layout = JavaLayout {
            current_at: 1,
            os_thread: 2,
            pthread: 3,
            handles: 4,
            number: 5,
        };
        assert_eq!(JavaLayout::of(&layout.into_runtime()), layout);
    }
}
