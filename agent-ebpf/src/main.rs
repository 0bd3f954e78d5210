//! wirespan's kernel side: it copies bytes and counts, and understands no protocol but for the
//! lengths of HTTP/2 frames.
//!
//! A hook ([`hooks`]) learns that a call on a socket ended. [`syscall`] tells which buffers the
//! call had, [`parts`] where they lie if they are several, [`sockets`] which connection it was on.
//! What is known then is a [`transfer`]; [`policy`] decides how much of it is worth copying, and
//! [`frames`] does for HTTP/2; [`capture`] and [`copy`] do it, and [`records`] says the rest to
//! user space; [`left_alone`] says of which connections nothing is. [`tls`] hands over plaintext in
//! the same way. [`tasks`] tells which task of a runtime made a call. [`carriers`] carry what
//! [`context`] knows to other nodes. [`maps`] and [`memory`] are the only files that touch maps and
//! foreign memory.
//!
//! It is built twice. With `cfg(legacy)` it is for kernels (from 4.18 on) without ring buffers,
//! global data, loops and types: the same code, but that records gather in an outbox
//! (`maps/outbox.rs`), constants are patched into instructions (`memory/patched.rs`), rounds are
//! written out, and what is too large for the verifier's first version is left out: frames, tasks,
//! carriers, the look at a silent socket, the log.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![cfg_attr(
    legacy,
    allow(
        dead_code,
        unused_imports,
        reason = "what is left out leaves others without a caller"
    )
)]

mod arch;
mod capture;
#[cfg(not(legacy))]
mod carriers;
#[cfg(not(legacy))]
mod context;
mod copy;
#[cfg(not(legacy))]
mod frames;
mod go_net;
mod hooks;
mod left_alone;
mod logging;
mod maps;
mod memory;
mod parts;
mod policy;
mod records;
mod sockets;
mod syscall;
#[cfg_attr(legacy, path = "tasks/untold.rs")]
mod tasks;
mod tls;
mod transfer;

/// The kernel offers some of its functions only to programs that declare a licence compatible with
/// the GPL. This one is dual-licensed; the declaration concerns this object, not the daemon.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A panic that can be reached makes an endless loop, which the verifier refuses: it shows when the
/// program is loaded, not when it runs.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
