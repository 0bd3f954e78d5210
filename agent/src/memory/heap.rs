//! The allocator, told to be modest and to give back what was freed. It counts nothing.

/// glibc's own first threshold, in bytes (mallopt(3)): setting it keeps it.
#[cfg(target_env = "gnu")]
const ALLOCATED_APART_MIN: libc::c_int = 128 * 1024;

/// Has the allocator give freed memory back. By itself glibc takes the first large piece that is
/// freed, here the kernel's types (5 MiB), for a sign that such pieces are needed again and again,
/// and then keeps twice as much: 17 MiB of the daemon for good.
#[cfg(target_env = "gnu")]
pub fn keep_small() {
    // SAFETY: mallopt changes numbers that are read one by one, under the main arena's lock; any
    // value is a valid threshold.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, ALLOCATED_APART_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, ALLOCATED_APART_MIN);
    }
}

/// Other allocators have no such habit.
#[cfg(not(target_env = "gnu"))]
pub fn keep_small() {}

/// Gives the pages back that lie free between what is in use. The thresholds look at the end of a
/// heap only, and the last thing allocated there stays as a rule.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: malloc_trim (malloc_trim(3), since glibc 2.8 for all arenas) locks what it looks at
    // and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators give back by themselves, or can't.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

/// Less than this is not worth looking for, in bytes.
const FREED_MIN: usize = 8 << 20;

/// Whether much was freed of late.
#[derive(Debug, Default)]
pub struct Freed {
    /// The most that was held since memory was given back.
    peak: usize,
}

impl Freed {
    /// Has memory given back if much less is held now than was.
    pub fn look(&mut self, held: usize) {
        self.peak = self.peak.max(held);
        let freed = self.peak - held;
        if freed >= FREED_MIN && freed >= self.peak / 2 {
            self.peak = held;
            give_back();
        }
    }
}
