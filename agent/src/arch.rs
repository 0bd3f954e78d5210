//! What the processor's architecture decides in user space: what its instructions are, how a
//! function's code shows what it does, and what the kernel calls its functions. A file each, with
//! the same names in it; everything else is the same for all. It reads nothing: code is given as
//! bytes.

#[cfg(any(target_arch = "aarch64", test))]
#[cfg_attr(
    not(target_arch = "aarch64"),
    allow(
        dead_code,
        unused_imports,
        reason = "what it reads is tested wherever tests run"
    )
)]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
compile_error!(
    "wirespan knows x86-64 and AArch64 only: another architecture is a file in src/arch"
);

/// What is known of a value that a function has in a register.
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "such code is read of that one alone yet")
)]
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

/// Where a thread of Python's interpreter has its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PythonState {
    /// The C library keeps it, under the key at this address (`autoTSSkey`).
    Keyed(u64),
    /// A variable of the thread has it, so far from what the thread is known by, modulo 2^64.
    ThreadLocal(u64),
}

/// Where a new task is bound to its runtime (`OwnedTasks::bind_inner`), which may be inlined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Address of a jump at which the task's header is in a register.
    pub jump: u64,
    /// Number of that register in instructions.
    pub header: u8,
    /// Where a header has the address of its table of functions.
    pub vtable: u64,
    /// Where that has the offset of the task's id from its header.
    pub id: u64,
}

/// Where a value is put into a channel (`mpsc::list::Tx::push`), which is its first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Putting {
    /// Address of a jump at which the first argument is still where it was.
    pub jump: u64,
    /// Number of the register with the value's place.
    pub slot: u8,
}
