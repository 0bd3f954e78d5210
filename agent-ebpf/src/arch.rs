//! What the processor's architecture decides on the kernel side: where system calls and functions
//! have their arguments, and which numbers system calls have. A file each, with the same names in
//! it; everything else is the same for all. It reads nothing.

#[cfg(bpf_target_arch = "aarch64")]
mod aarch64;
#[cfg(bpf_target_arch = "x86_64")]
mod x86_64;

#[cfg(bpf_target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(bpf_target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(any(bpf_target_arch = "aarch64", bpf_target_arch = "x86_64")))]
compile_error!(
    "the kernel side knows x86-64 and AArch64 only: another architecture is a file in src/arch"
);
