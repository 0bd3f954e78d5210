//! Functions of the interpreter as compilers made them.

use super::*;

const AT: u64 = 0x42_c79a;
const RUNTIME: u64 = 0xba_07c0;

fn state_by(code: &[u8]) -> Option<PythonState> {
    let at = |address: u64| {
        code.get((address.checked_sub(AT)?) as usize..)
            .map(<[u8]>::to_vec)
    };
    state(&at, AT, RUNTIME)
}

#[test]
fn a_key_may_be_handed_on_by_its_address() {
    // 3.14 of Debian: endbr64; cmpl $0,key; je; mov $key,%edi.
    let code = [
        0xf3, 0x0f, 0x1e, 0xfa, 0x83, 0x3d, 0x3b, 0x49, 0x77, 0x00, 0x00, 0x74, 0x0a, 0xbf, 0xe0,
        0x10, 0xba, 0x00, 0xc3,
    ];
    assert_eq!(state_by(&code), Some(PythonState::Keyed(0xba_10e0)));
    // Another number is none.
    let mut other = code;
    other[16] = 0x01;
    assert_eq!(state_by(&other), None);
}

#[test]
fn a_state_may_be_a_variable_of_the_thread() {
    // 3.15 of Debian: endbr64; mov %fs:-0x28,%rax; ret.
    let code = [
        0xf3, 0x0f, 0x1e, 0xfa, 0x64, 0x48, 0x8b, 0x04, 0x25, 0xd8, 0xff, 0xff, 0xff, 0xc3,
    ];
    let at = 0x28_u64.wrapping_neg();
    assert_eq!(state_by(&code), Some(PythonState::ThreadLocal(at)));
    // What is done with it first may make another one of it.
    let mut other = code.to_vec();
    other.splice(13..13, [0x48, 0x8b, 0x00]);
    assert_eq!(state_by(&other), None);
}

/// 3.15 of Debian: mov 0x28(%rsi),%ebx; movl $1,0x28(%rsi); test %ebx,%ebx.
const EXCHANGED: [u8; 13] = [
    0x8b, 0x5e, 0x28, 0xc7, 0x46, 0x28, 0x01, 0x00, 0x00, 0x00, 0x85, 0xdb, 0xc3,
];

#[test]
fn how_often_a_context_is_entered_may_be_exchanged() {
    let entered_by = |code: &[u8]| {
        let at = |address: u64| Some(code.get(address.checked_sub(AT)? as usize..)?.to_vec());
        entered(&at, AT)
    };
    assert_eq!(entered_by(&EXCHANGED), Some(0x28));
    // Something else is set in between.
    let mut other = EXCHANGED;
    other[5] = 0x2c;
    assert_eq!(entered_by(&other), None);
}
