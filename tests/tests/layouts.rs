//! Where the kernel keeps its structures, if it does not say so itself: found by looking, which has
//! to come to what the kernel says wherever it says anything; and by files, of which those of other
//! kernels are refused.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use wirespan::capture::kernel_layout::{
    Mismatch, Trigger, described_by_kernel, observed, parse, tried,
};
use wirespan_common::config::Offsets;
use wirespan_tests::daemon::{Daemon, Finished, binary, command, run_to_end};
use wirespan_tests::ports;
use wirespan_tests::process::tied;
use wirespan_tests::spans::Kind;
use wirespan_tests::workload::{Server, curl};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

fn lines(offsets: &Offsets) -> Vec<String> {
    let lines = format!("{offsets:#?}");
    lines.lines().map(|line| line.trim().to_owned()).collect()
}

/// Alone in its process while it runs: it counts threads.
#[test]
fn what_is_found_by_looking_is_what_the_kernel_says() {
    let said = described_by_kernel().expect("this machine's kernel describes itself");
    tried(said).expect("its own is right");
    for trigger in [Trigger::OnDemand, Trigger::SystemCall] {
        let (found, lacks) = observed(Some(trigger)).unwrap_or_else(|why| {
            panic!("{trigger:?}: {why}");
        });
        let mut wanted = said;
        for (feature, why) in &lacks {
            println!("{trigger:?}: not found: {feature}: {why}");
            feature.take_from(&mut wanted);
        }
        assert_eq!(lines(&found), lines(&wanted), "{trigger:?}");
        tried(found).unwrap_or_else(|why| panic!("{trigger:?}: {why}"));
    }
}

