//! Whether a Node process was told to load the script by which its calls are linked: what
//! `NODE_OPTIONS` and its arguments name is looked for it. It does not ask whether the script found
//! a version that it knows; that is heard in a run only.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use wirespan_common::node::NODE_MAGIC;

use crate::discover::{ProcRoot, Process};

/// Options that load a file before all others (`node --help`).
const LOADING: [&str; 3] = ["--require", "-r", "--import"];
/// The script has a tenth of that.
const SCRIPT_LEN_MAX: u64 = 256 * 1024;
const ENVIRONMENT_LEN_MAX: u64 = 1024 * 1024;
/// Files that are looked into.
const FILES_MAX: usize = 16;
/// How long a file system may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file from which a process loads the script, as it sees it. It waits for the process's memory
/// and files, but not for ever.
pub(super) fn script_of(root: &ProcRoot, process: &Process) -> Option<String> {
    if process.language.as_deref() != Some("nodejs") {
        return None;
    }
    let folder = root.path().join(process.pid.to_string());
    let args = process.command_args.clone();
    let (tell, told) = channel();
    let look = move || {
        let found = loaded(&folder, &args);
        // Who does not wait any longer does not want to know.
        let _ = tell.send(found);
    };
    let builder = std::thread::Builder::new().name("look".into());
    builder.spawn(look).ok()?;
    told.recv_timeout(PATIENCE).ok()?
}

fn loaded(folder: &Path, args: &[String]) -> Option<String> {
    let environment = read(&folder.join("environ"), ENVIRONMENT_LEN_MAX).unwrap_or_default();
    let options = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"NODE_OPTIONS="));
    let options = String::from_utf8_lossy(options.unwrap_or_default()).into_owned();
    let words = options.split_ascii_whitespace();
    let words = words.chain(args.iter().skip(1).map(String::as_str));
    let is_script = |file: &&str| {
        let path = where_it_is(folder, file);
        read(&path, SCRIPT_LEN_MAX).is_some_and(|text| is_script(&text))
    };
    let named = named(words);
    let found = named.iter().copied().take(FILES_MAX).find(is_script);
    found.map(str::to_owned)
}

/// What the options among these words load.
fn named<'a>(mut words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        if LOADING.contains(&option) {
            files.extend(value.or_else(|| words.next()));
        }
    }
    // NODE_OPTIONS may have quotes around what has blanks in it.
    let files = files.into_iter().map(|file| file.trim_matches('"'));
    let bare = files.map(|file| file.strip_prefix("file://").unwrap_or(file));
    bare.collect()
}

/// Where a file lies that a process names so: in its own root, from its working directory on.
fn where_it_is(folder: &Path, file: &str) -> PathBuf {
    match file.strip_prefix('/') {
        Some(from_root) => folder.join("root").join(from_root),
        None => folder.join("cwd").join(file),
    }
}

fn is_script(text: &[u8]) -> bool {
    let magic = &NODE_MAGIC[..NODE_MAGIC.len() - 1];
    memchr::memmem::find(text, magic).is_some()
}

fn read(path: &Path, len_max: u64) -> Option<Vec<u8>> {
    // What is no file, as a pipe, is not waited for.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut open = OpenOptions::new();
    let file = open.read(true).custom_flags(nonblocking).open(path).ok()?;
    let mut text = Vec::new();
    file.take(len_max).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::node_script::SCRIPT;

    #[test]
    fn options_name_files_in_either_form() {
        let words = "--max-old-space-size=64 --require=/a.cjs -r b --import file:///c.mjs -r";
        assert_eq!(
            named(words.split_ascii_whitespace()),
            ["/a.cjs", "b", "/c.mjs"]
        );
    }

    #[test]
    fn the_script_is_known_by_what_is_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("created");
            fs::write(path, text).expect("written");
        };
        place("root/opt/tracing.cjs", SCRIPT);
        place("cwd/other.js", "console.log(1)");
        let args = |words: &str| -> Vec<String> { words.split(' ').map(str::to_owned).collect() };
        let named = args("node -r ./other.js --require /opt/tracing.cjs app.js");
        assert_eq!(
            loaded(folder.path(), &named).as_deref(),
            Some("/opt/tracing.cjs")
        );
        assert_eq!(loaded(folder.path(), &args("node -r ./other.js")), None);
        place("environ", "A=b\0NODE_OPTIONS=--require=/opt/tracing.cjs\0");
        assert!(loaded(folder.path(), &args("node app.js")).is_some());
    }
}
