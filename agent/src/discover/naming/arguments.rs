//! What an interpreter was told to run, by its arguments. It names nothing.

use super::interpreter::{Interpreter, ending_letter};

/// What an interpreter was told to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Runs<'a> {
    Script(&'a str),
    Module(&'a str),
    Class(&'a str),
}

/// What is run, and the arguments that are meant for it.
pub(super) fn runs<'a>(
    interpreter: Interpreter,
    args: &'a [String],
) -> Option<(Runs<'a>, &'a [String])> {
    let mut index = 1;
    // `java -jar`: options go on until the archive comes.
    let mut is_archive = false;
    let at = |index: usize| args.get(index).map(String::as_str);
    let rest = |index: usize| args.get(index..).unwrap_or_default();
    while let Some(arg) = at(index) {
        let value = |runs: fn(&'a str) -> Runs<'a>| Some((runs(at(index + 1)?), rest(index + 2)));
        if arg == "--" {
            return value(Runs::Script);
        }
        match interpreter {
            Interpreter::Java if arg == "-jar" => {
                is_archive = true;
                index += 1;
                continue;
            }
            Interpreter::Java if matches!(arg, "-m" | "--module") => return value(Runs::Class),
            Interpreter::Java if arg.starts_with("--module=") => {
                let (_, class) = arg.split_once('=')?;
                return Some((Runs::Class(class), rest(index + 1)));
            }
            Interpreter::Python if ending_letter(arg, "cm", "WX") == Some('m') => {
                // "-m module", "-um module" or "-mmodule"
                let (_, joined) = arg.split_once('m')?;
                if joined.is_empty() {
                    return value(Runs::Module);
                }
                return Some((Runs::Module(joined), rest(index + 1)));
            }
            Interpreter::Php if arg == "-f" => return value(Runs::Script),
            _ => {}
        }
        // A lone dash is standard input.
        if arg == "-" || interpreter.ends_with_code(arg) {
            return None;
        }
        if interpreter.options_with_value().contains(&arg) {
            index += 1;
        } else if arg.starts_with(['-', '@']) {
            // A flag, or one with its value joined to it, or a file of Java's arguments.
        } else if interpreter.subcommands().contains(&arg) {
            // What is run comes after it.
        } else if interpreter == Interpreter::Java && !is_archive {
            return Some((Runs::Class(arg), rest(index + 1)));
        } else {
            return Some((Runs::Script(arg), rest(index + 1)));
        }
        index += 1;
    }
    None
}

/// Whether it is a process that Python's `multiprocessing` started to work for its parent
/// (Lib/multiprocessing/spawn.py, forkserver.py, resource_tracker.py).
pub(super) fn runs_workers_code(interpreter: Interpreter, args: &[String]) -> bool {
    interpreter == Interpreter::Python
        && args.windows(2).any(|pair| {
            ending_letter(&pair[0], "cm", "WX") == Some('c')
                && pair[1].starts_with("from multiprocessing.")
        })
}