/// Each member on its own, a word further on.
#[test]
fn a_layout_that_is_wrong_anywhere_is_refused() {
    /// What does not show in a thread that lives, and has no ring and no TLS in the kernel, or
    /// where something else serves as well.
    const UNSEEN: [&str; 6] = [
        // Nothing was lost yet.
        "tcp_sock_bytes_retrans",
        // Its neighbour counts threads as well, in the same place.
        "task_struct_signal",
        // Of two counts of the same either serves.
        "signal_struct_live",
        "task_struct_exit_code",
        "task_struct_io_uring",
        "inet_connection_sock_icsk_ulp_ops",
    ];
    let said = described_by_kernel().expect("this machine's kernel describes itself");
    for (name, wrong) in moved(said) {
        if UNSEEN.iter().any(|unseen| name.starts_with(unseen)) {
            continue;
        }
        match tried(wrong) {
            Err(Mismatch::Differs { .. }) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Layouts of which one member each is elsewhere, with its name.
fn moved(said: Offsets) -> Vec<(String, Offsets)> {
    use zerocopy::{FromBytes, IntoBytes};

    let words = said.as_bytes().chunks_exact(4);
    let words: Vec<u32> = words
        .map(|it| u32::from_ne_bytes([it[0], it[1], it[2], it[3]]))
        .collect();
    let names = lines(&said);
    let mut all = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let name = names[index + 1].clone();
        // What this kernel has not, and the rest of which is 0 with it.
        let other = ["file_f_ep", "epitem", "tcp_sock_bytes"];
        if *word == 0 && other.iter().any(|it| name.starts_with(it)) {
            continue;
        }
        let mut words = words.clone();
        words[index] = if name.contains("mask") {
            0xff00
        } else {
            word + 8
        };
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        all.push((name, Offsets::read_from_bytes(&bytes).expect("as long")));
    }
    all
}

#[test]
fn a_description_that_is_cut_or_changed_is_refused_or_read() {
    let whole = fs::read(VMLINUX).expect("this machine's kernel describes itself");
    for part in 0..64 {
        assert!(
            parse(&whole[..whole.len() * part / 64]).is_err(),
            "{part}/64"
        );
    }
    // Whatever it says then, it is tried before it is used.
    for part in 0..64 {
        let mut changed = whole.clone();
        let at = 24 + (changed.len() - 24) * part / 64;
        changed[at..]
            .iter_mut()
            .take(64)
            .for_each(|byte| *byte ^= 0x55);
        let _ = parse(&changed);
    }
}

/// Has the daemon, or what runs it, see no description of the kernel's types.
fn hidden(mut arguments: Vec<&str>) -> Command {
    const HIDE: &str =
        "mount --make-rprivate / && mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"";
    let mut command = tied("unshare");
    command.args(["--mount", "sh", "-c", HIDE]).arg(binary());
    command.args(arguments.drain(..));
    command
}

/// The check of this name in what `doctor` says: grade and finding.
fn doctor(mut command: Command, setting: Option<&str>) -> (String, String) {
    command.envs(setting.map(|value| ("WIRESPAN_BTF", value)));
    let (_, printed, log) = run_to_end(&mut command);
    let checks: Value = serde_json::from_str(&printed.join("\n"))
        .unwrap_or_else(|error| panic!("{error}: {printed:?} {log:?}"));
    let checks = checks.as_array().expect("a list");
    let found = checks.iter().find(|it| it["check"] == "kernel types (BTF)");
    let found = found.unwrap_or_else(|| panic!("{checks:#?}"));
    let text = |name: &str| found[name].as_str().expect("a text").to_owned();
    (text("grade"), text("found"))
}

fn doctor_without_types(setting: Option<&str>) -> (String, String) {
    doctor(hidden(vec!["doctor", "--json"]), setting)
}

#[test]
fn doctor_names_who_says_it() {
    let by = |mut command: Command, setting| {
        command.args(["doctor", "--json"]);
        doctor(command, setting)
    };
    let (grade, found) = by(tied(binary()), None);
    assert_eq!(grade, "PASS", "{found}");
    assert!(
        found.starts_with("known by /sys/kernel/btf/vmlinux, and tried"),
        "{found}"
    );
    let (grade, found) = by(tied(binary()), Some("observe"));
    assert_eq!(grade, "PASS", "{found}");
    assert!(
        found.starts_with("known by observation of own sockets, and tried"),
        "{found}"
    );
    let (grade, found) = doctor_without_types(None);
    assert_eq!(grade, "PASS", "{found}");
    assert!(found.starts_with("known by observation"), "{found}");
    assert!(
        found.contains("not by /sys/kernel/btf/vmlinux: No such file"),
        "{found}"
    );
}

/// An ELF file that has nothing but a description.
fn in_elf(to: &Path, types: &Path) {
    let source = to.with_extension("c");
    File::create(&source).expect("a file");
    let object = to.with_extension("o");
    let run = |command: &mut Command| {
        let status = command.status();
        assert!(
            status.as_ref().is_ok_and(std::process::ExitStatus::success),
            "{status:?}"
        );
    };
    run(Command::new("cc")
        .arg("-c")
        .arg(&source)
        .arg("-o")
        .arg(&object));
    let section = format!(".BTF={}", types.display());
    run(Command::new("objcopy")
        .args(["--add-section", &section])
        .arg(&object)
        .arg(to));
}

/// A folder as BTFHub's archive is laid out, with this file for the running kernel.
fn archived(folder: &Path, types: &Path) -> PathBuf {
    let os = fs::read_to_string("/etc/os-release").expect("it says which distribution this is");
    let value = |name: &str| {
        let line = os
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name}"))
            .trim_matches('"')
            .to_owned()
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let release = release.trim();
    let place = folder
        .join(value("ID"))
        .join(value("VERSION_ID"))
        .join("x86_64");
    fs::create_dir_all(&place).expect("a folder");
    let archive = place.join(format!("{release}.btf.tar.xz"));
    let folder = types.parent().expect("a folder");
    let name = types.file_name().expect("a name");
    let mut command = Command::new("tar");
    command
        .arg("-cJf")
        .arg(&archive)
        .arg("-C")
        .arg(folder)
        .arg(name);
    assert!(command.status().is_ok_and(|status| status.success()));
    archive
}

#[test]
fn files_are_read_raw_in_elf_and_in_archives() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = |name: &str| folder.path().join(name);
    let raw = at("raw.btf");
    fs::copy(VMLINUX, &raw).expect("copied");
    let elf = at("elf.btf");
    in_elf(&elf, &raw);
    let archives = at("archives");
    let archive = archived(&archives, &elf);
    for path in [&raw, &elf, &archives, &archive] {
        let text = path.display().to_string();
        let (grade, found) = doctor_without_types(Some(&text));
        assert_eq!(grade, "PASS", "{found}");
        assert!(
            found.starts_with(&format!("known by WIRESPAN_BTF={text}, and tried")),
            "{found}"
        );
    }
}

#[test]
fn files_that_are_not_this_kernels_are_refused_in_a_line() {
    let folder = tempfile::tempdir().expect("a directory");
    let whole = fs::read(VMLINUX).expect("this machine's kernel describes itself");
    let with = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    let cut = with("cut", &whole[..whole.len() / 2]);
    let text = with("text", b"no types at all");
    let empty = with("empty", b"");
    let foreign = with("foreign", &of_another_kernel(&whole));
    let archive = with(
        "archive",
        b"\xfd7zXZ\0 and then nothing that is any such thing",
    );
    let nowhere = folder.path().join("nowhere");
    let unfitting = folder.path().join("folder");
    fs::create_dir(&unfitting).expect("a folder");
    let endless = folder.path().join("endless");
    symlink("/dev/zero", &endless).expect("a link");
    for (path, says) in [
        (cut, "it is malformed"),
        (text, "it is neither BTF nor an ELF file"),
        (empty, "it is no BTF file"),
        (foreign, "it is not this kernel's: "),
        (archive, ""),
        (nowhere, "No such file"),
        (unfitting, "it has no "),
        (endless, "it is no BTF file"),
    ] {
        let setting = path.display().to_string();
        let (grade, found) = doctor_without_types(Some(&setting));
        assert_eq!(grade, "WARN", "{found}");
        assert!(found.starts_with("known by observation"), "{found}");
        let refusal = format!("not by WIRESPAN_BTF={setting}: {says}");
        assert!(found.contains(&refusal), "{refusal} in {found}");
        assert!(!found.contains('\n'), "{found}");
    }
}

/// The same types, with the members of `struct socket` and whatever lies behind them elsewhere: all
/// offsets of members named `sk` are a word further on.
fn of_another_kernel(whole: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_ne_bytes(whole[at..at + 4].try_into().expect("four bytes"));
    let header = word(4) as usize;
    let strings = header + word(16) as usize;
    let name = |wanted: &[u8]| {
        let wanted = [b"\0", wanted, b"\0"].concat();
        let names = &whole[strings..];
        let at = names.windows(wanted.len()).position(|it| it == wanted);
        at.expect("a name") as u32 + 1
    };
    let (socket, sk) = (name(b"socket"), name(b"sk"));
    let types = header + word(8) as usize..strings;
    let mut changed = whole.to_vec();
    let mut at = types.start;
    while at + 12 <= types.end {
        let (kind, count) = (word(at + 4) >> 24 & 0x1f, word(at + 4) as usize & 0xffff);
        let rest = at + 12;
        if kind == 4 && word(at) == socket {
            for member in (0..count).map(|index| rest + index * 12) {
                if word(member) == sk {
                    let moved = word(member + 8) + 64;
                    changed[member + 8..member + 12].copy_from_slice(&moved.to_ne_bytes());
                }
            }
        }
        at = rest
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * count,
                6 | 13 => 8 * count,
                _ => 0,
            };
    }
    assert_ne!(changed, whole);
    changed
}

