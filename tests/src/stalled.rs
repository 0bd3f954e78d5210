//! A file system that does not answer, and a program that runs from it.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::Process;
use crate::workload::{eventually, python};

/// A program whose file does not answer.
#[derive(Debug)]
pub struct Stalled {
    _starter: Process,
    /// The program's process.
    pub program: u32,
    answers: Pid,
}

impl Stalled {
    /// Mounts the file system over `folder`, where only the program sees it, and starts that from
    /// there.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let folder = folder.to_str().expect("a path in UTF-8");
        let mut command = python("stalling_files.py", &[folder, "/bin/sleep", "600"]);
        let starter = Process::start("stalling files", &mut command);
        let line = starter.expect_line(" ");
        let pids: Vec<u32> = line
            .split(' ')
            .map(|pid| pid.parse().expect("a pid"))
            .collect();
        let program = pids[0];
        eventually("the program to sleep", || {
            let syscall = std::fs::read_to_string(format!("/proc/{program}/wchan"));
            syscall.is_ok_and(|place| place.contains("nanosleep"))
        });
        let answers = Pid::from_raw(pids[1].cast_signed()).expect("a pid");
        kill_process(answers, Signal::STOP).expect("it runs");
        Self {
            _starter: starter,
            program,
            answers,
        }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = kill_process(self.answers, Signal::KILL);
    }
}
