//! Builds the kernel side and leaves it where `src/capture/object.rs` includes it from.

use std::env;
use std::path::Path;

use aya_build::{Package, Toolchain, build_ebpf};

fn main() -> aya_build::Result<()> {
    // `cargo xtask setup` puts the linker into the target folder; one on the PATH does as well.
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(tools).chain(env::split_paths(&path)))?;
    // SAFETY: a build script has one thread.
    unsafe {
        env::set_var("PATH", path);
        // The kernel side's target has no precompiled `core`; building one takes a flag that the
        // stable compiler hides behind this variable.
        env::set_var("RUSTC_BOOTSTRAP", "1");
    }
    println!("cargo:rerun-if-changed=../agent-common");
    let kernel_side = Package {
        name: "wirespan-ebpf",
        root_dir: "../agent-ebpf",
        ..Package::default()
    };
    build_ebpf(
        [kernel_side],
        Toolchain::Custom(env!("CARGO_PKG_RUST_VERSION")),
    )
}
