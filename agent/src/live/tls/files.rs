//! Watches files that have probes for being written to: who writes to one is heard of by inotify at
//! once, and whatever inotify does not tell (writes through memory, network file systems, layers
//! below another one) shows in the file's times within a second. Then all of its probes are taken
//! away. It looks into no file.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::capture::Standing;
use crate::discover::tls::{FileId, Library};
use crate::visible::Visible;

/// How often the files' times are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// The same while one is being written.
const SOON: Duration = Duration::from_millis(5);
/// How long a file may be shorter than where its probes are.
const SHORT_MAX: Duration = Duration::from_secs(2);

/// Files that are watched.
pub struct Files {
    /// `None` where the machine has no more of them to give.
    inotify: Option<OwnedFd>,
    watched: Mutex<HashMap<i32, Watched>>,
}

#[derive(Clone, Copy)]
struct Watched {
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
        Self {
            inotify,
            watched: Mutex::default(),
        }
    }

    /// Watches a file from now on.
    pub fn watch(&self, library: &Library) {
        let Some(inotify) = &self.inotify else { return };
        let path = library.held.path();
        // Where it can't be had, the file's times are left.
        if let Ok(number) = inotify::add_watch(inotify, &path, WatchFlags::MODIFY) {
            let watched = Watched {
                file: library.file,
                since: Instant::now(),
            };
            self.lock().insert(number, watched);
        }
    }

    /// Works until `stop`; says of which processes probes were taken.
    pub fn run(&self, standing: &Standing, stop: &AtomicBool, says: impl Fn(Vec<u32>)) {
        let mut look_at = Instant::now() + EVERY;
        // Files that were written to, and when.
        let mut written: HashMap<FileId, Instant> = HashMap::new();
        while !stop.load(Ordering::Relaxed) {
            let wait = if written.is_empty() { EVERY } else { SOON };
            self.sleep_until(look_at.min(Instant::now() + wait));
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
                    changed(library, standing, &says);
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
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(longest);
            return;
        };
        let mut waited_for = [PollFd::new(inotify, PollFlags::IN)];
        let longest = Timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        // Interrupted or not: the caller looks again.
        let _: Result<usize, _> = poll(&mut waited_for, Some(&longest));
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
        self.lock().retain(|number, Watched { file, since }| {
            // Who began to watch it just now may not have put the probes there yet.
            let stays =
                since.elapsed() < 2 * EVERY || files.iter().any(|library| library.file == *file);
            if !stays {
                // One that was deleted has been forgotten by the kernel.
                let _ = inotify::remove_watch(inotify, *number);
            }
            stays
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Watched>> {
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

fn changed(library: &Library, standing: &Standing, says: &impl Fn(Vec<u32>)) {
    let pids = standing.changed(library.file);
    if !pids.is_empty() {
        log::info!(
            "{} was written to while TLS was read in it: its probes were taken away from {} \
             processes, which are looked at anew",
            Visible(library.name.display()),
            pids.len()
        );
        says(pids);
    }
}
