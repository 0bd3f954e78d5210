//! Threads for looks at what may never answer: a file on a file system that is stalled, the memory
//! of a process. Each look has a second or so; one that takes longer is given up, and its thread,
//! which nobody can free, is replaced. All of it is bounded, and by the look's key too, so that who
//! makes looks hang takes only a part of the threads from others. It knows nothing of what is
//! looked at, and waits for nobody.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much there may be of what.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a look may take once it has begun.
    pub patience: Duration,
    /// Threads that look, apart from those that were given up.
    pub working_max: usize,
    /// Threads that were given up and still hang. Beyond that, no look is begun.
    pub stuck_max: usize,
    /// Of those, such as hang for one key.
    pub stuck_per_key_max: usize,
    /// Looks that wait for a thread.
    pub waiting_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(1),
            working_max: 4,
            stuck_max: 24,
            stuck_per_key_max: 8,
            waiting_max: 4096,
        }
    }
}

/// A look that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookTicket(u64);

/// There is no thread or no room for the look: what is wanted has to do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The threads. Dropping it lets them end after what they do now; nobody waits for that.
pub struct BlockingPool<T> {
    shared: Arc<BlockingShared<T>>,
}

type PendingLook<T> = Box<dyn FnOnce() -> T + Send>;

struct BlockingShared<T> {
    name: &'static str,
    bounds: Bounds,
    state: Mutex<BlockingState<T>>,
    /// Something waits, or all is over.
    wake: Condvar,
    tell: Box<dyn Fn(LookTicket, Option<T>) + Send + Sync>,
}

struct BlockingState<T> {
    next: u64,
    waiting: VecDeque<(LookTicket, u64, PendingLook<T>)>,
    running: HashMap<LookTicket, Running>,
    /// Threads that are not stuck.
    working: usize,
    idle: usize,
    stuck: usize,
    closed: bool,
}

struct Running {
    key: u64,
    since: Instant,
    given_up: bool,
}

/// How long a thread without work stays.
const IDLE_MAX: Duration = Duration::from_secs(10);

impl<T: Send + 'static> BlockingPool<T> {
    /// No thread yet; those that come have this name. `tell` is called on them with what a look
    /// found, `None` if it panicked; also for a look that was given up, should it ever end.
    pub fn new(
        name: &'static str,
        bounds: Bounds,
        tell: impl Fn(LookTicket, Option<T>) + Send + Sync + 'static,
    ) -> Self {
        let state = BlockingState {
            next: 0,
            waiting: VecDeque::new(),
            running: HashMap::new(),
            working: 0,
            idle: 0,
            stuck: 0,
            closed: false,
        };
        Self {
            shared: Arc::new(BlockingShared {
                name,
                bounds,
                state: Mutex::new(state),
                wake: Condvar::new(),
                tell: Box::new(tell),
            }),
        }
    }

    /// Has something looked at. Looks with one key share their fate: it names who or what may make
    /// them hang (a user, a file system).
    ///
    /// # Errors
    /// There is no room, or too many looks hang.
    pub fn look(
        &self,
        key: u64,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<LookTicket, Refused> {
        let shared = &self.shared;
        let mut state = shared.state();
        let is_full = state.waiting.len() >= shared.bounds.waiting_max;
        if is_full || !state.may_hang(key, &shared.bounds) {
            return Err(Refused);
        }
        let ticket = LookTicket(state.next);
        state.next += 1;
        state.waiting.push_back((ticket, key, Box::new(look)));
        if state.idle >= state.waiting.len() {
            shared.wake.notify_one();
        } else if state.working < shared.bounds.working_max
            && !BlockingShared::add_thread(shared, &mut state)
            && state.working == 0
        {
            state.waiting.pop_back();
            return Err(Refused);
        }
        Ok(ticket)
    }

    /// Gives up looks that have taken too long by `now`, and those that can't be begun any more
    /// because of that. Each is returned once.
    #[must_use]
    pub fn give_up(&self, now: Instant) -> Vec<LookTicket> {
        let shared = &self.shared;
        let bounds = &shared.bounds;
        let mut state = shared.state();
        let mut given_up = Vec::new();
        for (ticket, running) in &mut state.running {
            if !running.given_up && now >= running.since + bounds.patience {
                running.given_up = true;
                given_up.push(*ticket);
            }
        }
        if given_up.is_empty() {
            return given_up;
        }
        state.stuck += given_up.len();
        state.working -= given_up.len();
        let (keep, hopeless) = std::mem::take(&mut state.waiting)
            .into_iter()
            .partition(|(_, key, _)| state.may_hang(*key, bounds));
        state.waiting = keep;
        given_up.extend(
            hopeless
                .into_iter()
                .map(|(ticket, _, _): (_, _, PendingLook<T>)| ticket),
        );
        while state.working
            < bounds
                .working_max
                .min(state.waiting.len() + state.running.len())
            && state.waiting.len() > state.idle
            && BlockingShared::add_thread(shared, &mut state)
        {}
        given_up.sort_unstable();
        given_up
    }

    /// When [`BlockingPool::give_up`] is to be called next.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let shared = &self.shared;
        let state = shared.state();
        let since = |running: &Running| (!running.given_up).then_some(running.since);
        let first = state.running.values().filter_map(since).min();
        first.map(|since| since + shared.bounds.patience)
    }

    /// Threads that hang.
    #[must_use]
    pub fn stuck(&self) -> usize {
        self.shared.state().stuck
    }
}

