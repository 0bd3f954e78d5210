//! Load on a server by wrk: 16 connections that are kept alive.

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace;

/// What wrk reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Answered requests.
    pub requests: u64,
    pub per_second: f64,
}

/// Loads `/hello` of a server on loopback for some seconds.
pub fn run(port: u16, seconds: u64) -> Result<Load> {
    run_over("http", port, seconds)
}

/// The same over `http` or `https`.
pub fn run_over(scheme: &str, port: u16, seconds: u64) -> Result<Load> {
    run_url(&format!("{scheme}://127.0.0.1:{port}/hello"), seconds)
}

/// Loads a path instead.
pub fn run_path(port: u16, path: &str, seconds: u64) -> Result<Load> {
    run_url(&format!("http://127.0.0.1:{port}{path}"), seconds)
}

fn run_url(url: &str, seconds: u64) -> Result<Load> {
    let duration = format!("-d{seconds}s");
    let said = process::capture(
        workspace::system("wrk")
            .args(["-t2", "-c16", &duration])
            .arg(url),
    )?;
    if process::interrupted() {
        anyhow::bail!("interrupted");
    }
    parse(&said).with_context(|| format!("wrk says something new:\n{said}"))
}

fn parse(said: &str) -> Option<Load> {
    let before = |text: &str| said.split_once(text)?.0.split_whitespace().next_back();
    let after = |text: &str| said.split_once(text)?.1.split_whitespace().next();
    Some(Load {
        requests: before("requests in")?.parse().ok()?,
        per_second: after("Requests/sec:")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_understood() {
        let said = "  2 threads and 16 connections\n  975184 requests in 5.00s, 181.34MB read\n\
                    Requests/sec: 195021.31\nTransfer/sec:     36.27MB\n";
        let (requests, per_second) = (975_184, 195_021.31);
        assert_eq!(
            parse(said),
            Some(Load {
                requests,
                per_second
            })
        );
        assert_eq!(parse("unable to connect"), None);
    }
}
