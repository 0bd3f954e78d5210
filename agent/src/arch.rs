//! What the processor's architecture decides in user space: what its instructions are, how a
//! function's code shows what it does, and what the kernel calls its functions. A file each, with
//! the same names in it; everything else is the same for all. It reads nothing: code is given as
//! bytes.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("wirespan knows x86-64 only: another architecture is a file in src/arch");

/// What is known of a value that a function has in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Unknown,
    /// Its first argument.
    First,
    /// Its second argument.
    Second,
    /// The word that lies so many bytes behind what `First` points to.
    OfFirst(u64),
    /// The same behind what that word 0 points to.
    OfInner(u64),
    /// The same behind `Second`.
    OfSecond(u64),
}

/// What an instruction does with such values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It takes this word out of memory, or puts something there.
    Word(Value),
    /// It asks whether this is null.
    Null(Value),
    /// It takes the second from the first.
    Difference(Value, Value),
    /// It takes the word that lies so many bytes behind an element of an array of words.
    Element(Value, u64),
}
