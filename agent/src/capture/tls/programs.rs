//! The attach table of TLS libraries: which program goes where. It attaches nothing.

use wirespan_common::probes;

use crate::discover::runtimes::{TaskPoint, TaskProbe};
use crate::discover::tls::{End, Function, FunctionSite};

/// Where a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub program: &'static str,
    /// In the file, in bytes.
    pub offset: u64,
}

/// Programs that hand plaintext on, and what they are called where frames can't be walked.
const PLAIN: [(&str, &str); 9] = [
    ("tls_return", "tls_return_plain"),
    ("tls_ret", "tls_ret_plain"),
    ("go_write_enter", "go_write_enter_plain"),
    ("go_ret", "go_ret_plain"),
    ("go_read_deferred", "go_read_deferred_plain"),
    ("rustls_consume_enter", "rustls_consume_enter_plain"),
    (
        "rustls_reader_consume_enter",
        "rustls_reader_consume_enter_plain",
    ),
    ("rustls_return", "rustls_return_plain"),
    ("rustls_ret", "rustls_ret_plain"),
];

impl Place {
    /// The same place, and the program for a kernel that can walk frames or not.
    #[must_use]
    pub fn on(self, can_walk: bool) -> Self {
        let plain = PLAIN.iter().find(|(program, _)| *program == self.program);
        match plain {
            Some((_, program)) if !can_walk => Self { program, ..self },
            _ => self,
        }
    }
}

/// Places of one program that one link is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub program: &'static str,
    /// Whether it is run when functions that begin there return.
    pub on_return: bool,
    /// In the file, in bytes.
    pub offsets: Vec<u64>,
    /// What it is told of each of them.
    pub cookies: Vec<u64>,
}

/// Programs that only note what a call of a library in C begins with, and what the program that
/// serves for all of them is told instead.
const COOKIES: [(&str, u64); 12] = [
    ("ssl_read_enter", probes::SSL_READ),
    ("ssl_read_ex_enter", probes::SSL_READ_EX),
    ("ssl_read_inner_enter", probes::SSL_READ_INNER),
    ("ssl_write_enter", probes::SSL_WRITE),
    ("ssl_write_ex_enter", probes::SSL_WRITE_EX),
    ("ssl_sendfile_enter", probes::SSL_SENDFILE),
    ("ssl_handshake_enter", probes::HANDSHAKE),
    ("ssl_set_fd_enter", probes::SSL_SET_FD),
    ("ssl_free_enter", probes::FREE),
    ("gnutls_recv_enter", probes::GNUTLS_RECV),
    ("gnutls_send_enter", probes::GNUTLS_SEND),
    ("gnutls_uncork_enter", probes::GNUTLS_UNCORK),
];

/// The program for all of [`COOKIES`].
const FOR_ALL: &str = "tls_enter";

/// The places by program, for a kernel that puts one on many places, in the order of `places`.
pub fn groups(places: &[Place]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for place in places {
        let cookie = COOKIES
            .iter()
            .find(|(program, _)| *program == place.program);
        let (program, cookie) = match cookie {
            Some((_, cookie)) => (FOR_ALL, *cookie),
            None => (place.program, 0),
        };
        let index = match groups.iter().position(|group| group.program == program) {
            Some(index) => index,
            None => {
                groups.push(Group {
                    program,
                    on_return: ON_RETURN.contains(&program),
                    offsets: Vec::new(),
                    cookies: Vec::new(),
                });
                groups.len() - 1
            }
        };
        groups[index].offsets.push(place.offset);
        groups[index].cookies.push(cookie);
    }
    groups
}

/// Programs for return probes.
const ON_RETURN: [&str; 2] = ["tls_return", "rustls_return"];

/// The programs of a function.
struct Programs {
    /// When it begins.
    entry: &'static str,
    /// When it ends: as a return probe, and on return instructions.
    end: Option<(&'static str, &'static str)>,
}

/// Places of a function's programs. Ends come first: a beginning whose end is not seen is worse
/// than an end whose beginning was not.
pub fn places(site: &FunctionSite) -> impl Iterator<Item = Place> {
    let Programs { entry, end } = programs_of(site.function);
    let ends = match (end, &site.end) {
        (Some((program, _)), End::ReturnProbe) => vec![Place {
            program,
            offset: site.entry,
        }],
        (Some((_, program)), End::Instructions(offsets)) => offsets
            .iter()
            .map(|&offset| Place { program, offset })
            .collect(),
        (None, _) | (_, End::NotNeeded) => Vec::new(),
    };
    ends.into_iter().chain(std::iter::once(Place {
        program: entry,
        offset: site.entry,
    }))
}

/// The place of a probe on tasks.
pub fn task_place(probe: &TaskProbe) -> Place {
    Place {
        program: program_of(probe.point),
        offset: probe.offset,
    }
}

