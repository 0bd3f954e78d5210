//! What shards want done to a whole process, which the coordinator does: it alone changes how
//! processes are watched. A shard does not wait; what does not fit is sent when there is room.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::wake;

/// Wishes that wait for the coordinator.
const WISHES_MAX: usize = 1024;
/// Wishes that wait with a shard for that. Of more, the oldest are forgotten: a head stays cut, TLS
/// is looked for later.
const WAITING_MAX: usize = 4096;

/// What a shard wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Copy more of this process.
    RaiseBudget(u32),
    /// This process speaks TLS on a socket.
    TlsSeen(u32),
}

/// A shard's end.
pub struct Wishes {
    to: SyncSender<Wish>,
    waiting: VecDeque<Wish>,
    /// What the coordinator sleeps on, unless it is on the same thread.
    wake: Option<Arc<OwnedFd>>,
}

/// The coordinator's end, and one for its own thread.
pub fn wishes() -> (Wishes, Receiver<Wish>) {
    let (to, wishes) = sync_channel(WISHES_MAX);
    let own = Wishes {
        to,
        waiting: VecDeque::new(),
        wake: None,
    };
    (own, wishes)
}

impl Wishes {
    /// Another one, for another thread; `wake` is what the coordinator sleeps on.
    pub fn another(&self, wake: Arc<OwnedFd>) -> Self {
        Self {
            to: self.to.clone(),
            waiting: VecDeque::new(),
            wake: Some(wake),
        }
    }

    /// Wants something.
    pub fn want(&mut self, wish: Wish) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(wish);
    }

    /// Sends what there is room for.
    pub fn send(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        while let Some(wish) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(wish) | TrySendError::Disconnected(wish)) =
                self.to.try_send(wish)
            {
                self.waiting.push_front(wish);
                break;
            }
        }
        if let Some(coordinator) = &self.wake {
            wake(coordinator);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_room_waits_with_its_wishes_and_not_with_its_thread() {
        let (mut own, wishes) = wishes();
        let all = WISHES_MAX + WAITING_MAX;
        for pid in 0..all as u32 {
            own.want(Wish::TlsSeen(pid));
            own.send();
        }
        let first: Vec<_> = wishes.try_iter().take(2 * all).collect();
        assert_eq!(first.len(), WISHES_MAX);
        own.send();
        assert_eq!(wishes.try_recv(), Ok(Wish::TlsSeen(WISHES_MAX as u32)));
    }
}
