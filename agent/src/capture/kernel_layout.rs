//! Where the running kernel keeps what the kernel side reads: byte offsets out of its own type
//! information, or that of a file, or found by looking. It holds no offsets of its own, so no
//! kernel version is assumed; and whoever says them, they are tried before they are used.

mod btf;
mod commands;
mod features;
mod observe;
mod peek;
mod search;
mod sources;
mod specimens;
mod verify;
mod window;

use std::fmt;
use std::path::{Path, PathBuf};

use wirespan_common::carriers::UnfitPlaces;
use wirespan_common::config::Offsets;

use crate::arch::THREAD_POINTER;
use btf::{Btf, MalformedBtf};
pub use features::Feature;
use observe::ObserveError;
pub use verify::Mismatch;
pub use window::Trigger;

use crate::config::LayoutSetting;
use crate::visible::Visible;

/// Where the kernel describes its types (5.2 and later, with `CONFIG_DEBUG_INFO_BTF`).
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Who says where the kernel keeps what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutSource {
    /// The running kernel itself.
    Kernel,
    /// What the user gave (`WIRESPAN_BTF`).
    File(PathBuf),
    /// A look at the daemon's own sockets.
    Observation,
}

impl fmt::Display for LayoutSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str(VMLINUX),
            Self::File(path) => write!(f, "WIRESPAN_BTF={}", Visible(path.display())),
            Self::Observation => f.write_str("observation of own sockets"),
        }
    }
}

/// A layout that was tried.
#[derive(Clone, Debug)]
pub struct KernelLayout {
    /// What the kernel side is told.
    pub offsets: Offsets,
    /// Who said it.
    pub source: LayoutSource,
    /// What could not be found out, with the reason.
    pub lacks: Vec<(Feature, String)>,
    /// Sources that were asked before, with the reason why they were not taken.
    pub refused: Vec<(LayoutSource, String)>,
    /// Why it could not be tried; only the kernel itself is believed then.
    pub untried: Option<String>,
}

impl KernelLayout {
    /// Whether a feature has what it needs.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        feature.is_in(&self.offsets)
    }

    /// What a run does without, each with the reason, in a line.
    pub fn shortcomings(&self) -> impl Iterator<Item = String> + '_ {
        let each = self.lacks.iter();
        each.map(|(feature, why)| format!("{feature}: {} ({why})", feature.without()))
    }
}

/// Why the layout is not known: each source with its reason.
#[derive(Debug)]
pub struct LayoutError(Vec<(LayoutSource, String)>);

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not known where this kernel keeps its structures")?;
        for (index, (source, reason)) in self.0.iter().enumerate() {
            let joint = if index == 0 { ": " } else { "; " };
            write!(f, "{joint}{source}: {}", Visible(reason))?;
        }
        f.write_str("; give its BTF by WIRESPAN_BTF, or take a kernel with CONFIG_DEBUG_INFO_BTF")
    }
}

impl std::error::Error for LayoutError {}

/// Finds the running kernel's layout: by its own type information, what the user gave, or looking,
/// whichever comes first and can be read through.
///
/// # Errors
/// See [`LayoutError`].
pub fn find(setting: &LayoutSetting) -> Result<KernelLayout, LayoutError> {
    let mut refused = Vec::new();
    for source in sources_of(setting) {
        match layout_of(&source) {
            Ok((offsets, lacks, untried)) => {
                return Ok(KernelLayout {
                    offsets,
                    source,
                    lacks,
                    refused,
                    untried,
                });
            }
            Err(reason) => refused.push((source, reason)),
        }
    }
    Err(LayoutError(refused))
}

fn sources_of(setting: &LayoutSetting) -> Vec<LayoutSource> {
    match setting {
        LayoutSetting::Auto => vec![LayoutSource::Kernel, LayoutSource::Observation],
        LayoutSetting::File(path) => {
            let file = LayoutSource::File(path.clone());
            vec![LayoutSource::Kernel, file, LayoutSource::Observation]
        }
        LayoutSetting::Observe => vec![LayoutSource::Observation],
    }
}

type Tried = (Offsets, Vec<(Feature, String)>, Option<String>);

