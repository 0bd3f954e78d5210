//! One boot: QEMU's command line, the guest's files, how its end is told. It knows no test.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::archive::Archive;
use super::kernel::Kernel;
use super::modules;
use crate::process::{self, Lines, Running};
use crate::workspace;

const BUSYBOX: &str = "bin/busybox";

/// A guest that does not come up within this time never will; with emulated processors it takes
/// about 10 s.
const BOOT_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Memory of the guest, in MiB; half of it may be written to as files.
const MEMORY_MIB: u32 = 3072;

const CPUS: u32 = 2;

/// What every kernel here is started with, besides its console.
const COMMAND_LINE: &str = "quiet panic=-1 rdinit=/init";

/// Prefixes of variables that the guest's command inherits, besides these two.
const PASSED_ON: [&str; 4] = ["WIRESPAN_", "BEYLA_", "OTEL_", "RUST_"];
const PASSED_ON_ALWAYS: [&str; 2] = ["PATH", "HOME"];

/// What a machine is booted for.
pub struct Boot<'a> {
    pub kernel: &'a Kernel,
    /// More for the kernel's command line.
    pub parameters: &'a str,
    pub command: &'a [String],
    /// From boot to the command's end; see [`Machine::wait`].
    pub limit: Duration,
    /// QEMU's accelerator.
    pub accelerator: &'a str,
}

/// A running guest.
pub struct Machine {
    qemu: Running,
    started: Instant,
    limit: Duration,
    /// The kernel's messages; the guest's last words if it dies.
    console: PathBuf,
    /// Lines from the guest's init: `ready`, then `exit <status>`.
    control: PathBuf,
    directory: PathBuf,
}

impl Machine {
    /// Starts QEMU; `output` is where the command's output goes.
    pub fn boot(boot: &Boot<'_>, output: Stdio) -> Result<Self> {
        let directory = workspace::target()
            .join("vm/runs")
            .join(std::process::id().to_string());
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let initramfs = directory.join("initramfs");
        let files = boot.kernel.processor.files()?;
        std::fs::write(&initramfs, guest_files(boot, files.as_deref())?)?;
        let console = directory.join("console");
        let control = directory.join("control");
        let memory = MEMORY_MIB.to_string();
        let cpus = CPUS.to_string();
        let (emulator, machine) = boot.kernel.processor.qemu();
        let qemu = Running::start(
            "QEMU",
            workspace::system(emulator)
                .args(machine)
                .args([
                    "-nodefaults",
                    "-no-user-config",
                    "-display",
                    "none",
                    "-no-reboot",
                ])
                .args(["-accel", boot.accelerator])
                .args(["-smp", &cpus, "-m", &memory, "-nic", "none"])
                .args(["-append", &kernel_parameters(boot, files.as_deref())])
                .arg("-kernel")
                .arg(&boot.kernel.image)
                .arg("-initrd")
                .arg(&initramfs)
                .args([
                    "-fsdev",
                    "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
                ])
                .args(["-device", "virtio-9p-pci,fsdev=root,mount_tag=hostroot"])
                .args(["-device", "virtio-serial-pci"])
                .args(["-chardev", "stdio,id=output,signal=off"])
                .args(["-device", "virtserialport,chardev=output,name=output"])
                .arg("-chardev")
                .arg(format!("file,id=control,path={}", control.display()))
                .args(["-device", "virtserialport,chardev=control,name=control"])
                .arg("-serial")
                .arg(format!("file:{}", console.display()))
                // Never written to, and open as long as QEMU is watched: at its end QEMU would
                // close the output port too, and the guest would wait for ever to write.
                .stdin(Stdio::piped())
                .stdout(output)
                .stderr(Stdio::inherit()),
        )?;
        Ok(Self {
            qemu,
            started: Instant::now(),
            limit: boot.limit,
            console,
            control,
            directory,
        })
    }

    /// What the command says, shown and collected, if output was piped.
    pub fn lines(&mut self, label: &str) -> Lines {
        let label = label.to_owned();
        Lines::of(&mut self.qemu, move |line| println!("{label}{line}"))
    }

    /// Waits until the guest's init is about to start the command; returns how long that took.
    pub fn wait_until_ready(&mut self) -> Result<Duration> {
        while !self.control_lines().lines().any(|line| line == "ready") {
            if self.qemu.status()?.is_some() || self.started.elapsed() > BOOT_LIMIT {
                bail!("the guest did not come up{}", self.last_words());
            }
            process::pause(Duration::from_millis(20))?;
        }
        Ok(self.started.elapsed())
    }

