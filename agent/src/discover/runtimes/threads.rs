//! Programs whose calls may be linked by threads, because nothing is known by which their runtime
//! has a thread do several things at a time. It is no more than that: who is seen to do so is left
//! alone (`links` decides). It opens no file.

use std::path::Path;

use super::super::naming::Interpreter;

/// Languages whose runtimes put tasks of their own on threads, or serve all requests on one. Java's
/// virtual machine is looked at before it is known whether it does.
const OF_TASKS: [&str; 6] = ["go", "rust", "nodejs", "dotnet", "erlang", "java"];

/// Programs that serve many requests on one thread, and are known in another way or not at all.
/// Debian's Redis and Valkey have the server in the file of a tool of theirs.
const OF_EVENTS: [&str; 17] = [
    "nginx",
    "nginx-debug",
    "openresty",
    "freenginx",
    "angie",
    "tengine",
    "haproxy",
    "envoy",
    "redis-server",
    "redis-check-rdb",
    "redis-check-aof",
    "valkey-server",
    "valkey-check-rdb",
    "valkey-check-aof",
    "memcached",
    "squid",
    "varnishd",
];

/// Whether calls of such a program may be linked by the threads that make them.
#[must_use]
pub fn may_go_by_threads(language: Option<&str>, executable: &Path) -> bool {
    if matches!(
        Interpreter::of(executable),
        // A shell's commands are processes of their own, and none is asked for while it serves.
        Some(Interpreter::Deno | Interpreter::Bun | Interpreter::Shell)
    ) {
        return false;
    }
    let is_of_events = executable
        .file_name()
        .is_some_and(|name| OF_EVENTS.iter().any(|it| name == *it));
    !is_of_events && language.is_none_or(|language| !OF_TASKS.contains(&language))
}

/// Whether it is a shell.
#[must_use]
pub fn is_shell(executable: &Path) -> bool {
    Interpreter::of(executable) == Some(Interpreter::Shell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known_to_share_threads_does_not_go_by_them() {
        let may = |language: Option<&str>, path: &str| may_go_by_threads(language, Path::new(path));
        assert!(may(Some("ruby"), "/usr/bin/ruby3.1"));
        assert!(may(None, "/usr/sbin/apache2"));
        assert!(may(Some("cpp"), "/srv/pool"));
        assert!(!may(Some("go"), "/srv/shop"));
        assert!(!may(Some("java"), "/usr/bin/java"));
        assert!(!may(Some("nodejs"), "/usr/bin/node"));
        assert!(!may(None, "/usr/sbin/nginx"));
        assert!(!may(None, "/usr/local/bin/bun"));
        assert!(!may(None, "/usr/bin/redis-check-rdb"));
        assert!(!may(None, "/usr/bin/bash"));
    }
}
