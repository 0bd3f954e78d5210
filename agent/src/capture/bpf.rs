//! Commands of bpf(2) that aya has no words for: loading a program for uprobe_multi links,
//! and making such a link (`bpf_uprobe_multi_link_attach`, kernel/trace/bpf_trace.c, 6.6); maps
//! that a run has only where it is asked to carry trace context, and what is attached with them. It
//! knows no program and no library.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{
    BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type, bpf_attr, bpf_cmd, bpf_map_type, bpf_prog_type,
};
use aya_obj::{Function, Program};
use zerocopy::{Immutable, IntoBytes};

use crate::visible::Visible;

/// `BPF_F_QUERY_EFFECTIVE` (include/uapi/linux/bpf.h).
const BPF_F_QUERY_EFFECTIVE: u32 = 1;
/// Room for what the verifier says of a program that it refuses.
const LOG_LEN: usize = 1 << 20;

/// Where a link's program is run.
pub struct Places<'a> {
    /// The file, as this process finds it.
    pub path: &'a CString,
    /// In the file, in bytes.
    pub offsets: &'a [u64],
    /// What the program is told of each.
    pub cookies: &'a [u64],
    /// When functions that begin there return.
    pub on_return: bool,
    /// In this process only.
    pub pid: u32,
}

/// Loads types that programs refer to.
///
/// # Errors
/// What the kernel says.
pub fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = empty();
    // SAFETY: of a union of integers that are all zero, any member is valid.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = bytes.as_ptr() as u64;
    load.btf_size = bytes.len() as u32;
    command(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// What a program is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramUse {
    /// Probes in user space, of which one link can be on many places.
    Probes,
    /// What happens to sockets of a control group.
    Sockets,
    /// Messages that are sent on sockets of a map.
    Messages,
}

/// Loads a program.
///
/// # Errors
/// What the kernel says; the verifier's last words with it.
pub fn load(
    name: &str,
    program: &Program,
    function: &Function,
    btf: Option<BorrowedFd<'_>>,
    used: ProgramUse,
) -> Result<OwnedFd, String> {
    let infos = (
        function.func_info.func_info_bytes(),
        function.line_info.line_info_bytes(),
    );
    let mut log = Vec::new();
    let mut attr = empty();
    // SAFETY: as above.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    for (to, from) in load
        .prog_name
        .iter_mut()
        .zip(name.bytes().take(NAME_LEN_MAX))
    {
        *to = from as libc::c_char;
    }
    let (kind, attached) = match used {
        ProgramUse::Probes => (
            bpf_prog_type::BPF_PROG_TYPE_KPROBE,
            bpf_attach_type::BPF_TRACE_UPROBE_MULTI,
        ),
        ProgramUse::Sockets => (
            bpf_prog_type::BPF_PROG_TYPE_SOCK_OPS,
            bpf_attach_type::BPF_CGROUP_SOCK_OPS,
        ),
        ProgramUse::Messages => (
            bpf_prog_type::BPF_PROG_TYPE_SK_MSG,
            bpf_attach_type::BPF_SK_MSG_VERDICT,
        ),
    };
    load.prog_type = kind as u32;
    load.expected_attach_type = attached as u32;
    load.insns = function.instructions.as_ptr() as u64;
    load.insn_cnt = function.instructions.len() as u32;
    load.license = program.license.as_ptr() as u64;
    if let Some(btf) = btf {
        load.prog_btf_fd = btf.as_raw_fd() as u32;
        load.func_info = infos.0.as_ptr() as u64;
        load.func_info_cnt = function.func_info.len() as u32;
        load.func_info_rec_size = function.func_info_rec_size as u32;
        load.line_info = infos.1.as_ptr() as u64;
        load.line_info_cnt = function.line_info.len() as u32;
        load.line_info_rec_size = function.line_info_rec_size as u32;
    }
    let first = command(bpf_cmd::BPF_PROG_LOAD, &mut attr);
    let Err(error) = first else {
        return first.map_err(|error| error.to_string());
    };
    // Once more, to hear why.
    log.resize(LOG_LEN, 0u8);
    // SAFETY: as above.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.log_buf = log.as_mut_ptr() as u64;
    load.log_size = LOG_LEN as u32;
    load.log_level = 1;
    let second = command(bpf_cmd::BPF_PROG_LOAD, &mut attr);
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(LOG_LEN);
    let said = String::from_utf8_lossy(&log[..end]);
    log::trace!("{}: {}", Visible(name), Visible(&said));
    second.map_err(|_| {
        let verdict = super::reason::verdict(&said).unwrap_or_default();
        format!("{error}: {verdict}")
    })
}

/// `BPF_OBJ_NAME_LEN` without the byte that ends it (include/uapi/linux/bpf.h).
const NAME_LEN_MAX: usize = 15;

