//! Control groups below the one that the test is in, version 1 or 2 as the machine has it: one that
//! bounds the memory of a process, and some that are called as those of a container are. They are
//! removed when they are dropped.

use std::fs;
use std::io::ErrorKind;
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
        let (parent, is_first_version) = own()?;
        let file = match is_first_version {
            true => "memory.limit_in_bytes",
            false => "memory.max",
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
        remove(&self.path);
    }
}

/// A group of version 2, for programs that handle sockets: whoever is in it.
#[derive(Debug)]
pub struct SocketGroup {
    path: PathBuf,
}

impl SocketGroup {
    /// An empty one.
    ///
    /// # Errors
    /// Why this machine lets nobody make one, in a sentence.
    pub fn new(name: &str) -> Result<Self, String> {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let root = roots
            .into_iter()
            .find(|root| root.join("cgroup.procs").exists() && root.join("cgroup.threads").exists())
            .ok_or("version 2 of control groups is not mounted")?;
        let path = root.join(format!("{name}-{}", std::process::id()));
        let made = fs::create_dir(&path);
        made.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path })
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has this process, and whatever it starts, be in it until that is dropped: there is one of a
    /// process at a time.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn enter(&self) -> Entered {
        let own = fs::read_to_string("/proc/self/cgroup").expect("it tells");
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let root = self.path.parent().expect("a root");
        let before = root.join(own.expect("a group of version 2"));
        fs::write(self.path.join("cgroup.procs"), "0").expect("it moves");
        Entered { before }
    }

    /// Puts a process into it: sockets that it makes from then on are concerned.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn take_in(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).expect("it moves");
    }
}

/// This process is in another group.
#[derive(Debug)]
pub struct Entered {
    before: PathBuf,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Where that does not work, the group can't be removed either, which is seen.
        let _: std::io::Result<()> = fs::write(self.before.join("cgroup.procs"), "0");
    }
}

impl Drop for SocketGroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Groups within one another, called as somebody who runs containers calls them.
#[derive(Debug)]
pub struct NamedGroups {
    /// From the outermost.
    paths: Vec<PathBuf>,
}

impl NamedGroups {
    /// Groups with these names, the outermost first; outer ones may be somebody else's already.
    ///
    /// # Errors
    /// Why this machine lets nobody make them, in a sentence.
    pub fn new(names: &[&str]) -> Result<Self, String> {
        let (mut path, _) = own()?;
        let mut groups = Self { paths: Vec::new() };
        for (index, name) in names.iter().enumerate() {
            path = path.join(name);
            match fs::create_dir(&path) {
                Ok(()) => groups.paths.push(path.clone()),
                Err(error)
                    if error.kind() == ErrorKind::AlreadyExists && index + 1 < names.len() => {}
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        Ok(groups)
    }

    /// The innermost's folder.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn innermost(&self) -> &Path {
        self.paths.last().expect("there is one")
    }

    /// Puts a process into the innermost.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn take_in(&self, pid: u32) {
        let procs = self.innermost().join("cgroup.procs");
        fs::write(procs, pid.to_string()).expect("it moves");
    }
}

impl Drop for NamedGroups {
    fn drop(&mut self) {
        for path in self.paths.iter().rev() {
            remove(path);
        }
    }
}

/// The folder of the group that this process is in, of the hierarchy that accounts for memory, and
/// whether that is one of version 1.
fn own() -> Result<(PathBuf, bool), String> {
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let group = |matches: &dyn Fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, group) = (fields.next()?, fields.next()?);
            matches(controllers).then(|| group.trim_start_matches('/').to_owned())
        })
    };
    if let Some(group) = group(&|controllers| controllers.split(',').any(|name| name == "memory")) {
        return Ok((Path::new("/sys/fs/cgroup/memory").join(group), true));
    }
    let group = group(&str::is_empty).ok_or("no control group of version 2")?;
    Ok((Path::new("/sys/fs/cgroup").join(group), false))
}

fn remove(group: &Path) {
    // Who was in it has ended, or is about to.
    for _ in 0..100 {
        if fs::remove_dir(group).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
