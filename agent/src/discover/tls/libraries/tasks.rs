//! Looks that are under way, each on a thread that may hang. Whether one does is told by whether it
//! gets on: one that is only slow is waited for. Nothing is decided here about what was found.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::super::looks::{Done, LookReport, Whose};
use super::super::mappings::Mapping;
use super::super::verdicts::FileKey;
use crate::blocking::{BlockingPool, Bounds, LookTicket, Refused};

/// LookStep is under way.
#[derive(Clone, Debug)]
pub(super) enum LookStep {
    /// A process's files are opened.
    Open,
    /// This one is looked into.
    LookInto(Mapping, FileKey),
}

/// See the module.
#[derive(Debug)]
pub(super) struct LookTask {
    pub whose: Whose,
    pub what: LookStep,
    /// The device that does not answer, if it was found to be stalled.
    pub stalled: Option<Option<u64>>,
    /// Steps that it has made; 0 if it has not begun.
    progress: Arc<AtomicU64>,
    /// As of `since`.
    seen: u64,
    since: Instant,
}

/// See the module.
pub(super) struct LookTasks {
    pool: BlockingPool<Done>,
    patience: Duration,
    tell: Sender<LookReport>,
    reports: Receiver<LookReport>,
    running: HashMap<LookTicket, LookTask>,
}

/// How often results are looked for while something is under way, and while all of it hangs.
const RESULTS_EVERY: Duration = Duration::from_micros(500);
const LATE_RESULTS_EVERY: Duration = Duration::from_millis(200);

impl LookTasks {
    pub fn new(bounds: Bounds) -> Self {
        // Bounded by what is asked for: each process has one look and one file under way.
        let (tell, reports) = channel();
        let done = tell.clone();
        let pool = BlockingPool::new("look", bounds, move |ticket, found| {
            // Without an owner nobody wants to know.
            let _ = done.send(LookReport::Done(ticket, found));
        });
        Self {
            pool,
            patience: bounds.patience,
            tell,
            reports,
            running: HashMap::new(),
        }
    }

    /// Begins something; what it does is to count its steps.
    pub fn begin(
        &mut self,
        whose: Whose,
        what: LookStep,
        run: impl FnOnce(&Sender<LookReport>, &AtomicU64) -> Done + Send + 'static,
    ) -> Result<LookTicket, Refused> {
        let progress = Arc::new(AtomicU64::new(0));
        let steps = Arc::clone(&progress);
        let tell = self.tell.clone();
        let ticket = self.pool.look(whose.pid.into(), move || {
            steps.fetch_add(1, Ordering::Relaxed);
            run(&tell, &steps)
        })?;
        let task = LookTask {
            whose,
            what,
            stalled: None,
            progress,
            seen: 0,
            since: Instant::now(),
        };
        self.running.insert(ticket, task);
        Ok(ticket)
    }

    /// The next thing that was told.
    pub fn report(&self) -> Option<LookReport> {
        self.reports.try_recv().ok()
    }

    /// As [`LookTasks::report`], but waits for it so long.
    pub fn wait(&self, limit: Duration) -> Option<LookReport> {
        self.reports.recv_timeout(limit).ok()
    }

    /// Takes a task that is done off the list.
    pub fn end(&mut self, ticket: LookTicket) -> Option<LookTask> {
        self.running.remove(&ticket)
    }

    /// Marks a stalled task with the device that it waits for, if that is known.
    pub fn mark(&mut self, ticket: LookTicket, device: Option<u64>) {
        if let Some(task) = self.running.get_mut(&ticket) {
            task.stalled = Some(device);
        }
    }

