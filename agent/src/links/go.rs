//! Goroutines that go on after the request that they were made for. One that is made by the first
//! request that finds no idle worker, and serves whoever comes, has that request for good: what it
//! asks for then would be laid to the wrong one. It is told by what it does: it did something while
//! its request was under way, and does something after. From then on nothing is laid to requests
//! that goroutines of the same function were made for, in this process; what such a goroutine does
//! once, late, still is.

use hashbrown::HashSet;
use wirespan_protocols::heap;

/// Functions that are remembered, of all processes, before remembering starts again.
const FUNCTIONS_MAX: usize = 4096;

/// What a goroutine has from the one that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// The function that it began with; see [`wirespan_common::record::TaskNote::part`].
    start: u32,
    /// It did something while its request was under way.
    was_used: bool,
}

impl Inherited {
    /// Of one that begins.
    #[must_use]
    pub fn new(start: u32) -> Self {
        Self {
            start,
            was_used: false,
        }
    }
}

/// Functions of goroutines that served whoever came, by process.
#[derive(Debug, Default)]
pub struct Outliving {
    functions: HashSet<(u32, u32)>,
}

impl Outliving {
    /// Whether what a goroutine does now, while its request is over or not, is done for it.
    pub fn is_for_its_request(
        &mut self,
        tgid: u32,
        inherited: &mut Inherited,
        is_over: bool,
    ) -> bool {
        let function = (tgid, inherited.start);
        if is_over && inherited.was_used {
            if self.functions.len() >= FUNCTIONS_MAX {
                self.functions.clear();
            }
            self.functions.insert(function);
        }
        inherited.was_used |= !is_over;
        !self.functions.contains(&function)
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(u32, u32)>(self.functions.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_works_for_later_requests_is_told_from_who_is_late() {
        let mut outliving = Outliving::default();
        let (mut late, mut worker) = (Inherited::new(1), Inherited::new(2));
        assert!(outliving.is_for_its_request(7, &mut late, true));
        assert!(outliving.is_for_its_request(7, &mut late, true));
        assert!(outliving.is_for_its_request(7, &mut worker, false));
        assert!(!outliving.is_for_its_request(7, &mut worker, true));
        // Nor are others that began with the same function, but for those of other processes.
        assert!(!outliving.is_for_its_request(7, &mut Inherited::new(2), false));
        assert!(outliving.is_for_its_request(8, &mut Inherited::new(2), false));
        assert!(outliving.is_for_its_request(7, &mut Inherited::new(3), false));
    }
}
