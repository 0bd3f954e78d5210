//! One processor's perf buffer, as memory that the kernel writes to (perf_event_open(2), mmap
//! layout). All `unsafe` of reading perf buffers is here.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use aya_obj::generated::{
    PERF_EVENT_IOC_ENABLE, PERF_FLAG_FD_CLOEXEC, bpf_attr, bpf_cmd, perf_event_attr,
    perf_event_mmap_page,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use wirespan_common::shard::RING_BYTES;

use super::sample::{HEADER_LEN, PerfEntry, entry_len, event};

/// `PERF_TYPE_SOFTWARE`.
const SOFTWARE: u32 = 1;
/// `PERF_COUNT_SW_BPF_OUTPUT`.
const BPF_OUTPUT: u64 = 10;
/// `PERF_SAMPLE_RAW`.
const RAW: u64 = 1024;

/// Least bytes of a processor's buffer: some of the longest samples.
const LEAST: usize = 128 << 10;
/// Least that is tried where the kernel refuses more.
const LEAST_TRIED: usize = 32 << 10;

/// The buffer.
pub struct PerfBuffer {
    event: OwnedFd,
    /// Beginning of the mapping: the control page, and the data behind it.
    control: NonNull<perf_event_mmap_page>,
    mapped_len: usize,
    page_len: usize,
    /// Bytes of data, a power of two.
    len: usize,
    /// An entry that wraps around, in one piece.
    joined: Vec<u8>,
}

// SAFETY: the mapping belongs to this value alone, and goes with it.
unsafe impl Send for PerfBuffer {}

impl PerfBuffer {
    /// Opens the buffer of a processor, one of so many. All together have what a ring would.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(processor: u32, of: usize) -> io::Result<Self> {
        let share = RING_BYTES as usize / of.max(1);
        let mut len = share.max(LEAST).next_power_of_two();
        loop {
            match Self::with_len(processor, len) {
                // More than `perf_event_mlock_kb` takes a capability.
                Err(error) if is_too_large(&error) && len > LEAST_TRIED => len /= 2,
                opened => return opened,
            }
        }
    }

    fn with_len(processor: u32, len: usize) -> io::Result<Self> {
        let event = open_event(processor, len)?;
        let page_len = procfs::page_size() as usize;
        let mapped_len = page_len + len;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let control = unsafe {
            mmap(
                std::ptr::null_mut(),
                mapped_len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &event,
                0,
            )?
        };
        let control = NonNull::new(control.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let buffer = Self {
            event,
            control,
            mapped_len,
            page_len,
            len,
            joined: Vec::new(),
        };
        enable(buffer.as_fd())?;
        Ok(buffer)
    }

    /// Hands what is there to `take`, up to so many bytes.
    pub fn read(&mut self, most: usize, mut take: impl FnMut(PerfEntry<'_>)) {
        let head = self.head().load(Ordering::Acquire);
        let mut tail = self.tail().load(Ordering::Relaxed);
        let began = tail;
        while tail != head && (tail - began) < most as u64 {
            let available = head.wrapping_sub(tail) as usize;
            let Some(len) = self.header_at(tail).and_then(entry_len) else {
                // It would be the kernel's mistake; what is left can't be read.
                tail = head;
                break;
            };
            if len > available {
                tail = head;
                break;
            }
            self.join(tail, len);
            if let Some(event) = event(&self.joined) {
                take(event);
            }
            tail += len as u64;
        }
        self.tail().store(tail, Ordering::Release);
    }

    fn header_at(&mut self, at: u64) -> Option<[u8; HEADER_LEN]> {
        self.join(at, HEADER_LEN);
        self.joined.as_slice().try_into().ok()
    }

    /// Copies `len` bytes from a position on.
    fn join(&mut self, at: u64, len: usize) {
        self.joined.clear();
        let begin = at as usize & (self.len - 1);
        let first = len.min(self.len - begin);
        for (begin, len) in [(begin, first), (0, len - first)] {
            // SAFETY: within the data, which the kernel does not write to between tail and head.
            let piece = unsafe {
                let data = self.control.as_ptr().cast::<u8>().add(self.page_len);
                std::slice::from_raw_parts(data.add(begin), len)
            };
            self.joined.extend_from_slice(piece);
        }
    }

    /// How far the kernel has written.
    fn head(&self) -> &AtomicU64 {
        // SAFETY: an aligned word of the control page, which is there as long as this value.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.control.as_ptr()).data_head) }
    }

    /// How far it was read.
    fn tail(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.control.as_ptr()).data_tail) }
    }
}

impl AsFd for PerfBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for PerfBuffer {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, to which nothing refers any more.
        let _: Result<(), _> = unsafe { munmap(self.control.as_ptr().cast(), self.mapped_len) };
    }
}

fn is_too_large(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPERM | libc::ENOMEM | libc::EAGAIN)
    )
}

/// An event that only carries what programs send. Whoever waits is woken when a quarter is full.
fn open_event(processor: u32, len: usize) -> io::Result<OwnedFd> {
    // SAFETY: a structure of integers, of which any bytes are a valid value.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.type_ = SOFTWARE;
    attr.config = BPF_OUTPUT;
    attr.sample_type = RAW;
    attr.__bindgen_anon_1.sample_period = 1;
    attr.set_watermark(1);
    attr.__bindgen_anon_2.wakeup_watermark = (len / 4) as u32;
    // SAFETY: the kernel reads as many bytes of `attr` as it says.
    let opened = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            -1,
            processor,
            -1,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    match i32::try_from(opened) {
        // SAFETY: the kernel just made it, and nobody else knows of it.
        Ok(opened) if opened >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(opened) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts a buffer into a map of perf events, where programs of this processor find it.
///
/// # Errors
/// What the kernel says.
pub fn put(map: BorrowedFd<'_>, processor: u32, buffer: BorrowedFd<'_>) -> io::Result<()> {
    let value = buffer.as_raw_fd();
    // SAFETY: a union of structures of integers, of which any bytes are a valid value.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: of a union of integers that are all zero, any member is valid.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = (&raw const processor) as u64;
    element.__bindgen_anon_1.value = (&raw const value) as u64;
    let command = bpf_cmd::BPF_MAP_UPDATE_ELEM;
    // SAFETY: key and value have the four bytes each that such a map has, and outlive the call.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of_val(&attr)) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a command without an argument.
    let done = unsafe {
        libc::ioctl(
            event.as_raw_fd(),
            PERF_EVENT_IOC_ENABLE as libc::Ioctl,
            0_usize,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
