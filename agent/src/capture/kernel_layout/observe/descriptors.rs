//! From a task to its table of descriptors, and from a descriptor to its file, inode and socket.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, OwnedFd};

use wirespan_common::config::Offsets;

use super::super::peek::{MemoryImage, Peek, is_pointer};
use super::super::search::{only, places, places_of};
use super::super::specimens::{self, SpecimenPair};
use super::{ObserveError, Own, OwnSocket};
use crate::discover::ProcRoot;

/// Bytes of `files_struct`, `fdtable`, `file` and `inode` that are looked at.
const PART_LEN: usize = 256;
/// Bytes of `struct fdtable` that are looked at: its head.
const TABLE_LEN: usize = 64;
/// Descriptors with these numbers or the next free ones are made, so that the table has to grow.
const HIGH: i32 = 100;

/// Descriptors by which a table is known.
struct Marks {
    /// Both are the same open file.
    same: [i32; 2],
    other: i32,
    closed: i32,
}

impl Marks {
    /// Whether an array of files is this process's.
    fn are_in(&self, peek: &mut impl Peek, array: u64) -> bool {
        let mut entry = |fd: i32| peek.value::<u64>(array.wrapping_add(fd as u64 * 8));
        let Some(first) = entry(self.same[0]).filter(|file| is_pointer(*file)) else {
            return false;
        };
        entry(self.same[1]) == Some(first)
            && entry(self.other).is_some_and(|other| is_pointer(other) && other != first)
            && entry(self.closed) == Some(0)
    }
}

/// The number of descriptors that this thread's table has room for, which the kernel tells.
fn room_now() -> Result<u32, ObserveError> {
    specimens::room_for_descriptors(ProcRoot::host().path())
        .map_err(|error| ObserveError::Own("descriptors", error))
}

/// Where the array of files is in what may be a `struct fdtable`.
fn arrays_in(peek: &mut impl Peek, address: u64, marks: &Marks, room: u32) -> Vec<usize> {
    let table = MemoryImage::take(peek, address, TABLE_LEN);
    if places_of(TABLE_LEN, &[(&table, room)]).is_empty() {
        return Vec::new();
    }
    let arrays = table
        .pointers()
        .filter(|(_, array)| marks.are_in(peek, *array));
    arrays.map(|(offset, _)| offset).collect()
}

/// Finds the way from a task to its table; returns the address of the array of files.
///
/// # Errors
/// There is none, or more than one.
pub fn table(
    peek: &mut impl Peek,
    at: &mut Offsets,
    task: &MemoryImage,
    own: &Own,
) -> Result<u64, ObserveError> {
    let told = |error| ObserveError::Own("descriptors", error);
    let first = &own.v4.client;
    let duplicate = |above| rustix::io::fcntl_dupfd_cloexec(first, above);
    let high = duplicate(HIGH).map_err(|error| told(error.into()))?;
    let closed = duplicate(HIGH).map_err(|error| told(error.into()))?;
    let marks = Marks {
        same: [first.as_raw_fd(), high.as_raw_fd()],
        other: own.v4.server.as_raw_fd(),
        closed: closed.as_raw_fd(),
    };
    drop(closed);
    let room = room_now()?;
    let mut known: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut ways = Vec::new();
    for (files_at, files) in task.pointers() {
        let inner = MemoryImage::take(peek, files, PART_LEN);
        for (table_at, table) in inner.pointers() {
            let arrays =
                (known.entry(table)).or_insert_with(|| arrays_in(peek, table, &marks, room));
            ways.extend(
                arrays
                    .iter()
                    .map(|array_at| (files_at, table_at, *array_at)),
            );
        }
    }
    let (files_at, table_at, array_at) = only("files_struct.fdt", &ways)?;
    at.task_struct_files = files_at as u32;
    at.files_struct_fdt = table_at as u32;
    at.fdtable_fd = array_at as u32;
    let files: u64 = task.at(files_at).unwrap_or_default();
    counted(peek, at, files, first)?;
    let table: u64 = peek.value(files + table_at as u64).unwrap_or_default();
    let array = peek.value(table + array_at as u64).unwrap_or_default();
    // It is the same until the next descriptor has a higher number than ever.
    drop(high);
    Ok(array)
}

