//! Which processes hold a listening TCP socket: sockets of `/proc/<pid>/net/tcp` joined with the
//! descriptors of `/proc/<pid>/fd` by inode number. It does not choose ports.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::proc_root::ProcRoot;

/// Listening sockets on wanted ports, remembered by network namespace.
///
/// The kernel takes milliseconds to write a table of sockets, however few there are, because it
/// walks the whole hash table. So tables are not read for each process that is asked about, but
/// once per namespace after something in it began to listen.
#[derive(Debug, Default)]
pub(super) struct Listening {
    by_namespace: HashMap<OsString, HashSet<u64>>,
    /// Processes that began to listen since the tables of their namespaces were read.
    unread: HashSet<u32>,
}

/// Namespaces, and processes in `unread`, that are remembered; beyond that they are forgotten
/// until the next scan.
const REMEMBERED_MAX: usize = 4096;

/// Members of a namespace that are asked for its tables: more than one, for the case that one
/// exits meanwhile.
const NAMESPACE_TRIES: usize = 3;

impl Listening {
    /// Reads the tables of all namespaces of `pids` anew, and returns those of `pids` that hold a
    /// listening socket on a port that `wanted` accepts.
    pub fn scan(
        &mut self,
        root: &ProcRoot,
        pids: impl Iterator<Item = u32>,
        wanted: impl Fn(u16) -> bool,
    ) -> Vec<u32> {
        self.by_namespace.clear();
        self.unread.clear();
        self.read(root, pids, wanted)
            .into_iter()
            .filter(|pid| holds_any(root, *pid, |inode| self.contains(inode)))
            .collect()
    }

    /// Takes note that a process began to listen on a wanted port.
    pub fn began(&mut self, pid: u32) {
        if self.unread.len() < REMEMBERED_MAX {
            self.unread.insert(pid);
        }
    }

    /// Whether a process holds one of the sockets that are remembered.
    pub fn is_held_by(&mut self, root: &ProcRoot, pid: u32, wanted: impl Fn(u16) -> bool) -> bool {
        if !holds_any(root, pid, |_| true) {
            return false;
        }
        if !self.unread.is_empty() {
            let unread = std::mem::take(&mut self.unread);
            // With this process itself: who began to listen may have gone, and it is likely to be
            // in the same namespace.
            self.read(root, unread.into_iter().chain([pid]), wanted);
        }
        holds_any(root, pid, |inode| self.contains(inode))
    }

    fn contains(&self, inode: u64) -> bool {
        self.by_namespace
            .values()
            .any(|inodes| inodes.contains(&inode))
    }

    /// Reads the tables of the namespaces of `pids`, and returns those of `pids` in whose
    /// namespace a wanted port is listened on.
    fn read(
        &mut self,
        root: &ProcRoot,
        pids: impl Iterator<Item = u32>,
        wanted: impl Fn(u16) -> bool,
    ) -> Vec<u32> {
        let mut namespaces: HashMap<OsString, Vec<u32>> = HashMap::new();
        for pid in pids {
            if let Ok(namespace) = fs::read_link(root.dir(pid).join("ns/net")) {
                let members = namespaces.entry(namespace.into_os_string()).or_default();
                members.push(pid);
            }
        }
        let mut candidates = Vec::new();
        for (namespace, members) in namespaces {
            let inodes = members
                .iter()
                .take(NAMESPACE_TRIES)
                .find_map(|pid| listening(root, *pid, &wanted))
                .unwrap_or_default();
            if inodes.is_empty() {
                self.by_namespace.remove(&namespace);
                continue;
            }
            if self.by_namespace.len() >= REMEMBERED_MAX {
                self.by_namespace.clear();
            }
            self.by_namespace.insert(namespace, inodes);
            candidates.extend(members);
        }
        candidates
    }
}

/// Ports that are listened on in the network namespace of a process, by whomever.
pub fn listened_on(root: &ProcRoot, pid: u32) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    each_listener(root, pid, |port, _| {
        ports.insert(port);
    });
    ports
}

