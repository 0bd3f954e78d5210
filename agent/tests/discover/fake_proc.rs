//! A directory that is laid out like `/proc`, made as a test needs it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;
use wirespan::discover::ProcRoot;

/// The made-up machine `box`, on which this very process has pid 1.
pub struct FakeProc {
    dir: TempDir,
}

/// A process of it.
#[derive(Clone)]
pub struct Fake {
    pub pid: u32,
    pub parent: u32,
    /// Seconds after boot.
    pub started_s: u64,
    /// `None` for a kernel thread.
    pub executable: Option<&'static str>,
    pub args: &'static str,
    pub environment: &'static [&'static str],
    pub namespace: u32,
    pub sockets: &'static [u64],
}

impl Fake {
    /// A process that runs `executable`, without arguments or sockets.
    pub fn new(pid: u32, executable: &'static str) -> Self {
        Self {
            pid,
            parent: 1,
            started_s: 100,
            executable: Some(executable),
            args: executable,
            environment: &[],
            namespace: 1,
            sockets: &[],
        }
    }
}

impl FakeProc {
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        fs::create_dir_all(dir.path().join("sys/kernel")).expect("created");
        fs::write(dir.path().join("sys/kernel/hostname"), "box\n").expect("written");
        symlink("1", dir.path().join("self")).expect("linked");
        let proc = Self { dir };
        proc.run(&Fake::new(1, "/usr/bin/wirespan"));
        proc
    }

    pub fn root(&self) -> ProcRoot {
        ProcRoot::at(self.dir.path())
    }

    pub fn path(&self, pid: u32) -> PathBuf {
        self.dir.path().join(pid.to_string())
    }

    /// Starts a process, or replaces the one of that pid.
    pub fn run(&self, fake: &Fake) {
        self.end(fake.pid);
        let dir = self.path(fake.pid);
        fs::create_dir_all(dir.join("fd")).expect("created");
        fs::create_dir_all(dir.join("ns")).expect("created");
        // proc_pid_stat(5): 4 is the parent, 22 the start in clock ticks; 52 fields in all.
        let mut fields = vec!["0".to_owned(); 52];
        fields[0] = fake.pid.to_string();
        fields[1] = "(a (b) c)".to_owned();
        fields[2] = "S".to_owned();
        fields[3] = fake.parent.to_string();
        fields[21] = (fake.started_s * 100).to_string();
        fs::write(dir.join("stat"), fields.join(" ")).expect("written");
        if let Some(executable) = fake.executable {
            symlink(executable, dir.join("exe")).expect("linked");
        }
        fs::write(dir.join("cmdline"), fake.args.replace(' ', "\0") + "\0").expect("written");
        fs::write(dir.join("environ"), fake.environment.join("\0") + "\0").expect("written");
        symlink("/srv/shop", dir.join("cwd")).expect("linked");
        symlink(format!("net:[{}]", fake.namespace), dir.join("ns/net")).expect("linked");
        let tables = self.tables(fake.namespace);
        fs::create_dir_all(&tables).expect("created");
        symlink(&tables, dir.join("net")).expect("linked");
        symlink("/dev/null", dir.join("fd/0")).expect("linked");
        for (index, inode) in fake.sockets.iter().enumerate() {
            let descriptor = dir.join("fd").join((index + 3).to_string());
            symlink(format!("socket:[{inode}]"), descriptor).expect("linked");
        }
    }

    pub fn end(&self, pid: u32) {
        match fs::remove_dir_all(self.path(pid)) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        }
    }

    /// Replaces the sockets of a network namespace: table, state (0A listens), port, inode.
    pub fn sockets(&self, namespace: u32, sockets: &[(&str, &str, u16, u64)]) {
        let tables = self.tables(namespace);
        fs::create_dir_all(&tables).expect("created");
        for table in ["tcp", "tcp6"] {
            let mut text = "  sl  local_address rem_address   st tx_queue rx_queue …\n".to_owned();
            for (_, state, port, inode) in sockets.iter().filter(|socket| socket.0 == table) {
                text += &format!(
                    "   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000 \
                     00:00000000 00000000  1000        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
                );
            }
            fs::write(tables.join(table), text).expect("written");
        }
    }

    fn tables(&self, namespace: u32) -> PathBuf {
        self.dir.path().join(format!("tables-{namespace}"))
    }
}
