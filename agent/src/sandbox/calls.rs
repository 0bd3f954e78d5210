//! System calls that the daemon never makes, and that could change other processes or the machine:
//! from now on they fail with EPERM. All others are let through, so that a C library with a system
//! call of tomorrow finds what it asks for; what is kept out is known by name. It kills nobody.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::arch::SECCOMP_ARCHITECTURE;

/// Calls that are forbidden whatever their arguments.
const FORBIDDEN: [c_long; 46] = [
    // Starting programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Changing other processes, or what they have.
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Signals to others; those to itself go by tgkill(2).
    libc::SYS_kill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    // The kernel itself, and the machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Ways around such a filter, or into the kernel, that it has no use for.
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// Forbids them to this thread and those that it starts later.
///
/// # Errors
/// The kernel has no such filters, or refuses this one; in one line.
pub(super) fn forbid() -> Result<(), String> {
    let filter = filter(std::process::id()).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&filter).map_err(|error| error.to_string())
}

fn filter(own_pid: u32) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    // abort(3) and raise(3) send themselves signals by it.
    let to_another = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Ne,
        u64::from(own_pid),
    )?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![to_another])?]);
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        SECCOMP_ARCHITECTURE.try_into()?,
    )?
    .try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a system call with these arguments; what came of it.
    fn call(number: c_long, arguments: [c_long; 3]) -> Option<i32> {
        let [first, second, third] = arguments;
        // SAFETY: with these arguments none of the calls of these tests touches memory.
        let result = unsafe { libc::syscall(number, first, second, third) };
        (result < 0).then(|| std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    #[test]
    fn what_is_forbidden_fails_and_all_else_goes_on() {
        let own = c_long::from(std::process::id());
        let tried = move || {
            // To nobody, and with a signal that is none: what they fail with tells who refused.
            let kill = || call(libc::SYS_kill, [own, 0, 0]);
            let others = || call(libc::SYS_tgkill, [1, 1, 0]);
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            let own = || call(libc::SYS_tgkill, [own, c_long::from(thread), 0]);
            // A program that is not there.
            let run = || std::process::Command::new("/no/such/program").spawn();
            let run = || run().err().and_then(|error| error.raw_os_error());
            (kill(), others(), own(), run())
        };
        let apart = std::thread::spawn(move || {
            let before = tried();
            rustix::thread::set_no_new_privs(true).expect("nobody needs a right for it");
            forbid().expect("the kernel has such filters");
            let after = tried();
            // A system call that no kernel has yet is answered by the kernel.
            let unknown = call(4000, [0; 3]);
            let inherited = std::thread::spawn(tried).join().expect("no panic");
            (before, after, unknown, inherited)
        });
        let (before, after, unknown, inherited) = apart.join().expect("no panic");
        let (eperm, enoent) = (Some(libc::EPERM), Some(libc::ENOENT));
        assert_eq!((before.0, before.2, before.3), (None, None, enoent));
        assert_eq!(after, (eperm, eperm, None, eperm));
        assert_eq!(inherited, after);
        assert_eq!(unknown, Some(libc::ENOSYS));
    }
}
