//! What is found of tokio in programs, which setting up the tests compiles.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::tls::image::{ImageKind, InMemory};
use super::*;

fn built(build: &str) -> PathBuf {
    let target = std::env::current_exe().expect("a test has a file");
    let target = target.ancestors().nth(3).expect("target/debug/deps");
    target.join(format!("tls/bin/links-tokio-{build}"))
}

fn found(program: &Path) -> RuntimeVerdict {
    let bytes = std::fs::read(program).expect("`cargo xtask setup test` compiled it");
    let bytes = InMemory(&bytes);
    let Ok(ImageKind::Image(image)) = Image::parse(&bytes) else {
        panic!("no ELF file");
    };
    find(&image, program).expect("it is not damaged")
}

#[test]
fn everything_is_found_however_the_program_was_optimised() {
    for build in ["plain", "thin", "fat", "oldest"] {
        let RuntimeVerdict::Known(tasks) = found(&built(build)) else {
            panic!("{build}: {:?}", found(&built(build)));
        };
        let has = |points: &[TaskPoint]| {
            let mut probes = tasks.probes.iter();
            assert!(
                probes.any(|it| points.contains(&it.point)),
                "{build}: {points:?}"
            );
        };
        has(&[TokioBorn]);
        has(&[TokioPut, TaskPoint::TokioPutInBlock]);
        has(&[TaskPoint::TokioPassesOn]);
        has(&[TaskPoint::TokioAsks]);
        has(&[TokioAnswers, TokioAnswersBySecond]);
        // Before where a thread's own memory ends.
        assert!(matches!(tasks.places[0], RuntimePlace::Value(at) if (at as i64) < 0));
        assert!(matches!(tasks.places[1], RuntimePlace::Address { .. }));
    }
}

#[test]
fn without_names_it_is_said_that_there_is_tokio() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("stripped");
    let mut strip = Command::new("strip");
    strip
        .arg("--strip-all")
        .arg("-o")
        .arg(&copy)
        .arg(built("fat"));
    assert!(strip.status().expect("it is there").success());
    let RuntimeVerdict::Unknown(reason) = found(&copy) else {
        panic!("{:?}", found(&copy));
    };
    assert!(reason.contains("no table of symbols"), "{reason}");
}

#[test]
fn who_has_no_tokio_has_none() {
    assert_eq!(found(Path::new("/bin/true")), RuntimeVerdict::Nothing);
}
