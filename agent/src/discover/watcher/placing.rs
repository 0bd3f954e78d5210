//! Where in Kubernetes watched processes are: found when they are described, and again whenever
//! something is heard of their pods. It describes nobody anew: a description is told again with
//! another place.

use super::{Action, Watcher};
use crate::discover::Process;
use crate::kubernetes::{PodNews, PodPlace, Pods, Whereabouts};
use crate::memory::Holder;

impl Watcher {
    /// Takes in what is heard of pods: processes are told of as they are placed by now. What was
    /// certain of one stays, though its pod may have gone before it, or begun its container anew.
    pub fn hear_of_pods(&mut self, news: PodNews, actions: &mut Vec<Action>) {
        let is_silence = news == PodNews::Silence;
        let refused = self.pods.refused();
        let changed = self.pods.hear(news, self.memory.of_pods());
        if refused == 0 && self.pods.refused() > 0 {
            log::warn!(
                "there is no room for more than {} pods: what runs in others is told without \
                 them (WIRESPAN_MEMORY_LIMIT)",
                self.pods.len()
            );
        }
        self.memory.set(Holder::Pods, self.pods.memory_bytes());
        if changed.is_empty() && !is_silence {
            return;
        }
        self.turn_away(Some(&changed), actions);
        let is_concerned = |process: &Process| {
            let container = process.container.as_ref();
            let of_container = |container| changed.iter().any(|pod| pod.may_have(container));
            is_silence && process.awaits_place || container.is_some_and(of_container)
        };
        let concerned = self.watched.values().filter_map(|it| it.process.clone());
        let mut concerned: Vec<_> = concerned.filter(|it| is_concerned(it)).collect();
        concerned.sort_unstable_by_key(|process| process.pid);
        for process in concerned {
            let (place, awaits_place) = process.place_among(&self.pods);
            if (&place, awaits_place) != (&process.place, process.awaits_place) {
                let placed = Process {
                    place,
                    awaits_place,
                    ..Process::clone(&process)
                };
                let placed = self.within_bound(placed);
                self.keep(placed.pid, &placed);
                actions.push(Action::Placed(placed));
            }
        }
        self.let_in(&changed, actions);
    }

    /// The process, with its place.
    pub(super) fn placed(&self, mut process: Process) -> Process {
        (process.place, process.awaits_place) = process.place_among(&self.pods);
        process
    }
}

impl Process {
    /// Where it is, as far as `pods` are known, and whether more of that is to come.
    pub(crate) fn place_among(&self, pods: &Pods) -> (Option<PodPlace>, bool) {
        let Some(container) = &self.container else {
            return (None, false);
        };
        let is_certain = |place: &&PodPlace| place.container.is_some();
        let certain = self.place.as_ref().filter(is_certain);
        match (pods.find(container), certain) {
            (Whereabouts::Known(place), _) if place.container.is_some() => (Some(place), false),
            (_, Some(certain)) => (Some(certain.clone()), false),
            (Whereabouts::Known(place), None) => (Some(place), false),
            (Whereabouts::Awaited(place), None) => (place.or_else(|| self.place.clone()), true),
            (Whereabouts::Nowhere, None) => (self.place.clone(), false),
        }
    }
}