/// Asks a server over plain HTTP, and expects the spans of it.
fn tells_what_was_served(command: Command, settings: &[(&str, &str)]) -> Finished {
    let server = Server::python();
    let port = server.port.to_string();
    let settings: Vec<_> = settings
        .iter()
        .copied()
        .chain([("BEYLA_OPEN_PORT", &*port)])
        .collect();
    let daemon = Daemon::start_by(command, &[], &settings);
    daemon.wait_until_watching(server.process.pid());
    for index in 0..5 {
        let _ = curl(&[&format!("http://127.0.0.1:{port}/{index}")]);
    }
    daemon.wait_for_count(5);
    let finished = daemon.stop();
    let mut paths: Vec<_> = finished
        .spans
        .iter()
        .filter(|span| span.kind == Kind::Server)
        .filter_map(|span| span.get("url.path").map(str::to_owned))
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        ["/0", "/1", "/2", "/3", "/4"],
        "{}",
        finished.story()
    );
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    finished
}

/// The log says by whom the layout is known.
fn assert_observed(finished: &Finished) {
    let said = "the kernel's layout is known by observation of own sockets";
    assert!(
        finished.log.iter().any(|line| line.contains(said)),
        "{}",
        finished.story()
    );
}

#[test]
fn spans_are_right_by_a_layout_that_was_observed() {
    let finished = tells_what_was_served(command(), &[("WIRESPAN_BTF", "observe")]);
    assert_observed(&finished);
}

#[test]
fn a_run_needs_no_description_of_the_kernel() {
    let finished = tells_what_was_served(hidden(Vec::new()), &[]);
    assert_observed(&finished);
}

#[test]
fn a_path_that_is_not_absolute_is_a_wrong_setting() {
    let port = ports::free().to_string();
    let mut command = command();
    command.envs([
        ("BEYLA_OPEN_PORT", &*port),
        ("BEYLA_TRACE_PRINTER", "text"),
        ("WIRESPAN_BTF", "vmlinux"),
    ]);
    let (code, _, log) = run_to_end(&mut command);
    assert_eq!(code, Some(2), "{log:?}");
    assert!(
        log[0].contains("WIRESPAN_BTF") && log[0].contains("observe"),
        "{log:?}"
    );
    let _ = std::io::stdout().flush();
}
