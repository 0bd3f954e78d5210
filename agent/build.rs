//! Builds the kernel side and leaves it where `src/capture/object.rs` includes it from.
//!
//! All builds of the daemon for one processor share one target folder for it, because it is the
//! same for each of them and takes a while: the compiler's `core` is part of it.

use std::env;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::ZlibEncoder;

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
    build(&root, &target_dir)?;
    let built = ebpf_dir(&target_dir)?
        .join(TARGET)
        .join("release")
        .join(BINARY);
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let object = without_dwarf(&std::fs::read(built)?)?;
    std::fs::write(out_dir.join("wirespan.zlib"), compressed(&object)?)?;
    Ok(())
}

/// A fifth of its size (RFC 1950): it is read at the start, and hardly ever later.
fn compressed(object: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(object)?;
    encoder.finish()
}

/// Where the kernel side is built: which registers it reads is the processor's.
fn ebpf_dir(target_dir: &Path) -> Result<PathBuf, env::VarError> {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    Ok(target_dir.join("ebpf").join(architecture))
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

fn build(root: &Path, target_dir: &Path) -> Result<(), Box<dyn Error>> {
    // `cargo xtask setup` puts the linker into the target folder; one on the PATH does as well.
    let tools = target_dir.join("tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(tools).chain(env::split_paths(&path)))?;
    let mut flags = vec![
        format!(
            "--cfg=bpf_target_arch=\"{}\"",
            env::var("CARGO_CFG_TARGET_ARCH")?
        ),
        // Line numbers, which the verifier's messages quote.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    flags.extend(remapped(root)?);
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
        .arg(ebpf_dir(target_dir)?)
        .env("PATH", path)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // What the outer cargo was told about its own compiler (by clippy, for instance).
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let status = cargo.status()?;
    if status.success() {
        return Ok(());
    }
    Err(
        "the kernel side could not be built; is bpf-linker there? `cargo xtask setup` installs it"
            .into(),
    )
}