impl<T> Drop for BlockingPool<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.shared.wake.notify_all();
    }
}

impl<T> BlockingState<T> {
    fn may_hang(&self, key: u64, bounds: &Bounds) -> bool {
        let hang = self.running.values();
        let for_key = hang.filter(|running| running.given_up && running.key == key);
        self.stuck < bounds.stuck_max && for_key.count() < bounds.stuck_per_key_max
    }

    /// Of those that wait the first of the key for which the fewest threads are at work, so that
    /// many slow looks with one key don't keep others waiting.
    fn take(&mut self) -> Option<(LookTicket, u64, PendingLook<T>)> {
        let mut at_work: HashMap<u64, usize> = HashMap::new();
        for running in self.running.values() {
            *at_work.entry(running.key).or_default() += 1;
        }
        let at_work = |key: &u64| at_work.get(key).copied().unwrap_or_default();
        let next = (0..self.waiting.len()).min_by_key(|at| at_work(&self.waiting[*at].1))?;
        self.waiting.remove(next)
    }
}

impl<T> BlockingShared<T> {
    /// Nothing is called under the lock, so a panic leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, BlockingState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> BlockingShared<T> {
    fn add_thread(shared: &Arc<Self>, state: &mut BlockingState<T>) -> bool {
        let of_thread = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name(shared.name.into())
            .spawn(move || of_thread.work());
        state.working += usize::from(thread.is_ok());
        thread.is_ok()
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if state.closed || state.working > self.bounds.working_max {
                break;
            }
            let Some((ticket, key, look)) = state.take() else {
                state.idle += 1;
                let (woken, waited) = self
                    .wake
                    .wait_timeout(state, IDLE_MAX)
                    .unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.idle -= 1;
                if waited.timed_out() && state.waiting.is_empty() {
                    break;
                }
                continue;
            };
            let running = Running {
                key,
                since: Instant::now(),
                given_up: false,
            };
            state.running.insert(ticket, running);
            drop(state);
            let found = catch_unwind(AssertUnwindSafe(look)).ok();
            state = self.state();
            if state.running.remove(&ticket).is_some_and(|it| it.given_up) {
                state.stuck -= 1;
                state.working += 1;
            }
            drop(state);
            (self.tell)(ticket, found);
            state = self.state();
        }
        state.working -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn pool(bounds: Bounds) -> (BlockingPool<u32>, Receiver<(LookTicket, Option<u32>)>) {
        let (tell, told) = channel();
        let tell = move |ticket, found| tell.send((ticket, found)).expect("somebody hears");
        (BlockingPool::new("look", bounds, tell), told)
    }

    /// A look that hangs until its end is dropped, and says when it has begun.
    fn hang(pool: &BlockingPool<u32>, key: u64, begun: &Sender<()>) -> (LookTicket, Sender<()>) {
        let (free, hangs) = channel::<()>();
        let begun = begun.clone();
        let look = move || {
            begun.send(()).expect("somebody hears");
            let _ = hangs.recv();
            0
        };
        (pool.look(key, look).expect("room"), free)
    }

    fn later(bounds: &Bounds) -> Instant {
        Instant::now() + bounds.patience
    }

