//! What a processor's architecture decides is said in `arch`, a file each, on both sides.

use super::Finding;
use super::source::{Source, words};

/// The product, without what builds and tests it on some machine.
const SCOPE: [&str; 4] = [
    "agent/src",
    "agent/protocols/src",
    "agent-common/src",
    "agent-ebpf/src",
];
const ARCH: [&str; 2] = ["agent/src/arch", "agent-ebpf/src/arch"];

/// Conditions and crates, and registers as `struct pt_regs` and as a disassembler names them.
const NAMES: [&str; 40] = [
    "target_arch",
    "bpf_target_arch",
    "iced_x86",
    "yaxpeax_arch",
    "yaxpeax_arm",
    "x86_64",
    "aarch64",
    "rax",
    "rbx",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "rbp",
    "rsp",
    "rip",
    "orig_rax",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
    "RAX",
    "RBX",
    "RCX",
    "RDX",
    "RSI",
    "RDI",
    "RBP",
    "RSP",
    "R8",
    "R9",
    "R10",
    "R12",
    "R13",
    "R14",
    "R15",
];

/// With which the kernel's functions of system calls begin (arch/*/include/asm/syscall_wrapper.h).
const PREFIXES: [&str; 2] = ["__x64_", "__arm64_"];

pub fn processors_are_known_in_one_file(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_in = |source: &Source, places: &[&str]| places.iter().any(|place| source.is_in(place));
    let fenced = sources
        .iter()
        .filter(|source| is_in(source, &SCOPE) && !is_in(source, &ARCH));
    for source in fenced {
        let what = |name: &str| format!("`{name}`: what an architecture decides is in arch");
        for (line, code) in source.product_code() {
            let named = NAMES.iter().find(|name| words(code, name).next().is_some());
            findings.extend(named.map(|name| Finding::new(source, line, what(name))));
        }
        for (line, text) in &source.strings {
            let named = PREFIXES.iter().find(|prefix| text.contains(*prefix));
            let named = named.filter(|_| *line < source.tests_from);
            findings.extend(named.map(|name| Finding::new(source, *line, what(name))));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        processors_are_known_in_one_file(&[Source::new(path, text)]).len()
    }

    #[test]
    fn a_processor_outside_of_its_file_is_found() {
        for text in [
            "unsafe { (*registers).rsp }",
            "#[cfg(target_arch = \"x86_64\")]",
            "use iced_x86::Decoder;",
            "let function = format!(\"__x64_sys_{call}\");",
        ] {
            assert_eq!(count("agent/src/discover/tls/code.rs", text), 1, "{text}");
            assert_eq!(count("agent-ebpf/src/memory.rs", text), 1, "{text}");
            assert_eq!(count("agent-ebpf/src/arch/x86_64.rs", text), 0, "{text}");
            assert_eq!(count("xtask/src/lint.rs", text), 0, "{text}");
        }
        let comment = "// rsp is the stack pointer of x86_64\nlet rest = 0;";
        assert_eq!(count("agent/src/lib.rs", comment), 0);
    }
}
