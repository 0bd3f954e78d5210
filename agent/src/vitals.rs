//! Whether the daemon lives and is ready, for who asks over HTTP (`/healthz`, `/readyz`). It lives
//! while its shards turn; a receiver of spans that is away is no reason to start it anew. It is
//! ready once the kernel side is attached, what was there is looked at, and what it exports is
//! taken. It looks and judges; it mends nothing.

mod pulse;
mod server;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use pulse::Pulse;
pub use server::{HealthServer, ListenError};

use crate::export::{Reached, ReceiverReach};
use crate::visible::Visible;

/// How long a shard may take for a turn, which is milliseconds where all is well. It waits for
/// nothing but records, so nothing short of a fault, or no processor for all that time, makes it
/// take longer.
const TURN_MAX: Duration = Duration::from_secs(10);
/// How long a start may take: loading programs on an emulated processor was seen to take a minute.
const START_MAX: Duration = Duration::from_secs(300);

/// Of what a receiver says, for it may say anything.
const WHY_CHARS_MAX: usize = 300;

/// What is asked about. Shared by the rooms of a run.
#[derive(Debug)]
pub struct Vitals(Mutex<Signs>);

#[derive(Debug)]
struct Signs {
    phase: Phase,
    /// Of each shard, by its number.
    pulses: Vec<Arc<Pulse>>,
    reach: Option<ReceiverReach>,
    /// Only what runs in certain pods is to be watched.
    needs_pods: bool,
    /// Somebody tells of pods.
    are_pods_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Rooms are started, and what is there already is looked at.
    Starting {
        since: Instant,
    },
    Running,
    /// Rooms end.
    Ending,
}

/// What is wrong; nothing, if it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis(Vec<String>);

impl Diagnosis {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_good() {
            return f.write_str("ok\n");
        }
        self.0.iter().try_for_each(|reason| writeln!(f, "{reason}"))
    }
}

impl Default for Vitals {
    /// Of a daemon that starts now.
    fn default() -> Self {
        Self(Mutex::new(Signs {
            phase: Phase::Starting {
                since: Instant::now(),
            },
            pulses: Vec::new(),
            reach: None,
            needs_pods: false,
            are_pods_told: false,
        }))
    }
}

impl Vitals {
    /// One more shard, which is to beat its pulse in each turn.
    #[must_use]
    pub fn new_pulse(&self) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::new(Instant::now()));
        self.signs().pulses.push(Arc::clone(&pulse));
        pulse
    }

    /// Whom spans go to from now on.
    pub fn set_reach(&self, reach: Option<ReceiverReach>) {
        self.signs().reach = reach;
    }

    /// Whether it depends on pods who is watched, from now on.
    pub fn set_needs_pods(&self, needs: bool) {
        self.signs().needs_pods = needs;
    }

    /// Whether somebody tells of pods, from now on.
    pub fn set_pods_told(&self, are_told: bool) {
        self.signs().are_pods_told = are_told;
    }

    /// All is attached, and what was there is looked at.
    pub fn settled(&self) {
        self.signs().phase = Phase::Running;
    }

    /// Shards stop from now on, and nobody is to make anything of it.
    pub fn ends(&self) {
        self.signs().phase = Phase::Ending;
    }

    /// Whether it lives: if not, a new start may help.
    #[must_use]
    pub fn live(&self, now: Instant) -> Diagnosis {
        let signs = self.signs();
        let mut wrong = Vec::new();
        match signs.phase {
            Phase::Ending => return Diagnosis::default(),
            Phase::Starting { since } => {
                let took = now.saturating_duration_since(since);
                if took >= START_MAX {
                    wrong.push(format!("it has been starting for {} s", took.as_secs()));
                }
            }
            Phase::Running => {}
        }
        for (shard, pulse) in signs.pulses.iter().enumerate() {
            let silent = pulse.silent_for(now);
            if silent >= TURN_MAX {
                wrong.push(format!(
                    "shard {shard} has read no records for {} s: it is stuck",
                    silent.as_secs()
                ));
            }
        }
        Diagnosis(wrong)
    }

    /// Whether it does what it is there for. Where it is not known whether spans are taken, the
    /// receiver is asked, for as long as `longest`.
    pub async fn ready(&self, longest: Duration) -> Diagnosis {
        let Diagnosis(mut wrong) = self.live(Instant::now());
        let (phase, reach, lacks_pods) = {
            let signs = self.signs();
            let lacks_pods = signs.needs_pods && !signs.are_pods_told;
            (signs.phase, signs.reach.clone(), lacks_pods)
        };
        if lacks_pods {
            wrong.push(
                "only what runs in certain pods is watched, and the API server has not told of any"
                    .to_owned(),
            );
        }
        match phase {
            Phase::Starting { .. } => {
                wrong.push("it starts: what runs here is not watched yet".to_owned());
            }
            Phase::Ending => wrong.push("it ends".to_owned()),
            Phase::Running => {}
        }
        if let (Phase::Running, Some(reach)) = (phase, reach) {
            let endpoint = reach.endpoint();
            match reach.look(longest).await {
                Reached::Takes => {}
                Reached::Unknown => wrong.push(format!(
                    "{endpoint} has not answered yet whether it takes spans"
                )),
                Reached::Fails(why) => {
                    let why: String = why.chars().take(WHY_CHARS_MAX).collect();
                    wrong.push(format!("{endpoint} takes no spans: {}", Visible(why)));
                }
            }
        }
        Diagnosis(wrong)
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn it_lives_while_its_shards_turn() {
        let vitals = Vitals::default();
        let (first, second) = (vitals.new_pulse(), vitals.new_pulse());
        vitals.settled();
        let now = Instant::now();
        assert!(vitals.live(now).is_good());
        assert!(vitals.ready(SOON).await.is_good());
        assert_eq!(vitals.live(now).to_string(), "ok\n");
        let later = now + TURN_MAX * 2;
        first.beat(later);
        let diagnosis = vitals.live(later).to_string();
        assert_eq!(
            diagnosis,
            "shard 1 has read no records for 20 s: it is stuck\n"
        );
        second.beat(later);
        assert!(vitals.live(later).is_good());
        // Who ends stops on purpose.
        vitals.ends();
        assert!(vitals.live(later + TURN_MAX).is_good());
        assert_eq!(vitals.ready(SOON).await.to_string(), "it ends\n");
    }

    #[tokio::test]
    async fn who_watches_pods_alone_is_ready_once_they_are_told() {
        let vitals = Vitals::default();
        vitals.settled();
        vitals.set_needs_pods(true);
        assert!(vitals.live(Instant::now()).is_good());
        let ready = vitals.ready(SOON).await.to_string();
        assert!(ready.contains("has not told of any"), "{ready}");
        vitals.set_pods_told(true);
        assert!(vitals.ready(SOON).await.is_good());
        vitals.set_pods_told(false);
        vitals.set_needs_pods(false);
        assert!(vitals.ready(SOON).await.is_good());
    }

    #[tokio::test]
    async fn who_starts_lives_and_is_not_ready() {
        let vitals = Vitals::default();
        let now = Instant::now();
        assert!(vitals.live(now).is_good());
        let ready = vitals.ready(SOON).await.to_string();
        assert_eq!(ready, "it starts: what runs here is not watched yet\n");
        let stuck = vitals.live(now + START_MAX + SOON).to_string();
        assert_eq!(stuck, "it has been starting for 300 s\n");
    }
}