/// Finds how many descriptors the table has room for: a number that grows when one is made which is
/// as high as it says.
fn counted(
    peek: &mut impl Peek,
    at: &mut Offsets,
    files: u64,
    first: &OwnedFd,
) -> Result<(), ObserveError> {
    let now = |peek: &mut _| {
        let table: u64 = Peek::value(peek, files + u64::from(at.files_struct_fdt)).unwrap_or(0);
        Ok::<_, ObserveError>((MemoryImage::take(peek, table, TABLE_LEN), room_now()?))
    };
    let (before, room) = now(peek)?;
    // Where more are not allowed, one look has to do.
    let beyond = rustix::io::fcntl_dupfd_cloexec(first, room as i32);
    let (after, grown) = now(peek)?;
    drop(beyond);
    let found = places_of(TABLE_LEN, &[(&before, room), (&after, grown)]);
    at.fdtable_max_fds = only("fdtable.max_fds", &found)? as u32;
    Ok(())
}

/// Finds the way from a file to its inode and its socket; returns what is there of each socket.
///
/// # Errors
/// Something shows nowhere, or in several places.
pub fn files(
    peek: &mut impl Peek,
    at: &mut Offsets,
    table: u64,
    own: &Own,
) -> Result<Vec<OwnSocket>, ObserveError> {
    let SpecimenPair { client, server, .. } = &own.v4;
    let mut descriptors = vec![client, server, &own.unix.client, &own.unix.server, &own.udp];
    descriptors.extend(own.v6.iter().flat_map(|pair| [&pair.client, &pair.server]));
    let pipe = &own.pipe.0;
    let mut known = Vec::new();
    for descriptor in descriptors.iter().copied().chain([pipe]) {
        let slot = table + descriptor.as_raw_fd() as u64 * 8;
        let file = peek.value(slot).unwrap_or_default();
        let told = |error| ObserveError::Own("descriptors", error);
        known.push(OwnSocket::of(descriptor, file).map_err(told)?);
    }
    let images: Vec<_> = known
        .iter()
        .map(|one| MemoryImage::take(peek, one.file, PART_LEN))
        .collect();
    inode(peek, at, &known, &images)?;
    // All but the pipe are sockets.
    known.pop();
    let inode_at = at.file_f_inode as usize;
    let word = |image: &MemoryImage, offset| image.at::<u64>(offset).unwrap_or_default();
    // The inode stands behind the socket, in one piece of memory.
    let behind = places(PART_LEN, 8, |offset| {
        let sockets = images.iter().take(known.len());
        let apart = sockets.map(|it| word(it, inode_at).wrapping_sub(word(it, *offset)));
        let apart: BTreeSet<u64> = apart.collect();
        apart.len() == 1 && apart.iter().all(|apart| (1..1024).contains(apart))
    });
    let private = only("file.private_data", &behind)?;
    at.file_private_data = private as u32;
    at.socket_to_inode = (word(&images[0], inode_at) - word(&images[0], private)) as u32;
    for (one, image) in known.iter_mut().zip(&images) {
        one.socket = word(image, private);
    }
    Ok(known)
}

fn inode(
    peek: &mut impl Peek,
    at: &mut Offsets,
    known: &[OwnSocket],
    files: &[MemoryImage],
) -> Result<(), ObserveError> {
    let mut ways = Vec::new();
    for offset in (0..PART_LEN).step_by(8) {
        let inodes = files.iter().map(|file| {
            let inode = file.at::<u64>(offset).filter(|inode| is_pointer(*inode));
            inode.map(|inode| MemoryImage::take(peek, inode, PART_LEN))
        });
        let Some(inodes) = inodes.collect::<Option<Vec<_>>>() else {
            continue;
        };
        let numbers: Vec<_> = inodes.iter().zip(known.iter().map(|it| it.inode)).collect();
        let modes: Vec<_> = inodes.iter().zip(known.iter().map(|it| it.mode)).collect();
        let mode = places_of(PART_LEN, &modes);
        for number in places_of(PART_LEN, &numbers) {
            ways.extend(mode.iter().map(|mode| (offset, number, *mode)));
        }
    }
    let (inode, number, mode) = only("inode.i_ino", &ways)?;
    at.file_f_inode = inode as u32;
    at.inode_i_ino = number as u32;
    at.inode_i_mode = mode as u32;
    Ok(())
}