fn layout_of(source: &LayoutSource) -> Result<Tried, String> {
    let (offsets, lacks) = match source {
        LayoutSource::Kernel => (described_by_kernel()?, Vec::new()),
        LayoutSource::File(path) => (parse(&sources::read(path)?)?, Vec::new()),
        LayoutSource::Observation => observed(None)?,
    };
    match tried(offsets) {
        Ok(()) => Ok((offsets, lacks, None)),
        Err(Mismatch::Untried(why)) if *source == LayoutSource::Kernel => {
            Ok((offsets, lacks, Some(why)))
        }
        Err(mismatch) => Err(mismatch.to_string()),
    }
}

/// Looks, by this trigger or one that the kernel has.
///
/// # Errors
/// What shows nowhere or in several places, or why nothing could be looked at; in one line.
pub fn observed(trigger: Option<Trigger>) -> Result<(Offsets, Vec<(Feature, String)>), String> {
    observe::observe(trigger).map_err(|error| match error {
        ObserveError::Undecided(undecided) => format!("can't tell: {undecided}"),
        error => error.to_string(),
    })
}

/// Reads the daemon's own sockets through a layout.
///
/// # Errors
/// What is elsewhere, or why that could not be tried.
pub fn tried(offsets: Offsets) -> Result<(), Mismatch> {
    let tried = observe::on_own_thread(None, move |window| Ok(verify::verify(window, &offsets)));
    tried.unwrap_or_else(|error| Err(Mismatch::Untried(error.to_string())))
}

/// What the running kernel says, untried.
///
/// # Errors
/// Why it does not, in one line.
pub fn described_by_kernel() -> Result<Offsets, String> {
    let bytes = std::fs::read(Path::new(VMLINUX)).map_err(|error| error.to_string())?;
    parse(&bytes)
}

/// Where the running kernel's sockets say that they are not to be enrolled, as it says itself.
///
/// # Errors
/// Why that is not known, in one line.
pub fn unfit_places() -> Result<UnfitPlaces, String> {
    let bytes = std::fs::read(Path::new(VMLINUX)).map_err(|error| error.to_string())?;
    let types = Btf::parse(&bytes).map_err(|MalformedBtf| "it is malformed".to_owned())?;
    // `struct sock` begins with it.
    let flags = types.offset_of("sock_common", "skc_flags");
    let zero_copy = types.value_of("sock_flags", "SOCK_ZEROCOPY");
    Ok(UnfitPlaces {
        flags: flags.ok_or("its struct sock_common has no member skc_flags")?,
        zero_copy: zero_copy.ok_or("it does not know SOCK_ZEROCOPY")?,
        multipath: types.offset_of("tcp_sock", "is_mptcp").unwrap_or(0),
        reserved: 0,
    })
}

/// The layout that type information describes.
///
/// # Errors
/// Why it does not, in one line.
pub fn parse(bytes: &[u8]) -> Result<Offsets, String> {
    let types = Btf::parse(bytes).map_err(|MalformedBtf| "it is malformed".to_owned())?;
    described(&types).map_err(|missing| missing.to_string())
}

/// A structure has no such member.
struct MissingMembers {
    structure: &'static str,
    member: &'static str,
}

impl fmt::Display for MissingMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { structure, member } = self;
        write!(f, "its struct {structure} has no member {member}")
    }
}

/// Which bits at its place are the protocol of a socket: a byte, before 5.6.
fn protocol_mask(types: &Btf<'_>) -> Result<u32, MissingMembers> {
    let (structure, member) = ("sock", "sk_protocol");
    match types.place_of(structure, member).map(|place| place.width) {
        Some(8) => Ok(0xff),
        Some(16) => Ok(0xffff),
        _ => Err(MissingMembers { structure, member }),
    }
}

