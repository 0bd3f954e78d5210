//! Jaeger, a backend as people run it: its second version, built from its modules as
//! `tests/workloads/jaeger/go.mod` pins them. Its pages are not among them, its interface for
//! programs is. Some minutes of two processors and 3 GB while it is built, 80 MB after.

use anyhow::Result;

use super::modules;

pub fn ensure() -> Result<()> {
    modules::ensure(
        "jaeger",
        &["github.com/jaegertracing/jaeger/cmd/jaeger"],
        "",
    )
}
