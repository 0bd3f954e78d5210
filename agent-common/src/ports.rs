//! The set of ports that select a process, as both sides store it. It does not parse settings.

/// 64-bit words that hold one bit per port.
pub const PORT_WORDS: u32 = 65536 / 64;

/// Index of the word that holds `port` (host byte order).
#[must_use]
pub const fn port_word(port: u16) -> u32 {
    port as u32 / 64
}

/// The bit of `port` within its word.
#[must_use]
pub const fn port_bit(port: u16) -> u64 {
    1 << (port % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_a_bit_of_its_own() {
        let mut words = [0u64; PORT_WORDS as usize];
        for port in 0..=u16::MAX {
            let word = &mut words[port_word(port) as usize];
            assert_eq!(*word & port_bit(port), 0, "port {port}");
            *word |= port_bit(port);
        }
        assert!(words.iter().all(|word| *word == u64::MAX));
    }
}
