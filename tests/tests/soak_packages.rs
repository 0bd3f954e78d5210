//! What `cargo xtask package` leaves, unpacked as systems unpack it. Building the commands that
//! pack takes minutes, so that it is no test for every run.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use wirespan_tests::container::package;
use wirespan_tests::deploy::deploy;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::unit::{NAME, PLACE, complaints};

/// The only file of the packages that ends like this.
fn packed(ending: &str) -> PathBuf {
    let files = std::fs::read_dir(package("")).expect("`cargo xtask package` leaves it");
    let mut found = files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(ending));
    let file = found.next().unwrap_or_else(|| panic!("no *{ending}"));
    assert_eq!(found.next(), None);
    file
}

fn printed(command: &mut Command) -> Vec<String> {
    Process::start("a tool", command).succeed()
}

/// The files of a package, in a system with nothing else.
fn assert_is_installed(root: &Path) {
    let program = root.join("usr/bin/wirespan");
    let version = format!("wirespan {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(printed(tied(&program).arg("--version")), [version]);
    for (installed, source) in [
        (format!("{PLACE}/{NAME}"), NAME),
        ("etc/default/wirespan".to_owned(), "wirespan.default"),
    ] {
        let installed = std::fs::read_to_string(root.join(installed)).expect("a file");
        let source = std::fs::read_to_string(deploy("systemd").join(source)).expect("a file");
        assert_eq!(installed, source);
    }
    assert_eq!(complaints(root), Vec::<String>::new());
}

#[test]
#[ignore = "a soak"]
fn dpkg_unpacks_configures_and_removes() {
    let root = tempfile::tempdir().expect("a directory");
    let admin = root.path().join("var/lib/dpkg");
    std::fs::create_dir_all(admin.join("info")).expect("a directory");
    std::fs::create_dir_all(admin.join("updates")).expect("a directory");
    std::fs::write(admin.join("status"), "").expect("a file");
    let dpkg = |arguments: &[&str]| {
        let mut dpkg = tied("dpkg");
        dpkg.arg(format!("--root={}", root.path().display()))
            // Its scripts are for a shell, which this system has not.
            .args(["--force-script-chrootless", "--force-not-root"])
            .args(arguments);
        printed(&mut dpkg)
    };
    let deb = packed("amd64.deb");
    dpkg(&["--install", deb.to_str().expect("UTF-8")]);
    assert_is_installed(root.path());
    let status = dpkg(&["--status", "wirespan"]);
    assert!(
        status.contains(&"Status: install ok installed".to_owned()),
        "{status:?}"
    );
    assert!(
        status
            .iter()
            .all(|line| !line.starts_with("Depends: ") || line.len() < 10)
    );
    dpkg(&["--remove", "wirespan"]);
    assert!(!root.path().join("usr/bin/wirespan").exists());
    assert!(
        root.path().join("etc/default/wirespan").exists(),
        "settings stay"
    );
}

#[test]
#[ignore = "a soak"]
fn an_rpm_holds_the_same() {
    let root = tempfile::tempdir().expect("a directory");
    let mut unpack = tied("sh");
    unpack
        .args([
            "-c",
            "rpm2cpio \"$1\" | cpio --extract --make-directories --quiet",
            "sh",
        ])
        .arg(packed("x86_64.rpm"))
        .current_dir(root.path());
    printed(&mut unpack);
    assert_is_installed(root.path());
    let mut query = tied("rpm");
    query
        .args(["--query", "--package", "--requires"])
        .arg(packed("x86_64.rpm"));
    let needs = printed(&mut query);
    let of_rpm = |need: &String| {
        ["rpmlib(", "config(", "/bin/sh"]
            .iter()
            .any(|own| need.starts_with(own))
    };
    assert!(needs.iter().all(of_rpm), "{needs:?}");
    let mut query = tied("rpm");
    query
        .args(["--query", "--package", "--scripts"])
        .arg(packed("x86_64.rpm"));
    let scripts = printed(&mut query).join("\n");
    for (when, name) in [
        ("postinstall", "post.sh"),
        ("preuninstall", "preun.sh"),
        ("postuninstall", "postun.sh"),
    ] {
        let file = deploy("systemd/rpm").join(name);
        let script = std::fs::read_to_string(file).expect("a file");
        let expected = format!("{when} scriptlet (using /bin/sh):\n{}", script.trim_end());
        assert!(scripts.contains(&expected), "{when}: {scripts}");
    }
}

#[test]
#[ignore = "a soak"]
fn the_bill_of_materials_names_what_is_in_the_lock_file_and_no_machine() {
    let text = std::fs::read_to_string(packed("x86_64.cdx.json")).expect("a file");
    let bill: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let components = bill["components"].as_array().expect("a list");
    for wanted in ["aya", "rustls", "ring", "tokio", "wirespan-protocols"] {
        let found = components
            .iter()
            .any(|component| component["name"] == wanted);
        assert!(found, "{wanted}");
    }
    let root = deploy("..").canonicalize().expect("it is there");
    assert!(!text.contains(root.to_str().expect("UTF-8")));
}

#[test]
#[ignore = "a soak"]
fn packages_for_another_processor_hold_a_program_for_it() {
    let root = tempfile::tempdir().expect("a directory");
    let mut unpack = tied("dpkg-deb");
    unpack.arg("-x").arg(packed("arm64.deb")).arg(root.path());
    printed(&mut unpack);
    let mut query = tied("rpm");
    let query = query.args(["--query", "--queryformat", "%{ARCH}\\n", "--package"]);
    assert_eq!(printed(query.arg(packed("aarch64.rpm"))), ["aarch64"]);
    let program = std::fs::read(root.path().join("usr/bin/wirespan")).expect("a file");
    // `e_machine`: EM_AARCH64 (elf.h).
    assert_eq!(program[18..20], 183u16.to_le_bytes());
}

#[test]
#[ignore = "a soak"]
fn checksums_are_those_of_the_files() {
    let mut check = tied("sha256sum");
    check
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(package(""));
    let checked = printed(&mut check);
    assert_eq!(checked.len(), 2 * 5, "{checked:?}");
}
