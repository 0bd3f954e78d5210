//! Servers that run an application which their arguments or their title name: the name is the
//! application's. Sources: what each of them says of its arguments, and gunicorn's
//! `util._setproctitle`, Puma's `Runner#title` and php-fpm's `fpm_env_setproctitle` for titles.

use std::path::Path;

use super::interpreter::Interpreter;
use super::paths::{file_name, folder_name, stem};
use super::{Around, script_name};

/// Python's, as scripts and as modules.
const OF_PYTHON: [&str; 11] = [
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "granian",
    "waitress-serve",
    "waitress",
    "uwsgi",
    "flask",
    "fastapi",
    "celery",
];

/// Options whose value is the application or the name that somebody gave it.
const NAMING_OPTIONS: &[(&str, &[&str])] = &[
    ("gunicorn", &["-n", "--name"]),
    ("flask", &["-A", "--app"]),
    ("celery", &["-A", "--app"]),
    ("uwsgi", &["-w", "--module", "--wsgi-file", "--wsgi"]),
];

/// Modules whose name says what they are for, not whose they are.
const GENERIC_MODULES: [&str; 8] = [
    "main",
    "app",
    "asgi",
    "wsgi",
    "server",
    "application",
    "__main__",
    "src",
];

/// The scripts by which pm2 starts another one, which it names in this variable.
const OF_PM2: [&str; 2] = ["ProcessContainer", "ProcessContainerFork"];
const PM2_VARIABLE: &str = "pm_exec_path";

/// The application that a launcher of this name runs, given these arguments; `None` if it is no
/// launcher.
pub(super) fn application(launcher: &str, args: &[String], around: &dyn Around) -> Option<String> {
    let launcher = OF_PYTHON.into_iter().find(|name| *name == launcher)?;
    option_value(launcher, args)
        .or_else(|| application_in(args))
        .and_then(name_of_module)
        .or_else(|| script_in(launcher, args, around))
        .or_else(|| around.working_directory().as_deref().and_then(folder_name))
        .or_else(|| around.unit())
        .or_else(|| Some(launcher.to_owned()))
}

/// As [`application`], for a script by its path.
pub(super) fn of_script(path: &Path, args: &[String], around: &dyn Around) -> Option<String> {
    let name = stem(file_name(path)?);
    if OF_PM2.contains(&name)
        && let Some(script) = around.variable(PM2_VARIABLE)
    {
        return script_name(Interpreter::Node, Path::new(&script), around);
    }
    application(name, args, around)
}

/// As [`application`], for a program that is no interpreter, by its own name.
pub(super) fn by_program(own: &str, args: &[String], around: &dyn Around) -> Option<String> {
    if titles_children(own) {
        // Every installation comes with one of that name.
        return pool(args.first()?)
            .filter(|pool| !pool.is_empty() && *pool != "www")
            .map(str::to_owned);
    }
    application(
        own.strip_suffix("-core").unwrap_or(own),
        args.get(1..)?,
        around,
    )
}

/// Whether it forks processes that serve different applications, and name them in their title only.
pub(super) fn titles_children(own: &str) -> bool {
    own.starts_with("php-fpm")
}

/// The pool in the title of a php-fpm that serves it: "php-fpm: pool shop".
pub(super) fn pool(title: &str) -> Option<&str> {
    title.split_once(": pool ").map(|(_, pool)| pool.trim())
}

/// By the title that it gave itself.
pub(super) fn by_title(args: &[String], around: &dyn Around) -> Option<String> {
    let [title] = args else { return None };
    let mut words = title.split_whitespace();
    let first = words.next()?;
    let bracketed = || {
        let (_, rest) = title.rsplit_once('[')?;
        rest.split_once(']').map(|(inner, _)| inner.trim())
    };
    match first.trim_end_matches(':') {
        "gunicorn" => bracketed()
            .and_then(name_of_module)
            .or_else(|| around.working_directory().as_deref().and_then(folder_name)),
        "puma" => bracketed().map(str::to_owned),
        // "sidekiq 7.2.0 shop [0 of 5 busy]"
        "sidekiq" => words.nth(1).map(str::to_owned),
        _ => None,
    }
    .filter(|name| !name.is_empty() && !name.starts_with('['))
}

/// The value of the option that names the application.
fn option_value<'a>(launcher: &str, args: &'a [String]) -> Option<&'a str> {
    let (_, options) = NAMING_OPTIONS.iter().find(|(of, _)| *of == launcher)?;
    let mut pairs = args.iter().enumerate();
    pairs.find_map(|(index, arg)| {
        let (option, joined) = match arg.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (arg.as_str(), None),
        };
        let is_naming = options.contains(&option);
        is_naming.then(|| joined.or_else(|| args.get(index + 1).map(String::as_str)))?
    })
}

/// The argument that has the form of an application, `package.module:name`; one that is no option's
/// value, if there is such a one.
fn application_in(args: &[String]) -> Option<&str> {
    let candidates = || {
        let args = args.iter().enumerate();
        args.filter(|(_, arg)| is_application(arg))
    };
    let is_free = |index: usize| index == 0 || !args[index - 1].starts_with('-');
    let free = candidates().find(|(index, _)| is_free(*index));
    free.or_else(|| candidates().next_back())
        .map(|(_, arg)| &**arg)
}

fn is_application(arg: &str) -> bool {
    let is_begin = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_dotted = |text: &str| {
        text.starts_with(is_begin)
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
    };
    arg.split_once(':').is_some_and(|(module, name)| {
        // A factory may be called: `shop:create()`.
        is_dotted(module) && is_dotted(name.split('(').next().unwrap_or_default())
    })
}

/// The last part of a module's path that is its own: `shop.main:app` is `shop`.
fn name_of_module(application: &str) -> Option<String> {
    let module = application.split(':').next()?;
    let module = module.rsplit('/').next()?;
    let module = stem(module);
    let mut parts = module.rsplit('.');
    parts
        .find(|part| !part.is_empty() && !GENERIC_MODULES.contains(part))
        .map(str::to_owned)
}

/// `fastapi run shop/main.py`
fn script_in(launcher: &str, args: &[String], around: &dyn Around) -> Option<String> {
    let mut free = args.iter().filter(|arg| !arg.starts_with('-'));
    let is_run = matches!(free.next()?.as_str(), "run" | "dev");
    let script = free.next().filter(|path| path.ends_with(".py"))?;
    (launcher == "fastapi" && is_run)
        .then(|| script_name(Interpreter::Python, Path::new(script), around))?
}
