//! Commands of bpf(2) that aya has no words for: loading a program for uprobe_multi links,
//! and making such a link (`bpf_uprobe_multi_link_attach`, kernel/trace/bpf_trace.c, 6.6). It knows
//! no program and no library.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{
    BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type,
};
use aya_obj::{Function, Program};

use crate::visible::Visible;

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
    command(bpf_cmd::BPF_BTF_LOAD, &attr)
}

/// Loads a program for probes in user space, of which one link can be on many places.
///
/// # Errors
/// What the kernel says; the verifier's last words with it.
pub fn load(
    name: &str,
    program: &Program,
    function: &Function,
    btf: Option<BorrowedFd<'_>>,
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
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
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
    let first = command(bpf_cmd::BPF_PROG_LOAD, &attr);
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
    let second = command(bpf_cmd::BPF_PROG_LOAD, &attr);
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(LOG_LEN);
    let said = String::from_utf8_lossy(&log[..end]);
    log::trace!("{}: {}", Visible(name), Visible(&said));
    second.map_err(|_| {
        let verdict = super::super::reason::verdict(&said).unwrap_or_default();
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
    command(bpf_cmd::BPF_LINK_CREATE, &attr)
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
    let Ok(program) = command(bpf_cmd::BPF_PROG_LOAD, &attr) else {
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

fn empty() -> bpf_attr {
    // SAFETY: a union of structures of integers, of which any bytes are a valid value.
    unsafe { std::mem::zeroed() }
}

/// Runs a command that makes a descriptor.
fn command(command: bpf_cmd, attr: &bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as it is told there are. What they point to outlives
    // the call: each caller's arguments and locals, with the lengths that stand beside them. The
    // one place that it writes to is the log's buffer, whose length stands beside it too.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<bpf_attr>()) };
    let descriptor = i32::try_from(result)
        .ok()
        .filter(|descriptor| *descriptor >= 0);
    match descriptor {
        // SAFETY: the kernel just made it, and nobody else knows of it.
        Some(descriptor) => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        None => Err(io::Error::last_os_error()),
    }
}
