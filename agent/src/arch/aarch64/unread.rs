//! What is read of other processors' code and not yet of this one's: what runtimes keep for their
//! tasks, and how rustls is given its plaintext. Nothing is found, and who asks has told why before
//! ([`super::UNREAD`]).

use crate::arch::Use;

/// Where the first call in a function's code goes. It is looked for to save what a probe costs on
/// the function itself, which here is the same for either.
#[must_use]
pub fn first_call(_code: &[u8], _address: u64) -> Option<u64> {
    None
}

/// What the function at an address does with its arguments.
pub fn uses_of_arguments(
    _address: u64,
    _code: impl Fn(u64) -> Option<Vec<u8>>,
    _each: impl FnMut(Use),
) -> Option<u64> {
    None
}

/// HotSpot.
pub mod hotspot {
    /// Bytes of a function in which its first call is looked for.
    pub const HEAD_LEN: usize = 96;

    /// Length of an instruction that stores a number.
    pub const STORE_LEN: usize = 4;

    /// Where thread-local memory is asked for.
    #[must_use]
    pub fn thread_local_asked_for(_head: &[u8], _address: u64) -> Option<u64> {
        None
    }

    /// Which numbers are written where.
    pub fn numbers_stored(_code: &[u8], _address: u64, _each: impl FnMut(u64, u64)) {}
}

/// Python's interpreter.
pub mod python {
    /// Bytes of code from an address on.
    pub type CodeAt<'a> = &'a dyn Fn(u64) -> Option<Vec<u8>>;

    /// Where a thread has its state.
    #[must_use]
    pub fn state(
        _code: CodeAt<'_>,
        _function: u64,
        _runtime: u64,
    ) -> Option<crate::arch::PythonState> {
        None
    }

    /// Where a thread's state has its context.
    #[must_use]
    pub fn context_of_state(_code: CodeAt<'_>, _function: u64) -> Option<u64> {
        None
    }

    /// Where a context counts how often it is entered.
    #[must_use]
    pub fn entered(_code: CodeAt<'_>, _function: u64) -> Option<u64> {
        None
    }

    /// Where a context is copied, and the register with the new one.
    #[must_use]
    pub fn birth(_code: CodeAt<'_>, _function: u64) -> Option<(Vec<u64>, u64)> {
        None
    }

    /// Where a function returns.
    #[must_use]
    pub fn returns_by_jumps(_code: CodeAt<'_>, _function: u64) -> Option<Vec<u64>> {
        None
    }
}

/// tokio.
pub mod tokio {
    pub use crate::arch::{Binding, Putting};

    /// Where a thread has the id of the task that it runs.
    #[must_use]
    pub fn current_task_id(_code: &[u8], _address: u64) -> Option<i64> {
        None
    }

    /// Where a function binds new tasks.
    #[must_use]
    pub fn bindings(_code: &[u8], _address: u64) -> Vec<Binding> {
        Vec::new()
    }

    /// Where a function takes the next place of a channel.
    #[must_use]
    pub fn putting(_code: &[u8], _address: u64) -> Option<Putting> {
        None
    }

    /// Whether code begins as that does which looks up where an id is.
    #[must_use]
    pub fn may_bind(_code: &[u8], _id: u64) -> bool {
        false
    }

    /// Whether a function calls one of these.
    #[must_use]
    pub fn calls(_code: &[u8], _address: u64, _functions: &[u64]) -> bool {
        false
    }
}
