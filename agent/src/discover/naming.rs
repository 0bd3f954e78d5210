//! A service's name where nobody gave it one: the executable's, for an interpreter that of what it
//! runs, and for a server of applications the application's. It never is an option, nor anything
//! else that takes ever new values. Pure; what it needs besides arguments it asks for.

mod arguments;
mod interpreter;
mod java;
mod launchers;
mod paths;

use std::path::{Path, PathBuf};

use arguments::{Runs, runs, runs_workers_code};
use paths::{file_name, folder_name, stem};

pub(super) use interpreter::Interpreter;

/// What can be found out about a process besides its executable and arguments; asked for only where
/// those are not enough.
pub(super) trait Around {
    /// Where relative paths lead from.
    fn working_directory(&self) -> Option<PathBuf> {
        None
    }

    /// Name of the service by which systemd runs it.
    fn unit(&self) -> Option<String> {
        None
    }

    /// Name of its parent by these rules.
    fn parent(&self) -> Option<String> {
        None
    }

    /// A variable of its environment.
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Nothing more is known.
impl Around for () {}

/// The name for a process that runs `executable` with `args`, the first of which is its own name.
/// The kernel calls it `comm`.
pub(super) fn service_name(
    executable: &Path,
    args: &[String],
    comm: &str,
    around: &dyn Around,
) -> String {
    // A file that exists in memory only ("/memfd:…") has a name that nobody chose to be seen.
    let own = file_name(executable)
        .filter(|name| !name.starts_with("memfd:"))
        .map(str::to_owned);
    let words = words_of_title(args);
    let args = words.as_deref().unwrap_or(args);
    let found = match (Interpreter::of(executable), &own) {
        (Some(Interpreter::Shell), Some(own)) if own == "busybox" => {
            started_as(own, args, comm).or_else(|| named_by_args(Interpreter::Shell, args, around))
        }
        (Some(interpreter), _) => named_by_args(interpreter, args, around)
            // A program that sets its title overwrites its arguments: "gunicorn: master
            // [shop:app]".
            .or_else(|| launchers::by_title(args, around))
            .or_else(|| {
                let title = (args.len() == 1).then(|| title(args)).flatten();
                title.filter(|name| Interpreter::of(Path::new(name)).is_none())
            })
            .or_else(|| around.unit()),
        (None, Some(own)) => {
            launchers::by_program(own, args, around).or_else(|| started_as(own, args, comm))
        }
        (None, None) => title(args),
    };
    found.or(own).unwrap_or_default()
}

/// Whether what this program forks gives itself a title that names it.
pub(super) fn titles_children(executable: &Path) -> bool {
    file_name(executable).is_some_and(launchers::titles_children)
}

/// Whether a child of such a program has its title.
pub(super) fn is_titled(args: &[String]) -> bool {
    args.first()
        .is_some_and(|title| launchers::pool(title).is_some())
}

/// What an interpreter was called with, where it wrote all of that into one string: Node's
/// `process.title`, pm2.
fn words_of_title(args: &[String]) -> Option<Vec<String>> {
    let [title] = args else { return None };
    let mut words = title.split_whitespace().map(str::to_owned);
    let first = words.next()?;
    Interpreter::of(Path::new(&first))?;
    Some(std::iter::once(first).chain(words).collect())
}

/// The name by which a program of several names was started: Debian's redis-server is a link to
/// redis-check-rdb. What it calls itself is believed if the kernel knows it by that name too; with
/// a digit in it, it may be a counter.
fn started_as(own: &str, args: &[String], comm: &str) -> Option<String> {
    /// `TASK_COMM_LEN`, without the NUL at its end.
    const COMM_LEN: usize = 15;
    let first = args.first()?.split_whitespace().next()?;
    let name = file_name(Path::new(first.trim_end_matches(':')))?;
    let is_known = |name: &str| name.bytes().take(COMM_LEN).eq(comm.bytes());
    let is_other = is_known(name) && !is_known(own);
    (is_other && !name.bytes().any(|byte| byte.is_ascii_digit())).then(|| name.to_owned())
}

fn named_by_args(interpreter: Interpreter, args: &[String], around: &dyn Around) -> Option<String> {
    if runs_workers_code(interpreter, args) {
        return around.parent();
    }
    let (what, rest) = runs(interpreter, args)?;
    match what {
        Runs::Module(name) => {
            launchers::application(name, rest, around).or_else(|| Some(name.to_owned()))
        }
        Runs::Class(name) => java::by_class(name, args, around),
        Runs::Script(path) if interpreter == Interpreter::Java => {
            java::by_archive(Path::new(path), args, around)
        }
        Runs::Script(path) => {
            let path = Path::new(path);
            launchers::of_script(path, rest, around)
                .or_else(|| script_name(interpreter, path, around))
        }
    }
    // Whatever the rules say.
    .filter(|name| !name.is_empty() && !name.starts_with('-'))
}

/// A script's name without folder and extension, or, if it has one of the names that everybody
/// uses, that of the folder.
fn script_name(interpreter: Interpreter, path: &Path, around: &dyn Around) -> Option<String> {
    // A pipe that a shell reads its script from.
    if path.starts_with("/dev") || path.starts_with("/proc") {
        return None;
    }
    let stem = match file_name(path) {
        Some(name) => stem(name),
        // `python3 .`, `node .`
        None => return folder_name(&around.working_directory()?.join(path)),
    };
    if !interpreter.generic().contains(&stem) {
        return Some(stem.to_owned());
    }
    let whole = if path.is_absolute() {
        path.to_owned()
    } else {
        let folder = around.working_directory();
        folder.map_or_else(|| path.to_owned(), |folder| folder.join(path))
    };
    whole
        .parent()
        .and_then(folder_name)
        .or_else(|| around.unit())
        .or_else(|| Some(stem.to_owned()))
}

/// The first word of a process's title, without the colon that often ends it.
fn title(args: &[String]) -> Option<String> {
    let word = args.first()?.split_whitespace().next()?;
    let word = word.strip_suffix(':').unwrap_or(word);
    let name = file_name(Path::new(word))?;
    Some(stem(name.trim_start_matches('-')).to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
#[path = "naming/tests.rs"]
mod tests;
