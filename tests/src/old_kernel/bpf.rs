//! What bpf(2) of Linux 4.18 takes (kernel/bpf/syscall.c, verifier.c, core.c,
//! include/uapi/linux/bpf.h there). It asks nobody.

/// What is refused: the error number, and why, in words.
type Refusal = (i32, String);

/// `BPF_TASK_FD_QUERY`, the last command.
const COMMANDS_LAST: u64 = 20;
/// Length of `union bpf_attr`, which ends with `expected_attach_type`.
const ATTR_LEN: usize = 72;
/// `BPF_MAP_TYPE_SOCKHASH`.
const MAPS_LAST: u32 = 18;
/// `BPF_MAP_TYPE_PERCPU_HASH`, `BPF_MAP_TYPE_PERCPU_ARRAY`, `BPF_MAP_TYPE_LRU_PERCPU_HASH`.
const PER_PROCESSOR: [u32; 3] = [5, 6, 10];
/// `PCPU_MIN_UNIT_SIZE`.
const PER_PROCESSOR_MAX: u32 = 32 * 1024;
/// Flags of hashes and arrays, up to `BPF_F_STACK_BUILD_ID`.
const MAP_FLAGS: u32 = 0x3f;
/// `BPF_PROG_TYPE_LIRC_MODE2`.
const PROGRAMS_LAST: u32 = 20;
/// `BPF_PROG_TYPE_KPROBE`, which uprobes are too.
const KPROBE: u32 = 2;
/// `BPF_MAXINSNS`.
const INSTRUCTIONS_MAX: usize = 4096;
/// `BPF_FUNC_get_current_cgroup_id`.
const HELPERS_LAST: i32 = 80;
/// `ENOTSUPP`, which a program that can't be run by hand answers.
const NOT_SUPPORTED: i32 = 524;

/// Whether it is taken. `read` reads memory of whoever calls.
pub fn taken(
    command: u64,
    attr: &[u8],
    read: impl Fn(u64, usize) -> Option<Vec<u8>>,
) -> Result<(), Refusal> {
    if command > COMMANDS_LAST {
        return Err((libc::EINVAL, format!("command {command}")));
    }
    if attr.iter().skip(ATTR_LEN).any(|&byte| byte != 0) {
        return Err((libc::E2BIG, format!("attributes of command {command}")));
    }
    match command {
        0 => map(attr),
        5 => program(attr, read),
        10 => Err((NOT_SUPPORTED, "a run by hand".to_owned())),
        _ => Ok(()),
    }
}

fn word(attr: &[u8], at: usize) -> u32 {
    let bytes = attr.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

fn long(attr: &[u8], at: usize) -> u64 {
    u64::from(word(attr, at)) | u64::from(word(attr, at + 4)) << 32
}

/// `BPF_MAP_CREATE`: type, length of keys and of values, how many, flags.
fn map(attr: &[u8]) -> Result<(), Refusal> {
    let [kind, value, flags] = [0, 8, 16].map(|at| word(attr, at));
    if kind > MAPS_LAST {
        return Err((libc::EINVAL, format!("a map of type {kind}")));
    }
    if flags & !MAP_FLAGS != 0 {
        return Err((libc::EINVAL, format!("map flags {flags:#x}")));
    }
    if PER_PROCESSOR.contains(&kind) && value > PER_PROCESSOR_MAX {
        return Err((libc::ENOMEM, format!("{value} bytes for each processor")));
    }
    Ok(())
}

/// `BPF_PROG_LOAD`: type, how many instructions and where, …, the kernel's version.
fn program(attr: &[u8], read: impl Fn(u64, usize) -> Option<Vec<u8>>) -> Result<(), Refusal> {
    let (kind, count) = (word(attr, 0), word(attr, 4) as usize);
    if kind > PROGRAMS_LAST {
        return Err((libc::EINVAL, format!("a program of type {kind}")));
    }
    if count > INSTRUCTIONS_MAX {
        return Err((libc::E2BIG, "a program that is too long".to_owned()));
    }
    if kind == KPROBE && word(attr, 40) == 0 {
        return Err((libc::EINVAL, "a probe for no version".to_owned()));
    }
    if word(attr, 44) > 1 {
        return Err((libc::EINVAL, "program flags".to_owned()));
    }
    let code = read(long(attr, 8), count * 8);
    let code = code.ok_or((libc::EFAULT, "instructions".to_owned()))?;
    let code: Vec<_> = code.chunks_exact(8).map(ProgramStep::read).collect();
    match fault(&code) {
        Some(why) => Err((libc::EINVAL, why)),
        None => Ok(()),
    }
}

#[derive(Clone, Copy)]
struct ProgramStep {
    code: u8,
    from: u8,
    offset: i16,
    number: i32,
}

impl ProgramStep {
    fn read(bytes: &[u8]) -> Self {
        let [code, registers, a, b, c, d, e, f] = bytes.try_into().expect("eight bytes");
        Self {
            code,
            from: registers >> 4,
            offset: i16::from_le_bytes([a, b]),
            number: i32::from_le_bytes([c, d, e, f]),
        }
    }

    fn is_wide(self) -> bool {
        self.code == 0x18
    }

    /// What 4.18 does not know in it.
    fn fault(self) -> Option<&'static str> {
        match self.code {
            code if code & 7 == 6 => Some("a jump on half a register"),
            0xc3 | 0xdb if self.number != 0 => Some("an atomic"),
            0x18 if self.from > 1 => Some("global data"),
            0x85 if self.from > 1 => Some("a call of the kernel"),
            0x85 if self.from == 0 && self.number > HELPERS_LAST => Some("a helper"),
            code if code & 0xe7 == 0x81 => Some("a load that extends the sign"),
            _ => None,
        }
    }

    /// Where it goes on (`check_cfg`): into what it calls, too.
    fn goes_on(self, at: usize) -> Vec<usize> {
        let behind = |by: isize| at.wrapping_add_signed(1 + by);
        match self.code {
            0x95 => vec![],
            0x05 => vec![behind(self.offset.into())],
            0x85 if self.from == 1 => vec![at + 1, behind(self.number as isize)],
            0x85 => vec![at + 1],
            code if code & 7 == 5 => vec![at + 1, behind(self.offset.into())],
            _ if self.is_wide() => vec![at + 2],
            _ => vec![at + 1],
        }
    }
}

