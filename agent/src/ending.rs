//! How a run ends: by a signal, from its first moment on, and in time. The first signal asks for an
//! orderly end, a second one ends the process at once, and so does the watchdog if the end has not
//! come when it is due, whatever hangs. It drains nothing itself.

mod mask;

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, exit, signal_name};

use crate::config::EndingConfig;
use crate::logging;
use crate::sandbox;
use crate::visible::Visible;

/// Signals that ask for the end: of init systems and users, of a terminal that closes, of a limit
/// of processor time that is reached (SIGKILL comes next).
const ASK: [i32; 5] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXCPU];

/// Signals that would end the process but mean something else to those who send them: that files be
/// opened anew, that statistics be written. Here they mean nothing.
const PASSED_OVER: [i32; 2] = [SIGUSR1, SIGUSR2];

/// Even who wants no time to be taken for what is queued leaves this for the rest.
const SHORTEST: Duration = Duration::from_secs(1);
/// Nobody waits longer than this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Of the time for the end, what is left for last words, at most.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Who asks again so soon asks once: timeout(1) sends its signal to its child, and then to the
/// group of processes that both are in.
const ASKED_ONCE: Duration = Duration::from_millis(100);

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A signal asks for the end; its name.
    Asked(&'static str),
    /// What was to be done at the start is done.
    Settled,
}

/// The signals of this process, caught.
#[derive(Debug)]
pub struct Ending {
    events: Receiver<Event>,
    tell: Sender<Event>,
    due: Arc<Due>,
}

type LastWords = Box<dyn FnOnce() -> String + Send>;

struct Due {
    timeout: Mutex<Duration>,
    asked_at: Mutex<Option<Instant>>,
    last_words: Mutex<Option<LastWords>>,
}

impl std::fmt::Debug for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Due").finish_non_exhaustive()
    }
}

impl Ending {
    /// Catches signals from now on, on a thread of their own, whatever hangs this one and those
    /// that it starts later. Until [`Ending::reconfigure`] says otherwise, an end that was asked
    /// for may take `timeout`.
    ///
    /// # Errors
    /// The kernel refuses a handler or a thread.
    pub fn catch(timeout: Duration) -> io::Result<Self> {
        // Who starts a program under nohup(1) wants it to outlive the terminal.
        let outlives_terminal = is_ignored(SIGHUP);
        let ask = ASK
            .into_iter()
            .filter(|signal| *signal != SIGHUP || !outlives_terminal);
        let caught: Vec<i32> = ask.chain(PASSED_OVER).collect();
        let mut signals = Signals::new(&caught)?;
        mask::leave(caught.iter().copied())?;
        let (tell, events) = channel();
        let due = Arc::new(Due {
            timeout: Mutex::new(timeout.clamp(SHORTEST, LONGEST)),
            asked_at: Mutex::new(None),
            last_words: Mutex::new(None),
        });
        let (says, of_thread) = (tell.clone(), Arc::clone(&due));
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                sandbox::without_rights();
                // It can only fail for numbers that are no signals.
                let _: io::Result<()> = mask::hear(caught);
                for signal in signals.forever() {
                    hear(signal, &says, &of_thread);
                }
            })?;
        Ok(Self { events, tell, due })
    }

    /// An end that is asked for from now on may take as long as `config` says.
    pub fn reconfigure(&self, config: &EndingConfig) {
        *lock(&self.due.timeout) = config.timeout.clamp(SHORTEST, LONGEST);
    }

    /// What the watchdog says if it ends the process.
    pub fn last_words(&self, words: impl FnOnce() -> String + Send + 'static) {
        *lock(&self.due.last_words) = Some(Box::new(words));
    }

    /// Nothing is left to be said.
    pub fn has_spoken(&self) {
        lock(&self.due.last_words).take();
    }

    /// For others to tell events.
    #[must_use]
    pub fn tell(&self) -> Sender<Event> {
        self.tell.clone()
    }

    /// Waits for an event, for at most `longest`.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> Option<Event> {
        self.events.recv_timeout(longest).ok()
    }

    /// Begins the end without a signal.
    pub fn begin(&self) {
        let _asked_before = self.due.begin();
    }

    /// When what takes long has to be over, so that last words can still be said.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let timeout = *lock(&self.due.timeout);
        let asked_at = lock(&self.due.asked_at).unwrap_or_else(Instant::now);
        asked_at + timeout - LAST_WORDS.min(timeout / 4)
    }
}

impl Due {
    /// Begins to count, once. Returns when that was, if it was before.
    fn begin(self: &Arc<Self>) -> Option<Instant> {
        let mut asked_at = lock(&self.asked_at);
        if asked_at.is_some() {
            return *asked_at;
        }
        let now = Instant::now();
        *asked_at = Some(now);
        drop(asked_at);
        let due = Arc::clone(self);
        let watch = move || due.watch(now);
        let thread = std::thread::Builder::new().name("watchdog".into());
        if let Err(error) = thread.spawn(watch) {
            log::warn!(
                "nothing bounds the time that the end takes: {}",
                Visible(error)
            );
        }
        None
    }

    /// Ends the process when it is time.
    fn watch(&self, asked_at: Instant) {
        let due = asked_at + *lock(&self.timeout);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let words = lock(&self.last_words).take();
        log::error!("ending now: not all came to its end in time");
        if let Some(words) = words {
            logging::say(&words());
        }
        logging::finish(LAST_WORDS);
        exit(1);
    }
}

fn hear(signal: i32, says: &Sender<Event>, due: &Arc<Due>) {
    let name = signal_name(signal).unwrap_or("a signal");
    if PASSED_OVER.contains(&signal) {
        log::info!("{} means nothing here", Visible(name));
        return;
    }
    if let Some(asked_at) = due.begin() {
        if asked_at.elapsed() < ASKED_ONCE {
            return;
        }
        // As if it had not been caught. Should that fail, this doesn't.
        let _: io::Result<()> = emulate_default_handler(signal);
        exit(128 + signal);
    }
    // Without a receiver the run is over.
    let _ = says.send(Event::Asked(name));
}

fn is_ignored(signal: i32) -> bool {
    // proc_pid_status(5): a mask in hexadecimal, signal 1 its lowest bit.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
