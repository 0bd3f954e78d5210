//! What the path of a script or a folder says about what it belongs to.

use std::path::{Component, Path};

/// Folders that are part of how code is laid out, not of what it is.
const LAYOUT: [&str; 15] = [
    "src",
    "dist",
    "build",
    "lib",
    "libs",
    "bin",
    "out",
    "public",
    "server",
    "target",
    "quarkus-app",
    "deployments",
    "app",
    "current",
    "releases",
];

/// The last folder of a path that has a name of its own.
pub(super) fn folder_name(path: &Path) -> Option<String> {
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
        // Of releases each has its number, which is no service's name.
        .find(|name| !LAYOUT.contains(name) && !name.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
}

/// A file name without the extension of a script or archive; other dots are part of the name.
pub(super) fn stem(name: &str) -> &str {
    const EXTENSIONS: [&str; 22] = [
        "py", "pyc", "pyz", "js", "mjs", "cjs", "ts", "mts", "cts", "tsx", "jsx", "rb", "ru", "pl",
        "psgi", "php", "sh", "bash", "jar", "war", "dll", "exe",
    ];
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && EXTENSIONS.contains(&extension) => stem,
        _ => name,
    }
}

pub(super) fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}
