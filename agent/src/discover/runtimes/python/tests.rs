//! Interpreters of the machine that the tests run on. What is read off their code is compared with
//! what their versions are known to have.

use std::path::Path;

use wirespan_common::record::TaskKind;

use super::super::super::tls::image::InMemory;
use super::super::{RuntimePlace, RuntimeTasks, RuntimeVerdict, TaskPoint, analyse};

fn tasks(path: &Path) -> RuntimeTasks {
    let bytes = std::fs::read(path).expect("it is installed");
    match analyse(&InMemory(&bytes), path) {
        RuntimeVerdict::Known(tasks) => tasks,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn debians_interpreter_is_understood() {
    let tasks = tasks(Path::new("/usr/bin/python3.11"));
    assert_eq!(tasks.kind, TaskKind::PythonContext);
    let [key, values, context, kind, entered, register, ..] = tasks.places;
    assert!(matches!(key, RuntimePlace::Address { .. }));
    assert!(matches!(kind, RuntimePlace::Address { .. }));
    assert_eq!(values, RuntimePlace::Value(0x310));
    // `offsetof` of Debian's headers.
    assert_eq!(context, RuntimePlace::Value(224));
    assert_eq!(entered, RuntimePlace::Value(40));
    assert_eq!(register, RuntimePlace::Value(3));
    assert!(!tasks.is_part);
    let points: Vec<_> = tasks.probes.iter().map(|probe| probe.point).collect();
    assert_eq!(points, [TaskPoint::PythonCopied]);
}

#[test]
fn queues_are_found_without_symbols() {
    let directory = Path::new("/usr/lib/python3.11/lib-dynload");
    let tasks = tasks(&directory.join("_queue.cpython-311-x86_64-linux-gnu.so"));
    assert!(tasks.is_part);
    let count = |point| tasks.probes.iter().filter(|it| it.point == point).count();
    assert_eq!(count(TaskPoint::PythonPut), 2);
    assert!(count(TaskPoint::PythonGot) >= 1);
}

#[test]
fn what_only_sounds_like_it_is_not() {
    let bytes = std::fs::read("/bin/true").expect("it is there");
    let verdict = analyse(&InMemory(&bytes), Path::new("/usr/bin/python3.11"));
    assert_eq!(verdict, RuntimeVerdict::Nothing);
    let verdict = analyse(&InMemory(&bytes), Path::new("/x/_queue.so"));
    assert!(matches!(verdict, RuntimeVerdict::Unknown(_)), "{verdict:?}");
}
