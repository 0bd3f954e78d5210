//! Load on a server: by wrk, 16 connections that are kept alive if nothing else is said, and by
//! others that bring another protocol or keep to a rate.

use anyhow::{Context as _, Result};

use super::http2;
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

/// Over one connection, the same of a path, and the median time to an answer in microseconds.
pub fn latency(port: u16, path: &str, seconds: u64) -> Result<f64> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let said = process::capture(process::tied("wrk").args([
        "-t1",
        "-c1",
        "--latency",
        &format!("-d{seconds}s"),
        &url,
    ]))?;
    median_us(&said).with_context(|| format!("wrk says something new:\n{said}"))
}

/// A line such as `     50%   61.00us`.
fn median_us(said: &str) -> Option<f64> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("50%"))?
        .trim();
    let (figure, factor) = match line {
        line if line.ends_with("us") => (line.strip_suffix("us")?, 1.0),
        line if line.ends_with("ms") => (line.strip_suffix("ms")?, 1e3),
        line => (line.strip_suffix('s')?, 1e6),
    };
    Some(figure.parse::<f64>().ok()? * factor)
}

/// Who makes requests, and how.
#[derive(Clone, Copy)]
pub enum Driver {
    /// wrk: a path over so many connections that are kept.
    Kept(u32, &'static str),
    /// wrk: a connection for each request.
    Closed,
    /// wrk over TLS.
    Https,
    /// h2load: HTTP/2 with prior knowledge.
    Http2,
    /// tonic's client.
    Grpc,
    /// redis-benchmark.
    Redis,
    /// h2load: so many requests of HTTP/1.1 a second over ten connections, as far as they are
    /// answered.
    Rate(u32),
}

impl Driver {
    pub const fn kept(connections: u32, path: &'static str) -> Self {
        Self::Kept(connections, path)
    }

    /// Loads who listens on this port of loopback.
    pub fn load(self, port: u16, seconds: u64) -> Result<Load> {
        let url = format!("http://127.0.0.1:{port}");
        match self {
            Self::Kept(connections, path) => {
                let threads = connections.min(2);
                let how = [format!("-t{threads}"), format!("-c{connections}")];
                wrk(&[&how[0], &how[1]], &format!("{url}{path}"), seconds)
            }
            Self::Closed => {
                let how = ["-t2", "-c16", "-H", "Connection: close"];
                wrk(&how, &format!("{url}/hello"), seconds)
            }
            Self::Https => run_over("https", port, seconds),
            Self::Http2 => http2::h2load(port, seconds),
            Self::Grpc => http2::tonic(port, seconds),
            Self::Redis => redis(port, seconds),
            Self::Rate(rate) => at_rate(&format!("{url}/hello"), rate, seconds),
        }
    }
}

fn run_url(url: &str, seconds: u64) -> Result<Load> {
    wrk(&["-t2", "-c16"], url, seconds)
}

fn wrk(how: &[&str], url: &str, seconds: u64) -> Result<Load> {
    let said = process::capture(
        process::tied("prlimit")
            .args(["--nofile=20000", "wrk"])
            .args(how)
            .arg(format!("-d{seconds}s"))
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

fn at_rate(url: &str, rate: u32, seconds: u64) -> Result<Load> {
    const CONNECTIONS: u32 = 10;
    let said = process::capture(
        workspace::system("h2load")
            .args(["--h1", "-t1", &format!("-c{CONNECTIONS}")])
            .arg(format!("--rps={}", rate / CONNECTIONS))
            .arg(format!("-D{seconds}"))
            .arg(url),
    )?;
    http2::parse(&said).with_context(|| format!("h2load says something new:\n{said}"))
}

fn redis(port: u16, seconds: u64) -> Result<Load> {
    /// About as many as one answers in a second while it is watched and others work too.
    const A_SECOND: u64 = 30_000;
    let requests = A_SECOND * seconds;
    let said = process::capture(
        workspace::system("redis-benchmark")
            .args(["-p", &port.to_string(), "-c", "16", "-t", "get", "--csv"])
            .args(["-n", &requests.to_string()]),
    )?;
    let per_second = parse_redis(&said);
    let per_second =
        per_second.with_context(|| format!("redis-benchmark says something new:\n{said}"))?;
    Ok(Load {
        requests,
        per_second,
    })
}

fn parse_redis(said: &str) -> Option<f64> {
    let figures = said
        .lines()
        .find_map(|line| line.strip_prefix("\"GET\","))?;
    figures.split(',').next()?.trim_matches('"').parse().ok()
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

    #[test]
    fn redis_benchmark_is_understood() {
        let said = "\"test\",\"rps\",\"avg_latency_ms\"\n\"GET\",\"75187.97\",\"0.110\"\n";
        assert_eq!(parse_redis(said), Some(75_187.97));
        assert_eq!(parse_redis("Could not connect"), None);
    }
}
