//! The tests' shop in six languages, opened for the demo and closed when dropped.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Stage;
use crate::process::{self, Lines, Running};
use crate::workspace;

/// Eight programs start, one of which is compiled before.
const OPEN_LIMIT: Duration = Duration::from_secs(300);

/// An open shop.
pub struct OpenShop {
    port: u16,
    ports: String,
    // Ended on drop, and with it all that it started.
    _shop: Running,
    _said: Lines,
}

impl OpenShop {
    /// Builds and opens it.
    pub fn open() -> Result<Self> {
        process::run(&mut workspace::cargo(&[
            "build",
            "--quiet",
            "--package",
            "wirespan-tests",
            "--bins",
        ]))?;
        let mut shop = Running::start(
            "shop",
            process::tied(workspace::target().join("debug/open-shop"))
                .current_dir(workspace::root().join("tests"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        let said = Lines::of(&mut shop, |_| ());
        let started = Instant::now();
        while started.elapsed() < OPEN_LIMIT {
            if let Some(line) = said.next_within(Duration::from_millis(100))
                && let Some(told) = line.strip_prefix("open ")
            {
                let (port, ports) = told.split_once(' ').context("a port, and all ports")?;
                return Ok(Self {
                    port: port.parse()?,
                    ports: ports.to_owned(),
                    _shop: shop,
                    _said: said,
                });
            }
            if let Some(status) = shop.status()? {
                bail!("the shop ended: {status}");
            }
            if process::interrupted() {
                bail!("interrupted");
            }
        }
        bail!("the shop did not open within {} s", OPEN_LIMIT.as_secs())
    }

    /// An order after the other.
    pub fn stage(&self) -> Stage {
        Stage {
            port: self.port,
            ports: self.ports.clone(),
            path: Box::new(|number| format!("/r{number}/order")),
        }
    }
}
