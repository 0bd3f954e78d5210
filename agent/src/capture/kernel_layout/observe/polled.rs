//! Where a file's places in sets of epoll(7) are, and what was given for it.

use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll;
use wirespan_common::config::Offsets;

use super::super::peek::{MemoryImage, Peek, is_pointer};
use super::super::search::{only, places};
use super::ObserveError;
use crate::arch::EPOLL_DATA_OFFSET;

/// Bytes of `struct file`, `struct eventpoll` and `struct epitem` that are looked at.
const PART_LEN: usize = 256;
/// Finds all of it; where there is no epoll(7), nothing.
///
/// # Errors
/// Something shows nowhere, or in several places.
pub fn sets(
    peek: &mut impl Peek,
    at: &mut Offsets,
    table: u64,
    socket: &OwnedFd,
) -> Result<(), ObserveError> {
    let told = |error: rustix::io::Errno| ObserveError::Own("epoll", error.into());
    let set = match epoll::create(epoll::CreateFlags::CLOEXEC) {
        Ok(set) => set,
        Err(rustix::io::Errno::NOSYS) => return Ok(()),
        Err(error) => return Err(told(error)),
    };
    let file_of = |peek: &mut _, fd: &OwnedFd| {
        Peek::value::<u64>(peek, table + fd.as_raw_fd() as u64 * 8).unwrap_or_default()
    };
    let file = file_of(peek, socket);
    let before = MemoryImage::take(peek, file, PART_LEN);
    let data = unlike_any_before();
    let given = epoll::EventData::new_u64(data);
    epoll::add(&set, socket, given, epoll::EventFlags::empty()).map_err(told)?;
    let after = MemoryImage::take(peek, file, PART_LEN);
    let set_file = file_of(peek, &set);
    let place = PolledItem::find(peek, at, set_file, file, data)?;
    let within = |link: u64| {
        link.checked_sub(place.address)
            .filter(|it| *it < PART_LEN as u64)
    };
    let mut lists = Vec::new();
    let mut pointers = Vec::new();
    for offset in (0..PART_LEN).step_by(8) {
        let [was, is] = [&before, &after].map(|it| it.at::<u64>(offset).unwrap_or_default());
        if was == file + offset as u64
            && let Some(link) = within(is)
        {
            lists.push((offset, link));
        } else if was == 0 && is_pointer(is) {
            let first = peek.value::<u64>(is).unwrap_or_default();
            pointers.extend(within(first).map(|link| (offset, link)));
        }
    }
    at.epitem_event = place.event;
    if let Ok((offset, link)) = only("file.f_ep", &pointers) {
        at.file_f_ep = offset as u32;
        at.epitem_fllink = link as u32;
        return Ok(());
    }
    let (offset, link) = only("file.f_ep_links", &lists)?;
    at.file_f_ep_links = offset as u32;
    at.epitem_fllink = link as u32;
    Ok(())
}

/// The only place in the set (`struct epitem`).
struct PolledItem {
    address: u64,
    /// Where its `struct epoll_event` is.
    event: u32,
}

impl PolledItem {
    /// The set's tree begins with it: it has no children, knows the file, and what was given.
    fn find(
        peek: &mut impl Peek,
        at: &Offsets,
        set: u64,
        file: u64,
        data: u64,
    ) -> Result<Self, ObserveError> {
        let private = set + u64::from(at.file_private_data);
        let set = peek.value::<u64>(private).unwrap_or_default();
        let set = MemoryImage::take(peek, set, PART_LEN);
        let mut found: Vec<(u64, usize)> = Vec::new();
        for (_, address) in set.pointers() {
            let item = MemoryImage::take(peek, address, PART_LEN);
            let children = [8, 16].map(|it| item.at::<u64>(it));
            let knows = places_in(&item, &file.to_ne_bytes(), 4);
            if children != [Some(0); 2] || knows.is_empty() {
                continue;
            }
            let data = places_in(&item, &data.to_ne_bytes(), 4);
            found.extend(data.iter().map(|data| (address, *data)));
        }
        // The tree's root is its first item, too.
        found.sort_unstable();
        found.dedup();
        let (address, data) = only("epitem.event", &found)?;
        Ok(Self {
            address,
            event: (data - EPOLL_DATA_OFFSET) as u32,
        })
    }
}

/// What is given with the file. Beside its place the kernel may still have what was given before,
/// by whoever looked last.
fn unlike_any_before() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

fn places_in(image: &MemoryImage, bytes: &[u8], step: usize) -> Vec<usize> {
    places(image.len(), step, |offset| {
        image.bytes(*offset, bytes.len()) == Some(bytes)
    })
}
