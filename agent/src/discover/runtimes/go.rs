//! Go: goroutines. The one that runs on a thread is in a register (since Go 1.17), so that finding
//! it takes nothing; when goroutines begin and end, and which of them asks or serves, is told by
//! probes. All of it is found by the runtime's own table of functions, which stripped programs have
//! too, and the offsets of what is read by the code of two functions.
//!
//! What the places of a [`RuntimeTasks`] are: `g.m`, `m.curg`, `g.startpc`, then begin and length
//! of what makes goroutines and of what ends them; where a stream of gRPC has its number, 0 for its
//! beginning.

use std::path::Path;

use wirespan_common::record::TaskKind;

use super::super::tls::go::{FunctionTable, begins_as_known, is_go, too_old};
use super::super::tls::image::{Damaged, Image};
use super::super::tls::symbols::Symbol;
use super::{RuntimePlace, RuntimeTasks, RuntimeVerdict, TaskPoint, TaskProbe};
use crate::arch;

/// A function that something is to be known of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    SystemStack,
    IsSystemGoroutine,
    Makes,
    Ends,
    /// In versions that have a function before it.
    EndsOtherwise,
    Point(TaskPoint),
    /// It tells where a stream of gRPC has its number, as the client's does, which is a point.
    GrpcServerWrite,
}

use TaskPoint::{GoGrpcHandle, GoGrpcWrite, GoOnItsOwn, GoRoundTrip, GoRunHandler};
use Wanted::{Ends, EndsOtherwise, GrpcServerWrite, IsSystemGoroutine, Makes, Point, SystemStack};

/// Functions by their names in the table.
const WANTED: &[(&str, Wanted)] = &[
    ("runtime.systemstack", SystemStack),
    ("runtime.systemstack.abi0", SystemStack),
    ("runtime.isSystemGoroutine", IsSystemGoroutine),
    ("runtime.newproc1", Makes),
    ("runtime.gdestroy", Ends),
    ("runtime.goexit0", EndsOtherwise),
    ("net/http.(*persistConn).roundTrip", Point(GoRoundTrip)),
    ("net/http.(*persistConn).readLoop", Point(GoOnItsOwn)),
    ("net/http.(*persistConn).writeLoop", Point(GoOnItsOwn)),
    (
        "net/http.(*http2serverConn).runHandler",
        Point(GoRunHandler),
    ),
    (
        "net/http/internal/http2.(*serverConn).runHandler",
        Point(GoRunHandler),
    ),
    (
        "golang.org/x/net/http2.(*serverConn).runHandler",
        Point(GoRunHandler),
    ),
    (
        "google.golang.org/grpc/internal/transport.(*loopyWriter).run",
        Point(GoOnItsOwn),
    ),
    (
        "google.golang.org/grpc/internal/transport.(*http2Client).Write",
        Point(GoGrpcWrite),
    ),
    (
        "google.golang.org/grpc/internal/transport.(*http2Client).write",
        Point(GoGrpcWrite),
    ),
    (
        "google.golang.org/grpc/internal/transport.(*http2Server).Write",
        GrpcServerWrite,
    ),
    (
        "google.golang.org/grpc/internal/transport.(*http2Server).write",
        GrpcServerWrite,
    ),
    (
        "google.golang.org/grpc.(*Server).handleStream",
        Point(GoGrpcHandle),
    ),
];

/// Functions of whatever has to do with connections, by which it is seen where the code begins.
const NEIGHBOURS: &str = "internal/poll.(*FD).";

/// Bytes of a function's begin that are looked at.
const HEAD_LEN: u64 = 192;
/// The same of what writes messages of gRPC.
const GRPC_WRITE_LEN: u64 = 1024;

pub(super) fn find(image: &Image<'_>, _: &Path) -> Result<RuntimeVerdict, Damaged> {
    if !is_go(image) {
        return Ok(RuntimeVerdict::Nothing);
    }
    if let Some(version) = too_old(image) {
        return Ok(RuntimeVerdict::Unknown(format!(
            "it was built with {version}; goroutines are known since Go 1.{}",
            arch::GO_REGISTERS_SINCE
        )));
    }
    let Some(table) = FunctionTable::find(image)? else {
        return unknown("its own table of functions is not one that wirespan knows");
    };
    let found = table.look_up(image, WANTED, NEIGHBOURS)?;
    let is_function = |what: Option<Wanted>, address| match what {
        // For these it is checked when they are used.
        Some(SystemStack | Ends | EndsOtherwise | GrpcServerWrite | Point(_)) => true,
        Some(IsSystemGoroutine | Makes) | None => begins_as_known(image, address),
    };
    let Some(functions) = table.placed(image, &found, is_function) else {
        return unknown("it can't be told where its code begins");
    };
    Ok(match tasks(image, &functions) {
        Ok(tasks) => RuntimeVerdict::Known(tasks),
        Err(reason) => RuntimeVerdict::Unknown(reason.to_owned()),
    })
}

