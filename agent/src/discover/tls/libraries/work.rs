//! The course of looks: who is looked at next.

use std::sync::Arc;
use std::time::Instant;

use super::super::budget::GivenUp;
use super::super::looks::{LookInto, MappingLook, Whose};
use super::super::verdicts::key;
use super::Libraries;
use super::process::MappingProcess;
use super::tasks::LookStep;

impl Libraries {
    /// Takes what was told, and begins what there is to do.
    pub(super) fn work(&mut self, now: Instant) {
        while let Some(report) = self.tasks.report() {
            self.take(report, now);
        }
        let (stalled, hopeless) = self.tasks.check(now);
        for ticket in stalled {
            self.has_stalled(ticket);
        }
        for task in hopeless {
            self.is_hopeless(task, now);
        }
        while let Some((at, pid, look)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            if let Some(process) = self.processes.get_mut(&pid)
                && process.last_look == look
            {
                process.again = true;
                self.busy.insert(pid);
            }
        }
        for pid in std::mem::take(&mut self.busy) {
            self.begin(pid, now);
            if self
                .processes
                .get(&pid)
                .is_some_and(MappingProcess::is_waited_for)
            {
                self.busy.insert(pid);
            }
        }
    }

    /// Waits until something is told.
    pub(super) fn wait(&mut self) {
        let now = Instant::now();
        let until = self.next_due().unwrap_or(now);
        if let Some(report) = self.tasks.wait(until.saturating_duration_since(now)) {
            self.take(report, Instant::now());
        }
    }

    fn begin(&mut self, pid: u32, now: Instant) {
        self.begin_to_look_into(pid);
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        if !process.may_be_looked_at() {
            return;
        }
        process.again = false;
        process.is_part = false;
        process.last = now;
        process.last_look = self.next_look;
        self.next_look += 1;
        let whose = Whose {
            pid,
            look: process.last_look,
        };
        if let Some(after) = process.again_after() {
            self.due.insert((now + after, pid, whose.look));
        }
        let look = MappingLook {
            root: self.root.clone(),
            whose,
            known: process.files.clone(),
            stalled: self.stalled.keys().copied().collect(),
            verdicts: Arc::clone(&self.verdicts),
        };
        let run = move |tell: &_, steps: &_| look.run(tell, steps);
        match self.tasks.begin(whose, LookStep::Open, run) {
            Ok(ticket) => process.opens = Some(ticket),
            Err(_) => self.give_up_process(pid),
        }
    }

    fn begin_to_look_into(&mut self, pid: u32) {
        let mut later = Vec::new();
        while let Some(process) = self.processes.get_mut(&pid)
            && process.looks_into.is_none()
            && let Some((mapping, waiting)) = process.waiting.pop_front()
        {
            let whose = Whose {
                pid,
                look: process.last_look,
            };
            let left = self.process_budget.minus(process.spent);
            let key = key(&waiting.held, mapping.file_name());
            if let Some(content) = self.verdicts.get(&key) {
                self.settle(pid, &mapping, waiting.held, &content, None);
            } else if self.looked_into.contains(&key) {
                later.push((mapping, waiting));
            } else if left.is_nothing() {
                self.give_up(pid, &mapping, GivenUp::ProcessTooLarge);
            } else {
                let look = LookInto {
                    mapping: mapping.clone(),
                    waiting,
                    file_budget: self.file_budget,
                    process_budget: left,
                    verdicts: Arc::clone(&self.verdicts),
                };
                let run = move |_: &_, steps: &_| look.run(steps);
                match self
                    .tasks
                    .begin(whose, LookStep::LookInto(mapping.clone(), key.clone()), run)
                {
                    Ok(ticket) => {
                        process.looks_into = Some(ticket);
                        self.looked_into.insert(key);
                    }
                    Err(_) => self.give_up(pid, &mapping, GivenUp::Stalled),
                }
            }
        }
        if let Some(process) = self.processes.get_mut(&pid) {
            process.waiting.extend(later);
        }
    }
}
