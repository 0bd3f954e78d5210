//! The thread that keeps the daemon's CPU time below its limit: twice a second it looks at the
//! process's own clock, and has connections left out or followed again as [`ShareController`] says.
//!
//! Shards hear of it first, because what threads do says less while requests are left out; the last
//! one to hear tells the kernel side. Nobody waits for any of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wirespan_common::sampling::{LeftAlone, LeftAloneCount};

use super::control::{Answer, News};
use super::inbox::Mailbox;
use crate::capture::ConnectionSampling;
use crate::config::GovernorConfig;
use crate::governor::{Share, ShareChange, ShareController, Spending};
use crate::health::Health;
use crate::visible::Visible;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Configurations that wait for the thread.
const CONFIGS_MAX: usize = 4;

/// What shards are told of another share: each says when it has heard.
pub struct SamplingChange {
    /// Connections whose number is below this one are left out.
    pub left_out_below: u32,
    /// Shards that have not heard of it.
    unheard: AtomicUsize,
    kernel: Arc<Mutex<ConnectionSampling>>,
}

impl SamplingChange {
    /// A shard has heard of it; the last one lets the kernel side know.
    pub fn heard(&self) {
        if self.unheard.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let mut kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = kernel.leave_out_below(self.left_out_below) {
            log::warn!(
                "can't change which connections are followed: {}",
                Visible(error)
            );
        }
    }
}

impl std::fmt::Debug for SamplingChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "left out below {}", self.left_out_below)
    }
}

/// The thread, which ends with [`GovernorThread::finish`].
pub struct GovernorThread {
    configs: SyncSender<GovernorConfig>,
    thread: JoinHandle<()>,
}

impl GovernorThread {
    /// Starts it. All connections are followed as yet.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(
        config: GovernorConfig,
        kernel: ConnectionSampling,
        shards: Vec<Mailbox>,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let (configs, changed) = sync_channel(CONFIGS_MAX);
        let mut look = GovernorLook {
            controller: ShareController::new(config.cpu_limit),
            config,
            kernel: Arc::new(Mutex::new(kernel)),
            shards,
            health,
            before: LeftAloneCount::default(),
        };
        let began = Instant::now();
        let thread = std::thread::Builder::new()
            .name("governor".into())
            .spawn(move || {
                loop {
                    match changed.recv_timeout(LOOK_EVERY) {
                        Ok(config) => look.reconfigure(config),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                    look.look(began.elapsed());
                }
                look.count();
            })?;
        Ok(Self { configs, thread })
    }

    /// Has it work by this from now on.
    pub fn reconfigure(&self, config: GovernorConfig) {
        // Without the thread the run is over.
        let _ = self.configs.send(config);
    }

    /// Ends it, once what was left alone is counted.
    pub fn finish(self) {
        drop(self.configs);
        // Whatever it panicked of has been told.
        let _ = self.thread.join();
    }
}

/// What the thread has.
struct GovernorLook {
    config: GovernorConfig,
    controller: ShareController,
    kernel: Arc<Mutex<ConnectionSampling>>,
    shards: Vec<Mailbox>,
    health: Arc<Health>,
    /// What had been left out when some connections began to be.
    before: LeftAloneCount,
}

impl GovernorLook {
    fn reconfigure(&mut self, config: GovernorConfig) {
        self.config = config;
        self.controller.set_limit(config.cpu_limit);
    }

    fn look(&mut self, at: Duration) {
        self.count();
        let spent = Spending {
            cpu: own_cpu_time(),
            records: self.health.records_read(),
        };
        if let Some(change) = self.controller.observe(at, spent) {
            self.tell(change);
            self.announce(change);
        }
        let share = self.controller.share();
        self.health.set_following(share, self.controller.cores());
    }

    /// Brings what the kernel side counts up to date.
    fn count(&self) {
        let kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, count) in kernel.left_alone() {
            self.health.set_left_alone(reason, count);
        }
    }

    fn tell(&self, change: ShareChange) {
        let news = Arc::new(SamplingChange {
            left_out_below: change.to.left_out_below(),
            unheard: AtomicUsize::new(self.shards.len()),
            kernel: Arc::clone(&self.kernel),
        });
        for shard in &self.shards {
            // If it is gone, the run is over.
            let _ = shard.put(Answer::News(News::Sampling(Arc::clone(&news))));
        }
    }

    fn announce(&mut self, change: ShareChange) {
        let ShareChange { from, to, cores } = change;
        let left_out = self.health.left_alone(LeftAlone::CpuLimit);
        let limit = self.config.cpu_limit.map_or(0.0, |limit| limit.cores());
        let percent = 100.0 * to.part();
        if from == Share::ALL {
            self.before = left_out;
            log::warn!(
                "wirespan takes {cores:.3} cores of the {limit} that it may (WIRESPAN_CPU_LIMIT): \
                 it follows {percent:.1}% of connections from now on, and counts the others"
            );
        } else if to == Share::ALL {
            let connections = left_out.connections - self.before.connections;
            let bytes = left_out.bytes - self.before.bytes;
            log::info!(
                "wirespan takes {cores:.3} cores: all connections are followed again; left out \
                 since: {connections} connections, {bytes} bytes"
            );
        } else {
            log::debug!("wirespan takes {cores:.3} cores: it follows {percent:.1}% of connections");
        }
    }
}

/// CPU time of all threads of this process since it began, in user space and in the kernel.
fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // It is never negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
