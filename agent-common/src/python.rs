//! What both sides agree on of Python's contexts (`contextvars.Context`): how they are found from a
//! thread, and what the number of a task says. Names are those of CPython's sources.

use crate::runtime::Runtime;

/// How the context that is current on a thread is found. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonLayout {
    /// Address of `autoTSSkey` (a `Py_tss_t`): two 32-bit words, whether there is a key, and which.
    /// 0 if a variable of the thread's own has its state, not a key.
    pub key_at: u64,
    /// From a thread's `fs` base to the C library's first block of keyed values, 16 bytes a key,
    /// the value in the second half; or, modulo 2^64, to the variable.
    pub keyed_values: u64,
    /// In a `PyThreadState`, which is what that has: its context.
    pub context: u64,
    /// Address of `PyContext_Type`, which each context names as its type.
    pub type_at: u64,
    /// In a context: the number of times that it is entered, 32 bits.
    pub entered: u64,
    /// The register that has a new context where probes tell of one, by the processor's number.
    pub register: u64,
}

impl PythonLayout {
    /// As places.
    #[must_use]
    pub const fn into_runtime(self) -> Runtime {
        Runtime::new([
            self.key_at,
            self.keyed_values,
            self.context,
            self.type_at,
            self.entered,
            self.register,
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
            key_at: places[0],
            keyed_values: places[1],
            context: places[2],
            type_at: places[3],
            entered: places[4],
            register: places[5],
        }
    }
}

/// What a task of Python is; the part that a chunk names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum PythonPart {
    /// A context that is entered and was seen to be copied: the task is when it was born. Of its
    /// kind alone user space is told ancestors.
    Context = 0,
    /// A context that nobody entered, such as one that a thread or a greenlet has for itself: the
    /// task is its address.
    Own = 1,
    /// A context that is entered and was not seen to be born: the task is its address.
    Unknown = 2,
    /// No context that is known, but somebody gave the thread something to do: the task is when.
    Work = 3,
    /// None: a thread that needs no context, or is none of Python's. The task is 0.
    Thread = 4,
}

impl TryFrom<u32> for PythonPart {
    type Error = u32;

    fn try_from(raw: u32) -> Result<Self, u32> {
        Ok(match raw {
            0 => Self::Context,
            1 => Self::Own,
            2 => Self::Unknown,
            3 => Self::Work,
            4 => Self::Thread,
            unknown => return Err(unknown),
        })
    }
}

/// The part of a note on a task that is a thread, made for it and ending with it.
pub const NOTE_IS_THREAD: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_read_back_as_it_was_written() {
        let layout = PythonLayout {
            key_at: 1,
            keyed_values: 2,
            context: 3,
            type_at: 4,
            entered: 5,
            register: 6,
        };
        assert_eq!(PythonLayout::of(&layout.into_runtime()), layout);
    }
}
