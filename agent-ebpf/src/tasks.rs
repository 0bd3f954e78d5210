//! Which task of its runtime made a call. It reads what the process itself keeps, within bounds;
//! what is not there, or is not what it should be, is no task. Which request a task serves is
//! decided in user space.

mod haproxy;
mod nginx;
mod threads;

use wirespan_common::connection::Connection;
use wirespan_common::record::{Direction, TaskKind};
use wirespan_common::runtime::Proxy;

use crate::maps::{self, Scratch};
use crate::transfer::Transfer;

/// A task, as a chunk names it.
#[derive(Clone, Copy)]
pub struct Task {
    /// A number that its kind has.
    pub id: u64,
    /// Which part of it; 0 where there are none.
    pub part: u32,
}

/// What a proxy does on a connection to a client.
const ANSWERS: Task = Task { id: 0, part: 0 };

/// Notes for the chunk in the scratch buffer which task made the call.
#[inline(always)]
pub fn note(scratch: &mut Scratch, connection: &mut Connection) {
    let kind = scratch.transfer.watch.tasks;
    scratch.head.chunk.task_kind = 0;
    scratch.head.chunk.task_part = 0;
    scratch.head.chunk.task = 0;
    let is_egress = matches!(scratch.transfer.call.direction, Direction::Egress);
    if kind != 0 && !(is_egress && connection.answers != 0) {
        look(scratch, connection, kind);
    }
}

#[inline(never)]
fn look(scratch: &mut Scratch, connection: &mut Connection, kind: u16) {
    let Some(task) = current(scratch, connection, kind) else {
        return;
    };
    if task.id == ANSWERS.id {
        connection.answers = 1;
        return;
    }
    let chunk = &mut scratch.head.chunk;
    chunk.task_kind = kind as u8;
    chunk.task_part = task.part;
    chunk.task = task.id;
}

/// The task of this kind that runs on the current thread.
#[inline(always)]
fn current(scratch: &Scratch, connection: &mut Connection, kind: u16) -> Option<Task> {
    match TaskKind::try_from(kind as u8) {
        Ok(TaskKind::Thread) => threads::thread(&scratch.transfer),
        Ok(TaskKind::ProxyRequest) => passed_on(&scratch.transfer, connection),
        _ => None,
    }
}

/// The request that a proxy reads, or passes on: it is named by where the proxy keeps the connection
/// of the client that made it. Where that is of a socket stays the same as long as there is one.
#[inline(always)]
fn passed_on(transfer: &Transfer, connection: &mut Connection) -> Option<Task> {
    let tgid = transfer.current.tgid;
    if connection.proxied_at == 0 {
        let runtime = maps::runtime_of(tgid)?;
        let proxy = runtime.places[0] as u8;
        connection.proxied_at = match proxy {
            NGINX => nginx::connection_of(transfer),
            HAPROXY => haproxy::connection_of(transfer, runtime),
            _ => None,
        }?;
        connection.proxy = proxy;
    }
    let at = connection.proxied_at;
    if matches!(transfer.call.direction, Direction::Ingress) {
        return Some(Task { id: at, part: 0 });
    }
    match connection.proxy {
        NGINX => nginx::request(at, tgid),
        HAPROXY => haproxy::request(at, maps::runtime_of(tgid)?),
        _ => None,
    }
}

const NGINX: u8 = Proxy::Nginx as u8;
const HAPROXY: u8 = Proxy::Haproxy as u8;
