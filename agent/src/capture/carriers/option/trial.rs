//! The self-test: whether the option comes with the first segment of a request, and all that is
//! sent arrives as it is, on a connection that the daemon has with itself.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{HashMap as KernelMap, Map, MapData};
use wirespan_common::carriers::{MODE_TRIAL, TRIAL_TRACE_ID};

use super::seat::TrialSeat;
use super::{OptionSet, told};
use crate::capture::bpf;
use crate::capture::carriers::CarrierRefusal;
use crate::capture::carriers::loopback::connected;
use crate::capture::reason::one_line;
use crate::config::CarriersConfig;

/// How often something is asked.
const REQUESTS: usize = 3;
/// Much more than is in a segment, and than is under way at a time.
const LARGE: usize = 1 << 20;

/// What is wrong with connections that carry by the option; in one line.
#[derive(Debug)]
pub enum OptionFault {
    /// It did not come with the first segment of each request.
    Missing {
        /// How often something was asked.
        requests: usize,
        /// With how many of them it came.
        came: usize,
    },
    /// What arrived is not what was sent.
    Differs(&'static str),
    /// A step failed.
    Failed(&'static str, io::Error),
}

impl fmt::Display for OptionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { requests, came } => {
                write!(f, "of {requests} requests {came} came with the TCP option")
            }
            Self::Differs(step) => {
                write!(f, "with a TCP option something else arrives: {step}")
            }
            Self::Failed(step, error) => {
                write!(f, "with a TCP option a connection fails: {step}: {error}")
            }
        }
    }
}

/// Loads the program, and tries it; nothing of it is left.
///
/// # Errors
/// What keeps it from being used here.
pub fn run(maps: &HashMap<String, OwnedFd>, config: &CarriersConfig) -> Result<(), CarrierRefusal> {
    let load = |error: io::Error| CarrierRefusal::Load(error.to_string());
    let told = told().map_err(load)?;
    let mut all = super::copies(maps).map_err(CarrierRefusal::Load)?;
    all.insert("TOLD".to_owned(), told.try_clone().map_err(load)?);
    let set = OptionSet::load(&all, MODE_TRIAL, config.option_form);
    let set = set.map_err(CarrierRefusal::Load)?;
    let mut seat = TrialSeat::take(config.group.as_deref()).map_err(CarrierRefusal::Group)?;
    let link = bpf::link_sockets(set.sockets(), seat.group().as_fd());
    let link = link.map_err(|error| CarrierRefusal::Group(error.to_string()))?;
    let pair = TrialPair::within(&set);
    seat.leave();
    let tried = pair
        .map_err(|error| OptionFault::Failed("to connect", error))
        .and_then(|pair| pair.try_out(told));
    drop(link);
    tried.map_err(CarrierRefusal::Option)
}

/// A connection of the daemon with itself.
struct TrialPair {
    own: TcpStream,
    peer: TcpStream,
}

impl TrialPair {
    fn within(set: &OptionSet) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        set.tries_at(listener.local_addr()?.port())?;
        let [own, peer] = connected(&listener)?;
        Ok(Self { own, peer })
    }

    fn try_out(mut self, told: OwnedFd) -> Result<(), OptionFault> {
        const REQUEST: &str = "a request";
        let failed = |step| move |error| OptionFault::Failed(step, error);
        let mut expected = Vec::new();
        let mut position = 0;
        for number in 0..REQUESTS {
            let request = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
            expected.push(position);
            position += request.len() as u32;
            if !self.asks(request.as_bytes()).map_err(failed(REQUEST))? {
                return Err(OptionFault::Differs(REQUEST));
            }
        }
        let came = came(told).map_err(failed("to read what came"))?;
        let has_come = |position: &&u32| came.iter().any(|[.., at, _]| at == *position);
        let came = expected.iter().filter(has_come).count();
        if came != REQUESTS {
            let requests = REQUESTS;
            return Err(OptionFault::Missing { requests, came });
        }
        for (step, does) in [
            (
                "a large message",
                Self::sends_much as fn(&mut Self) -> io::Result<bool>,
            ),
            ("a stream that ends in one direction", Self::half_closes),
        ] {
            if !does(&mut self).map_err(failed(step))? {
                return Err(OptionFault::Differs(step));
            }
        }
        Ok(())
    }

    /// Asks, and is answered; whether both arrived as they are.
    fn asks(&mut self, request: &[u8]) -> io::Result<bool> {
        self.own.write_all(request)?;
        let mut got = vec![0; request.len()];
        self.peer.read_exact(&mut got)?;
        self.peer.write_all(b"ok")?;
        let mut answer = [0; 2];
        self.own.read_exact(&mut answer)?;
        Ok(got == request && answer == *b"ok")
    }

    fn sends_much(&mut self) -> io::Result<bool> {
        let sent: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
        let (mut own, bytes) = (self.own.try_clone()?, sent.clone());
        let writer = std::thread::spawn(move || own.write_all(&bytes));
        let mut got = vec![0; LARGE];
        let read = self.peer.read_exact(&mut got);
        // It takes no longer than a write may.
        writer.join().map_err(|_| io::ErrorKind::Other)??;
        read?;
        Ok(got == sent)
    }

    fn half_closes(&mut self) -> io::Result<bool> {
        self.own.write_all(b"last")?;
        self.own.shutdown(Shutdown::Write)?;
        let mut got = Vec::new();
        self.peer.read_to_end(&mut got)?;
        self.peer.write_all(b"answer")?;
        self.peer.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        self.own.read_to_end(&mut answer)?;
        Ok(got == b"last" && answer == b"answer")
    }
}

/// Where requests begin of which an option said that they are of the self-test's trace.
fn came(told: OwnedFd) -> io::Result<Vec<[u32; 4]>> {
    let other = |error: &(dyn std::error::Error + 'static)| io::Error::other(one_line(error));
    let map = MapData::from_fd(told).map_err(|error| other(&error))?;
    let told: KernelMap<_, [u32; 4], [u8; 24]> =
        KernelMap::try_from(Map::LruHashMap(map)).map_err(|error| other(&error))?;
    let of_trial =
        |said: &[u8; 24]| said.starts_with(&TRIAL_TRACE_ID) && said[16..] == 1u64.to_ne_bytes();
    let all = told.iter().filter_map(Result::ok);
    Ok(all
        .filter(|(_, said)| of_trial(said))
        .map(|(key, _)| key)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::carriers::accepted::carrying;
    use crate::config::OptionName;

    /// It takes root, and control groups of version 2 that may be written to.
    #[test]
    fn the_option_comes_with_each_request_and_changes_no_byte() {
        let Some(ebpf) = carrying() else { return };
        let maps = crate::capture::object::maps(&ebpf);
        match run(&maps, &CarriersConfig::default()) {
            Err(CarrierRefusal::Group(reason)) => eprintln!("not tried: {reason}"),
            tried => tried.unwrap_or_else(|refusal| panic!("{refusal}")),
        }
    }

    /// A trial that is not told of its connection fails for it.
    #[test]
    fn a_connection_without_the_option_is_told_of() {
        let Some(ebpf) = carrying() else { return };
        let maps = crate::capture::object::maps(&ebpf);
        let set = OptionSet::load(&maps, MODE_TRIAL, OptionName::default()).expect("it loads");
        let pair = TrialPair::within(&set).expect("a connection");
        let fault = pair
            .try_out(told().expect("a map"))
            .expect_err("nothing is attached");
        let said = fault.to_string();
        assert_eq!(said, "of 3 requests 0 came with the TCP option");
    }
}
