//! A service's name where nobody gave it one: the executable's, and for an interpreter that of
//! what it runs. Pure; it reads nothing.

use std::path::{Component, Path, PathBuf};

/// The programs whose own name says nothing about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interpreter {
    Python,
    Node,
    Deno,
    Bun,
    Java,
    Dotnet,
    Ruby,
    Perl,
    Php,
    Shell,
}

impl Interpreter {
    /// By the file name of an executable: `python3.11`, `php8.2`, `node-20`.
    pub(super) fn of(executable: &Path) -> Option<Self> {
        let name = file_name(executable)?;
        let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || ".-_".contains(c));
        Some(match base {
            "python" | "pypy" | "python3-dbg" => Self::Python,
            "node" | "nodejs" => Self::Node,
            "deno" => Self::Deno,
            "bun" => Self::Bun,
            "java" => Self::Java,
            "dotnet" => Self::Dotnet,
            "ruby" | "jruby" | "truffleruby" => Self::Ruby,
            "perl" => Self::Perl,
            "php" | "php-cgi" => Self::Php,
            "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "busybox" => Self::Shell,
            _ => return None,
        })
    }

    /// Options whose value is the next argument. Those that are followed by code (`-c`) are in
    /// [`Interpreter::ends_with_code`].
    fn options_with_value(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["-W", "-X", "--check-hash-based-pycs"],
            Self::Node | Self::Bun => &[
                "-r",
                "--require",
                "--import",
                "--preload",
                "--loader",
                "--experimental-loader",
                "-C",
                "--conditions",
                "--env-file",
                "--title",
                "--cwd",
                "--config",
                "--input-type",
                "--inspect-port",
                "--icu-data-dir",
                "--openssl-config",
                "--redirect-warnings",
                "--diagnostic-dir",
            ],
            Self::Deno => &[
                "-c",
                "--config",
                "--import-map",
                "--lock",
                "--cert",
                "-L",
                "--log-level",
            ],
            Self::Java => &[
                "-cp",
                "-classpath",
                "--class-path",
                "-p",
                "--module-path",
                "--upgrade-module-path",
                "--add-modules",
                "--limit-modules",
                "--add-exports",
                "--add-opens",
                "--add-reads",
                "--enable-native-access",
                "--patch-module",
                "--source",
                "--describe-module",
                "-d",
            ],
            Self::Dotnet => &[
                "--additionalprobingpath",
                "--additional-deps",
                "--depsfile",
                "--fx-version",
                "--roll-forward",
                "--runtimeconfig",
            ],
            Self::Ruby => &["-I", "-r", "-C", "-E", "--encoding", "--external-encoding"],
            Self::Perl => &["-I"],
            Self::Php => &["-c", "-d", "-S", "-t", "-z"],
            Self::Shell => &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
        }
    }

    /// Options after which there is code in place of a script.
    fn ends_with_code(self, option: &str) -> bool {
        match self {
            Self::Node | Self::Bun => {
                matches!(option, "-e" | "--eval" | "-p" | "--print" | "-pe" | "-i")
            }
            Self::Deno => option == "-e",
            Self::Php => matches!(option, "-r" | "-a"),
            Self::Java | Self::Dotnet => false,
            // Short options of these may be joined: `-lc`, `-ne`.
            Self::Python => ending_letter(option, "cm", "WX") == Some('c'),
            Self::Shell => ending_letter(option, "c", "oO").is_some(),
            Self::Ruby => ending_letter(option, "e", "IrxCEKFT").is_some(),
            Self::Perl => ending_letter(option, "eE", "IMmxiFCD").is_some(),
        }
    }

    /// Subcommands before the script.
    fn subcommands(self) -> &'static [&'static str] {
        match self {
            Self::Deno => &["run", "serve", "task", "test", "bench"],
            Self::Bun => &["run", "x", "test"],
            Self::Dotnet => &["exec", "run"],
            Self::Node
            | Self::Python
            | Self::Java
            | Self::Ruby
            | Self::Perl
            | Self::Php
            | Self::Shell => &[],
        }
    }

    /// Names that so many scripts have that their folder's says more.
    fn generic(self) -> &'static [&'static str] {
        match self {
            Self::Node | Self::Deno | Self::Bun => &["index", "main", "app"],
            Self::Python => &["__main__", "main"],
            Self::Php => &["index"],
            Self::Ruby | Self::Perl => &["main"],
            Self::Java | Self::Dotnet | Self::Shell => &[],
        }
    }
}

/// The name for a process that runs `executable` with `args`, the first of which is its own name.
/// `working_directory` is asked for only if a script's relative path is not enough.
pub(super) fn service_name(
    executable: &Path,
    args: &[String],
    working_directory: impl FnOnce() -> Option<PathBuf>,
) -> String {
    // A file that exists in memory only ("/memfd:…") has a name that nobody chose to be seen.
    let own = file_name(executable)
        .filter(|name| !name.starts_with("memfd:"))
        .map(str::to_owned);
    let Some(interpreter) = Interpreter::of(executable) else {
        return own.or_else(|| title(args)).unwrap_or_default();
    };
    named_by_args(interpreter, args, working_directory)
        // A program that sets its title overwrites its arguments: "gunicorn: master [shop]".
        .or_else(|| (args.len() == 1).then(|| title(args)).flatten())
        .or(own)
        .unwrap_or_default()
}

