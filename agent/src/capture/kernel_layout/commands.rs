//! Commands of bpf(2) and instructions for the one program that looks into the kernel's memory. It
//! knows nothing of what is read.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_map_type, bpf_prog_type};

/// Registers (Documentation/bpf/standardization/instruction-set.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    R0,
    R1,
    R2,
    R3,
    R6,
    R7,
    /// Behind the end of the stack.
    FramePointer,
}

impl Register {
    fn number(self) -> u8 {
        match self {
            Self::R0 => 0,
            Self::R1 => 1,
            Self::R2 => 2,
            Self::R3 => 3,
            Self::R6 => 6,
            Self::R7 => 7,
            Self::FramePointer => 10,
        }
    }
}

/// Functions of the kernel's, by their numbers (include/uapi/linux/bpf.h). All are older than 4.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    MapLookup = 1,
    ProbeRead = 4,
    GetCurrentPidTgid = 14,
    GetCurrentTask = 35,
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub struct BpfInstruction {
    code: u8,
    /// Destination below, source above.
    registers: u8,
    offset: i16,
    immediate: i32,
    /// Where a jump leads.
    target: Option<&'static str>,
    /// What jumps call it.
    name: Option<&'static str>,
}

/// The names say what each does; offsets are those within what a register points to, in bytes.
impl BpfInstruction {
    fn new(code: u8, to: Register, from: Register, offset: i16, immediate: i32) -> Self {
        Self {
            code,
            registers: to.number() | from.number() << 4,
            offset,
            immediate,
            target: None,
            name: None,
        }
    }

    pub fn call(helper: Helper) -> Self {
        Self::new(0x85, Register::R0, Register::R0, 0, helper as i32)
    }

    pub fn exit() -> Self {
        Self::new(0x95, Register::R0, Register::R0, 0, 0)
    }

    pub fn copy(to: Register, from: Register) -> Self {
        Self::new(0xbf, to, from, 0, 0)
    }

    pub fn set(to: Register, value: i32) -> Self {
        Self::new(0xb7, to, Register::R0, 0, value)
    }

    pub fn add(to: Register, value: i32) -> Self {
        Self::new(0x07, to, Register::R0, 0, value)
    }

    pub fn add_register(to: Register, from: Register) -> Self {
        Self::new(0x0f, to, from, 0, 0)
    }

    pub fn and(to: Register, from: Register) -> Self {
        Self::new(0x5f, to, from, 0, 0)
    }

    /// 64 bits.
    pub fn load(to: Register, from: Register, offset: usize) -> Self {
        Self::new(0x79, to, from, offset as i16, 0)
    }

    /// 64 bits.
    pub fn store(to: Register, offset: usize, from: Register) -> Self {
        Self::new(0x7b, to, from, offset as i16, 0)
    }

    /// 32 bits.
    pub fn store_word(to: Register, offset: i16, value: i32) -> Self {
        Self::new(0x62, to, Register::R0, offset, value)
    }

    pub fn jump_if_equal(register: Register, value: i32) -> Self {
        Self::new(0x15, register, Register::R0, 0, value)
    }

    pub fn jump_if_above(register: Register, value: i32) -> Self {
        Self::new(0x25, register, Register::R0, 0, value)
    }

    pub fn jump_unless_same(one: Register, other: Register) -> Self {
        Self::new(0x5d, one, other, 0, 0)
    }

    /// Two instructions: the map that a descriptor refers to.
    pub fn map(to: Register, map: &OwnedFd) -> [Self; 2] {
        /// `BPF_PSEUDO_MAP_FD` in the place of the source.
        const OF_DESCRIPTOR: u8 = 1 << 4;
        let mut first = Self::new(0x18, to, Register::R0, 0, map.as_raw_fd());
        first.registers |= OF_DESCRIPTOR;
        [first, Self::new(0, Register::R0, Register::R0, 0, 0)]
    }

    pub fn to(self, target: &'static str) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }

    pub fn named(self, name: &'static str) -> Self {
        Self {
            name: Some(name),
            ..self
        }
    }

    fn encoded(self, offset: i16) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[0] = self.code;
        bytes[1] = self.registers;
        bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.immediate.to_ne_bytes());
        bytes
    }
}

