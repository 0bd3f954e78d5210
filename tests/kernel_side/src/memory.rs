//! The helpers of the kernel side's `memory`, over memory that is made up. Each does what the one
//! of its name does, bit by bit: what it promises less than one would think, it promises here
//! neither.

use std::mem::size_of;

use wirespan_common::loss::KernelLoss;
use wirespan_common::record::Tail;
use zerocopy::FromBytes;

use crate::kernel;

pub type Delivered<T> = Result<T, KernelLoss>;

pub const OFFSETS_MAX: usize = 16 * 1024;

/// Who runs.
#[derive(Clone, Copy)]
pub struct Current {
    /// Thread group.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
}

/// Of kernel addresses nothing is made up.
#[derive(Clone, Copy)]
pub struct Typed;

impl Typed {
    pub fn value<T: FromBytes>(self, _offset: u64) -> T {
        T::read_from_bytes(&vec![0; size_of::<T>()]).unwrap_or_else(|_| unreachable!("its size"))
    }
}

pub fn read_kernel_part(_part: &mut [u8], _address: u64) -> Delivered<()> {
    Err(KernelLoss::UnreadableMemory)
}

pub fn user_value<T: FromBytes>(address: u64) -> Delivered<T> {
    let mut bytes = vec![0; size_of::<T>()];
    kernel::with(|kernel| kernel.read(&mut bytes, address))?;
    T::read_from_bytes(&bytes).map_err(|_| KernelLoss::UnreadableMemory)
}

pub fn read_user<T: FromBytes>(value: &mut T, address: u64) -> Delivered<()> {
    *value = user_value(address)?;
    Ok(())
}

pub fn copy_user<const LEN_MAX: usize, const SIZE: usize>(
    buffer: &mut [u8; SIZE],
    offset: u32,
    address: u64,
    len: u32,
) -> Delivered<()> {
    copy_user_at::<OFFSETS_MAX, LEN_MAX, SIZE>(buffer, offset, address, len)
}

pub fn copy_user_at<const OFFSETS: usize, const LEN_MAX: usize, const SIZE: usize>(
    buffer: &mut [u8; SIZE],
    offset: u32,
    address: u64,
    len: u32,
) -> Delivered<()> {
    const { assert!(OFFSETS.is_power_of_two() && OFFSETS + LEN_MAX <= SIZE) }
    let offset = offset as usize & (OFFSETS - 1);
    let len = (len as usize).min(LEN_MAX);
    let to = &mut buffer[offset..offset + len];
    kernel::with(|kernel| kernel.read_payload(to, address))
}

pub fn user_tail(address: u64, len: u64) -> (Tail, u8) {
    let mut tail = [0; 8];
    let take = len.min(8);
    let from = address.wrapping_add(len - take);
    let to = &mut tail[8 - take as usize..];
    match kernel::with(|kernel| kernel.read_payload(to, from)) {
        Ok(()) => (tail, take as u8),
        Err(_) => ([0; 8], 0),
    }
}

pub fn clamp<const MAX: usize>(value: u64) -> u64 {
    value.min(MAX as u64)
}

pub fn claimed(len: u64) -> u64 {
    let beyond = (len as i64 >> 63) as u64;
    (len | beyond) & i64::MAX as u64
}

/// Two numbers below 2^63 are compared; others are not (`memory.rs` of the kernel side).
pub fn smaller(a: u64, b: u64) -> u64 {
    let difference = a.wrapping_sub(b);
    let sign = (difference as i64 >> 63) as u64;
    b.wrapping_add(difference & sign)
}

pub fn repeat<C>(most: u32, round: extern "C" fn(u32, &mut C) -> u64, context: &mut C) {
    for index in 0..most {
        if round(index, context) != 0 {
            break;
        }
    }
}
