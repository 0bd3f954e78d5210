//! Other kernels: a command runs in a virtual machine that sees this machine's files and can
//! change none of them. Emulated, so that it works where there is no KVM; without a network.

mod archive;
pub mod compiled;
pub mod kernel;
mod machine;
mod modules;
mod processor;

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::setup::{self, Purpose};
pub use machine::{Boot, Machine};
use processor::Processor;

/// What to run, and on what.
#[derive(clap::Args)]
pub struct Args {
    /// Debian's kernel of this series: 5.10, 6.1, 6.12, or 7 for the newest 7.x; with `-arm64` one
    /// for AArch64, on Debian's programs for that; or one that is compiled without something:
    /// 6.1-no-kprobes, 6.1-no-uprobes
    #[arg(long, default_value = kernel::DEFAULT)]
    kernel: String,
    /// Seconds until the machine is given up
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Parameters on the kernel's command line, such as `lockdown=integrity`
    #[arg(long, default_value = "")]
    parameters: String,
    /// QEMU's accelerator: `kvm` where it works
    #[arg(long, default_value = EMULATED)]
    accel: String,
    /// Run as root in the machine, in the current directory; WIRESPAN_*, BEYLA_*, OTEL_* and RUST_*
    /// are passed on
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Args {
    /// A command on a kernel, without another word.
    pub fn of(kernel: &str, limit: Duration, command: Vec<String>) -> Self {
        Self {
            kernel: kernel.to_owned(),
            timeout: limit.as_secs(),
            parameters: String::new(),
            accel: EMULATED.to_owned(),
            command,
        }
    }
}

/// QEMU's own processor emulation, a thread for each.
pub const EMULATED: &str = "tcg,thread=multi";

/// `cargo xtask vm`
pub fn run(args: &Args) -> Result<ExitCode> {
    setup::ensure(&[Purpose::Vm])?;
    let kernel = kernel::ensure(&args.kernel)?;
    let boot = Boot {
        kernel: &kernel,
        parameters: &args.parameters,
        command: &args.command,
        limit: Duration::from_secs(args.timeout),
        accelerator: &args.accel,
    };
    let mut machine = Machine::boot(&boot, Stdio::inherit())?;
    let ready = machine.wait_until_ready()?;
    eprintln!(
        "vm: Linux {} up in {:.1} s",
        kernel.release,
        ready.as_secs_f64()
    );
    Ok(ExitCode::from(machine.wait()?))
}
