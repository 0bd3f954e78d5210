//! Builds the kernel side, twice, and leaves it where `src/capture/object.rs` includes it from: for
//! kernels that know ring buffers and types, and, compressed, for those that don't.
//!
//! All builds of the daemon for one processor share one target folder for each, because it is the
//! same for each of them and takes a while: the compiler's `core` is part of it.

use std::env;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "bpfel-unknown-none";
const BINARY: &str = "wirespan";

fn main() -> Result<(), Box<dyn Error>> {
    // As it is now: a target folder may have been made elsewhere, and this script with it.
    let root = env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?;
    let root = Path::new(&root).join("..");
    for input in ["agent-ebpf", "agent-common", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    let target_dir =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let object = build(&root, &target_dir, &MODERN)?;
    std::fs::write(
        out_dir.join("wirespan.gz"),
        compressed(&without_dwarf(&object)?)?,
    )?;
    let object = build(&root, &target_dir, &LEGACY)?;
    std::fs::write(
        out_dir.join("wirespan-legacy.gz"),
        compressed(&without_dwarf(&object)?)?,
    )?;
    Ok(())
}

/// What the two builds differ in. Which registers either reads is the processor's, too.
struct Variant {
    /// Its folder in the target folder.
    folder: &'static str,
    flags: &'static [&'static str],
}

const MODERN: Variant = Variant {
    folder: "ebpf",
    // Line numbers, which the verifier's messages quote.
    flags: &["-Cdebuginfo=2", "-Clink-arg=--btf"],
};

const LEGACY: Variant = Variant {
    folder: "ebpf-legacy",
    flags: &[
        "--cfg=legacy",
        // Before 5.1 there are no jumps on halves of registers.
        "-Ctarget-cpu=v2",
        "-Cdebuginfo=0",
        // Before 5.3 there are no loops: those of a few rounds are written out.
        "-Clink-arg=--unroll-loops",
        // Else zeros are written by a function that loops.
        "-Clink-arg=--disable-expand-memcpy-in-order",
    ],
};

/// As gzip, a fifth of its size: it is read at the start, and hardly ever later.
fn compressed(object: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(object)?;
    Ok(encoder.finish()?)
}

/// The object without DWARF, which is three quarters of it and which nobody reads: line numbers for
/// the verifier's messages are in `.BTF.ext`.
fn without_dwarf(object: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut builder = object::build::elf::Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.to_string();
        let name = name.strip_prefix(".rel").unwrap_or(&name);
        section.delete |= name.starts_with(".debug_");
    }
    builder.delete_orphans();
    // The linker keeps names of sections among those of symbols, which is not written that way.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.data = object::build::elf::SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

/// Lines that the verifier quotes name files from the workspace's root, and so the object is the
/// same wherever it was built.
fn remapped(root: &Path) -> Result<[String; 3], Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").ok_or("RUSTC is not set")?;
    let printed = Command::new(rustc).args(["--print", "sysroot"]).output()?;
    let sysroot = String::from_utf8(printed.stdout)?;
    let cargo = env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let from = |path: &Path, to| format!("--remap-path-prefix={}={to}", path.display());
    Ok([
        from(&root.canonicalize()?, "."),
        from(&cargo, "/cargo"),
        from(Path::new(sysroot.trim_end()), "/rust"),
    ])
}

/// Builds it and returns the object.
fn build(root: &Path, target_dir: &Path, variant: &Variant) -> Result<Vec<u8>, Box<dyn Error>> {
    // `cargo xtask setup` puts the linker into the target folder; one on the PATH does as well.
    let tools = target_dir.join("tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(tools).chain(env::split_paths(&path)))?;
    let mut flags = vec![format!(
        "--cfg=bpf_target_arch=\"{}\"",
        env::var("CARGO_CFG_TARGET_ARCH")?
    )];
    flags.extend(variant.flags.iter().map(|&flag| flag.to_owned()));
    flags.extend(remapped(root)?);
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let folder = target_dir.join(variant.folder).join(architecture);
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("CARGO is not set")?);
    cargo
        .current_dir(root)
        .args([
            "build",
            "--release",
            "--package",
            "wirespan-ebpf",
            "--target",
            TARGET,
        ])
        // The target has no precompiled `core`; building one takes a flag that the stable compiler
        // hides behind a variable.
        .args(["-Z", "build-std=core"])
        .env("RUSTC_BOOTSTRAP", "1")
        .arg("--target-dir")
        .arg(&folder)
        .env("PATH", path)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // What the outer cargo was told about its own compiler (by clippy, for instance).
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let status = cargo.status()?;
    if status.success() {
        let built = folder.join(TARGET).join("release").join(BINARY);
        return Ok(std::fs::read(built)?);
    }
    Err(
        "the kernel side could not be built; is bpf-linker there? `cargo xtask setup` installs it"
            .into(),
    )
}