    /// Those that have made no step for too long, each once, and those that will never begin
    /// because too many hang, which are taken off the list.
    pub fn check(&mut self, now: Instant) -> (Vec<LookTicket>, Vec<LookTask>) {
        let begun = |task: &LookTask| task.progress.load(Ordering::Relaxed) > 0;
        let given_up = self.pool.give_up(now).into_iter();
        let hopeless = given_up
            .filter_map(|ticket| {
                let never = self.running.get(&ticket).is_some_and(|task| !begun(task));
                never.then(|| self.running.remove(&ticket))?
            })
            .collect();
        let mut stalled = Vec::new();
        for (ticket, task) in &mut self.running {
            let progress = task.progress.load(Ordering::Relaxed);
            if progress != task.seen || progress == 0 {
                task.seen = progress;
                task.since = now;
            } else if task.stalled.is_none()
                && now.saturating_duration_since(task.since) >= self.patience
            {
                task.stalled = Some(None);
                stalled.push(*ticket);
            }
        }
        (stalled, hopeless)
    }

    pub fn get(&self, ticket: LookTicket) -> Option<&LookTask> {
        self.running.get(&ticket)
    }

    /// When results are to be looked for, if something is under way.
    pub fn next_due(&self) -> Option<Instant> {
        let mut tasks = self.running.values();
        let every = match tasks.any(|task| task.stalled.is_none()) {
            true => RESULTS_EVERY,
            false if self.running.is_empty() => return None,
            false => LATE_RESULTS_EVERY,
        };
        Some(Instant::now() + every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOSE: Whose = Whose { pid: 7, look: 1 };

    fn tasks() -> LookTasks {
        LookTasks::new(Bounds::default())
    }

    fn done(tasks: &LookTasks) -> LookTicket {
        match tasks.wait(Duration::from_secs(60)) {
            Some(LookReport::Done(ticket, Some(Done::Gone))) => ticket,
            other => panic!("{other:?}"),
        }
    }

    /// Begins something that makes a step whenever it is told to, and ends with the sender.
    fn walker(tasks: &mut LookTasks) -> (LookTicket, std::sync::mpsc::SyncSender<()>) {
        let (step, steps) = std::sync::mpsc::sync_channel(0);
        let run = move |_: &Sender<LookReport>, progress: &AtomicU64| {
            while steps.recv().is_ok() {
                progress.fetch_add(1, Ordering::Relaxed);
            }
            Done::Gone
        };
        let ticket = tasks.begin(WHOSE, LookStep::Open, run).expect("room");
        // It has begun, and waits for the second.
        step.send(()).expect("it goes on");
        (ticket, step)
    }

    #[test]
    fn what_gets_on_is_only_slow_and_what_does_not_is_told_once() {
        let mut tasks = tasks();
        let (ticket, step) = walker(&mut tasks);
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let stalled = |tasks: &mut LookTasks, seconds| tasks.check(after(seconds)).0;
        assert_eq!(stalled(&mut tasks, 2), []);
        step.send(()).expect("it goes on");
        step.send(()).expect("it goes on");
        assert_eq!(stalled(&mut tasks, 5), []);
        // As far as can be seen from here, the last step may be made only now.
        let first = stalled(&mut tasks, 8);
        let then = stalled(&mut tasks, 11);
        assert_eq!([first, then].concat(), [ticket]);
        tasks.mark(ticket, Some(3));
        assert_eq!(stalled(&mut tasks, 14), []);
        assert!(tasks.next_due().is_some());

        drop(step);
        assert_eq!(done(&tasks), ticket);
        assert_eq!(tasks.end(ticket).expect("known").stalled, Some(Some(3)));
        assert_eq!(tasks.next_due(), None);
    }

    #[test]
    fn others_go_on_beside_what_hangs() {
        let mut tasks = tasks();
        let hanging: Vec<_> = (0..4).map(|_| walker(&mut tasks)).collect();
        let other = Whose { pid: 8, look: 2 };
        let innocent = tasks.begin(other, LookStep::Open, |_, _| Done::Gone);
        let innocent = innocent.expect("room");
        let _ = tasks.check(Instant::now() + Duration::from_secs(2));
        assert_eq!(done(&tasks), innocent);
        drop(hanging);
    }
}
