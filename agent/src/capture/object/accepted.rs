//! What the running kernel's verifier says of the legacy object. It takes root.

use aya::programs::{Program, ProgramError, ProgramInfo};

use super::{KernelSide, load};
use crate::capture::kernel_layout;
use crate::config::CaptureConfig;

/// Instructions that newer verifiers follow in a program. Those of 4.18 gave up at 131,072, and
/// have been seen to follow up to twice as many as newer ones.
const WORK_MAX: u32 = 60_000;

fn loaded(program: &mut Program) -> Result<ProgramInfo, ProgramError> {
    match program {
        Program::RawTracePoint(program) => {
            program.load()?;
            program.info()
        }
        Program::KProbe(program) => {
            program.load()?;
            program.info()
        }
        Program::UProbe(program) => {
            program.load()?;
            program.info()
        }
        other => panic!("a program of type {:?}", other.prog_type()),
    }
}

#[test]
fn a_verifier_has_little_work_with_any_program_of_the_legacy_object() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let layout = kernel_layout::described_by_kernel().expect("the kernel describes itself");
    let mut ebpf = load(KernelSide::Legacy, &layout, &CaptureConfig::default()).expect("it loads");
    let mut most = (0, String::new());
    for (name, program) in ebpf.programs_mut() {
        let info = loaded(program).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Kernels before 5.16 don't tell.
        let work = info.verified_instruction_count().unwrap_or(0);
        most = most.max((work, name.to_owned()));
    }
    assert!(most.0 <= WORK_MAX, "{most:?}");
}
