//! What the control thread answers a shard, and when the shard may hear it: once the ring was empty
//! after the answer came. So all that the kernel side said before is heard before, be it that a
//! process runs another program; an answer about the one before would else be taken for news.
//!
//! The control thread is told by the first shard, which learns last of all what happens to
//! processes (`agent-ebpf/src/hooks/process.rs`). So what it answers finds the reason in each ring.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::control::Answer;
use super::wake;

/// Answers that wait for the shard, which fetches them every few milliseconds.
const ANSWERS_MAX: usize = 4096;
/// A ring buffer holds fewer records than these rounds take.
pub const RING_ROUNDS_MAX: usize = 64;

/// Where a shard finds answers.
pub struct Inbox {
    answers: Receiver<Answer>,
    /// They came before the present round.
    fetched: Vec<Answer>,
    /// Rounds since, in none of which the ring ran empty.
    rounds: usize,
}

/// Where answers for a shard go.
#[derive(Clone)]
pub struct Mailbox {
    answers: SyncSender<Answer>,
    wake: Arc<OwnedFd>,
}

/// An inbox and the way into it; `wake` is what its owner sleeps on.
pub fn inbox(wake: Arc<OwnedFd>) -> (Mailbox, Inbox) {
    let (to, answers) = sync_channel(ANSWERS_MAX);
    let mailbox = Mailbox { answers: to, wake };
    let inbox = Inbox {
        answers,
        fetched: Vec::new(),
        rounds: 0,
    };
    (mailbox, inbox)
}

/// The shard is gone.
pub struct Alone;

impl Mailbox {
    /// Puts an answer there. It waits for room.
    ///
    /// # Errors
    /// [`Alone`].
    pub fn put(&self, answer: Answer) -> Result<(), Alone> {
        match self.answers.try_send(answer) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(answer)) => {
                // It fetches them soon, and sooner if it is woken.
                self.wake();
                self.answers.send(answer).map_err(|_| Alone)
            }
            Err(TrySendError::Disconnected(_)) => Err(Alone),
        }
    }

    /// Puts an answer there if there is room; whether there was.
    pub fn offer(&self, answer: Answer) -> bool {
        self.answers.try_send(answer).is_ok()
    }

    /// Has the shard look.
    pub fn wake(&self) {
        wake(&self.wake);
    }
}

impl Inbox {
    /// To be called before the ring is read: fetches what came since, unless what came before still
    /// waits, and shows it.
    pub fn fetch(&mut self) -> &[Answer] {
        if !self.fetched.is_empty() {
            return &[];
        }
        self.rounds = 0;
        let came = self.answers.try_iter().take(ANSWERS_MAX);
        self.fetched.extend(came);
        &self.fetched
    }

    /// To be called after the ring was read: what was fetched before, if it may be heard now.
    pub fn open(&mut self, is_ring_empty: bool) -> Vec<Answer> {
        self.rounds += 1;
        if is_ring_empty || self.rounds >= RING_ROUNDS_MAX {
            std::mem::take(&mut self.fetched)
        } else {
            Vec::new()
        }
    }

    /// Waits for an answer, for at most `longest`.
    pub fn wait(&mut self, longest: Duration) -> Option<Answer> {
        self.answers.recv_timeout(longest).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::new_wake;
    use super::*;

    fn pids(answers: &[Answer]) -> Vec<u32> {
        let pid = |answer: &Answer| match answer {
            Answer::Watch(pid) => *pid,
            _ => 0,
        };
        answers.iter().map(pid).collect()
    }

    #[test]
    fn an_answer_is_heard_once_the_ring_was_empty_after_it_came() {
        let (mailbox, mut inbox) = inbox(Arc::new(new_wake().expect("a counter")));
        inbox.fetch();
        let came_meanwhile = mailbox.put(Answer::Watch(1));
        assert!(came_meanwhile.is_ok());
        assert!(inbox.open(true).is_empty(), "what led to it may be unread");
        inbox.fetch();
        assert!(inbox.open(false).is_empty(), "there is more in the ring");
        assert!(mailbox.put(Answer::Watch(2)).is_ok());
        assert!(inbox.fetch().is_empty(), "one after the other");
        assert_eq!(pids(&inbox.open(true)), [1]);
        assert_eq!(pids(inbox.fetch()), [2]);
        assert_eq!(pids(&inbox.open(true)), [2]);
    }

    #[test]
    fn a_ring_that_never_runs_empty_delays_an_answer_by_what_it_can_hold() {
        let (mailbox, mut inbox) = inbox(Arc::new(new_wake().expect("a counter")));
        assert!(mailbox.put(Answer::Watch(1)).is_ok());
        let heard = (1..).find(|_| {
            inbox.fetch();
            !inbox.open(false).is_empty()
        });
        assert_eq!(heard, Some(RING_ROUNDS_MAX));
    }
}
