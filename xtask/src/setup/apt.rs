//! Packages of the system. Installed only when missing, never upgraded, and no service is
//! started by their installation.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::purpose::Purpose;
use crate::process;
use crate::workspace;

/// How to tell that a package is not needed any more.
enum Evidence {
    /// A program of this name is on the [`workspace::SYSTEM_PATH`], whichever package it came from:
    /// for programs of which any will do, and which packages beyond Debian's own bring too.
    Program(&'static str),
    /// dpkg says that the package is installed: for all that is run or read by its place below
    /// `/usr`, and for interpreters that must find Debian's libraries.
    Package,
}

/// A package, what shows that it is there, and the purposes that need it.
struct Need {
    package: &'static str,
    evidence: Evidence,
    purposes: &'static [Purpose],
}

const fn program(name: &'static str, package: &'static str, purposes: &'static [Purpose]) -> Need {
    Need {
        package,
        evidence: Evidence::Program(name),
        purposes,
    }
}

const fn package(package: &'static str, purposes: &'static [Purpose]) -> Need {
    Need {
        package,
        evidence: Evidence::Package,
        purposes,
    }
}

const NEEDS: &[Need] = {
    use Purpose::{Arm, Bench, Build, Cross, Demo, Fuzz, Image, Kernels, Package, Soak, Test, Vm};
    &[
        program("cc", "gcc", &[Build]),
        package("libc6-dev", &[Build]),
        // libFuzzer is C++.
        program("c++", "g++", &[Fuzz]),
        package("llvm-22-dev", &[Build]),
        package("libzstd-dev", &[Build]),
        package("zlib1g-dev", &[Build]),
        program("nginx", "nginx-light", &[Demo, Test, Bench]),
        package("python3", &[Demo, Test, Bench]),
        package("curl", &[Test, Vm, Soak]),
        program("haproxy", "haproxy", &[Test]),
        program("node", "nodejs", &[Test]),
        program("wrk", "wrk", &[Test, Bench]),
        // gRPC and HTTP/2.
        program("npm", "npm", &[Test]),
        // The workloads are built by Debian's, whatever else is on the PATH; see `grpc`.
        package("golang-go", &[Test]),
        package("golang-google-grpc-dev", &[Test]),
        package("nghttp2-client", &[Test, Bench]),
        program("nghttpd", "nghttp2-server", &[Test]),
        // Redis: Debian 12 has the programs of redis-server in redis-tools.
        package("redis-server", &[Test, Bench]),
        package("redis-tools", &[Test, Bench]),
        // What is traced over TLS; see `tls`.
        package("apache2-bin", &[Test]),
        package("ruby", &[Test]),
        package("ruby-webrick", &[Test]),
        package("python3-requests", &[Test]),
        package("python3-aiohttp", &[Test]),
        package("python3-uvicorn", &[Test]),
        // Servers that run applications in several processes.
        program("gunicorn", "gunicorn", &[Test]),
        package("python3-setproctitle", &[Test]),
        package("uwsgi-core", &[Test]),
        package("uwsgi-plugin-python3", &[Test]),
        program("php-fpm8.2", "php8.2-fpm", &[Test]),
        // Servers with a thread for each request.
        program("puma", "puma", &[Test]),
        package("python3-flask", &[Test]),
        package("python3-pip", &[Test, Bench]),
        program("openssl", "openssl", &[Test, Bench]),
        package("wget", &[Test]),
        // Networks of a test's own.
        program("ip", "iproute2", &[Test]),
        program("nft", "nftables", &[Test]),
        package("valgrind", &[Test]),
        package("libgnutls28-dev", &[Test]),
        package("libssl-dev", &[Test]),
        package("postgresql-15", &[Test]),
        package("golang-1.19-go", &[Test]),
        program("javac", "default-jdk-headless", &[Test]),
        package("libnetty-java", &[Test]),
        package("libnetty-tcnative-java", &[Test]),
        // Tomcat, to be embedded, and what it asks for.
        package("libtomcat10-embed-java", &[Test]),
        package("libjakarta-annotation-api-java", &[Test]),
        // What ships is linked to nothing; ring brings C.
        program("musl-gcc", "musl-tools", &[Image, Package]),
        // An image is run by what runs containers.
        program("crun", "crun", &[Test]),
        // Engines that are asked what they call their containers.
        program("podman", "podman", &[Test]),
        program("containerd", "containerd", &[Test]),
        program("systemd-analyze", "systemd", &[Test]),
        program("rpm", "rpm", &[Soak]),
        program("rpm2cpio", "rpm2cpio", &[Soak]),
        program("cpio", "cpio", &[Soak]),
        program("qemu-system-x86_64", "qemu-system-x86", &[Vm]),
        program("qemu-system-aarch64", "qemu-system-arm", &[Arm]),
        // Of another processor: ring brings C and assembly, Go and Rust link by themselves.
        program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", &[Cross]),
        package("libc6-dev-arm64-cross", &[Cross]),
        package("busybox-static", &[Vm]),
        program("xz", "xz-utils", &[Test, Vm, Kernels, Arm]),
        // What a kernel is compiled with.
        program("make", "make", &[Kernels]),
        program("flex", "flex", &[Kernels]),
        program("bison", "bison", &[Kernels]),
        program("bc", "bc", &[Kernels]),
        package("libelf-dev", &[Kernels]),
    ]
};

/// Said when apt does not know a package.
const REMEDIES: &[(&str, &str)] = &[(
    "llvm-22-dev",
    "it is in Debian 12's security suite: apt's sources need `bookworm-security main`, from the \
     mirror that they name for the rest",
)];

pub fn ensure(purposes: &[Purpose]) -> Result<()> {
    let missing = missing(purposes)?;
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!("missing packages: {list}\n  remedy: sudo apt-get install {list}");
    }
    println!("setup: installing from Debian: {list}");
    apt_get(&["update"]).context("the package lists could not be refreshed")?;
    for name in &missing {
        if process::capture(Command::new("apt-cache").args(["show", "--no-all-versions", name]))
            .is_err()
        {
            let remedy = REMEDIES.iter().find(|(package, _)| package == name);
            let remedy = remedy.map_or("check /etc/apt/sources.list", |(_, remedy)| *remedy);
            bail!("apt knows no package {name}: {remedy}");
        }
    }
    let _no_services = NoServices::begin()?;
    let mut arguments = vec!["install", "--no-install-recommends"];
    arguments.extend(missing);
    apt_get(&arguments)
}

