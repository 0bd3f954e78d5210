//! Reads of kernel and user memory, and the few idioms that the verifier asks for. Every `unsafe`
//! of the kernel side is here or in `maps`; no decision is.

#[cfg_attr(legacy, path = "memory/patched.rs")]
mod layout;
#[cfg(not(legacy))]
mod message;
#[cfg(not(legacy))]
mod socket_event;

use core::mem::{MaybeUninit, size_of};

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::generated;
#[cfg(legacy)]
use aya_ebpf::helpers::generated::{
    bpf_probe_read as read_of_kernel, bpf_probe_read as read_of_process,
};
#[cfg(not(legacy))]
use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel as read_of_kernel, bpf_probe_read_user as read_of_process,
};
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::Tail;
use zerocopy::FromBytes;

use crate::arch::{self, GoRegisters};

pub use layout::{offset, own_process};
#[cfg(not(legacy))]
pub use message::{NotDone, SentMessage};
#[cfg(not(legacy))]
pub use socket_event::SocketEvent;

/// Outcome of everything that can fail to deliver.
pub type Delivered<T> = Result<T, KernelLoss>;

/// Reads `len` kernel bytes to `to`; an address that is not mapped is an error, not a fault.
///
/// # Safety
/// `to` has room for them.
#[inline(always)]
unsafe fn read_kernel_bytes<T>(to: *mut T, len: usize, address: u64) -> Delivered<()> {
    // SAFETY: the helper writes `len` bytes to `to`, zeroes if it fails.
    let failed = unsafe { read_of_kernel(to.cast(), len as u32, address as *const _) };
    if failed != 0 {
        Err(KernelLoss::UnreadableMemory)
    } else {
        Ok(())
    }
}

/// An address that a process named: what is none of its own becomes 0, which nobody has mapped. The
/// one helper of old kernels reads the kernel's memory as well, which no process may have told.
#[cfg(legacy)]
#[inline(always)]
fn of_process(mut address: u64) -> u64 {
    // SAFETY: four instructions on registers, no memory: the bits that a process's address has not
    // make a mask of ones.
    unsafe {
        core::arch::asm!(
            "{beyond} = {address}",
            "{beyond} >>= {bits}",
            "{beyond} = -{beyond}",
            "{beyond} s>>= 63",
            "{beyond} ^= -1",
            "{address} &= {beyond}",
            beyond = out(reg) _,
            address = inout(reg) address,
            bits = const arch::ADDRESS_BITS,
            options(nomem, nostack, pure),
        );
    }
    address
}

/// An address that a process named, of which the helper reads nothing else.
#[cfg(not(legacy))]
#[inline(always)]
fn of_process(address: u64) -> u64 {
    address
}

/// The same for bytes of the current process.
///
/// # Safety
/// `to` has room for them.
#[inline(always)]
unsafe fn read_user_bytes<T>(to: *mut T, len: usize, address: u64) -> Delivered<()> {
    // SAFETY: as above.
    let failed = unsafe { read_of_process(to.cast(), len as u32, of_process(address) as *const _) };
    if failed != 0 {
        Err(KernelLoss::UnreadableMemory)
    } else {
        Ok(())
    }
}

/// Reads a value at a kernel address.
#[inline(always)]
pub fn kernel_value<T: FromBytes>(address: u64) -> Delivered<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: it has room for a T; after a success it is one, because any bytes are (FromBytes).
    unsafe {
        read_kernel_bytes(value.as_mut_ptr(), size_of::<T>(), address)?;
        Ok(value.assume_init())
    }
}

/// Reads a value at an address of the current process.
#[inline(always)]
pub fn user_value<T: FromBytes>(address: u64) -> Delivered<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as above.
    unsafe {
        read_user_bytes(value.as_mut_ptr(), size_of::<T>(), address)?;
        Ok(value.assume_init())
    }
}

/// Reads as many bytes at a kernel address as `part` has, which is known when this is compiled.
#[inline(always)]
pub fn read_kernel_part(part: &mut [u8], address: u64) -> Delivered<()> {
    // SAFETY: it has room for its length.
    unsafe { read_kernel_bytes(part.as_mut_ptr(), part.len(), address) }
}

/// [`user_value`] into memory of a map, where the value is large for a stack.
#[inline(always)]
pub fn read_user<T: FromBytes>(value: &mut T, address: u64) -> Delivered<()> {
    // SAFETY: it has room for a T, and any bytes are one (FromBytes).
    unsafe { read_user_bytes(value, size_of::<T>(), address) }
}

/// A kernel address of whose type the verifier keeps account (`PTR_TO_BTF_ID`): it is read by plain
/// loads, which cost a tenth of a helper's call and give zeros where nothing is mapped. It lives in
/// registers only; one that was stored is a number.
#[derive(Clone, Copy)]
pub struct Typed(*const u8);