/// Ports that a process listens on.
pub fn ports(root: &ProcRoot, pid: u32) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    let mut by_inode = HashMap::new();
    each_listener(root, pid, |port, inode| {
        by_inode.insert(inode, port);
    });
    holds_any(root, pid, |inode| {
        ports.extend(by_inode.get(&inode));
        false
    });
    ports
}

/// Listening sockets on wanted ports, in the network namespace of `pid`. `None` if it has gone.
fn listening(root: &ProcRoot, pid: u32, wanted: impl Fn(u16) -> bool) -> Option<HashSet<u64>> {
    let mut inodes = HashSet::new();
    let is_there = each_listener(root, pid, |port, inode| {
        if wanted(port) {
            inodes.insert(inode);
        }
    });
    is_there.then_some(inodes)
}

/// Calls `each` with port and inode number of all listening sockets in the network namespace of
/// `pid`. `false` if it has gone.
///
/// The lines are read here and not with the procfs crate because a busy machine has a hundred
/// thousand of them, of which a few listen. Their format: `proc_pid_net(5)`, and
/// `tcp4_seq_show`/`tcp6_seq_show` of `net/ipv4/tcp_ipv4.c` and `net/ipv6/tcp_ipv6.c`.
fn each_listener(root: &ProcRoot, pid: u32, mut each: impl FnMut(u16, u64)) -> bool {
    let net = root.dir(pid).join("net");
    let mut is_there = false;
    for table in ["tcp", "tcp6"] {
        // A kernel without IPv6 has no tcp6.
        let Ok(file) = File::open(net.join(table)) else {
            continue;
        };
        is_there = true;
        let mut lines = BufReader::with_capacity(64 * 1024, file);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|len| len > 0) {
            if let Some((port, inode)) = listener(&line) {
                each(port, inode);
            }
            line.clear();
        }
    }
    is_there
}

/// `TCP_LISTEN` of `include/net/tcp_states.h`.
const LISTEN: &str = "0A";

/// Port and inode number, if a line of the table is about a listening socket.
fn listener(line: &str) -> Option<(u16, u64)> {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let (_, port) = local.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((port, fields.nth(5)?.parse().ok()?))
}

/// Whether the process has a descriptor of a socket that is `sought`, by its inode number.
fn holds_any(root: &ProcRoot, pid: u32, sought: impl FnMut(u64) -> bool) -> bool {
    fs::read_dir(root.dir(pid).join("fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| socket(&fs::read_link(entry.ok()?.path()).ok()?))
        .any(sought)
}

fn socket(link: &Path) -> Option<u64> {
    link.to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_are_taken_from_the_table() {
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                      retrnsmt   uid  timeout inode\n";
        let of_one_socket = |addresses_and_state: &str, inode: u64| {
            format!(
                "   0: {addresses_and_state} 00000000:00000000 00:00000000 00000000  1000        0 \
                 {inode} 1 0000000000000000 100 0 0 10 0\n"
            )
        };
        let listens = of_one_socket("0100007F:1F90 00000000:0000 0A", 31415);
        let speaks = of_one_socket("0100007F:1F90 0100007F:D431 01", 31416);
        let nobody = "0".repeat(32);
        let six = of_one_socket(&format!("{nobody}:0050 {nobody}:0000 0A"), 27182);
        assert_eq!(listener(header), None);
        assert_eq!(listener(&listens), Some((8080, 31415)));
        assert_eq!(listener(&speaks), None);
        assert_eq!(listener(&six), Some((80, 27182)));
        assert_eq!(listener(""), None);
    }

    #[test]
    fn only_links_to_sockets_have_an_inode() {
        assert_eq!(socket(Path::new("socket:[31415]")), Some(31415));
        assert_eq!(socket(Path::new("pipe:[31415]")), None);
        assert_eq!(socket(Path::new("/dev/null")), None);
    }
}
