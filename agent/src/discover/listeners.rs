//! Which processes hold a listening TCP socket: sockets of `/proc/<pid>/net/tcp` joined with the
//! descriptors of `/proc/<pid>/fd` by inode number. It knows no selection.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::proc_root::ProcRoot;

/// Inode numbers of listening sockets of one network namespace.
pub(super) type Inodes = HashSet<u64>;

/// Listening sockets on ports that `wanted` accepts, in the network namespace of `pid`.
///
/// The lines are read here and not with the procfs crate because a busy machine has a hundred
/// thousand of them, of which a few listen. Their format: `proc_pid_net(5)`, and
/// `tcp4_seq_show`/`tcp6_seq_show` of `net/ipv4/tcp_ipv4.c` and `net/ipv6/tcp_ipv6.c`.
pub(super) fn listening(root: &ProcRoot, pid: u32, wanted: impl Fn(u16) -> bool) -> Inodes {
    let net = root.dir(pid).join("net");
    let mut inodes = Inodes::new();
    for table in ["tcp", "tcp6"] {
        let Ok(file) = File::open(net.join(table)) else {
            continue;
        };
        let mut lines = BufReader::with_capacity(64 * 1024, file);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|len| len > 0) {
            inodes.extend(
                listener(&line)
                    .filter(|(port, _)| wanted(*port))
                    .map(|(_, inode)| inode),
            );
            line.clear();
        }
    }
    inodes
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

/// Whether the process has a descriptor of one of these sockets.
pub(super) fn holds_any(root: &ProcRoot, pid: u32, inodes: &Inodes) -> bool {
    sockets(root, pid).any(|inode| inodes.contains(&inode))
}

/// Inode numbers of the sockets of a process.
pub(super) fn sockets(root: &ProcRoot, pid: u32) -> impl Iterator<Item = u64> + use<> {
    fs::read_dir(root.dir(pid).join("fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| socket(&fs::read_link(entry.ok()?.path()).ok()?))
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
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let listens = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31415 1 0000000000000000 100 0 0 10 0\n";
        let speaks = "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 31416 1 0000000000000000 20 4 30 10 -1\n";
        let six = "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 27182 1 0000000000000000 100 0 0 10 0\n";
        assert_eq!(listener(header), None);
        assert_eq!(listener(listens), Some((8080, 31415)));
        assert_eq!(listener(speaks), None);
        assert_eq!(listener(six), Some((80, 27182)));
        assert_eq!(listener(""), None);
    }

    #[test]
    fn only_links_to_sockets_have_an_inode() {
        assert_eq!(socket(Path::new("socket:[31415]")), Some(31415));
        assert_eq!(socket(Path::new("pipe:[31415]")), None);
        assert_eq!(socket(Path::new("/dev/null")), None);
    }
}