fn program_of(point: TaskPoint) -> &'static str {
    match point {
        TaskPoint::GoGoroutine => "go_goroutine",
        TaskPoint::GoOnItsOwn => "go_on_its_own",
        TaskPoint::GoRoundTrip => "go_round_trip",
        TaskPoint::GoRunHandler => "go_run_handler",
        TaskPoint::GoGrpcWrite => "go_grpc_write",
        TaskPoint::GoGrpcHandle => "go_grpc_handle",
        TaskPoint::PythonCopied => "python_copied",
        TaskPoint::PythonPut => "python_put",
        TaskPoint::PythonGot => "python_got",
        TaskPoint::TokioBorn => "tokio_born",
        TaskPoint::TokioPut => "tokio_put",
        TaskPoint::TokioPutInBlock => "tokio_put_in_block",
        TaskPoint::TokioPassesOn => "tokio_passes_on",
        TaskPoint::TokioAsks => "tokio_asks",
        TaskPoint::TokioAnswers => "tokio_answers",
        TaskPoint::TokioAnswersBySecond => "tokio_answers_by_second",
    }
}

/// Ends of functions of C.
const C_ENDS: Option<(&str, &str)> = Some(("tls_return", "tls_ret"));

/// Ends of functions of rustls, whose results are in two registers.
const RUSTLS_ENDS: Option<(&str, &str)> = Some(("rustls_return", "rustls_ret"));

fn programs_of(function: Function) -> Programs {
    let (entry, end) = match function {
        Function::SslRead => ("ssl_read_enter", C_ENDS),
        Function::SslReadEx => ("ssl_read_ex_enter", C_ENDS),
        Function::SslReadInner => ("ssl_read_inner_enter", C_ENDS),
        Function::SslWrite => ("ssl_write_enter", C_ENDS),
        Function::SslWriteEx | Function::SslWriteInner => ("ssl_write_ex_enter", C_ENDS),
        Function::SslSendfile => ("ssl_sendfile_enter", C_ENDS),
        Function::SslDoHandshake | Function::GnutlsHandshake => ("ssl_handshake_enter", C_ENDS),
        Function::SslSetFd => ("ssl_set_fd_enter", None),
        Function::SslFree | Function::GnutlsDeinit => ("ssl_free_enter", None),
        Function::GnutlsRecordRecv | Function::GnutlsRecordRecvEarlyData => {
            ("gnutls_recv_enter", C_ENDS)
        }
        Function::GnutlsRecordSend
        | Function::GnutlsRecordSend2
        | Function::GnutlsRecordSendEarlyData => ("gnutls_send_enter", C_ENDS),
        Function::GnutlsRecordUncork => ("gnutls_uncork_enter", C_ENDS),
        Function::GoConnReadDeferred => ("go_read_deferred", None),
        Function::GoConnRead => ("go_read_enter", Some(("go_ret", "go_ret"))),
        Function::GoConnWrite => ("go_write_enter", None),
        Function::GoConnClose => ("go_close_enter", None),
        Function::RustlsRead => ("rustls_read_enter", RUSTLS_ENDS),
        Function::RustlsReaderConsume => ("rustls_reader_consume_enter", None),
        Function::RustlsConsume => ("rustls_consume_enter", None),
        Function::RustlsSendAppdata => ("rustls_send_enter", RUSTLS_ENDS),
    };
    Programs { entry, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_functions_in_c_are_one_group() {
        let place = |program, offset| Place { program, offset };
        let found = groups(&[
            place("tls_return", 10),
            place("ssl_read_enter", 10),
            place("tls_return", 20),
            place("ssl_write_enter", 20),
            place("go_ret", 30),
        ]);
        let group = |program, on_return, offsets: &[u64], cookies: &[u64]| Group {
            program,
            on_return,
            offsets: offsets.to_vec(),
            cookies: cookies.to_vec(),
        };
        let cookies = [probes::SSL_READ, probes::SSL_WRITE];
        let expected = [
            group("tls_return", true, &[10, 20], &[0, 0]),
            group("tls_enter", false, &[10, 20], &cookies),
            group("go_ret", false, &[30], &[0]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn each_cookie_stands_for_one_program() {
        for (index, (program, cookie)) in COOKIES.iter().enumerate() {
            assert!(
                COOKIES[index + 1..]
                    .iter()
                    .all(|(other, of)| other != program && of != cookie)
            );
        }
    }

    #[test]
    fn a_function_has_a_program_at_its_entry_and_one_at_each_end() {
        let site = |end| FunctionSite {
            function: Function::SslRead,
            entry: 16,
            end,
        };
        let at = |program, offset| Place { program, offset };
        let found: Vec<_> = places(&site(End::ReturnProbe)).collect();
        assert_eq!(found, [at("tls_return", 16), at("ssl_read_enter", 16)]);
        let found: Vec<_> = places(&site(End::Instructions(vec![20, 30]))).collect();
        let expected = [
            at("tls_ret", 20),
            at("tls_ret", 30),
            at("ssl_read_enter", 16),
        ];
        assert_eq!(found, expected);
    }
}
