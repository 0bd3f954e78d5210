//! What the kernel calls a file in lists of mappings, found out by mapping it here for a moment. It
//! touches no byte of it.

use std::fs::{self, File};
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::FileId;
use super::mappings;

/// How the file would be named in `/proc/<pid>/maps`; `None` if it can't be mapped.
pub(super) fn named(file: &File) -> Option<FileId> {
    let page = GuardPage::of(file)?;
    let address = page.0.as_ptr() as u64;
    let maps = fs::read("/proc/self/maps").ok()?;
    let mut files = maps.split(|byte| *byte == b'\n').filter_map(mappings::file);
    files.find_map(|(range, file)| range.contains(&address).then_some(file))
}

/// An inaccessible page of a file.
struct GuardPage(NonNull<std::ffi::c_void>);

/// The kernel rounds it up to whole pages.
const LEN: usize = 1;

impl GuardPage {
    fn of(file: &File) -> Option<Self> {
        // SAFETY: the kernel chooses an address where nothing is, and nobody may access it, so that
        // it makes no difference what becomes of the file.
        let address = unsafe {
            mmap(
                ptr::null_mut(),
                LEN,
                ProtFlags::empty(),
                MapFlags::PRIVATE,
                file,
                0,
            )
        };
        Some(Self(NonNull::new(address.ok()?)?))
    }
}

impl Drop for GuardPage {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `of`, and nothing refers to it. A failure would leave a page
        // mapped.
        let _ = unsafe { munmap(self.0.as_ptr(), LEN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_as_the_list_of_mappings_names_it() {
        let list = fs::read("/proc/self/maps").expect("a list");
        let own = fs::read_link("/proc/self/exe").expect("an executable");
        let mut lines = list.split(|byte| *byte == b'\n');
        let line = lines.find(|line| line.ends_with(own.as_os_str().as_encoded_bytes()));
        let (_, file) = line.and_then(mappings::file).expect("it is mapped");
        let opened = File::open(&own).expect("opened");
        assert_eq!(named(&opened), Some(file));
    }
}