/// apt-get, without questions.
pub fn apt_get(arguments: &[&str]) -> Result<()> {
    process::run(
        process::tied("apt-get")
            .args(["--yes", "--quiet=2", "-o", "DPkg::Lock::Timeout=300"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Packages of `purposes` that are not there.
fn missing(purposes: &[Purpose]) -> Result<Vec<&'static str>> {
    let needs = NEEDS.iter().filter(|need| {
        need.purposes
            .iter()
            .any(|purpose| purposes.contains(purpose))
    });
    let mut missing = Vec::new();
    for need in needs {
        let there = match need.evidence {
            Evidence::Program(name) => workspace::program(name).is_some(),
            Evidence::Package => is_installed(need.package)?,
        };
        if !there {
            missing.push(need.package);
        }
    }
    Ok(missing)
}

fn is_installed(package: &str) -> Result<bool> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output()
        .context("cannot start dpkg-query: set-up knows Debian only")?;
    Ok(output.status.success() && output.stdout == b"installed")
}

/// While it lives, maintainer scripts start no service: Debian's `invoke-rc.d` and
/// `deb-systemd-invoke` ask `policy-rc.d`, and 101 means that the action is forbidden. A policy
/// that the machine already has is left in place.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Result<Self> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            let guard = Self { ours };
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")
                .and_then(|()| {
                    std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))
                })
                .with_context(|| format!("cannot write {POLICY}"))?;
            return Ok(guard);
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_needs_something() {
        for purpose in Purpose::ALL {
            assert!(
                NEEDS.iter().any(|need| need.purposes.contains(&purpose)),
                "{purpose:?}"
            );
        }
    }

    #[test]
    fn what_debians_libraries_are_for_is_debians_own() {
        // Another one on the PATH is no reason to leave these out: it does not find the libraries.
        for name in ["python3", "ruby", "golang-go"] {
            let need = NEEDS.iter().find(|need| need.package == name);
            let need = need.unwrap_or_else(|| panic!("{name} is not needed"));
            assert!(matches!(need.evidence, Evidence::Package), "{name}");
        }
    }

    #[test]
    fn the_demo_needs_no_virtual_machine() {
        for need in NEEDS {
            if need.purposes.contains(&Purpose::Demo) {
                assert!(!need.package.contains("qemu"));
            }
        }
    }

    #[test]
    fn a_package_that_does_not_exist_is_not_installed() {
        assert!(!is_installed("wirespan-no-such-package").expect("dpkg-query runs"));
    }
}