    /// Waits for the end of the command and of the machine; returns the command's status.
    pub fn wait(mut self) -> Result<u8> {
        let left = self.limit.saturating_sub(self.started.elapsed());
        let waited = self.qemu.wait(left);
        self.conclude(waited)
    }

    /// The same for a command that may take any time, as long as it says something at least every
    /// `silence`. What it says is collected in `said`.
    pub fn watch(mut self, lines: &Lines, said: &mut Vec<String>, silence: Duration) -> Result<u8> {
        let waited = lines.until_end(said, silence, || self.qemu.status());
        self.conclude(waited)
    }

    fn conclude(self, waited: Result<ExitStatus>) -> Result<u8> {
        let control = self.control_lines();
        let status = control.lines().find_map(|line| line.strip_prefix("exit "));
        match (waited, status) {
            (_, Some(status)) => {
                let status = status.parse().context("the guest's exit status")?;
                std::fs::remove_dir_all(&self.directory)?;
                Ok(status)
            }
            (Err(error), None) => Err(error).context(self.last_words()),
            (Ok(_), None) => bail!("the guest died{}", self.last_words()),
        }
    }

    fn control_lines(&self) -> String {
        // QEMU creates it a moment after its start.
        std::fs::read_to_string(&self.control).unwrap_or_default()
    }

    fn last_words(&self) -> String {
        let console = std::fs::read(&self.console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<_> = console.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n");
        format!(
            "; its console ({}) ends with:\n{tail}",
            self.console.display()
        )
    }
}

/// The kernel's parameters; those of the guest's init are explained there.
fn kernel_parameters(boot: &Boot<'_>, files: Option<&Path>) -> String {
    let console = boot.kernel.processor.console();
    let mut parameters = format!("console={console} {COMMAND_LINE} {}", boot.parameters);
    if let Some(files) = files {
        let (files, here) = (files.display(), workspace::root().display().to_string());
        parameters += &format!(" wirespan.files={files} wirespan.here={here}");
    }
    parameters
}

/// Files of this run only. Files of a machine that died stay, for its console.
fn guest_files(boot: &Boot<'_>, files: Option<&Path>) -> Result<Vec<u8>> {
    let init = workspace::root().join("tests/vm/init");
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut archive = Archive::default();
    for directory in ["bin", "modules", "new"] {
        archive.directory(directory);
    }
    archive.file(
        "bin/busybox",
        &read(&files.unwrap_or(Path::new("/")).join(BUSYBOX))?,
    );
    archive.file("init", &read(&init)?);
    archive.file("command", &command_script(boot.command)?);
    let modules = modules::in_load_order(&boot.kernel.modules)?;
    for (place, (name, content)) in modules.iter().enumerate() {
        archive.file(&format!("modules/{place:02}-{name}.ko"), content);
    }
    Ok(archive.finish())
}

/// A shell script that runs the command where and as it would have run here.
fn command_script(command: &[String]) -> Result<Vec<u8>> {
    let mut script = Vec::new();
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if PASSED_ON_ALWAYS.contains(&text.as_ref())
            || PASSED_ON.iter().any(|prefix| text.starts_with(prefix))
        {
            script.extend_from_slice(format!("export {text}=").as_bytes());
            script.extend_from_slice(&quoted(value.as_bytes()));
            script.push(b'\n');
        }
    }
    let here = std::env::current_dir().context("the current directory is gone")?;
    script.extend_from_slice(b"cd ");
    script.extend_from_slice(&quoted(here.as_os_str().as_bytes()));
    script.extend_from_slice(b" || exit 125\nexec");
    for word in command {
        script.push(b' ');
        script.extend_from_slice(&quoted(word.as_bytes()));
    }
    script.push(b'\n');
    Ok(script)
}

/// As one word of a POSIX shell.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word {
        if *byte == b'\'' {
            quoted.extend_from_slice(b"'\\''");
        } else {
            quoted.push(*byte);
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_survives_a_shell() {
        for word in [
            "plain",
            "",
            "two words",
            "it's",
            "$HOME `x` \"y\" \\ *",
            "a\nb",
        ] {
            let script = [b"printf %s ".as_slice(), &quoted(word.as_bytes())].concat();
            let script = String::from_utf8(script).expect("text stays text");
            let mut shell = std::process::Command::new("sh");
            let said = process::capture(shell.args(["-c", &script])).expect("the shell runs");
            assert_eq!(said, word);
        }
    }
}