impl Typed {
    /// An argument of a program, or what a helper returned, whose type the verifier knows.
    #[inline(always)]
    pub fn new(address: *const u8) -> Self {
        Self(address)
    }

    /// The member at `offset`.
    #[inline(always)]
    pub fn value<T: FromBytes>(self, offset: u64) -> T {
        // SAFETY: the verifier lets through only loads within the type that it knows, and the
        // kernel makes zeros of one that faults. Volatile, so that it stays the load it is.
        unsafe { core::ptr::read_volatile(self.0.wrapping_add(offset as usize).cast()) }
    }

    /// What the member at `offset` points to; possibly nothing, and then its members are zero.
    #[inline(always)]
    pub fn follow(self, offset: u64) -> Self {
        // SAFETY: as above; a pointer is a number too.
        Self(unsafe { core::ptr::read_volatile(self.0.wrapping_add(offset as usize).cast()) })
    }

    /// As a number, for helpers that take any address.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }
}

/// Offsets that [`copy_user`] can tell apart.
pub const OFFSETS_MAX: usize = 16 * 1024;

/// Copies `len` bytes of the current process into `buffer[offset..]`. `len` is clamped to
/// `LEN_MAX`, and `offset` is taken modulo [`OFFSETS_MAX`]; the buffer has room for both.
// VERIFIER(6.18): a mask, because each comparison is two ways for the verifier, in each round of
// the caller's loop.
#[inline(always)]
pub fn copy_user<const LEN_MAX: usize, const SIZE: usize>(
    buffer: &mut [u8; SIZE],
    offset: u32,
    address: u64,
    len: u32,
) -> Delivered<()> {
    copy_user_at::<OFFSETS_MAX, LEN_MAX, SIZE>(buffer, offset, address, len)
}

/// [`copy_user`] with `offset` modulo `OFFSETS`.
#[inline(always)]
pub fn copy_user_at<const OFFSETS: usize, const LEN_MAX: usize, const SIZE: usize>(
    buffer: &mut [u8; SIZE],
    offset: u32,
    address: u64,
    len: u32,
) -> Delivered<()> {
    const { assert!(OFFSETS.is_power_of_two() && OFFSETS + LEN_MAX <= SIZE) }
    let mut offset = u64::from(offset);
    // SAFETY: one instruction on one register, no memory.
    unsafe {
        core::arch::asm!(
            "{offset} &= {mask}",
            offset = inout(reg) offset,
            mask = const OFFSETS - 1,
            options(nomem, nostack, pure),
        );
    }
    let len = clamp::<LEN_MAX>(u64::from(len));
    // SAFETY: offset + len < OFFSETS + LEN_MAX <= SIZE.
    unsafe {
        read_user_bytes(
            buffer.as_mut_ptr().add(offset as usize),
            len as usize,
            address,
        )
    }
}

/// Copies kernel bytes; `len` is clamped to `SIZE`.
#[inline(always)]
pub fn copy_kernel<const SIZE: usize>(
    buffer: &mut [u8; SIZE],
    address: u64,
    len: u32,
) -> Delivered<()> {
    let len = clamp::<SIZE>(u64::from(len));
    // SAFETY: len <= SIZE.
    unsafe { read_kernel_bytes(buffer.as_mut_ptr(), len as usize, address) }
}

/// The last bytes of `len` at `address` of the current process, at most eight, aligned to the end
/// of the array; and how many they are, 0 if they can't be read.
#[inline(always)]
pub fn user_tail(address: u64, len: u64) -> (Tail, u8) {
    if len >= 8 {
        return match user_value::<Tail>(address + len - 8) {
            Ok(tail) => (tail, 8),
            Err(_) => ([0; 8], 0),
        };
    }
    let mut word = 0u64;
    let len = clamp::<7>(len);
    // SAFETY: len < size_of::<u64>().
    let read = unsafe { read_user_bytes(&raw mut word, len as usize, address) };
    if read.is_err() || len == 0 {
        return ([0; 8], 0);
    }
    // The byte read first is the lowest; shifting up moves all of them towards the array's end.
    ((word.to_le() << (8 * (8 - len))).to_le_bytes(), len as u8)
}

/// Makes `value` at most `MAX`, in a way that the optimiser can't undo and the verifier follows: a
/// mask or a comparison in Rust is folded into an earlier one, and the verifier then no longer
/// connects it with the register that is used.
// VERIFIER(5.10): bounds are tracked per register, so the clamp stands right before its use.
#[inline(always)]
pub fn clamp<const MAX: usize>(mut value: u64) -> u64 {
    // SAFETY: two instructions on one register, no memory.
    unsafe {
        core::arch::asm!(
            "if {value} <= {max} goto +1",
            "{value} = {max}",
            value = inout(reg) value,
            max = const MAX,
            options(nomem, nostack, pure),
        );
    }
    value
}