/// Puts a program on places of a file in one process.
///
/// # Errors
/// What the kernel says.
pub fn link(program: BorrowedFd<'_>, places: &Places<'_>) -> io::Result<OwnedFd> {
    assert_eq!(places.offsets.len(), places.cookies.len());
    let mut attr = empty();
    // SAFETY: as above.
    let create = unsafe { &mut attr.link_create };
    create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    create.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    // SAFETY: as above.
    let multi = unsafe { &mut create.__bindgen_anon_3.uprobe_multi };
    multi.path = places.path.as_ptr() as u64;
    multi.offsets = places.offsets.as_ptr() as u64;
    multi.cookies = places.cookies.as_ptr() as u64;
    multi.cnt = places.offsets.len() as u32;
    multi.flags = if places.on_return {
        BPF_F_UPROBE_MULTI_RETURN
    } else {
        0
    };
    multi.pid = places.pid;
    command(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Whether the kernel makes such links. It is asked for one on a directory, which only a kernel
/// that knows them looks at, and refuses (EBADF): nothing is attached.
pub fn knows_links() -> bool {
    // r0 = 0; exit
    let instructions = [0xb7u64, 0x95];
    let mut attr = empty();
    // SAFETY: as above.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
    load.license = c"GPL".as_ptr() as u64;
    let Ok(program) = command(bpf_cmd::BPF_PROG_LOAD, &mut attr) else {
        return false;
    };
    let nowhere = Places {
        path: &c"/".to_owned(),
        offsets: &[0],
        cookies: &[0],
        on_return: false,
        pid: std::process::id(),
    };
    let refused = link(program.as_fd(), &nowhere).err();
    refused.and_then(|error| error.raw_os_error()) == Some(libc::EBADF)
}

/// A map to be made.
pub struct NewMap<'a> {
    /// Which kind.
    pub kind: bpf_map_type,
    /// Of a key, in bytes.
    pub key_size: u32,
    /// Of a value, in bytes.
    pub value_size: u32,
    /// How many elements there are, or may be.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Types, with the numbers of the key's and of the value's.
    pub types: Option<(BorrowedFd<'a>, [u32; 2])>,
}

/// Makes a map.
///
/// # Errors
/// What the kernel says.
pub fn create_map(map: &NewMap<'_>) -> io::Result<OwnedFd> {
    let mut attr = empty();
    // SAFETY: as above.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = map.kind as u32;
    create.key_size = map.key_size;
    create.value_size = map.value_size;
    create.max_entries = map.max_entries;
    create.map_flags = map.flags;
    if let Some((types, [key, value])) = &map.types {
        create.btf_fd = types.as_raw_fd() as u32;
        create.btf_key_type_id = *key;
        create.btf_value_type_id = *value;
    }
    command(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

/// Sets an element of a map whose keys and values have these sizes.
///
/// # Errors
/// What the kernel says.
pub fn set<K: IntoBytes + Immutable, V: IntoBytes + Immutable>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &V,
) -> io::Result<()> {
    let mut attr = empty();
    // SAFETY: as above.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = key.as_bytes().as_ptr() as u64;
    element.__bindgen_anon_1.value = value.as_bytes().as_ptr() as u64;
    done(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr)
}

/// Takes an element out of a map whose keys have this size.
///
/// # Errors
/// What the kernel says.
pub fn remove<K: IntoBytes + Immutable>(map: BorrowedFd<'_>, key: &K) -> io::Result<()> {
    let mut attr = empty();
    // SAFETY: as above.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = key.as_bytes().as_ptr() as u64;
    done(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr)
}

/// Has a program look at what is sent on the sockets of a map, as long as the map is there.
///
/// # Errors
/// What the kernel says.
pub fn attach_messages(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = empty();
    // SAFETY: as above.
    let attach = unsafe { &mut attr.__bindgen_anon_5 };
    attach.__bindgen_anon_1.target_fd = map.as_raw_fd() as u32;
    attach.attach_bpf_fd = program.as_raw_fd() as u32;
    attach.attach_type = bpf_attach_type::BPF_SK_MSG_VERDICT as u32;
    done(bpf_cmd::BPF_PROG_ATTACH, &mut attr)
}

/// Has a program told of what happens to the sockets of a control group, as long as the link is
/// there.
///
/// # Errors
/// What the kernel says.
pub fn link_sockets(program: BorrowedFd<'_>, group: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = empty();
    // SAFETY: as above.
    let create = unsafe { &mut attr.link_create };
    create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    create.__bindgen_anon_2.target_fd = group.as_raw_fd() as u32;
    create.attach_type = bpf_attach_type::BPF_CGROUP_SOCK_OPS as u32;
    command(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// How many programs are told of what happens to the sockets of a control group, those of the
/// groups above it too.
///
/// # Errors
/// What the kernel says.
pub fn socket_programs(group: BorrowedFd<'_>) -> io::Result<u32> {
    let mut attr = empty();
    // SAFETY: as above.
    let query = unsafe { &mut attr.query };
    query.__bindgen_anon_1.target_fd = group.as_raw_fd() as u32;
    query.attach_type = bpf_attach_type::BPF_CGROUP_SOCK_OPS as u32;
    query.query_flags = BPF_F_QUERY_EFFECTIVE;
    done(bpf_cmd::BPF_PROG_QUERY, &mut attr)?;
    // SAFETY: as above; the kernel wrote the number there.
    Ok(unsafe { attr.query.__bindgen_anon_2.prog_cnt })
}

fn empty() -> bpf_attr {
    // SAFETY: a union of structures of integers, of which any bytes are a valid value.
    unsafe { std::mem::zeroed() }
}

/// Runs a command that makes a descriptor.
fn command(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let descriptor = run(command, attr)?;
    // SAFETY: the kernel just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Runs a command that makes none.
fn done(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<()> {
    run(command, attr).map(|_| ())
}

fn run(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the kernel reads as many bytes as it is told there are. What they point to outlives
    // the call: each caller's arguments and locals, with the lengths that stand beside them. The
    // places that it writes to are the log's buffer, whose length stands beside it too, and, where
    // a number of programs is asked for, the attributes themselves.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