fn unknown(reason: &str) -> Result<RuntimeVerdict, Damaged> {
    Ok(RuntimeVerdict::Unknown(reason.to_owned()))
}

fn tasks(image: &Image<'_>, functions: &[Symbol<Wanted>]) -> Result<RuntimeTasks, &'static str> {
    let only = |wanted| functions.iter().find(|symbol| symbol.what == wanted);
    let is_system = only(IsSystemGoroutine).ok_or("it has no runtime.isSystemGoroutine")?;
    let makes = only(Makes).ok_or("it has no runtime.newproc1")?;
    let ends = only(Ends).or_else(|| only(EndsOtherwise));
    let ends = ends.ok_or("it has no runtime.gdestroy or runtime.goexit0")?;
    let (m, curg) = only(SystemStack)
        .and_then(|symbol| head(image, symbol.address, symbol.len.min(HEAD_LEN)))
        .and_then(|code| arch::offsets_in_systemstack(&code))
        .ok_or("its runtime.systemstack is not as in known versions")?;
    let start = head(image, is_system.address, is_system.len.min(HEAD_LEN))
        .and_then(|code| arch::offset_in_is_system_goroutine(&code))
        .ok_or("its runtime.isSystemGoroutine is not as in known versions")?;
    let mut probes = vec![TaskProbe {
        point: TaskPoint::GoGoroutine,
        offset: jump_of(image, is_system.address)
            .ok_or("its runtime.isSystemGoroutine does not begin as in known versions")?,
    }];
    let stream_number = stream_number(image, functions);
    probes.extend(functions.iter().filter_map(|symbol| match symbol.what {
        Point(GoGrpcHandle | GoGrpcWrite) if stream_number.is_none() => None,
        // One that begins otherwise is left alone: its calls have no parent.
        Point(point) => Some(TaskProbe {
            point,
            offset: jump_of(image, symbol.address)?,
        }),
        _ => None,
    }));
    probes.sort_unstable();
    Ok(RuntimeTasks {
        kind: TaskKind::Goroutine,
        places: [
            RuntimePlace::Value(m),
            RuntimePlace::Value(curg),
            RuntimePlace::Value(start),
            RuntimePlace::address(image, makes.address),
            RuntimePlace::Value(makes.len),
            RuntimePlace::address(image, ends.address),
            RuntimePlace::Value(ends.len),
            RuntimePlace::Value(stream_number.unwrap_or_default()),
        ],
        is_part: false,
        probes,
    })
}

/// Where a stream of gRPC has its number; `None` if that is not known, and where what writes
/// messages does not agree.
fn stream_number(image: &Image<'_>, functions: &[Symbol<Wanted>]) -> Option<u64> {
    let writes = functions
        .iter()
        .filter(|symbol| matches!(symbol.what, Point(GoGrpcWrite) | GrpcServerWrite));
    let mut found = writes.map(|symbol| {
        let code = head(image, symbol.address, symbol.len.min(GRPC_WRITE_LEN))?;
        arch::offset_of_stream_number(&code)
    });
    let first = found.next()??;
    found.all(|other| other == Some(first)).then_some(first)
}

/// Where the jump of a function's prologue lies in the file.
fn jump_of(image: &Image<'_>, address: u64) -> Option<u64> {
    let head = head(image, address, HEAD_LEN)?;
    let at = arch::jump_of_stack_check(&head)?;
    image.code_offset(address + at as u64, 1)
}

/// The first bytes of a function, which may be shorter.
fn head(image: &Image<'_>, address: u64, len: u64) -> Option<Vec<u8>> {
    let offset = image.code_offset(address, 1)?;
    let len = (1..=len).rev();
    let mut fitting = len.filter(|len| image.code_offset(address, *len).is_some());
    image.read(offset, fitting.next()? as usize)
}
