//! The virtual machine of the machine that the tests run on, which has no virtual threads.

use std::path::Path;

use wirespan_common::record::TaskKind;

use super::super::super::tls::image::{ImageKind, InMemory};
use super::super::analyse;
use super::*;

const DEBIANS: &str = "/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so";

fn debians() -> Vec<u8> {
    std::fs::read(DEBIANS).expect("it is installed")
}

fn without(mut bytes: Vec<u8>, function: &[u8]) -> Vec<u8> {
    let name = [b"\0", function, b"\0"].concat();
    let at = memchr::memmem::find(&bytes, &name).expect("it has it");
    bytes[at + 1] = b'-';
    bytes
}

fn verdict(bytes: &[u8]) -> RuntimeVerdict {
    analyse(&InMemory(bytes), Path::new("/opt/lib/server/libjvm.so"))
}

#[test]
fn of_what_has_no_virtual_threads_threads_are_the_tasks() {
    let RuntimeVerdict::Known(tasks) = verdict(&debians()) else {
        panic!("Debian's Java")
    };
    assert_eq!(tasks, of_kind(TaskKind::Thread, Default::default()));
}

#[test]
fn what_may_have_virtual_threads_and_is_not_known_shares_its_threads() {
    let bytes = without(debians(), WITHOUT_VIRTUAL);
    let RuntimeVerdict::Sharing(TaskKind::VirtualThread, reason) = verdict(&bytes) else {
        panic!("{:?}", verdict(&bytes))
    };
    assert!(reason.contains("another layout"), "{reason}");
    // Not even Java's.
    let bytes = std::fs::read("/proc/self/exe").expect("this test has a file");
    let found = verdict(&bytes);
    assert!(matches!(found, RuntimeVerdict::Sharing(..)), "{found:?}");
    let found = analyse(&InMemory(&debians()), Path::new("/opt/lib/libjava.so"));
    assert_eq!(found, RuntimeVerdict::Nothing);
}

#[test]
fn structures_and_the_current_thread_are_found_without_symbols() {
    let bytes = debians();
    let bytes = InMemory(&bytes);
    let Ok(ImageKind::Image(image)) = Image::parse(&bytes) else {
        panic!("it is no ELF file")
    };
    let relocations = Relocations::read(&image, RELOCATIONS_MAX).expect("a table");
    let structs = Structs::read(&image, &relocations).expect("not damaged");
    let structs = structs.unwrap_or_else(|reason| panic!("{reason}"));
    let offset = |structure, field| structs.offset(structure, field);
    assert_eq!(offset("OopHandle", "_obj"), Some(0));
    // Of Java 17: a thread's object stands behind the C library's thread, and no virtual one.
    let (own, os_thread) = (
        offset("JavaThread", "_threadObj").expect("told"),
        offset("JavaThread", "_osthread").expect("told"),
    );
    assert!(os_thread < own && own < 4096, "{os_thread} {own}");
    assert!(offset("OSThread", "_pthread_id").is_some_and(|it| it < 512));
    assert_eq!(offset("JavaThread", "_vthread"), None);
    let current_at = current_at(&image, &relocations).expect("not damaged");
    assert!(current_at.is_some_and(|at| relocations.is_module(at)));
}
