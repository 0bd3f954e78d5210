//! A control group that bounds the memory of one process, version 1 or 2 as the machine has it,
//! below the group that the test is in. It is removed when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};

/// The group.
#[derive(Debug)]
pub struct MemoryGroup {
    path: PathBuf,
}

impl MemoryGroup {
    /// A group that allows `limit` bytes.
    ///
    /// # Errors
    /// Why this machine lets nobody make one, in a sentence.
    pub fn new(name: &str, limit: u64) -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let group = |matches: &dyn Fn(&str) -> bool| {
            own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let (controllers, group) = (fields.next()?, fields.next()?);
                matches(controllers).then(|| group.trim_start_matches('/').to_owned())
            })
        };
        let v1 = group(&|controllers| controllers.split(',').any(|name| name == "memory"));
        let (parent, file) = match v1 {
            Some(group) => (
                Path::new("/sys/fs/cgroup/memory").join(group),
                "memory.limit_in_bytes",
            ),
            None => {
                let group = group(&str::is_empty).ok_or("no control group of version 2")?;
                (Path::new("/sys/fs/cgroup").join(group), "memory.max")
            }
        };
        let path = parent.join(format!("{name}-{}", std::process::id()));
        let made = fs::create_dir(&path);
        made.map_err(|error| format!("{}: {error}", path.display()))?;
        let made = Self { path };
        let limited = fs::write(made.path.join(file), limit.to_string());
        limited.map_err(|error| format!("{file}: {error}"))?;
        Ok(made)
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Who was in it has ended, or is about to.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
