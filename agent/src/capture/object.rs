//! The kernel side's object, built into the daemon, and the constants set in it before it is
//! loaded. It attaches nothing.

use aya::{Ebpf, EbpfLoader, Pod};
use aya_log::EbpfLogger;
use wirespan_common::config::Offsets;

use super::StartError;
use crate::config::{CaptureConfig, Targets};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/wirespan"));

/// A type whose bytes the kernel and user space share.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Shared<T>(pub T);

// SAFETY: any bytes are a valid T (FromBytes), T has no holes (IntoBytes), and it owns nothing.
unsafe impl<T> Pod for Shared<T> where T: zerocopy::FromBytes + zerocopy::IntoBytes + Copy + 'static {}

/// Loads maps; programs are loaded as they are attached.
pub fn load(
    layout: &Offsets,
    config: &CaptureConfig,
    targets: &Targets,
) -> Result<Ebpf, StartError> {
    let offsets = Shared(*layout);
    // Execs matter only where a program's name selects it; listeners and children are seen anyway.
    let every_exec =
        u8::from(targets.auto_target_exe.is_some() || targets.executable_name.is_some());
    let log_level = if config.bpf_debug {
        aya_log_level(log::Level::Debug)
    } else {
        0
    };
    EbpfLoader::new()
        // Only fexit needs the kernel's types, and asks for them itself.
        .btf(None)
        .override_global("OFFSETS", &offsets, true)
        .override_global("REPORT_EVERY_EXEC", &every_exec, true)
        .override_global("AYA_LOG_LEVEL", &log_level, false)
        .load(OBJECT)
        .map_err(|error| StartError::Load(one_line(&error)))
}

/// Passes the kernel side's log on to the daemon's.
pub fn start_log(ebpf: &mut Ebpf) -> Option<EbpfLogger<&'static dyn log::Log>> {
    EbpfLogger::init(ebpf)
        .inspect_err(|error| log::warn!("no log from the kernel side: {error}"))
        .ok()
}

fn aya_log_level(level: log::Level) -> u8 {
    level as u8
}

/// An error with its causes, in one line.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    log::trace!("{text}");
    // A verifier's log has many lines; its last one says what it did not like.
    match text.rfind("Verifier output:") {
        Some(at) => {
            let verdict = text[at..]
                .lines()
                .filter(|line| !line.trim().is_empty() && !line.starts_with("processed"))
                .next_back()
                .unwrap_or_default();
            format!("{}verifier: {verdict}", &text[..at])
        }
        None => text,
    }
}