fn named_by_args(
    interpreter: Interpreter,
    args: &[String],
    working_directory: impl FnOnce() -> Option<PathBuf>,
) -> Option<String> {
    match runs(interpreter, args)? {
        Runs::Module(name) => Some(name.to_owned()),
        Runs::Class(name) => {
            // `module/package.Class`, `package.Class` or `Class.java`
            let class = name.rsplit('/').next()?;
            let class = class.strip_suffix(".java").unwrap_or(class);
            class.rsplit('.').next().map(str::to_owned)
        }
        Runs::Script(path) => script_name(interpreter, Path::new(path), working_directory),
    }
    .filter(|name| !name.is_empty())
}

/// What an interpreter was told to run.
#[derive(Debug, PartialEq, Eq)]
enum Runs<'a> {
    Script(&'a str),
    Module(&'a str),
    Class(&'a str),
}

fn runs(interpreter: Interpreter, args: &[String]) -> Option<Runs<'_>> {
    let mut args = args.iter().skip(1).map(String::as_str);
    while let Some(arg) = args.next() {
        if arg == "--" {
            return args.next().map(Runs::Script);
        }
        match interpreter {
            Interpreter::Java if arg == "-jar" => return args.next().map(Runs::Script),
            Interpreter::Java if matches!(arg, "-m" | "--module") => {
                return args.next().map(Runs::Class);
            }
            Interpreter::Java if arg.starts_with("--module=") => {
                return arg.split_once('=').map(|(_, class)| Runs::Class(class));
            }
            Interpreter::Python if ending_letter(arg, "cm", "WX") == Some('m') => {
                // "-m module", "-um module" or "-mmodule"
                let (_, joined) = arg.split_once('m')?;
                return Some(Runs::Module(joined))
                    .filter(|_| !joined.is_empty())
                    .or_else(|| args.next().map(Runs::Module));
            }
            Interpreter::Php if arg == "-f" => return args.next().map(Runs::Script),
            _ => {}
        }
        // A lone dash is standard input.
        if arg == "-" || interpreter.ends_with_code(arg) {
            return None;
        }
        if interpreter.options_with_value().contains(&arg) {
            args.next();
        } else if arg.starts_with(['-', '@']) {
            // A flag, or one with its value joined to it, or a file of Java's arguments.
        } else if interpreter.subcommands().contains(&arg) {
            // What is run comes after it.
        } else if interpreter == Interpreter::Java {
            return Some(Runs::Class(arg));
        } else {
            return Some(Runs::Script(arg));
        }
    }
    None
}

/// In a group of short options (`-um` is `-u -m`), the first of `letters`, unless one of
/// `with_value` comes before it, whose value the rest of the group is.
fn ending_letter(option: &str, letters: &str, with_value: &str) -> Option<char> {
    option
        .strip_prefix('-')?
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() && !with_value.contains(*c))
        .find(|c| letters.contains(*c))
}

/// A script's name without folder and extension, or, if it has one of the names that everybody
/// uses, that of the folder.
fn script_name(
    interpreter: Interpreter,
    path: &Path,
    working_directory: impl FnOnce() -> Option<PathBuf>,
) -> Option<String> {
    // A pipe that a shell reads its script from.
    if path.starts_with("/dev") || path.starts_with("/proc") {
        return None;
    }
    let stem = match file_name(path) {
        Some(name) => stem(name),
        // `python3 .`, `node .`
        None => return folder_name(&working_directory()?.join(path)),
    };
    if !interpreter.generic().contains(&stem) {
        return Some(stem.to_owned());
    }
    let whole = if path.is_absolute() {
        path.to_owned()
    } else {
        working_directory().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    };
    whole
        .parent()
        .and_then(folder_name)
        .or_else(|| Some(stem.to_owned()))
}

/// Folders that are part of how code is laid out, not of what it is.
const LAYOUT: [&str; 8] = [
    "src", "dist", "build", "lib", "bin", "out", "public", "server",
];

/// The last folder of a path that has a name of its own.
fn folder_name(path: &Path) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str()?),
            Component::ParentDir => {
                names.pop();
            }
            _ => {}
        }
    }
    names
        .into_iter()
        .rev()
        .find(|name| !LAYOUT.contains(name))
        .map(str::to_owned)
}

/// A file name without the extension of a script or archive; other dots are part of the name.
fn stem(name: &str) -> &str {
    const EXTENSIONS: [&str; 22] = [
        "py", "pyc", "pyz", "js", "mjs", "cjs", "ts", "mts", "cts", "tsx", "jsx", "rb", "ru", "pl",
        "psgi", "php", "sh", "bash", "jar", "war", "dll", "exe",
    ];
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && EXTENSIONS.contains(&extension) => stem,
        _ => name,
    }
}

/// The first word of a process's title, without the colon that often ends it.
fn title(args: &[String]) -> Option<String> {
    let word = args.first()?.split_whitespace().next()?;
    let word = word.strip_suffix(':').unwrap_or(word);
    let name = file_name(Path::new(word))?;
    Some(stem(name.trim_start_matches('-')).to_owned()).filter(|name| !name.is_empty())
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
#[path = "naming/tests.rs"]
mod tests;
