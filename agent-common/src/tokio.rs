//! How tokio's tasks are found in a process, and what notes say of them.

use crate::runtime::{PLACES, Runtime};

/// What user space found out about a program with tokio in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokioLayout {
    /// From where a thread's own memory ends to the id of the task that it runs, modulo 2^64.
    pub current_id: u64,
    /// Address of the table of functions of tasks' wakers, by which a waker is known for one.
    pub waker_table: u64,
    /// In a task's header: the address of its table of functions.
    pub vtable: u16,
    /// In that: the offset from the header of the task's id.
    pub id_offset: u16,
    /// Number, in instructions, of the register with the header where a task is bound.
    pub born_register: u8,
    /// The same of the register with a value's place where one is put into a channel.
    pub put_register: u8,
    /// Where it is another register.
    pub others: OtherRegisters,
}

/// Where a probe's program is to look into another register than most: for each such probe the
/// lower twelve bits of its address, which are the same wherever the file is mapped, and the
/// register's number below them. 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtherRegisters(pub [u64; OTHER_PLACES]);

const OTHER_PLACES: usize = PLACES - 3;
/// Probes of which that can be said.
pub const OTHERS_MAX: usize = 4 * OTHER_PLACES;

impl OtherRegisters {
    /// All of them, by address; `None` if they are too many.
    #[must_use]
    pub fn new(others: &[(u64, u8)]) -> Option<Self> {
        let mut words = [0; OTHER_PLACES];
        for (index, (address, register)) in others.iter().enumerate() {
            let entry = (address & 0xfff) << 4 | u64::from(*register & 0xf);
            *words.get_mut(index / 4)? |= entry << (16 * (index % 4));
        }
        Some(Self(words))
    }

    /// The register at an address, which is `usual` in most places.
    #[must_use]
    #[inline(always)]
    pub fn at(&self, address: u64, usual: u8) -> u64 {
        let mut found = u64::from(usual);
        let mut index = 0;
        while index < OTHERS_MAX {
            let entry = self.0[index / 4] >> (16 * (index % 4)) & 0xffff;
            if entry != 0 && entry >> 4 == address & 0xfff {
                found = entry & 0xf;
            }
            index += 1;
        }
        found
    }
}

impl TokioLayout {
    /// As places, the second of which is an address.
    #[must_use]
    pub const fn places(&self) -> [u64; PLACES] {
        let [a, b, c, d, e] = self.others.0;
        let numbers = self.vtable as u64
            | (self.id_offset as u64) << 16
            | (self.born_register as u64) << 32
            | (self.put_register as u64) << 40;
        [self.current_id, self.waker_table, numbers, a, b, c, d, e]
    }

    /// What such places say.
    #[must_use]
    #[inline(always)]
    pub const fn of(runtime: &Runtime) -> Self {
        let [current_id, waker_table, numbers, a, b, c, d, e] = runtime.places;
        Self {
            current_id,
            waker_table,
            vtable: numbers as u16,
            id_offset: (numbers >> 16) as u16,
            born_register: (numbers >> 32) as u8,
            put_register: (numbers >> 40) as u8,
            others: OtherRegisters([a, b, c, d, e]),
        }
    }
}

/// Numbers behind a note of tokio.
pub const NOTED: usize = 4;

/// Where the numbers behind a [`TaskEvent::Put`](crate::record::TaskEvent::Put) are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Put {
    /// The task that takes what is put there, 0 if it does not wait for it at the moment.
    Taker = 0,
    /// One more than the place that is taken next, 0 if that is not known.
    Next = 1,
    /// Of who passes on what it took: the channel from which that was, or 0.
    From = 2,
    /// And one more than the place that it took last.
    Took = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_read_back() {
        let layout = TokioLayout {
            current_id: 1,
            waker_table: 2,
            vtable: 3,
            id_offset: 4,
            born_register: 5,
            put_register: 6,
            others: OtherRegisters::new(&[(0x7000_1234, 15), (0x5000_0000, 3)]).expect("fits"),
        };
        let places = layout.places();
        assert_eq!(TokioLayout::of(&Runtime::new(places)), layout);
        assert_eq!(layout.others.at(0x9234, 5), 15);
        assert_eq!(layout.others.at(0x9235, 5), 5);
        assert_eq!(layout.others.at(0x1000, 5), 3);
        assert_eq!(OtherRegisters::default().at(0x1000, 5), 5);
        assert_eq!(OtherRegisters::new(&[(1, 2); OTHERS_MAX + 1]), None);
    }
}
