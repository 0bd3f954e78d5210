//! Counts the messages of one direction of a call by walking from length to length over its bytes
//! (`PROTOCOL-HTTP2.md`, "Length-Prefixed-Message"). What was not captured within a message is
//! passed over; where a length was not captured, it counts no more.

use crate::family::rpc::Flown;

/// Flag and length before each message.
const PREFIX_BYTES: usize = 5;

/// Where one direction of a call stands.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    flown: Flown,
    /// The part of a prefix that was seen.
    prefix: [u8; PREFIX_BYTES],
    prefix_len: u8,
    /// Bytes of the message under way.
    left: u32,
}

impl Walk {
    /// From the first byte of the body on.
    #[must_use]
    pub fn from_start() -> Self {
        Self {
            flown: Flown {
                count: Some(0),
                ..Flown::default()
            },
            prefix: [0; PREFIX_BYTES],
            prefix_len: 0,
            left: 0,
        }
    }

    /// What was seen.
    #[must_use]
    pub fn flown(&self) -> Flown {
        self.flown
    }

    /// Whether all bytes were messages, to the end of the last one of at least one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.flown.count > Some(0) && self.is_between()
    }

    /// The same, if there were any bytes.
    #[must_use]
    pub fn is_whole_or_none(&self) -> bool {
        self.flown.count.is_some() && self.is_between()
    }

    fn is_between(&self) -> bool {
        self.left == 0 && self.prefix_len == 0
    }

    /// Nobody knows any more how many there are.
    pub fn lose(&mut self) {
        self.flown.count = None;
    }

    /// Bytes moved from `first_ns` to `last_ns`, and behind them `missed` that were not captured.
    pub fn take(&mut self, bytes: &[u8], missed: u64, first_ns: u64, last_ns: u64) {
        if bytes.is_empty() && missed == 0 {
            return;
        }
        self.flown.first_ns.get_or_insert(first_ns);
        self.flown.last_ns = Some(last_ns);
        self.walk(bytes);
        if missed > 0 && self.flown.count.is_some() {
            match u32::try_from(missed) {
                Ok(missed) if missed <= self.left => self.left -= missed,
                _ => self.lose(),
            }
        }
    }

    fn walk(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.flown.count.is_some() {
            let inside = bytes.len().min(self.left as usize);
            bytes = &bytes[inside..];
            self.left -= inside as u32;
            let Some(&byte) = bytes.first() else { return };
            self.prefix[usize::from(self.prefix_len)] = byte;
            self.prefix_len += 1;
            bytes = &bytes[1..];
            if usize::from(self.prefix_len) == PREFIX_BYTES {
                let [flag, length @ ..] = self.prefix;
                self.prefix_len = 0;
                self.left = u32::from_be_bytes(length);
                // The flag says whether the message is compressed.
                self.flown.count = match flag {
                    0 | 1 => self.flown.count.map(|count| count + 1),
                    _ => None,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"\0\0\0\0\x03abc\x01\0\0\0\0";

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        for cut in 0..=TWO.len() {
            let mut walk = Walk::from_start();
            walk.take(&TWO[..cut], 0, 1, 2);
            walk.take(&TWO[cut..], 0, 3, 4);
            assert_eq!(walk.flown().count, Some(2), "{cut}");
        }
    }

    #[test]
    fn what_was_missed_inside_a_message_does_no_harm_and_elsewhere_it_does() {
        let mut walk = Walk::from_start();
        walk.take(&TWO[..6], 2, 1, 2);
        walk.take(&TWO[8..], 0, 3, 4);
        assert_eq!(walk.flown().count, Some(2));
        let mut walk = Walk::from_start();
        walk.take(&TWO[..6], 3, 1, 2);
        assert_eq!(walk.flown().count, None);
        assert_eq!(
            (walk.flown().first_ns, walk.flown().last_ns),
            (Some(1), Some(2))
        );
    }

    #[test]
    fn what_is_no_prefix_is_not_counted() {
        let mut walk = Walk::from_start();
        walk.take(b"hello world", 0, 1, 1);
        assert_eq!(walk.flown().count, None);
    }
}