/// Instructions as the kernel takes them, jumps resolved. One that leads nowhere stays where it is,
/// which the kernel refuses.
fn assembled(code: &[BpfInstruction]) -> Vec<[u8; 8]> {
    let place = |name: &str| code.iter().position(|it| it.name == Some(name));
    let each = code.iter().enumerate();
    each.map(|(at, instruction)| {
        let leads = instruction.target.and_then(place);
        let offset = leads.map_or(instruction.offset, |to| (to as i16) - (at as i16) - 1);
        instruction.encoded(offset)
    })
    .collect()
}

/// An array with one element of so many bytes.
pub fn array(value_len: usize) -> io::Result<OwnedFd> {
    let mut attr = empty();
    // SAFETY: of a union of integers that are all zero, any member is valid.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    create.key_size = 4;
    create.value_size = value_len as u32;
    create.max_entries = 1;
    descriptor(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

/// Loads instructions as a program for raw tracepoints.
pub fn load(code: &[BpfInstruction], name: &CStr) -> io::Result<OwnedFd> {
    load_as(bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT, code, name)
}

/// Loads instructions as a program that says how much of what arrives a socket takes.
pub fn load_socket_filter(code: &[BpfInstruction], name: &CStr) -> io::Result<OwnedFd> {
    load_as(bpf_prog_type::BPF_PROG_TYPE_SOCKET_FILTER, code, name)
}

fn load_as(kind: bpf_prog_type, code: &[BpfInstruction], name: &CStr) -> io::Result<OwnedFd> {
    let instructions = assembled(code);
    let mut attr = empty();
    // SAFETY: as above.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = kind as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
    load.license = c"GPL".as_ptr() as u64;
    for (to, from) in load.prog_name.iter_mut().zip(name.to_bytes()) {
        *to = *from as libc::c_char;
    }
    descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

/// Attaches a program to a raw tracepoint, until the descriptor is closed.
pub fn attach(program: &OwnedFd, tracepoint: &CStr) -> io::Result<OwnedFd> {
    let mut attr = empty();
    // SAFETY: as above.
    let open = unsafe { &mut attr.raw_tracepoint };
    open.name = tracepoint.as_ptr() as u64;
    open.prog_fd = program.as_raw_fd() as u32;
    descriptor(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)
}

/// Runs a program, once, on this thread; `attr` is the call's argument.
pub fn run(program: &OwnedFd, attr: &mut bpf_attr) -> io::Result<()> {
    *attr = empty();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    call(bpf_cmd::BPF_PROG_TEST_RUN, attr).map(|_| ())
}

/// Writes an array's only element.
pub fn update(map: &OwnedFd, value: &[u8]) -> io::Result<()> {
    let key = 0u32;
    let mut attr = element(map, &key, value.as_ptr());
    call(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(|_| ())
}

/// Reads an array's only element; `attr` is the call's argument.
pub fn look_up(map: &OwnedFd, value: &mut [u8], attr: &mut bpf_attr) -> io::Result<()> {
    let key = 0u32;
    *attr = element(map, &key, value.as_mut_ptr());
    call(bpf_cmd::BPF_MAP_LOOKUP_ELEM, attr).map(|_| ())
}

fn element(map: &OwnedFd, key: &u32, value: *const u8) -> bpf_attr {
    let mut attr = empty();
    // SAFETY: as above.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = &raw const *key as u64;
    element.__bindgen_anon_1.value = value as u64;
    attr
}

/// An argument of which all is zero.
pub fn empty() -> bpf_attr {
    // SAFETY: a union of structures of integers, of which any bytes are a valid value.
    unsafe { std::mem::zeroed() }
}

fn descriptor(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let made = call(command, attr)?;
    // SAFETY: the kernel just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// As much of the argument as 4.18 knows: what is longer has to be zero, and is.
const ATTR_LEN: usize = 72;

fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the kernel reads as many bytes as it is told there are. What they point to are the
    // callers' arguments and locals, which outlive the call, with their lengths beside them: the
    // element of a map is as long as the map was made for, a program's as long as it says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, ATTR_LEN) };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_to_names() {
        let code = [
            BpfInstruction::jump_if_equal(Register::R1, 0).to("end"),
            BpfInstruction::set(Register::R0, 7),
            BpfInstruction::exit().named("end"),
        ];
        let jump = assembled(&code)[0];
        assert_eq!(jump[..2], [0x15, 0x01]);
        assert_eq!(i16::from_ne_bytes([jump[2], jump[3]]), 1);
    }
}
