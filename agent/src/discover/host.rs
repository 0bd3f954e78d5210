//! What a machine says of itself, in files that it has for that: its id and its distribution. They
//! are those of the machine's first process, so that a container of wirespan's own tells nothing of
//! its image; where that process lets nobody look, wirespan's own, if it runs in none.
//!
//! Source: machine-id(5), os-release(5), hostname(5); OpenTelemetry's conventions 1.45, "Host" and
//! "OS".

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ProcRoot;
use crate::arch;

/// Most bytes of a file that are read; a usual one has a few hundred.
const FILE_MAX: u64 = 4096;

/// The machine that a process runs on. What it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Its processors, as the conventions call them: `amd64`.
    pub arch: String,
    /// `/etc/machine-id`, 32 hexadecimal digits.
    pub id: String,
    /// `NAME` of os-release: `Debian GNU/Linux`.
    pub os_name: String,
    /// `VERSION_ID`: `12`.
    pub os_version: String,
    /// `PRETTY_NAME`: `Debian GNU/Linux 12 (bookworm)`.
    pub os_description: String,
}

impl Host {
    /// Of the machine whose processes are there.
    pub(super) fn of(root: &ProcRoot) -> Self {
        let mut host = Self::below(&root.path().join("1/root"));
        // Where that one lets nobody look, wirespan's own are, unless it runs in a container.
        if host.is_silent() && root.container(root.own_pid()).is_none() {
            host = Self::below(&root.path().join("self/root"));
        }
        if root.path() == Path::new("/proc") {
            // The kernel side runs on no other than it was built for.
            host.arch = arch::HOST_ARCH.to_owned();
        }
        host
    }

    /// From the files below this root directory, as far as they can be read.
    fn below(root: &Path) -> Self {
        let read = |path: &str| text(&root.join(path));
        let id = read("etc/machine-id").trim().to_ascii_lowercase();
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        // The first is a link to the second, in most; an absolute one would lead elsewhere.
        let release = Some(read("etc/os-release")).filter(|text| !text.is_empty());
        let release = release.unwrap_or_else(|| read("usr/lib/os-release"));
        let told = |key: &str| of_key(&release, key).unwrap_or_default();
        Self {
            arch: String::new(),
            id: if is_id { id } else { String::new() },
            os_name: told("NAME"),
            os_version: told("VERSION_ID"),
            os_description: told("PRETTY_NAME"),
        }
    }

    /// What it calls itself. A pod's containers have a name of their own, which is not the
    /// machine's; hostname(5) then says that, where the machine's first process lets anybody look.
    pub(super) fn name_of(root: &ProcRoot) -> String {
        let named_alike = |pid: &str| fs::read_link(root.path().join(pid).join("ns/uts")).ok();
        let ours = named_alike("self");
        if ours.is_some() && ours == named_alike("1") {
            return root.host_name().to_owned();
        }
        let told = text(&root.path().join("1/root/etc/hostname"));
        let mut lines = told.lines().map(str::trim);
        let name = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        name.unwrap_or_else(|| root.host_name()).to_owned()
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// Empty if it can't be read.
fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).map(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    match read {
        Ok(Ok(_)) => String::from_utf8(bytes).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The value of the last line with this key, without the quotes that a shell would take away.
fn of_key(release: &str, key: &str) -> Option<String> {
    let lines = release.lines().rev();
    let mut values = lines.filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    let value = values.next()?.trim();
    let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    let bare = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    let mut unescaped = String::new();
    let mut characters = bare.chars();
    while let Some(character) = characters.next() {
        unescaped.extend(match character {
            '\\' => characters.next(),
            _ => Some(character),
        });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_files_say_is_told_and_garbage_is_not() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(Host::below(root.path()).is_silent());
        fs::create_dir_all(root.path().join("etc")).expect("created");
        fs::create_dir_all(root.path().join("usr/lib")).expect("created");
        let write = |path: &str, text: &[u8]| {
            fs::write(root.path().join(path), text).expect("written");
        };
        write("etc/machine-id", b"0123456789ABCDEF0123456789abcdef\n");
        write(
            "usr/lib/os-release",
            b"# a comment\nNAME='Shop \"OS\"'\nVERSION_ID=\"12\"\nVERSION=\"12 (x)\"\n\
              PRETTY_NAME=\"Shop \\\"OS\\\" 12\"\nID=shop\nNAMES=x\n",
        );
        assert_eq!(
            Host::below(root.path()),
            Host {
                arch: String::new(),
                id: "0123456789abcdef0123456789abcdef".to_owned(),
                os_name: "Shop \"OS\"".to_owned(),
                os_version: "12".to_owned(),
                os_description: "Shop \"OS\" 12".to_owned(),
            }
        );
        write("etc/machine-id", b"uninitialized\n");
        write("etc/os-release", b"\xff\xfe");
        let host = Host::below(root.path());
        assert_eq!((&*host.id, &*host.os_version), ("", "12"));
    }
}