/// The first thing that is wrong with a program.
fn fault(code: &[ProgramStep]) -> Option<String> {
    let mut at = 0;
    let mut starts = Vec::new();
    while let Some(step) = code.get(at) {
        if let Some(fault) = step.fault() {
            return Some(format!("{fault} ({:#x}, {})", step.code, step.number));
        }
        starts.push(at);
        at += if step.is_wide() { 2 } else { 1 };
    }
    let mut seen = vec![false; code.len()];
    let mut done = vec![false; code.len()];
    let mut path = vec![(0, code.first()?.goes_on(0))];
    seen[0] = true;
    while let Some((at, rest)) = path.last_mut() {
        let at = *at;
        let Some(next) = rest.pop() else {
            done[at] = true;
            path.pop();
            continue;
        };
        let Some(step) = code.get(next) else {
            return Some("a jump out of the program".to_owned());
        };
        if !seen[next] {
            seen[next] = true;
            path.push((next, step.goes_on(next)));
        } else if !done[next] {
            return Some("back-edge".to_owned());
        }
    }
    let is_reached = starts.into_iter().all(|at| seen[at]);
    (!is_reached).then(|| "unreachable".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(words: &[(usize, u32)]) -> Vec<u8> {
        let mut attr = vec![0; 120];
        for &(at, word) in words {
            attr[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        attr
    }

    fn said(command: u64, words: &[(usize, u32)], code: &[[u8; 8]]) -> Result<(), Refusal> {
        taken(command, &attr(words), |_, len| {
            let code = code.concat();
            (code.len() == len).then_some(code)
        })
    }

    /// A raw tracepoint of these instructions.
    fn loaded(code: &[[u8; 8]]) -> Result<(), Refusal> {
        said(5, &[(0, 17), (4, code.len() as u32)], code)
    }

    const ZERO: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];
    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn maps_of_newer_kinds_are_refused() {
        assert_eq!(said(0, &[(0, 2)], &[]), Ok(()));
        assert!(said(0, &[(0, 27)], &[]).is_err(), "a ring buffer");
        assert!(said(0, &[(0, 2), (16, 0x80)], &[]).is_err(), "read-only");
        assert!(said(0, &[(0, 6), (8, 40_000)], &[]).is_err());
        assert!(said(0, &[(0, 2), (76, 1)], &[]).is_err(), "a longer one");
        assert!(said(28, &[], &[]).is_err(), "a link");
    }

    #[test]
    fn programs_are_taken_as_4_18_took_them() {
        assert_eq!(loaded(&[ZERO, EXIT]), Ok(()));
        let call = |from: u8, number: u8| [0x85, from << 4, 0, 0, number, 0, 0, 0];
        assert_eq!(loaded(&[call(0, 25), EXIT]), Ok(()));
        assert!(loaded(&[call(0, 113), EXIT]).is_err(), "probe_read_kernel");
        // A function behind the program, and one that calls the program.
        assert_eq!(loaded(&[call(1, 1), EXIT, ZERO, EXIT]), Ok(()));
        assert!(loaded(&[[0x85, 0x10, 0, 0, 255, 255, 255, 255], EXIT]).is_err());
        assert!(loaded(&[ZERO, EXIT, ZERO, EXIT]).is_err(), "unreachable");
        let back = [0x15, 0, 0xfe, 0xff, 1, 0, 0, 0];
        assert!(loaded(&[ZERO, back, EXIT]).is_err(), "a loop");
        let data = [0x18, 0x20, 0, 0, 5, 0, 0, 0];
        assert!(loaded(&[data, [0; 8], EXIT]).is_err(), "global data");
        assert!(loaded(&vec![ZERO; 4097]).is_err(), "too long");
        let probe = [(0, 2), (4, 2)];
        assert!(said(5, &probe, &[ZERO, EXIT]).is_err(), "for no version");
    }
}