fn described(types: &Btf<'_>) -> Result<Offsets, MissingMembers> {
    let at = |structure, member| {
        types
            .offset_of(structure, member)
            .ok_or(MissingMembers { structure, member })
    };
    Ok(Offsets {
        task_struct_files: at("task_struct", "files")?,
        task_struct_tgid: at("task_struct", "tgid")?,
        task_struct_signal: at("task_struct", "signal")?,
        task_struct_stack: at("task_struct", "stack")?,
        task_struct_exit_code: at("task_struct", "exit_code")?,
        task_struct_pid: at("task_struct", "pid")?,
        task_struct_fsbase: at("task_struct", "thread")? + at("thread_struct", THREAD_POINTER)?,
        task_struct_io_uring: types.offset_of("task_struct", "io_uring").unwrap_or(0),
        signal_struct_live: at("signal_struct", "live")?,
        files_struct_fdt: at("files_struct", "fdt")?,
        fdtable_fd: at("fdtable", "fd")?,
        fdtable_max_fds: at("fdtable", "max_fds")?,
        file_f_inode: at("file", "f_inode")?,
        file_private_data: at("file", "private_data")?,
        file_f_ep: types.offset_of("file", "f_ep").unwrap_or(0),
        file_f_ep_links: types.offset_of("file", "f_ep_links").unwrap_or(0),
        epitem_fllink: types.offset_of("epitem", "fllink").unwrap_or(0),
        epitem_event: types.offset_of("epitem", "event").unwrap_or(0),
        inode_i_mode: at("inode", "i_mode")?,
        inode_i_ino: at("inode", "i_ino")?,
        socket_sk: at("socket", "sk")?,
        socket_file: at("socket", "file")?,
        socket_to_inode: at("socket_alloc", "vfs_inode")? - at("socket_alloc", "socket")?,
        sock_sk_socket: at("sock", "sk_socket")?,
        sock_sk_type: at("sock", "sk_type")?,
        sock_sk_shutdown: at("sock", "sk_shutdown")?,
        sock_sk_protocol: at("sock", "sk_protocol")?,
        sock_sk_protocol_mask: protocol_mask(types)?,
        sock_sk_receive_queue: at("sock", "sk_receive_queue")?,
        sk_buff_head_qlen: at("sk_buff_head", "qlen")?,
        tcp_sock_copied_seq: at("tcp_sock", "copied_seq")?,
        tcp_sock_rcv_nxt: at("tcp_sock", "rcv_nxt")?,
        tcp_sock_write_seq: at("tcp_sock", "write_seq")?,
        tcp_sock_snd_nxt: at("tcp_sock", "snd_nxt")?,
        tcp_sock_bytes_received: at("tcp_sock", "bytes_received")?,
        tcp_sock_bytes_sent: types.offset_of("tcp_sock", "bytes_sent").unwrap_or(0),
        tcp_sock_bytes_retrans: types.offset_of("tcp_sock", "bytes_retrans").unwrap_or(0),
        inet_connection_sock_icsk_ulp_ops: at("inet_connection_sock", "icsk_ulp_ops")?,
        inet_connection_sock_icsk_bind_hash: at("inet_connection_sock", "icsk_bind_hash")?,
        inet_bind_bucket_port: at("inet_bind_bucket", "port")?,
        inet_bind_bucket_fastreuse: at("inet_bind_bucket", "fastreuse")?,
        sock_common_skc_family: at("sock_common", "skc_family")?,
        sock_common_skc_num: at("sock_common", "skc_num")?,
        sock_common_skc_dport: at("sock_common", "skc_dport")?,
        sock_common_skc_daddr: at("sock_common", "skc_daddr")?,
        sock_common_skc_rcv_saddr: at("sock_common", "skc_rcv_saddr")?,
        sock_common_skc_v6_daddr: at("sock_common", "skc_v6_daddr")?,
        sock_common_skc_v6_rcv_saddr: at("sock_common", "skc_v6_rcv_saddr")?,
        unix_sock_addr: at("unix_sock", "addr")?,
        unix_sock_peer: at("unix_sock", "peer")?,
        unix_address_len: at("unix_address", "len")?,
        unix_address_name: at("unix_address", "name")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_anonymous_parts_are_found() {
        let layout = described_by_kernel().expect("this machine's kernel describes itself");
        // Both stand in unions of struct sock_common, at its very start (include/net/sock.h).
        assert_eq!(layout.sock_common_skc_daddr, 0);
        assert_eq!(layout.sock_common_skc_rcv_saddr, 4);
        assert!(layout.socket_to_inode > 0);
    }
}