/// A length that a process named, for [`smaller`]: programs that don't care say `SIZE_MAX`, of
/// which the kernel uses what moves.
#[inline(always)]
pub fn claimed(len: u64) -> u64 {
    let beyond = (len as i64 >> 63) as u64;
    (len | beyond) & i64::MAX as u64
}

/// The smaller of two numbers below 2^63, in one way for the verifier, which then knows nothing of
/// it.
#[inline(always)]
pub fn smaller(a: u64, b: u64) -> u64 {
    let mut difference = a.wrapping_sub(b);
    // SAFETY: three instructions on registers, no memory: b + (a < b ? a - b : 0).
    unsafe {
        core::arch::asm!(
            "{sign} = {difference}",
            "{sign} s>>= 63",
            "{difference} &= {sign}",
            sign = out(reg) _,
            difference = inout(reg) difference,
            options(nomem, nostack, pure),
        );
    }
    b.wrapping_add(difference)
}

/// Calls `round` with `context`, up to `most` times, until it returns 1.
// VERIFIER(5.17): the helper is not known before; where a program that calls this is loaded is
// decided in user space. Written as a loop, the verifier follows each round anew: 200,000
// instructions for 32 of them.
#[inline(always)]
pub fn repeat<C>(most: u32, round: extern "C" fn(u32, &mut C) -> u64, context: &mut C) {
    // SAFETY: the helper calls `round` with what it is given here, while the context lives.
    unsafe {
        generated::bpf_loop(
            most,
            round as *mut core::ffi::c_void,
            (&raw mut *context).cast(),
            0,
        );
    }
}

/// Eight rounds, written out: kernels before 5.3 know no loops.
#[cfg(legacy)]
macro_rules! eight_rounds {
    ($index:ident, $round:expr) => {
        $crate::memory::eight_rounds!(@ $index, $round, 0 1 2 3 4 5 6 7)
    };
    (@ $index:ident, $round:expr, $($number:literal)*) => {
        $({
            let $index: u64 = $number;
            $round
        })*
    };
}
#[cfg(legacy)]
pub(crate) use eight_rounds;

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing and always succeeds.
    unsafe { generated::bpf_ktime_get_ns() }
}

/// The stack pointer among the registers that a probe in user space was given.
#[inline(always)]
pub fn stack_of(registers: *const pt_regs) -> u64 {
    // SAFETY: the context of a program on a probe, which the verifier lets it read.
    arch::stack(unsafe { &*registers })
}

/// The address at which a probe in user space was hit.
#[inline(always)]
pub fn place_of(registers: *const pt_regs) -> u64 {
    // SAFETY: as above.
    arch::place(unsafe { &*registers })
}

/// Where the stack ended when the function that a return probe tells of began: behind its return
/// instruction a return address that lay there is gone.
#[inline(always)]
pub fn stack_at_return(registers: *const pt_regs) -> u64 {
    stack_of(registers) - arch::RETURN_SIZE
}

/// Where the function that begins where a probe in user space was hit returns to.
#[inline(always)]
pub fn return_address(registers: *const pt_regs) -> Delivered<u64> {
    // SAFETY: as above.
    match arch::link(unsafe { &*registers }) {
        Some(address) => Ok(address),
        None => user_value(stack_of(registers)),
    }
}

/// Registers in which Go passes arguments and results, and keeps its goroutine, where a probe in
/// user space was hit.
#[inline(always)]
pub fn go_registers(registers: *const pt_regs) -> GoRegisters {
    // SAFETY: as above.
    GoRegisters::of(unsafe { &*registers })
}

/// Whether a Go function that begins is about to begin anew, on a larger stack.
#[inline(always)]
pub fn grows_stack(registers: *const pt_regs) -> bool {
    // SAFETY: as above.
    arch::grows_stack(unsafe { &*registers })
}

/// The first result of the Go function that has what it deferred run, which begins with these
/// registers: the instruction behind its call takes it from the stack. `None` where that is another
/// one.
#[inline(always)]
pub fn deferred_result(registers: *const pt_regs) -> Option<u64> {
    // SAFETY: as above.
    let stack = arch::stack(unsafe { &*registers });
    let behind_call = user_value::<u64>(stack).ok()?;
    let place = arch::loads_result(user_value(behind_call).ok()?)?;
    user_value(stack + arch::RETURN_SIZE + place).ok()
}

