//! One thing that connections say, and how many of them say it.

use super::Serial;

/// Connections that must agree once there was a disagreement.
pub(super) const UNANIMOUS_AGAIN: usize = 8;

/// What was said last, with those connections that said it and nothing else since.
#[derive(Debug)]
pub(super) struct Claim<T> {
    said: T,
    /// Different ones; no more than matter.
    voices: Vec<Serial>,
    /// Whether something else was said before.
    disputed: bool,
}

impl<T> Claim<T> {
    pub fn new(said: T, voice: Serial) -> Self {
        Self {
            said,
            voices: vec![voice],
            disputed: false,
        }
    }

    /// A connection says the `same` too, or something else. Returns whether that is a new
    /// disagreement.
    pub fn hear(&mut self, same: bool, voice: Serial, other: impl FnOnce() -> T) -> bool {
        if !same {
            self.said = other();
            self.dispute();
        }
        if self.voices.len() < UNANIMOUS_AGAIN && !self.voices.contains(&voice) {
            self.voices.push(voice);
        }
        !same
    }

    /// What was said last, by anybody.
    pub fn said(&self) -> &T {
        &self.said
    }

    /// It was wrong once.
    pub fn dispute(&mut self) {
        self.voices.clear();
        self.disputed = true;
    }

    /// What at least so many connections say, all that spoke since the last disagreement.
    pub fn agreed(&self, voices_min: usize) -> Option<&T> {
        let voices_min = match self.disputed {
            true => UNANIMOUS_AGAIN,
            false => voices_min,
        };
        (self.voices.len() >= voices_min).then_some(&self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disagreement_silences_a_claim_until_enough_connections_agree_again() {
        let mut claim = Claim::new('a', Serial(1));
        assert_eq!(claim.agreed(1), Some(&'a'));
        assert!(!claim.hear(true, Serial(1), || 'a'));
        assert_eq!(claim.agreed(2), None, "one connection counts once");
        assert!(!claim.hear(true, Serial(2), || 'a'));
        assert_eq!(claim.agreed(2), Some(&'a'));
        assert!(claim.hear(false, Serial(3), || 'b'));
        for voice in 1..UNANIMOUS_AGAIN as u32 {
            assert_eq!(claim.agreed(1), None);
            claim.hear(true, Serial(3 + voice), || 'b');
        }
        assert_eq!(claim.agreed(1), Some(&'b'));
    }
}
