//! Compiling for another processor than this machine's: which C compiler and linker cargo is told
//! of. It installs nothing ([`crate::setup::Purpose::Cross`]).

use std::process::Command;

/// AArch64, linked to nothing.
pub const ARM: &str = "aarch64-unknown-linux-musl";

/// What cargo needs to know; nothing for this machine's own processor.
fn environment(target: &str) -> &'static [(&'static str, &'static str)] {
    match target {
        // Rust brings the C library and a linker, and no compiler of C, which ring needs.
        ARM => &[
            ("CC_aarch64_unknown_linux_musl", "aarch64-linux-gnu-gcc"),
            ("AR_aarch64_unknown_linux_musl", "aarch64-linux-gnu-ar"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"),
        ],
        _ => &[],
    }
}

/// Tells a command of cargo's what it needs to compile for a target.
pub fn prepare<'a>(cargo: &'a mut Command, target: &str) -> &'a mut Command {
    cargo.envs(environment(target).iter().copied())
}

/// Flags of the compiler that have the linker list what the loader corrects in little room: those
/// of a C compiler that links, or of the linker itself.
pub fn packed_relocations(target: &str) -> Vec<String> {
    let arguments: &[&str] = match target {
        ARM => &["-z", "pack-relative-relocs"],
        _ => &["-Wl,-z,pack-relative-relocs"],
    };
    let flag = |argument: &&str| format!("-Clink-arg={argument}");
    arguments.iter().map(flag).collect()
}
