//! A kernel whose bpf(2) is as Linux 4.18 had it, played on the running one: a process is started
//! under a filter (seccomp(2)) that hands each of its bpf calls to the test, which lets through
//! what 4.18 took and answers all else as that did. What the verifier of 4.18 says of a program
//! that it takes up is not played: the running kernel's own has that word.

mod bpf;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// `SECCOMP_SET_MODE_FILTER` and `SECCOMP_FILTER_FLAG_NEW_LISTENER` (include/uapi/linux/seccomp.h).
const SET_MODE_FILTER: libc::c_ulong = 1;
const NEW_LISTENER: libc::c_ulong = 1 << 3;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`: the call is made after all.
const CONTINUE: u32 = 1;
/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND`.
const RECEIVE: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;

/// Hands calls of bpf(2) over and lets all others be: four instructions of classic BPF.
const FILTER: [libc::sock_filter; 4] = {
    const fn of(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        }
    }
    [
        // The number of the call.
        of(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        of(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_bpf as u32,
        ),
        of(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_USER_NOTIF,
        ),
        of(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
};

/// A call that waits for an answer: `struct seccomp_notif`.
#[derive(Default)]
#[repr(C)]
struct CallNote {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// The answer: `struct seccomp_notif_resp`.
#[derive(Default)]
#[repr(C)]
struct CallAnswer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Answers a process's calls.
#[derive(Debug, Default)]
pub struct OldKernel {
    refused: Arc<Mutex<BTreeSet<String>>>,
}

impl OldKernel {
    /// Puts whatever the command will start under it.
    ///
    /// # Panics
    /// This kernel has no filters, or the test may not set one.
    #[must_use]
    pub fn around(command: &mut Command) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let set = move || {
            let listener = listen()?;
            hand_over(&theirs, listener.as_fd())
        };
        // SAFETY: between fork and exec it makes three system calls and allocates nothing.
        unsafe { command.pre_exec(set) };
        let kernel = Self::default();
        let refused = Arc::clone(&kernel.refused);
        std::thread::spawn(move || {
            if let Some(listener) = taken_over(&ours) {
                answer_all(&listener, &refused);
            }
        });
        kernel
    }

    /// What was refused, each thing once, in words.
    ///
    /// # Panics
    /// The thread that answers panicked.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        let refused = self.refused.lock().expect("nobody panicked with it");
        refused.iter().cloned().collect()
    }
}

/// Sets the filter for the calling thread, and what it starts.
fn listen() -> io::Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: FILTER.len() as u16,
        filter: FILTER.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the instructions, which nobody changes.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            NEW_LISTENER,
            &raw const program,
        )
    };
    match i32::try_from(listener) {
        // SAFETY: the kernel just made it, and nobody else knows of it.
        Ok(listener) if listener >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(listener) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn hand_over(to: &UnixStream, listener: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener];
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    let one = [io::IoSlice::new(b"l")];
    sendmsg(to, &one, &mut beside, SendFlags::empty())?;
    Ok(())
}

/// `None` if nothing was started.
fn taken_over(from: &UnixStream) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut one = [io::IoSliceMut::new(&mut byte)];
    recvmsg(from, &mut one, &mut beside, RecvFlags::CMSG_CLOEXEC).ok()?;
    beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

/// Until nobody is left who could ask.
fn answer_all(listener: &OwnedFd, refused: &Mutex<BTreeSet<String>>) {
    loop {
        let mut waited_for = [PollFd::new(listener, PollFlags::IN)];
        match poll(&mut waited_for, None) {
            Ok(_) if waited_for[0].revents().contains(PollFlags::IN) => {}
            Err(rustix::io::Errno::INTR) => continue,
            _ => return,
        }
        let mut note = CallNote::default();
        if !ask(listener, RECEIVE, &mut note) {
            // Whoever asked was killed meanwhile.
            continue;
        }
        let mut answer = CallAnswer {
            id: note.id,
            flags: CONTINUE,
            ..CallAnswer::default()
        };
        if let Err((error, why)) = said_of(&note) {
            refused.lock().expect("nobody panicked with it").insert(why);
            (answer.error, answer.flags) = (-error, 0);
        }
        ask(listener, SEND, &mut answer);
    }
}

/// What 4.18 says of the call.
fn said_of(note: &CallNote) -> Result<(), (i32, String)> {
    let [command, attr, len, ..] = note.arguments;
    let memory = File::open(format!("/proc/{}/mem", note.pid));
    let memory = memory.map_err(|error| (libc::EFAULT, format!("no look into it: {error}")))?;
    let read = |address: u64, len: usize| {
        let mut bytes = vec![0; len];
        memory
            .read_exact_at(&mut bytes, address)
            .ok()
            .map(|()| bytes)
    };
    let attr = read(attr, len as usize).ok_or((libc::EFAULT, "attributes".to_owned()))?;
    bpf::taken(command, &attr, read)
}

fn ask<T>(listener: &OwnedFd, command: libc::Ioctl, what: &mut T) -> bool {
    // SAFETY: the command is one for a structure of this type, which outlives the call.
    unsafe { libc::ioctl(listener.as_raw_fd(), command, &raw mut *what) == 0 }
}
