//! Who used a connection when. It asks nobody whether they are still there.

/// Changes of owner that are remembered for exchanges still open.
pub(super) const HANDOVERS_MAX: usize = 8;

/// The processes that used a connection. As a rule there is one; sockets are passed on to workers.
#[derive(Clone, Debug)]
pub struct Owners {
    /// 0 until a process is known.
    pub(super) current: u32,
    /// Whether the current one moved bytes.
    pub(super) active: bool,
    /// Earlier ones that moved bytes, and until when.
    pub(super) past: Vec<(u64, u32)>,
}

impl Owners {
    pub(super) fn new(tgid: u32) -> Self {
        Self {
            current: tgid,
            active: false,
            past: Vec::new(),
        }
    }

    /// The last process that used the connection.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current
    }

    /// The process that used it at `time_ns`: whose chunk began an exchange.
    #[must_use]
    pub fn at(&self, time_ns: u64) -> u32 {
        self.past
            .iter()
            .find(|(until_ns, _)| time_ns < *until_ns)
            .map_or(self.current, |(_, tgid)| *tgid)
    }

    pub(super) fn hand_over(&mut self, tgid: u32, time_ns: u64) {
        if self.active {
            if self.past.len() == HANDOVERS_MAX {
                self.past.remove(0);
            }
            self.past.push((time_ns, self.current));
        }
        self.current = tgid;
    }
}