/// The first four arguments of a function of C that begins.
// VERIFIER(6.18): volatile, because what differs in which argument it uses is else made into one
// load at an address that is computed, and of the context only fixed places may be read.
#[inline(always)]
pub fn arguments(registers: *const pt_regs) -> [u64; 4] {
    // SAFETY: the context of a program on a probe, which the verifier lets it read.
    unsafe {
        let [first, second, third, fourth] = arch::argument_places(&*registers);
        [
            core::ptr::read_volatile(first),
            core::ptr::read_volatile(second),
            core::ptr::read_volatile(third),
            core::ptr::read_volatile(fourth),
        ]
    }
}

/// A register where a probe in user space was hit, by the number that the processor's instructions
/// have for it; 0 for those in which no function of C keeps what it works on.
// VERIFIER(6.18): all are loaded, and volatile, as for `arguments`.
#[inline(always)]
pub fn register(registers: *const pt_regs, number: u64) -> u64 {
    // SAFETY: as above.
    let places = arch::kept_places(unsafe { &*registers });
    let [a, b, c, d, e, f, g] = places;
    // SAFETY: as above.
    let values = unsafe {
        [
            core::ptr::read_volatile(a),
            core::ptr::read_volatile(b),
            core::ptr::read_volatile(c),
            core::ptr::read_volatile(d),
            core::ptr::read_volatile(e),
            core::ptr::read_volatile(f),
            core::ptr::read_volatile(g),
        ]
    };
    arch::kept(values, number)
}

/// What user space attached the program with.
// VERIFIER(5.15): the helper is not known before; programs that call this are loaded only where one
// can be attached to many places.
#[inline(always)]
pub fn attach_cookie(registers: *mut pt_regs) -> u64 {
    // SAFETY: the context of a program on a probe, which the helper asks for.
    unsafe { generated::bpf_get_attach_cookie(registers.cast()) }
}

/// Number of the processor that this runs on.
#[inline(always)]
pub fn processor() -> u32 {
    // SAFETY: the helper takes nothing and always succeeds.
    unsafe { generated::bpf_get_smp_processor_id() }
}

/// Address of the current task.
#[inline(always)]
pub fn current_task() -> u64 {
    // SAFETY: the helper takes nothing and always succeeds.
    unsafe { generated::bpf_get_current_task() }
}

/// [`registers_of`] the current task.
// VERIFIER(5.15): as there.
#[inline(always)]
pub fn current_registers() -> Typed {
    registers_of(current_task_typed())
}

/// The user registers that a task, as [`current_task_typed`] gives it, entered the kernel with:
/// told by the kernel.
// VERIFIER(5.15): the helper is not known before; programs that call this are not loaded there.
#[inline(always)]
pub fn registers_of(task: Typed) -> Typed {
    // SAFETY: the verifier demands a task here.
    Typed(unsafe { generated::bpf_task_pt_regs(task.0.cast_mut().cast()) } as *const u8)
}

/// The current task, with its type.
// VERIFIER(5.11): the helper is not known before.
#[inline(always)]
pub fn current_task_typed() -> Typed {
    // SAFETY: the helper takes nothing and always succeeds.
    Typed(unsafe { generated::bpf_get_current_task_btf() } as *const u8)
}

/// [`current_process`], for who has asked for the task anyway: two loads, and no further call.
#[inline(always)]
pub fn process_of(task: Typed) -> Current {
    Current {
        tgid: task.value(offset(|o| &o.task_struct_tgid)),
        tid: task.value(offset(|o| &o.task_struct_pid)),
    }
}

/// Sees a socket as a TCP socket, if it is one.
// VERIFIER(5.9): the helper is not known before.
#[inline(always)]
pub fn tcp_sock(sk: Typed) -> Option<Typed> {
    // SAFETY: the verifier demands a socket here.
    let tcp = unsafe { generated::bpf_skc_to_tcp_sock(sk.0.cast_mut().cast()) };
    if tcp.is_null() {
        None
    } else {
        Some(Typed(tcp as *const u8))
    }
}

/// Name of the current thread, NUL-padded.
#[inline(always)]
pub fn current_comm() -> [u8; 16] {
    let mut comm = [0; 16];
    // SAFETY: the helper writes at most the 16 bytes it is given.
    unsafe { generated::bpf_get_current_comm(comm.as_mut_ptr().cast(), 16) };
    comm
}

/// Thread group and thread of the current task, in the initial pid namespace.
#[inline(always)]
pub fn current_process() -> Current {
    // SAFETY: the helper takes nothing and always succeeds.
    let both = unsafe { generated::bpf_get_current_pid_tgid() };
    Current {
        tgid: (both >> 32) as u32,
        tid: both as u32,
    }
}

/// Who runs.
#[derive(Clone, Copy)]
pub struct Current {
    /// Thread group.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
}
