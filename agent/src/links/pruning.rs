//! When a table is worth looking through for what can be forgotten. Looking costs as much as the
//! table is long, so who did that at each event because nothing can be forgotten would do nothing
//! else any more.

/// How much has happened since a table was looked through.
#[derive(Debug, Default)]
pub struct Pruning {
    events: usize,
}

impl Pruning {
    /// Something happens to the table, which has `len` entries: whether it is to be looked through
    /// now. That is once in as many events as half of it, and never below `few`.
    pub fn is_due(&mut self, len: usize, few: usize) -> bool {
        self.events = self.events.saturating_add(1);
        let is_due = len >= few && self.events >= len / 2;
        if is_due {
            self.events = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_which_nothing_can_be_forgotten_is_rarely_looked_through() {
        let mut pruning = Pruning::default();
        let looks = (0..100_000).filter(|_| pruning.is_due(10_000, 1024));
        assert_eq!(looks.count(), 20);
        assert!((0..100_000).all(|_| !pruning.is_due(1023, 1024)));
    }
}
