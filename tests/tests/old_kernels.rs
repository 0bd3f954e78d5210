//! What only old kernels have wirespan do, on this one: bpf(2) is played as Linux 4.18 had it, and
//! the one way to read memory that those have is kept from what no process may see.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use wirespan::recording::Reader;
use wirespan_common::record::{Body, Direction};
use wirespan_tests::daemon::{Daemon, binary, command};
use wirespan_tests::examination::{examined, of};
use wirespan_tests::old_kernel::OldKernel;
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::tls::{self, Certificates};
use wirespan_tests::visits::{assert_told, visit};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::{self, Server, python};

/// No kernel of that age describes its types.
const UNTOLD: (&str, &str) = ("WIRESPAN_BTF", "observe");
/// A ring buffer, as [`OldKernel`] calls it.
const RING: &str = "a map of type 27";

/// The daemon with nothing forced, whatever the tests are run with, and the kernel that it finds.
fn under_old_kernel() -> (Command, OldKernel) {
    let mut command = tied(binary());
    command.env(UNTOLD.0, UNTOLD.1);
    let kernel = OldKernel::around(&mut command);
    (command, kernel)
}

fn assert_has_no_ring(kernel: &OldKernel) {
    let refused = kernel.refused();
    assert!(refused.iter().any(|it| it == RING), "{refused:?}");
}

#[test]
fn where_bpf_is_as_in_4_18_the_daemon_falls_back_by_itself() {
    let server = Server::python();
    let (command, kernel) = under_old_kernel();
    let pid = server.process.pid().to_string();
    let settings = [("BEYLA_TARGET_PID", &*pid), ("WIRESPAN_SHARDS", "2")];
    let daemon = Daemon::start_by(command, &[], &settings);
    let count = visit(|target| server.url(target));
    daemon.wait_for_count(count);
    let finished = daemon.stop();
    assert_has_no_ring(&kernel);
    let spans: Vec<_> = finished.spans.iter().collect();
    assert_told("an old kernel", server.truth(count), &spans);
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    for said in [
        "capturing as old kernels can",
        "newer kernels have more",
        "perf buffers have no shards",
    ] {
        let says = |line: &&String| line.contains(said);
        let lines = finished.log.iter().filter(says).count();
        assert_eq!(lines, 1, "{said}: {}", finished.story());
    }
}

#[test]
fn what_rustls_and_openssl_encrypt_is_told_there_too() {
    let certificates = Certificates::create();
    let program = workload::binary("hyper-server");
    for mut server in [
        tls::hyper_server(&certificates, &program),
        tls::plain_python_server(&certificates),
    ] {
        let (command, kernel) = under_old_kernel();
        let _ = tls::served_by(command, &mut server);
        assert_has_no_ring(&kernel);
    }
}

#[test]
fn doctor_says_there_what_is_left_out_and_why() {
    let (command, kernel) = under_old_kernel();
    let (code, checks, last) = examined(command, &[]);
    assert_eq!(code, Some(0), "{checks:#} {last}");
    assert_has_no_ring(&kernel);
    let (grade, found) = of(&checks, "records");
    assert_eq!(grade, "WARN", "{found}");
    for said in ["perf buffers", "tasks of runtimes", "silent", "because"] {
        assert!(found.contains(said), "{said}: {found}");
    }
}

/// Where the kernel's code begins, for whoever may know.
fn code_of_kernel() -> String {
    let symbols = std::fs::read_to_string("/proc/kallsyms").expect("symbols");
    let line = symbols.lines().find(|line| line.ends_with(" T _stext"));
    let address = line.and_then(|line| line.split(' ').next());
    format!("0x{}", address.expect("it is among them"))
}

#[test]
fn a_process_that_points_at_the_kernel_has_nothing_copied_from_there() {
    const REQUESTS: usize = 3;
    let address = code_of_kernel();
    let server = Server::on(ports::free(), |port| {
        python("capture/pointing.py", &[port, &address])
    });
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("calls");
    let mut record = command();
    record.args(["record", path.to_str().expect("a path in UTF-8")]);
    record.env("BEYLA_TARGET_PID", server.process.pid().to_string());
    record.env("WIRESPAN_CAPTURE", "legacy");
    let mut recorder = Process::start("wirespan", &mut record);
    let ready = recorder.stderr.wait_for_line(LIMIT, "wirespan: ready");
    assert!(ready.is_some(), "{}", recorder.story());
    for number in 0..REQUESTS {
        let mut wire = Wire::connect(server.port);
        workload::eventually("it points there", || {
            let said = server.process.stdout.all();
            said.iter().filter(|line| *line == "pointed").count() > number
        });
        wire.send("GET /pointed HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(wire.answer(false).body, 2);
    }
    recorder.signal(Signal::TERM);
    assert!(recorder.wait().success(), "{}", recorder.story());
    let log = recorder.stderr.all().join("\n");
    assert!(log.contains("unreadable_memory"), "{log}");
    let (copied, answers) = copied(&path);
    assert_eq!(answers, REQUESTS, "{}", recorder.story());
    assert_eq!(copied, [] as [Vec<u8>; 0], "what was read is the kernel's");
}

/// What was copied of what was read, and how much there was of what was written.
fn copied(recording: &Path) -> (Vec<Vec<u8>>, usize) {
    let input = std::fs::File::open(recording).expect("there");
    let mut reader = Reader::new(std::io::BufReader::new(input)).expect("a recording");
    let (mut copied, mut answers) = (Vec::new(), 0);
    while reader
        .read_record(|record| {
            if let Body::Chunk {
                direction, bytes, ..
            } = record.body
            {
                match direction {
                    Direction::Ingress => copied.push(bytes.to_vec()),
                    Direction::Egress => answers += 1,
                }
            }
        })
        .expect("whole")
    {}
    (copied, answers)
}
