//! How many bytes of heap things take, from numbers that they know anyway: lengths and capacities.
//! Nothing is walked, and nothing is asked of the allocator; it bounds nothing either.
//!
//! A block costs more than was asked for: glibc puts 8 bytes before it, rounds up to 16 and gives
//! no less than 32 (malloc/malloc.c, `request2size`). Other allocators differ by less than that.

use std::sync::Arc;

/// What a block of `len` bytes costs; nothing for none.
#[must_use]
pub const fn block(len: usize) -> usize {
    if len == 0 {
        return 0;
    }
    let rounded = (len.saturating_add(8 + 15)) & !15;
    if rounded < 32 { 32 } else { rounded }
}

/// What a box of a `T` costs, without what the `T` owns.
#[must_use]
pub const fn boxed<T>() -> usize {
    block(size_of::<T>())
}

/// What a vector costs that has room for `capacity` of a `T`, without what these own.
#[must_use]
pub const fn vec<T>(capacity: usize) -> usize {
    block(capacity.saturating_mul(size_of::<T>()))
}

/// What a hash table costs that has room for `capacity` entries of a `T`: a power of two of places,
/// of which seven eighths are used, and a byte beside each (hashbrown, which `std` uses too).
#[must_use]
pub const fn table<T>(capacity: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let places = (capacity.saturating_mul(8) / 7).next_power_of_two();
    block(places.saturating_mul(size_of::<T>() + 1) + 16)
}

/// What a shared text costs: two counters stand before it.
#[must_use]
pub const fn shared(len: usize) -> usize {
    block(len + 16)
}

/// What the first holder of a shared text is charged. It counts for whoever holds it while nobody
/// but that one and the place it came from does; who joins later is charged nothing.
#[must_use]
pub fn first_share(text: Option<&Arc<str>>) -> usize {
    match text {
        Some(text) if Arc::strong_count(text) <= 2 => shared(text.len()),
        _ => 0,
    }
}

/// What an interned text costs the one that remembers it.
#[must_use]
pub fn remembered(text: Option<&Arc<str>>) -> usize {
    text.map_or(0, |text| shared(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_costs_what_glibc_takes_for_it() {
        // malloc_usable_size(3) plus the 8 bytes before.
        for (asked, taken) in [(0, 0), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64)] {
            assert_eq!(block(asked), taken, "{asked}");
        }
    }

    #[test]
    fn a_table_has_a_power_of_two_of_places() {
        assert_eq!(table::<u64>(0), 0);
        assert_eq!(table::<u64>(3), block(4 * 9 + 16));
        assert_eq!(table::<u64>(14), block(16 * 9 + 16));
        assert_eq!(table::<u64>(448), block(512 * 9 + 16));
    }

    #[test]
    fn a_shared_text_is_charged_once() {
        let text: Arc<str> = "shop.example".into();
        let memory = Arc::clone(&text);
        assert_eq!(first_share(Some(&text)), shared(12));
        let later = Arc::clone(&memory);
        assert_eq!(first_share(Some(&later)), 0);
    }
}
