//! Questions that were asked of others and are not answered, by the numbers that answers refer to.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use wirespan_protocols::heap;

use super::{StreamId, ToldAnswer};
use crate::links::JoinKey;

/// Open questions at a time.
const OPEN_MAX: usize = 64 * 1024;
/// No request is waited for so long: what is not answered by then is forgotten.
const OPEN_FOR: Duration = Duration::from_secs(25);

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// The question was never asked, or not of the one who answers.
    Unasked,
}

#[derive(Debug)]
struct OpenQuestion {
    key: JoinKey,
    shard: u8,
    /// Who was asked and has not answered; once it is found, who will.
    asked: Vec<StreamId>,
    /// Somebody has the client, and will answer.
    is_found: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Outstanding {
    open: HashMap<u32, OpenQuestion>,
    /// By when they were asked, in nanoseconds.
    order: VecDeque<(u64, u32)>,
    /// The last number that was given out.
    last: u32,
    /// Numbers were given out more often than there are.
    has_wrapped: bool,
}

impl Outstanding {
    /// Gives a question a number; `None` if too many are open.
    pub fn ask(&mut self, key: JoinKey, shard: u8, asked: &[StreamId], now_ns: u64) -> Option<u32> {
        if self.order.len() >= OPEN_MAX && self.open.len() < OPEN_MAX / 2 {
            self.forget_answered();
        }
        if self.order.len() >= OPEN_MAX {
            return None;
        }
        let (number, wraps) = self.last.overflowing_add(1);
        self.last = number;
        self.has_wrapped |= wraps;
        self.order.push_back((now_ns, number));
        let question = OpenQuestion {
            key,
            shard,
            asked: asked.to_vec(),
            is_found: false,
        };
        self.open.insert(number, question);
        Some(number)
    }

    /// `stream` answered; the request, and the shard that asked, if that says something of where
    /// its client is: it is known there, or it is nowhere.
    ///
    /// # Errors
    /// It was not asked. Who answers too late was.
    pub fn answered(
        &mut self,
        stream: StreamId,
        number: u32,
        told: &ToldAnswer,
    ) -> Result<Option<(JoinKey, u8)>, AnswerFault> {
        let Some(question) = self.open.get_mut(&number) else {
            let was_given_out = self.has_wrapped || (1..=self.last).contains(&number);
            return match was_given_out {
                true => Ok(None),
                false => Err(AnswerFault::Unasked),
            };
        };
        let Some(place) = question.asked.iter().position(|it| *it == stream) else {
            // Somebody else said that it has the client.
            return match question.is_found {
                true => Ok(None),
                false => Err(AnswerFault::Unasked),
            };
        };
        let about = (question.key, question.shard);
        match told {
            ToldAnswer::Later if question.is_found => return Ok(None),
            ToldAnswer::Later => {
                question.is_found = true;
                question.asked = vec![stream];
                return Ok(Some(about));
            }
            ToldAnswer::Unknown => {
                question.asked.swap_remove(place);
                if !question.asked.is_empty() {
                    return Ok(None);
                }
            }
            ToldAnswer::Stands(_) => {}
        }
        self.open.remove(&number);
        Ok(Some(about))
    }

    /// One that was asked is on another stream: what it did not answer.
    pub fn move_to(&mut self, from: StreamId, to: StreamId) -> Vec<(u32, JoinKey)> {
        let mut unanswered = Vec::new();
        for (number, question) in &mut self.open {
            if let Some(asked) = question.asked.iter_mut().find(|it| **it == from) {
                *asked = to;
                unanswered.push((*number, question.key));
            }
        }
        unanswered.sort_unstable_by_key(|(number, _)| *number);
        unanswered
    }

    /// One that was asked is gone: what nobody else may answer.
    pub fn leave(&mut self, stream: StreamId) -> Vec<(JoinKey, u8)> {
        let mut over = Vec::new();
        self.open.retain(|_, question| {
            let was_asked = question.asked.len();
            question.asked.retain(|it| *it != stream);
            let is_over = question.asked.is_empty() && was_asked > 0;
            if is_over {
                over.push((question.key, question.shard));
            }
            !is_over
        });
        over
    }

    /// Forgets those that nobody waits for; which of them were never answered.
    pub fn tick(&mut self, now_ns: u64) -> Vec<JoinKey> {
        let open_for_ns = OPEN_FOR.as_nanos() as u64;
        let mut unanswered = Vec::new();
        while let Some(&(asked_ns, number)) = self.order.front()
            && (now_ns.saturating_sub(asked_ns) >= open_for_ns || !self.open.contains_key(&number))
        {
            self.order.pop_front();
            unanswered.extend(self.open.remove(&number).map(|question| question.key));
        }
        unanswered
    }

    fn forget_answered(&mut self) {
        let open = &self.open;
        self.order.retain(|(_, number)| open.contains_key(number));
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(u32, OpenQuestion)>(self.open.capacity())
            + self.open.len() * heap::vec::<StreamId>(1)
            + heap::vec::<(u64, u32)>(self.order.capacity())
    }
}