    #[test]
    fn each_look_is_answered_and_a_panic_too() {
        let (pool, told) = pool(Bounds::default());
        let mut tickets: Vec<_> = (0..100)
            .map(|number| pool.look(0, move || number).expect("room"))
            .collect();
        tickets.push(pool.look(0, || panic!("on purpose")).expect("room"));
        let mut answers: Vec<_> = (0..101)
            .map(|_| told.recv_timeout(LIMIT).expect("an answer"))
            .collect();
        answers.sort_unstable();
        let found = (0..100).map(Some).chain([None]);
        assert_eq!(answers, tickets.into_iter().zip(found).collect::<Vec<_>>());
    }

    #[test]
    fn looks_that_hang_are_given_up_and_others_go_on() {
        let bounds = Bounds {
            working_max: 2,
            ..Bounds::default()
        };
        let (pool, told) = pool(bounds);
        let (begin, begun) = channel();
        let hanging: Vec<_> = (0..2).map(|_| hang(&pool, 1, &begin)).collect();
        for _ in 0..2 {
            begun.recv_timeout(LIMIT).expect("it begins");
        }
        let innocent = pool.look(2, || 7).expect("room");
        assert_eq!(pool.give_up(Instant::now()), []);
        assert!(pool.next_due().is_some());
        let tickets: Vec<_> = hanging.iter().map(|(ticket, _)| *ticket).collect();
        assert_eq!(pool.give_up(later(&bounds)), tickets);
        assert_eq!(told.recv_timeout(LIMIT), Ok((innocent, Some(7))));
        assert_eq!((pool.stuck(), pool.next_due()), (2, None));
        assert_eq!(pool.give_up(later(&bounds)), [], "once each");

        let (mut late, frees): (Vec<_>, Vec<_>) = hanging.into_iter().unzip();
        drop(frees);
        for _ in 0..2 {
            let (ticket, found) = told.recv_timeout(LIMIT).expect("a late answer");
            assert_eq!(found, Some(0));
            late.retain(|other| *other != ticket);
        }
        assert_eq!((late, pool.stuck()), (vec![], 0));
    }

    #[test]
    fn who_makes_looks_hang_does_not_take_all_threads() {
        let bounds = Bounds {
            working_max: 1,
            stuck_per_key_max: 2,
            stuck_max: 3,
            ..Bounds::default()
        };
        let (pool, told) = pool(bounds);
        let (begin, begun) = channel();
        let mut hanging: Vec<_> = (0..4).map(|_| hang(&pool, 1, &begin)).collect();
        for _ in 0..2 {
            begun.recv_timeout(LIMIT).expect("it begins");
            assert!(!pool.give_up(later(&bounds)).is_empty());
        }
        // What waited with that key was given up with the second.
        assert_eq!(pool.stuck(), 2);
        assert_eq!(pool.look(1, || 0), Err(Refused));
        let innocent = pool.look(2, || 7).expect("room");
        assert_eq!(told.recv_timeout(LIMIT), Ok((innocent, Some(7))));

        hanging.push(hang(&pool, 2, &begin));
        begun.recv_timeout(LIMIT).expect("it begins");
        assert_eq!(pool.give_up(later(&bounds)).len(), 1);
        assert_eq!(pool.look(3, || 0), Err(Refused), "a bound for all");
        drop(hanging);
    }

    #[test]
    fn looks_with_other_keys_need_not_wait_for_a_crowd() {
        let bounds = Bounds {
            working_max: 2,
            ..Bounds::default()
        };
        let (pool, told) = pool(bounds);
        let (begin, begun) = channel();
        let mut crowd: VecDeque<_> = (0..4).map(|_| hang(&pool, 1, &begin)).collect();
        for _ in 0..2 {
            begun.recv_timeout(LIMIT).expect("it begins");
        }
        let other = pool.look(2, || 7).expect("room");
        let (first, free) = crowd.pop_front().expect("four");
        drop(free);
        let mut answers: Vec<_> = (0..2)
            .map(|_| told.recv_timeout(LIMIT).expect("an answer").0)
            .collect();
        answers.sort_unstable();
        assert_eq!(answers, [first, other], "before those that came earlier");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let bounds = Bounds {
            working_max: 1,
            waiting_max: 1,
            ..Bounds::default()
        };
        let (pool, _told) = pool(bounds);
        let (begin, begun) = channel();
        let _hanging = hang(&pool, 1, &begin);
        begun.recv_timeout(LIMIT).expect("it begins");
        assert!(pool.look(1, || 0).is_ok());
        assert_eq!(pool.look(1, || 0), Err(Refused));
    }
}
