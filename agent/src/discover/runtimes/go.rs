//! Go: goroutines. The one that runs on a thread is in a register (R14, since Go 1.17), so that
//! finding it takes nothing; when goroutines begin and end, and which of them asks or serves, is
//! told by probes. All of it is found by the runtime's own table of functions, which stripped
//! programs have too, and two offsets are read from code:
//!
//! - `runtime.systemstack` compares the goroutine with those of its thread, last with the one that
//!   it runs, and fetches that again behind its call (src/runtime/asm_amd64.s).
//! - `runtime.isSystemGoroutine` begins by looking up the function that a goroutine began with
//!   (src/runtime/traceback.go).
//!
//! What the places of a [`Tasks`] are: `g.m`, `m.curg`, `g.startpc`, then begin and length of what
//! makes goroutines and of what ends them.

use std::path::Path;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};
use wirespan_common::record::TaskKind;

use super::super::tls::go::{Table, begins_as_known, is_go, too_old};
use super::super::tls::image::{Damaged, Image};
use super::super::tls::symbols::Symbol;
use super::{Place, TaskPoint, TaskProbe, Tasks, Verdict};

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
}

use TaskPoint::{GoGrpcHandle, GoGrpcWrite, GoOnItsOwn, GoRoundTrip, GoRunHandler};
use Wanted::{Ends, EndsOtherwise, IsSystemGoroutine, Makes, Point, SystemStack};

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
        "google.golang.org/grpc.(*Server).handleStream",
        Point(GoGrpcHandle),
    ),
];

/// Functions of whatever has to do with connections, by which it is seen where the code begins.
const NEIGHBOURS: &str = "internal/poll.(*FD).";

/// Bytes of a function's begin that are looked at.
const HEAD_LEN: u64 = 192;

pub(super) fn find(image: &Image<'_>, _: &Path) -> Result<Verdict, Damaged> {
    if !is_go(image) {
        return Ok(Verdict::Nothing);
    }
    if let Some(version) = too_old(image) {
        return Ok(Verdict::Unknown(format!(
            "it was built with {version}; goroutines are known since Go 1.17"
        )));
    }
    let Some(table) = Table::find(image)? else {
        return unknown("its own table of functions is not one that wirespan knows");
    };
    let found = table.look_up(image, WANTED, NEIGHBOURS)?;
    let is_function = |what: Option<Wanted>, address| match what {
        // For these it is checked when they are used.
        Some(SystemStack | Ends | EndsOtherwise | Point(_)) => true,
        Some(IsSystemGoroutine | Makes) | None => begins_as_known(image, address),
    };
    let Some(functions) = table.placed(image, &found, is_function) else {
        return unknown("it can't be told where its code begins");
    };
    Ok(match tasks(image, &functions) {
        Ok(tasks) => Verdict::Known(tasks),
        Err(reason) => Verdict::Unknown(reason.to_owned()),
    })
}

fn unknown(reason: &str) -> Result<Verdict, Damaged> {
    Ok(Verdict::Unknown(reason.to_owned()))
}

