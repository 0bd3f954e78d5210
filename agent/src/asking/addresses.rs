//! Which addresses this machine has, beside those that connections showed: by one of them a request
//! may come to another node. It reads two files of the kernel's, of two network namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The daemon's own network, and that of the machine, which is another one in a container.
const NETWORKS: [&str; 2] = ["/proc/self/net", "/proc/1/net"];

/// All that can be found out; each once or several times.
#[must_use]
pub fn own_addresses() -> Vec<IpAddr> {
    let mut found = Vec::new();
    for network in NETWORKS {
        let read = |file: &str| std::fs::read_to_string(format!("{network}/{file}"));
        // A network without IPv6 has no such file.
        found.extend(ipv4(&read("fib_trie").unwrap_or_default()));
        found.extend(ipv6(&read("if_inet6").unwrap_or_default()));
    }
    found.retain(|address| !address.is_loopback());
    found
}

/// `fib_trie` has a line with an address, and behind it one for each entry (net/ipv4/fib_trie.c,
/// `fib_trie_seq_show`): those of the machine itself are `/32 host LOCAL`.
fn ipv4(trie: &str) -> Vec<IpAddr> {
    let mut address = None;
    let mut found = Vec::new();
    for line in trie.lines() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("|-- ") {
            address = text.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(address.map(IpAddr::from));
        }
    }
    found
}

/// `if_inet6` has a line for each address, which begins with its digits (net/ipv6/addrconf.c,
/// `if6_seq_show`).
fn ipv6(lines: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let digits = line.split(' ').next()?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some(IpAddr::from(Ipv6Addr::from(bits)))
    };
    lines.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_machine_itself_are_found() {
        let trie = [
            "Main:",
            "  +-- 0.0.0.0/0 3 0 5",
            "     |-- 0.0.0.0",
            "        /0 universe UNICAST",
            "Local:",
            "  +-- 10.11.0.0/24 2 0 2",
            "     |-- 10.11.0.0",
            "        /24 link UNICAST",
            "     |-- 10.11.0.2",
            "        /32 host LOCAL",
            "     |-- 10.11.0.255",
            "        /32 link BROADCAST",
            "     |-- 127.0.0.1",
            "        /32 host LOCAL",
        ];
        let texts = |found: Vec<IpAddr>| {
            let texts = found.iter().map(IpAddr::to_string);
            texts.collect::<Vec<_>>()
        };
        assert_eq!(texts(ipv4(&trie.join("\n"))), ["10.11.0.2", "127.0.0.1"]);
        let lines = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fd000000000000000000000000000007 02 40 00 80     eth0\n";
        assert_eq!(texts(ipv6(lines)), ["::1", "fd00::7"]);
        assert!(ipv6("nothing\n").is_empty());
    }
}
