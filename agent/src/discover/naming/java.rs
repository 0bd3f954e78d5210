//! Names of programs in Java, by archive or class. Servers of applications and frameworks have
//! starters of their own, which say nothing about what they start.

use std::path::Path;

use super::interpreter::Interpreter;
use super::paths::{file_name, folder_name};
use super::{Around, script_name};

/// Where servers keep what they serve: what starts them, and the property that names the folder.
const SERVERS: &[(&str, &str)] = &[
    ("org.apache.catalina.startup.Bootstrap", "catalina.base"),
    ("org.apache.catalina.startup.Bootstrap", "catalina.home"),
    ("start.jar", "jetty.base"),
    ("jboss-modules.jar", "jboss.home.dir"),
];

/// Classes that start others: those of archives that hold archives.
const STARTERS: &str = "org.springframework.boot.loader.";

/// Names of classes that so many programs have that their package's says more.
const GENERIC: [&str; 6] = [
    "Main",
    "MainKt",
    "App",
    "Application",
    "ApplicationKt",
    "Launcher",
];

/// By the class whose `main` is called.
pub(super) fn by_class(name: &str, args: &[String], around: &dyn Around) -> Option<String> {
    // `module/package.Class`, `package.Class` or `Class.java`
    let class = name.rsplit('/').next()?;
    let class = class.strip_suffix(".java").unwrap_or(class);
    let folder = || {
        let folder = around.working_directory().as_deref().and_then(folder_name);
        folder.or_else(|| around.unit())
    };
    if let Some(name) = of_server(class, args) {
        return Some(name);
    }
    if class.starts_with(STARTERS) {
        return folder();
    }
    let mut names = class.rsplit('.');
    let own = names.next()?;
    if !GENERIC.contains(&own) {
        return Some(own.to_owned());
    }
    let package = names.next().map(str::to_owned);
    package.or_else(folder).or_else(|| Some(own.to_owned()))
}

/// By the archive.
pub(super) fn by_archive(path: &Path, args: &[String], around: &dyn Around) -> Option<String> {
    let of_server = file_name(path).and_then(|name| of_server(name, args));
    of_server.or_else(|| script_name(Interpreter::Java, path, around))
}

fn of_server(starter: &str, args: &[String]) -> Option<String> {
    let properties = SERVERS.iter().filter(|(of, _)| *of == starter);
    let mut folders = properties.filter_map(|(_, property)| {
        let values = args.iter().filter_map(|arg| arg.strip_prefix("-D"));
        let mut values = values.filter_map(|arg| arg.strip_prefix(property)?.strip_prefix('='));
        file_name(Path::new(values.next()?))
    });
    folders.next().map(str::to_owned)
}
