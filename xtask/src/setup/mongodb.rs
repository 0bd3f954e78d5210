//! A server and a client of MongoDB's protocol: FerretDB, which is a Go module (its own
//! server is in no registry), and the driver that MongoDB keeps for Python. Both are in `target`.

use anyhow::Result;

use super::wheels;
use crate::process;
use crate::workspace;

pub fn ensure() -> Result<()> {
    wheels::PYMONGO.ensure()?;
    server()
}

/// Go itself knows what is up to date.
fn server() -> Result<()> {
    let tools = workspace::tools().join("mongodb");
    let program = tools.join("server");
    if !program.is_file() {
        println!("setup: building FerretDB");
    }
    process::run(
        process::tied(wheels::GO.ensure()?)
            .args(["build", "-o"])
            .arg(&program)
            // Which of its databases are in it: SQLite alone.
            .args(["-tags", "ferretdb_no_postgresql,ferretdb_sqlite", "."])
            .current_dir(workspace::root().join("tests/workloads/mongodb"))
            .env("GOCACHE", tools.join("go-cache"))
            .env("GOTOOLCHAIN", "local")
            .env("GO111MODULE", "on")
            .env("GOFLAGS", "-mod=readonly")
            // Another Go's library.
            .env_remove("GOROOT"),
    )
}
