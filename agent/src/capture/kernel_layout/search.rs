//! Finds members by what is known of them: offsets at which every image has what it should have.
//! One such place is a finding; none or several are not, and nothing is guessed.

use std::fmt;

use zerocopy::FromBytes;

use super::peek::MemoryImage;

/// Why a member was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// `<struct>.<member>`.
    pub member: &'static str,
    /// Where it may be: offsets, or ways by several.
    pub places: Vec<String>,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, places } = self;
        /// More say no more.
        const NAMED_MAX: usize = 4;
        if places.is_empty() {
            return write!(f, "{member} shows nowhere");
        }
        let named = &places[..places.len().min(NAMED_MAX)];
        let (count, named) = (places.len(), named.join(", "));
        write!(f, "{member} may be in {count} places: {named}")
    }
}

/// Offsets below `len`, `step` bytes apart, at which something holds.
pub fn places(len: usize, step: usize, holds: impl FnMut(&usize) -> bool) -> Vec<usize> {
    (0..len).step_by(step).filter(holds).collect()
}

/// Aligned offsets below `len` at which each image has its value.
pub fn places_of<T: FromBytes + PartialEq>(len: usize, images: &[(&MemoryImage, T)]) -> Vec<usize> {
    places(len, size_of::<T>(), |offset| {
        let mut each = images.iter();
        each.all(|(image, value)| image.at::<T>(*offset).as_ref() == Some(value))
    })
}

/// The one place that there is.
///
/// # Errors
/// There is none, or there are several.
pub fn only<T: Copy + fmt::Debug>(member: &'static str, found: &[T]) -> Result<T, Undecided> {
    match found {
        [place] => Ok(*place),
        _ => Err(Undecided {
            member,
            places: found.iter().map(|place| format!("{place:?}")).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::peek::Peek;
    use super::*;

    /// Memory that is made up.
    struct MadeUp(BTreeMap<u64, Vec<u8>>);

    impl Peek for MadeUp {
        fn peek(&mut self, address: u64, buffer: &mut [u8]) -> bool {
            let Some((begin, bytes)) = self.0.range(..=address).next_back() else {
                return false;
            };
            let from = (address - begin) as usize;
            let Some(found) = bytes.get(from..from + buffer.len()) else {
                return false;
            };
            buffer.copy_from_slice(found);
            true
        }
    }

    fn image(words: &[u32]) -> MemoryImage {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let len = bytes.len();
        MemoryImage::take(&mut MadeUp([(64, bytes)].into()), 64, len)
    }

    #[test]
    fn what_all_images_have_is_found_and_nothing_is_guessed() {
        let (a, b) = (image(&[1, 7, 7, 7]), image(&[1, 8, 7, 8]));
        let found = places_of(a.len(), &[(&a, 7u32), (&b, 8u32)]);
        assert_eq!(found, [4, 12]);
        let undecided = only("sock.sk_type", &found).expect_err("there are two");
        assert_eq!(
            undecided.to_string(),
            "sock.sk_type may be in 2 places: 4, 12"
        );
        let found = places_of(8, &[(&a, 7u32), (&b, 8u32)]);
        assert_eq!(only("sock.sk_type", &found), Ok(4));
        let undecided = only::<usize>("sock.sk_type", &[]).expect_err("there is none");
        assert_eq!(undecided.to_string(), "sock.sk_type shows nowhere");
    }

    #[test]
    fn an_image_ends_where_memory_does() {
        let mut memory = MadeUp([(64, vec![0; 300])].into());
        assert_eq!(MemoryImage::take(&mut memory, 64, 300).len(), 300);
        assert_eq!(MemoryImage::take(&mut memory, 64, 1024).len(), 256);
        assert_eq!(MemoryImage::take(&mut memory, 0, 64).len(), 0);
        assert_eq!(memory.value::<u32>(361), None);
        assert_eq!(memory.value::<u32>(360), Some(0));
    }
}
