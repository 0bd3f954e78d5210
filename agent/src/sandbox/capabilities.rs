//! Which capabilities a run keeps, and what for. It asks for none that were not granted.

use rustix::io;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// A capability that a run keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptCapability {
    set: CapabilitySet,
    /// Its name.
    pub name: &'static str,
    /// What is done with it as long as the run lasts.
    pub to: &'static str,
}

/// What depends on the kernel and its settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `CAP_SYS_ADMIN`: the kernel has not what was split off it, or may ask for it where probes
    /// are placed.
    pub admin: bool,
    /// `CAP_NET_BIND_SERVICE`: health checks are answered on a port below 1024.
    pub low_port: bool,
    /// `CAP_NET_ADMIN`: calls carry their trace to other nodes.
    pub net_admin: bool,
}

const USUAL: [KeptCapability; 6] = [
    KeptCapability {
        set: CapabilitySet::BPF,
        name: "CAP_BPF",
        to: "load programs and write their maps",
    },
    KeptCapability {
        set: CapabilitySet::PERFMON,
        name: "CAP_PERFMON",
        to: "place probes in TLS libraries of new processes",
    },
    KeptCapability {
        set: CapabilitySet::SYS_PTRACE,
        name: "CAP_SYS_PTRACE",
        to: "look into new processes",
    },
    KeptCapability {
        set: CapabilitySet::DAC_READ_SEARCH,
        name: "CAP_DAC_READ_SEARCH",
        to: "read their files",
    },
    KeptCapability {
        set: CapabilitySet::CHECKPOINT_RESTORE,
        name: "CAP_CHECKPOINT_RESTORE",
        to: "open libraries that lost their names",
    },
    KeptCapability {
        set: CapabilitySet::LEASE,
        name: "CAP_LEASE",
        to: "hear of writers before they write to a file with probes",
    },
];

const ADMIN: KeptCapability = KeptCapability {
    set: CapabilitySet::SYS_ADMIN,
    name: "CAP_SYS_ADMIN",
    to: "place probes where this kernel takes no less",
};

const NET_ADMIN: KeptCapability = KeptCapability {
    set: CapabilitySet::NET_ADMIN,
    name: "CAP_NET_ADMIN",
    to: "have calls carry their trace",
};

const LOW_PORT: KeptCapability = KeptCapability {
    set: CapabilitySet::NET_BIND_SERVICE,
    name: "CAP_NET_BIND_SERVICE",
    to: "answer health checks on a port below 1024",
};

/// Keeps, of what this thread has, what a run needs. New threads begin with the same.
pub(super) fn keep(needs: Needs) -> io::Result<Vec<KeptCapability>> {
    let has = capabilities(None)?.permitted;
    let wanted = USUAL.iter();
    let wanted = wanted.chain(needs.admin.then_some(&ADMIN));
    let wanted = wanted.chain(needs.low_port.then_some(&LOW_PORT));
    let wanted = wanted.chain(needs.net_admin.then_some(&NET_ADMIN));
    let kept: Vec<KeptCapability> = wanted.filter(|it| has.contains(it.set)).copied().collect();
    let sets = kept
        .iter()
        .fold(CapabilitySet::empty(), |all, it| all | it.set);
    limit_to(sets, has)?;
    Ok(kept)
}

/// Gives up every capability of this thread, which stays able to open what anybody may.
///
/// # Errors
/// The kernel refuses it.
pub fn give_up_all() -> std::io::Result<()> {
    let has = capabilities(None)?.permitted;
    Ok(limit_to(CapabilitySet::empty(), has)?)
}

fn limit_to(kept: CapabilitySet, has: CapabilitySet) -> io::Result<()> {
    // A program that it executes gets none back, whoever owns the file.
    set_no_new_privs(true)?;
    // Kernels before 4.3 have no such set.
    let _: io::Result<()> = clear_ambient_capability_set();
    if has.contains(CapabilitySet::SETPCAP) {
        for one in (!kept).iter() {
            match remove_capability_from_bounding_set(one) {
                // This kernel does not know it.
                Ok(()) | Err(io::Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own, because nothing of it comes back.
    fn apart<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(what).join().expect("no panic")
    }

    fn status(field: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        u64::from_str_radix(line.expect("the kernel tells").trim(), 16).expect("a mask")
    }

    #[test]
    fn what_is_kept_was_granted_and_what_is_given_up_stays_so_for_new_threads() {
        let before = capabilities(None).expect("they are told");
        let (kept, nested) = apart(|| {
            let kept = keep(Needs::default()).expect("nobody needs a right to give up rights");
            let of_new_thread = apart(|| {
                let masks = ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:", "NoNewPrivs:"];
                masks.map(status)
            });
            (kept, of_new_thread)
        });
        let mask = kept.iter().fold(0, |all, it| all | it.set.bits());
        assert_eq!(nested, [mask, mask, 0, 0, 1]);
        assert!(kept.iter().all(|it| before.permitted.contains(it.set)));
        // The one that started it has what it had.
        assert_eq!(capabilities(None).expect("they are told"), before);
    }

    #[test]
    fn a_thread_may_go_without_any() {
        let left = apart(|| {
            give_up_all().expect("nobody needs a right to give up rights");
            ["CapEff:", "CapPrm:", "CapInh:"].map(status)
        });
        assert_eq!(left, [0, 0, 0]);
    }

    #[test]
    fn admin_is_kept_only_where_it_is_needed() {
        let names = |needs| apart(move || keep(needs).expect("done"));
        let has = capabilities(None).expect("they are told").permitted;
        assert!(!names(Needs::default()).contains(&ADMIN));
        let admin = Needs {
            admin: true,
            ..Needs::default()
        };
        let with = names(admin).contains(&ADMIN);
        assert_eq!(with, has.contains(CapabilitySet::SYS_ADMIN));
    }
}
