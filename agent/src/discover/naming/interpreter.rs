//! Programs that run other people's programs: how they are recognised, and which of their arguments
//! says what they run. It names nothing.

use std::path::Path;

use super::paths::file_name;

/// The programs whose own name says nothing about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Interpreter {
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
    pub(in super::super) fn of(executable: &Path) -> Option<Self> {
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
    pub(super) fn options_with_value(self) -> &'static [&'static str] {
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
    pub(super) fn ends_with_code(self, option: &str) -> bool {
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
    pub(super) fn subcommands(self) -> &'static [&'static str] {
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
    pub(super) fn generic(self) -> &'static [&'static str] {
        match self {
            Self::Node | Self::Deno | Self::Bun => &["index", "main", "app"],
            Self::Python => &["__main__", "main", "manage", "wsgi", "asgi"],
            Self::Php => &["index"],
            Self::Ruby | Self::Perl => &["main"],
            // A framework's starter, and what everybody calls the archive.
            Self::Java => &[
                "quarkus-run",
                "start",
                "jboss-modules",
                "app",
                "application",
                "main",
            ],
            Self::Dotnet | Self::Shell => &[],
        }
    }
}

/// In a group of short options (`-um` is `-u -m`), the first of `letters`, unless one of
/// `with_value` comes before it, whose value the rest of the group is.
pub(super) fn ending_letter(option: &str, letters: &str, with_value: &str) -> Option<char> {
    option
        .strip_prefix('-')?
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() && !with_value.contains(*c))
        .find(|c| letters.contains(*c))
}
