//! What the kernel side decides and copies, compiled for the host: its own sources for policy,
//! copying, parts and frames, over memory, maps and a ring that are made up here. It attaches
//! nothing and needs no kernel. What it leaves out: sockets, processes, TLS, how maps are shared.

extern crate self as aya_ebpf;

/// Stands in for the crate of that name: what is in it of a probe's registers.
#[doc(hidden)]
#[allow(missing_docs, reason = "named after the kernel's own")]
pub mod bindings {
    #[allow(non_camel_case_types, reason = "as the kernel calls it")]
    #[derive(Debug, Default)]
    pub struct pt_regs {
        pub rax: u64,
        pub rbx: u64,
        pub rcx: u64,
        pub rdx: u64,
        pub rsi: u64,
        pub rdi: u64,
        pub rsp: u64,
        pub rbp: u64,
        pub r12: u64,
        pub r13: u64,
        pub r14: u64,
        pub r15: u64,
        pub rip: u64,
        pub eflags: u64,
    }
}

#[path = "../../../agent-ebpf/src"]
#[allow(dead_code, reason = "a part of the kernel side, without the rest")]
mod side {
    pub mod copy;
    pub mod frames;
    #[path = "context/head.rs"]
    pub mod head;
    pub mod parts;
    pub mod policy;
    pub mod syscall;
    pub mod transfer;
    pub mod arch {
        #[cfg(target_arch = "x86_64")]
        mod x86_64;
        #[cfg(target_arch = "x86_64")]
        pub use x86_64::*;
    }
}

mod kernel;
mod maps;
#[allow(dead_code, reason = "of values that are only passed on")]
mod memory;
mod program;
mod records;
pub mod reference;
#[allow(dead_code, reason = "the same")]
mod sockets;

use side::{arch, copy, frames, parts, policy, syscall, transfer};

pub use kernel::{Buffer, Sent};
pub use maps::{PART_MAX, PROOF};
pub use program::{Moved, Program, Shape};
pub use side::head;
pub use wirespan_common::record::Direction;
pub use wirespan_common::watch::{TURN_BYTES_MAX, VerdictKind, Watch};
