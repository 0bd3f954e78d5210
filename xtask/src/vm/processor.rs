//! The processor of a virtual machine: what Debian and QEMU call it, and which machine QEMU makes
//! of it.

use std::path::PathBuf;

use anyhow::Result;

use crate::setup::{Purpose, userland};

/// Whose programs a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// This machine's own, which sees its files at their places.
    X86,
    /// On Debian's files for it, which are fetched; of this machine's the checkout alone is there.
    Arm,
}

impl Processor {
    /// That of the kernel of this name, and its series: `6.1-arm64` is Debian's 6.1 for AArch64.
    pub fn of(kernel: &str) -> (&str, Self) {
        match kernel.strip_suffix("-arm64") {
            Some(series) => (series, Self::Arm),
            None => (kernel, Self::X86),
        }
    }

    /// What a machine with it needs besides.
    pub(super) fn purposes(self) -> &'static [Purpose] {
        match self {
            Self::X86 => &[],
            Self::Arm => &[Purpose::Arm],
        }
    }

    /// As Debian calls it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm => "arm64",
        }
    }

    /// The emulator, and the machine that it makes.
    pub(super) fn qemu(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::X86 => ("qemu-system-x86_64", &["-cpu", "max"]),
            // What `max` has besides costs an emulator much (pointer authentication).
            Self::Arm => ("qemu-system-aarch64", &["-M", "virt", "-cpu", "cortex-a72"]),
        }
    }

    /// The device of the first serial port.
    pub(super) fn console(self) -> &'static str {
        match self {
            Self::X86 => "ttyS0",
            Self::Arm => "ttyAMA0",
        }
    }

    /// The root of the files that its programs are in, if these are not this machine's own.
    pub(super) fn files(self) -> Result<Option<PathBuf>> {
        match self {
            Self::X86 => Ok(None),
            Self::Arm => userland::ensure(self.debian()).map(Some),
        }
    }
}
