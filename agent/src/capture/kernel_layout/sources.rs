//! Files that describe the types of kernels which don't describe themselves: BTF, raw or in a
//! section of an ELF file, and archives of such files as BTFHub publishes them, among which the
//! running kernel's is found by its names. What a file says is not believed here.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ReadCache};

use crate::arch;
use crate::discover::ProcRoot;
use crate::visible::Visible;

/// The most bytes that are read of a description; those of kernels have five to ten million.
const BTF_LEN_MAX: u64 = 64 << 20;
/// The most memory that unpacking one may take, in KiB: what `xz -9` asks for.
const UNPACKING_KIB_MAX: u32 = 96 << 10;
/// The most bytes of what says which distribution this is.
const OS_RELEASE_LEN_MAX: u64 = 64 << 10;

const RAW: [u8; 2] = 0xeb9fu16.to_ne_bytes();
const ELF: [u8; 4] = *b"\x7fELF";
const XZ: [u8; 6] = *b"\xfd7zXZ\0";

/// The running kernel's description, out of what a user gave: a file, or a folder of archives.
///
/// # Errors
/// Why there is none, in one line.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    if !path.is_dir() {
        return read_file(path);
    }
    let (candidates, named) = candidates(path)?;
    match candidates.iter().find(|candidate| candidate.is_file()) {
        Some(candidate) => {
            read_file(candidate).map_err(|why| format!("{}: {why}", Visible(candidate.display())))
        }
        None => Err(format!(
            "it has no {}, which would be this kernel's",
            Visible(named.display())
        )),
    }
}

/// Where archives of the running kernel may be, and the first of these below the folder.
fn candidates(folder: &Path) -> Result<(Vec<PathBuf>, PathBuf), String> {
    let host = ProcRoot::host();
    let release = host.path().join("sys/kernel/osrelease");
    let release = std::fs::read_to_string(release).map_err(|error| error.to_string())?;
    let os_release = os_release(&host);
    let archives = archives(&os_release, release.trim());
    let first = archives.first().cloned();
    let first = first.ok_or("no os-release says which distribution this is")?;
    let candidates = archives.iter().map(|archive| folder.join(archive));
    Ok((candidates.collect(), first))
}

/// What says which distribution this is: the host's, where this is a container.
fn os_release(host: &ProcRoot) -> String {
    let places = [
        host.path().join("1/root/etc/os-release"),
        "/etc/os-release".into(),
        "/usr/lib/os-release".into(),
    ];
    let texts = places.iter().filter_map(|place| {
        let mut text = String::new();
        let file = File::open(place).ok()?;
        file.take(OS_RELEASE_LEN_MAX)
            .read_to_string(&mut text)
            .ok()?;
        Some(text)
    });
    texts.into_iter().next().unwrap_or_default()
}

/// Archives in the order in which they are looked for, as BTFHub's archive is laid out:
/// `ubuntu/20.04/x86_64/5.4.0-91-generic.btf.tar.xz`, and without the version's second number where
/// a distribution is named by the first (`rhel/8`).
fn archives(os_release: &str, release: &str) -> Vec<PathBuf> {
    let value = |name: &str| {
        let line = os_release.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then_some(value)
        })?;
        let value = line.trim().trim_matches(['"', '\'']);
        is_name(value).then_some(value)
    };
    let (Some(id), Some(version)) = (value("ID"), value("VERSION_ID")) else {
        return Vec::new();
    };
    if !is_name(release) {
        return Vec::new();
    }
    let short = version.split('.').next().unwrap_or(version);
    let mut versions = vec![version, short];
    versions.dedup();
    let archive = format!("{release}.btf.tar.xz");
    let each = versions.iter();
    each.map(|version| {
        [id, version, arch::BTFHUB_ARCHITECTURE, &archive]
            .iter()
            .collect()
    })
    .collect()
}

/// Whether it is a part of a path and nothing else.
fn is_name(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-+~".contains(letter);
    !text.is_empty() && !text.starts_with('.') && text.chars().all(is_plain)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let is_file = file.metadata().is_ok_and(|it| it.is_file());
    let mut head = [0; 6];
    if !is_file
        || file
            .read_exact(&mut head)
            .and_then(|()| file.rewind())
            .is_err()
    {
        return Err("it is no BTF file".to_owned());
    }
    if head == XZ {
        unpacked(BufReader::new(file))
    } else {
        described(file, head)
    }
}

/// The description in a file that begins like this.
fn described(file: impl Read + Seek, head: [u8; 6]) -> Result<Vec<u8>, String> {
    if head.starts_with(&ELF) {
        section(file)
    } else if head.starts_with(&RAW) {
        bounded(file)
    } else {
        Err("it is neither BTF nor an ELF file".to_owned())
    }
}

fn bounded(from: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = from.take(BTF_LEN_MAX + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| one_line(&error))?;
    if read as u64 > BTF_LEN_MAX {
        return Err(format!("it is longer than {BTF_LEN_MAX} bytes"));
    }
    Ok(bytes)
}

fn section(file: impl Read + Seek) -> Result<Vec<u8>, String> {
    let cache = ReadCache::new(file);
    let elf = ElfFile64::<Endianness, _>::parse(&cache);
    let elf = elf.map_err(|error| one_line(&error))?;
    let section = elf
        .section_by_name(".BTF")
        .ok_or("it has no section .BTF")?;
    if section.size() > BTF_LEN_MAX {
        return Err(format!(
            "its section .BTF is longer than {BTF_LEN_MAX} bytes"
        ));
    }
    let data = section.data().map_err(|error| one_line(&error))?;
    Ok(data.to_vec())
}

/// The first file in an archive.
fn unpacked(packed: impl Read) -> Result<Vec<u8>, String> {
    let archive = lzma_rust2::XzReader::new_mem_limit(packed, false, UNPACKING_KIB_MAX);
    // One that never ends is not read to its end.
    let mut archive = tar::Archive::new(archive.take(2 * BTF_LEN_MAX));
    let entries = archive.entries().map_err(|error| one_line(&error))?;
    for entry in entries {
        let entry = entry.map_err(|error| one_line(&error))?;
        if entry.header().entry_type().is_file() {
            let bytes = bounded(entry)?;
            let mut head = [0; 6];
            let begin = bytes.get(..6).ok_or("the file in it is no BTF file")?;
            head.copy_from_slice(begin);
            return described(io::Cursor::new(bytes), head);
        }
    }
    Err("there is no file in it".to_owned())
}

fn one_line(error: &dyn std::error::Error) -> String {
    Visible(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_found_as_btfhub_lays_them_out() {
        let ubuntu = "NAME=\"Ubuntu\"\nID=ubuntu\nVERSION_ID=\"20.04\"\n";
        let found = archives(ubuntu, "5.4.0-91-generic");
        let arch = arch::BTFHUB_ARCHITECTURE;
        let exact = format!("ubuntu/20.04/{arch}/5.4.0-91-generic.btf.tar.xz");
        let short = format!("ubuntu/20/{arch}/5.4.0-91-generic.btf.tar.xz");
        assert_eq!(found, [Path::new(&exact), Path::new(&short)]);
        let debian = archives("ID=debian\nVERSION_ID='10'\n", "4.19.0-18-amd64");
        assert_eq!(debian.len(), 1);
        assert!(archives("ID=../../etc\nVERSION_ID=1\n", "4.19").is_empty());
        assert!(archives("ID=debian\nVERSION_ID=1\n", "../4.19").is_empty());
        assert!(archives("", "4.19").is_empty());
    }
}
