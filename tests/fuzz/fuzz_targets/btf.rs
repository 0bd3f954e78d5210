//! Type information that a stranger wrote: reading it ends, and what it says of a member is within
//! what a structure may have.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../agent/src/capture/kernel_layout"]
#[allow(dead_code, reason = "a part of the daemon's crate, without the rest")]
mod kernel_layout {
    pub mod btf;
}

use kernel_layout::btf::Btf;

/// Structures and members of the seeds, and of kernels.
const MEMBERS: [(&str, &str); 6] = [
    ("s", "a"),
    ("s", "c"),
    ("s", "d"),
    ("sock", "sk_protocol"),
    ("sock_common", "skc_daddr"),
    ("task_struct", "pid"),
];

fuzz_target!(|bytes: &[u8]| {
    let Ok(types) = Btf::parse(bytes) else {
        return;
    };
    for (structure, member) in MEMBERS {
        let place = types.place_of(structure, member);
        let offset = types.offset_of(structure, member);
        assert_eq!(place.map(|place| place.offset / 8), offset);
        assert!(place.is_none_or(|place| place.width <= 0xff));
    }
});
