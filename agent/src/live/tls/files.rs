//! Watches files that have probes for being written to. Who is about to waits for the lease on it
//! until all of its probes have been taken away. Where there are no leases, who writes to one is
//! heard of by inotify at once, and whatever inotify does not tell (writes through memory, network
//! file systems, layers below another one) shows in the file's times within a second; its probes
//! are taken away then. It looks into no file.

use std::collections::HashMap;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::Timespec;
use signal_hook::consts::SIGIO;
use signal_hook::low_level::pipe;

use crate::capture::Standing;
use crate::discover::tls::{FileId, Library};
use crate::visible::Visible;

/// How often the files' times are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// The same while one is being written.
const SOON: Duration = Duration::from_millis(5);
/// How long somebody may be kept from writing, if taking probes away takes that long (seconds,
/// where each of them is taken away for itself).
const KEPT_MAX: Duration = Duration::from_secs(1);
/// How long a file may be shorter than where its probes are.
const SHORT_MAX: Duration = Duration::from_secs(2);

/// Files that are watched.
pub struct Files {
    /// `None` where the machine has no more of them to give.
    inotify: Option<OwnedFd>,
    /// Has something to read when somebody waits for a lease; `None` where no signal can be caught.
    wanted: Option<UnixStream>,
    watched: Mutex<HashMap<i32, FilesOfProcess>>,
}

#[derive(Clone, Copy)]
struct FilesOfProcess {
    file: FileId,
    since: Instant,
}

impl Files {
    /// Watches none.
    pub fn new() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let inotify = inotify
            .inspect_err(|error| {
                log::debug!(
                    "no inotify: {}; files are looked at instead",
                    Visible(error)
                )
            })
            .ok();
        let wanted = hear_of_leases().inspect_err(|error| {
            log::debug!("no leases on files with probes: {}", Visible(error));
        });
        Self {
            inotify,
            wanted: wanted.ok(),
            watched: Mutex::default(),
        }
    }

    /// Watches a file from now on.
    pub fn watch(&self, library: &Library) {
        let Some(inotify) = &self.inotify else { return };
        let path = library.held.path();
        // Where it can't be had, the file's times are left.
        if let Ok(number) = inotify::add_watch(inotify, &path, WatchFlags::MODIFY) {
            let watched = FilesOfProcess {
                file: library.file,
                since: Instant::now(),
            };
            self.lock().insert(number, watched);
        }
    }

    /// Works until `stop`; says of which processes probes were taken.
    pub fn run(&self, standing: &Standing, stop: &AtomicBool, says: impl Fn(Vec<u32>)) {
        if self.wanted.is_some() {
            standing.take_leases();
        }
        let mut look_at = Instant::now() + EVERY;
        let mut is_waited_for = false;
        // Files that were written to, and when.
        let mut written: HashMap<FileId, Instant> = HashMap::new();
        while !stop.load(Ordering::Relaxed) {
            let is_calm = written.is_empty() && !is_waited_for;
            let wait = if is_calm { EVERY } else { SOON };
            self.sleep_until(look_at.min(Instant::now() + wait));
            let wanted = standing.wanted(KEPT_MAX);
            is_waited_for = !wanted.is_empty();
            for library in wanted {
                take_away(
                    &library,
                    standing,
                    "somebody is about to write to it",
                    &says,
                );
            }
            for file in self.written() {
                written.entry(file).or_insert_with(Instant::now);
            }
            let is_due = Instant::now() >= look_at;
            if !is_due && written.is_empty() {
                continue;
            }
            let files = standing.files();
            for library in &files {
                let unheard = is_due && !library.held.is_unchanged().unwrap_or(false);
                let since = written.get(&library.file).copied();
                let since = since.or_else(|| unheard.then(Instant::now));
                let Some(since) = since else { continue };
                if is_whole(library) || since.elapsed() > SHORT_MAX {
                    take_away(library, standing, "it was written to", &says);
                } else {
                    written.insert(library.file, since);
                }
            }
            let stands = |file: &FileId| standing.files().iter().any(|it| it.file == *file);
            written.retain(|file, _| stands(file));
            if is_due {
                self.forget_all_but(&files);
                look_at = Instant::now() + EVERY;
            }
        }
    }

    fn sleep_until(&self, at: Instant) {
        let longest = at.saturating_duration_since(Instant::now());
        let of = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let inotify = self.inotify.iter().map(|it| of(it.as_fd()));
        let wanted = self.wanted.iter().map(|it| of(it.as_fd()));
        let mut waited_for: Vec<_> = inotify.chain(wanted).collect();
        let longest = Timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        // Interrupted or not: the caller looks again.
        let _: Result<usize, _> = poll(&mut waited_for, Some(&longest));
        if let Some(mut wanted) = self.wanted.as_ref() {
            // It says nothing more than that there was something.
            let _ = wanted.read(&mut [0; 64]);
        }
    }

    /// Files that were written to since the last call.
    fn written(&self) -> Vec<FileId> {
        let Some(inotify) = &self.inotify else {
            return Vec::new();
        };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        let mut numbers = Vec::new();
        let mut all = false;
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => all = true,
                Ok(event) if numbers.last() != Some(&event.wd()) => numbers.push(event.wd()),
                Ok(_) | Err(Errno::INTR) => {}
                // Nothing is there any longer.
                Err(_) => break,
            }
        }
        let watched = self.lock();
        let is_written = |number: &i32| all || numbers.contains(number);
        let written = watched.iter().filter(|(number, _)| is_written(number));
        written.map(|(_, watched)| watched.file).collect()
    }

    /// Watches no longer what has no probes.
    fn forget_all_but(&self, files: &[Arc<Library>]) {
        let Some(inotify) = &self.inotify else { return };
        self.lock()
            .retain(|number, FilesOfProcess { file, since }| {
                // Who began to watch it just now may not have put the probes there yet.
                let stays = since.elapsed() < 2 * EVERY
                    || files.iter().any(|library| library.file == *file);
                if !stays {
                    // One that was deleted has been forgotten by the kernel.
                    let _ = inotify::remove_watch(inotify, *number);
                }
                stays
            });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, FilesOfProcess>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all of its probes' places are there. Who writes a file anew begins by cutting it short,
/// and that alone takes the probes out of all memory; but the kernel can't give up a probe whose
/// place is behind the end of its file, and would keep it and the file for ever ("leaking uprobe",
/// `uprobe_unregister_nosync`, kernel/events/uprobes.c).
fn is_whole(library: &Library) -> bool {
    library
        .held
        .len_now()
        .is_ok_and(|len| len > library.last_place())
}

fn take_away(library: &Library, standing: &Standing, why: &str, says: &impl Fn(Vec<u32>)) {
    let pids = standing.changed(library.file);
    if !pids.is_empty() {
        log::info!(
            "the probes on {} were taken away from {} processes, which are looked at anew: {}",
            Visible(library.name.display()),
            pids.len(),
            Visible(why)
        );
        says(pids);
    }
}

/// What can be read from it is what SIGIO says, which would end the process if nobody heard it.
fn hear_of_leases() -> std::io::Result<UnixStream> {
    let (hears, says) = UnixStream::pair()?;
    hears.set_nonblocking(true)?;
    pipe::register(SIGIO, says)?;
    Ok(hears)
}