fn tasks(image: &Image<'_>, functions: &[Symbol<Wanted>]) -> Result<Tasks, &'static str> {
    let only = |wanted| functions.iter().find(|symbol| symbol.what == wanted);
    let is_system = only(IsSystemGoroutine).ok_or("it has no runtime.isSystemGoroutine")?;
    let makes = only(Makes).ok_or("it has no runtime.newproc1")?;
    let ends = only(Ends).or_else(|| only(EndsOtherwise));
    let ends = ends.ok_or("it has no runtime.gdestroy or runtime.goexit0")?;
    let (m, curg) = only(SystemStack)
        .and_then(|symbol| offsets_of_systemstack(image, symbol))
        .ok_or("its runtime.systemstack is not as in known versions")?;
    let start = start_offset(image, is_system)
        .ok_or("its runtime.isSystemGoroutine is not as in known versions")?;
    let mut probes = vec![TaskProbe {
        point: TaskPoint::GoGoroutine,
        offset: jump_of(image, is_system.address)
            .ok_or("its runtime.isSystemGoroutine does not begin as in known versions")?,
    }];
    probes.extend(functions.iter().filter_map(|symbol| match symbol.what {
        // One that begins otherwise is left alone: its calls have no parent.
        Point(point) => Some(TaskProbe {
            point,
            offset: jump_of(image, symbol.address)?,
        }),
        _ => None,
    }));
    probes.sort_unstable();
    Ok(Tasks {
        kind: TaskKind::Goroutine,
        places: [
            Place::Value(m),
            Place::Value(curg),
            Place::Value(start),
            Place::address(image, makes.address),
            Place::Value(makes.len),
            Place::address(image, ends.address),
            Place::Value(ends.len),
            Place::None,
        ],
        probes,
    })
}

/// Where the jump of a function's prologue lies in the file: behind the check of the stack's size,
/// before anything else has happened. The kernel emulates it.
fn jump_of(image: &Image<'_>, address: u64) -> Option<u64> {
    if !begins_as_known(image, address) {
        return None;
    }
    let head = instructions(image, address, HEAD_LEN)?;
    let jump = head
        .iter()
        .take(3)
        .find(|it| it.flow_control() != FlowControl::Next)?;
    let is_it = matches!(jump.code(), Code::Jbe_rel8_64 | Code::Jbe_rel32_64);
    image
        .code_offset(jump.ip(), jump.len() as u64)
        .filter(|_| is_it)
}

/// `g.m` and `m.curg`.
fn offsets_of_systemstack(image: &Image<'_>, symbol: &Symbol<Wanted>) -> Option<(u64, u64)> {
    let code = instructions(image, symbol.address, symbol.len.min(HEAD_LEN))?;
    let loads = |it: &Instruction, to, from| {
        it.code() == Code::Mov_r64_rm64
            && it.op0_register() == to
            && it.op1_kind() == OpKind::Memory
            && it.memory_base() == from
            && it.memory_index() == Register::None
    };
    let m = code
        .iter()
        .find(|it| loads(it, Register::RBX, Register::RAX))?;
    let call = code
        .iter()
        .position(|it| it.flow_control() == FlowControl::Call)?;
    let compares = |it: &&Instruction| {
        matches!(it.code(), Code::Cmp_r64_rm64 | Code::Cmp_rm64_r64)
            && [it.op0_kind(), it.op1_kind()].contains(&OpKind::Memory)
            && it.memory_base() == Register::RBX
            && [it.op0_register(), it.op1_register()].contains(&Register::RAX)
    };
    let curg = code[..call].iter().rfind(compares)?.memory_displacement64();
    // What it runs again afterwards.
    let mut behind = code[call..].iter();
    let is_fetched = behind
        .any(|it| loads(it, Register::RAX, Register::RBX) && it.memory_displacement64() == curg);
    let m = m.memory_displacement64();
    (is_fetched && is_offset(m) && is_offset(curg)).then_some((m, curg))
}

/// `g.startpc`: the first that is read of the goroutine, and given to another function.
fn start_offset(image: &Image<'_>, symbol: &Symbol<Wanted>) -> Option<u64> {
    let code = instructions(image, symbol.address, symbol.len.min(HEAD_LEN))?;
    let call = code
        .iter()
        .position(|it| it.flow_control() == FlowControl::Call)?;
    let load = code[..call].last()?;
    let is_it = load.code() == Code::Mov_r64_rm64
        && load.op0_register() == Register::RAX
        && load.memory_base() == Register::RAX
        && load.memory_index() == Register::None;
    let offset = load.memory_displacement64();
    (is_it && is_offset(offset)).then_some(offset)
}

/// Whether it can be one of a word in a structure of Go's runtime, the largest of which has a few
/// kilobytes (src/runtime/runtime2.go).
fn is_offset(offset: u64) -> bool {
    offset != 0 && offset.is_multiple_of(8) && offset < 2048
}

/// The instructions of the first `len` bytes at an address; the last may be cut.
fn instructions(image: &Image<'_>, address: u64, len: u64) -> Option<Vec<Instruction>> {
    let offset = (1..=len).rev().step_by(16).find_map(|len| {
        let offset = image.code_offset(address, len)?;
        Some((offset, len))
    });
    let (offset, len) = offset?;
    let code = image.read(offset, len as usize)?;
    let decoder = Decoder::with_ip(64, &code, address, DecoderOptions::NONE);
    Some(decoder.into_iter().collect())
}
