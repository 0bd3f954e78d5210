//! Which task of its runtime made a call. It reads what the process itself keeps, within bounds;
//! what is not there, or is not what it should be, is no task. Which request a task serves is
//! decided in user space.

pub mod go;
mod haproxy;
mod java;
mod nginx;
pub mod node;
pub mod python;
mod threads;
pub mod tokio;

use wirespan_common::connection::Connection;
use wirespan_common::record::{Direction, TaskKind};
use wirespan_common::runtime::Proxy;
use wirespan_common::watch::Watch;

use crate::maps::{self, Scratch};
use crate::memory::{Current, Delivered, kernel_value, offset};
use crate::sockets::Socket;
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
    if kind == 0 || is_egress && connection.answers != 0 {
        return;
    }
    if kind == TaskKind::NodeStore as u8 {
        node::tell_streams(scratch.transfer.current);
    }
    // Apart, so that the one does not take the other's stack.
    if kind == TaskKind::PythonContext as u8 {
        look_at_context(scratch);
    } else if kind == TaskKind::Tokio as u8 {
        look_at_tokio(scratch);
    } else if kind == TaskKind::VirtualThread as u8 {
        look_at_virtual_thread(scratch);
    } else if kind == TaskKind::ProxyRequest as u8 && !is_egress && connection.proxied_at != 0 {
        // What `passed_on` finds, in place.
        let id = connection.proxied_at;
        name(scratch, kind, Task { id, part: 0 });
    } else {
        look(scratch, connection, kind);
    }
}

#[inline(never)]
fn look_at_context(scratch: &mut Scratch) {
    let Some(runtime) = maps::runtime_of(scratch.transfer.current.tgid) else {
        return;
    };
    let task = python::current(scratch, runtime);
    name(scratch, TaskKind::PythonContext as u8, task);
}

#[inline(never)]
fn look_at_tokio(scratch: &mut Scratch) {
    if let Some(task) = tokio::current(scratch) {
        name(scratch, TaskKind::Tokio as u8, task);
    }
}

#[inline(never)]
fn look_at_virtual_thread(scratch: &mut Scratch) {
    let Some(runtime) = maps::runtime_of(scratch.transfer.current.tgid) else {
        return;
    };
    if let Some(task) = java::current(&scratch.transfer, runtime) {
        name(scratch, TaskKind::VirtualThread as u8, task);
    }
}

#[inline(always)]
fn name(scratch: &mut Scratch, kind: u8, task: Task) {
    let chunk = &mut scratch.head.chunk;
    chunk.task_kind = kind;
    chunk.task_part = task.part;
    chunk.task = task.id;
}

#[inline(never)]
fn look(scratch: &mut Scratch, connection: &mut Connection, kind: u8) {
    let Some(task) = current(scratch, connection, kind) else {
        return;
    };
    if task.id == ANSWERS.id {
        connection.answers = 1;
        return;
    }
    name(scratch, kind, task);
}

/// The task of this kind that runs on the current thread.
#[inline(always)]
fn current(scratch: &Scratch, connection: &mut Connection, kind: u8) -> Option<Task> {
    match TaskKind::try_from(kind) {
        Ok(TaskKind::Goroutine) => go::current(scratch),
        Ok(TaskKind::Thread) => threads::thread(&scratch.transfer),
        Ok(TaskKind::NodeStore) => node::request(&scratch.transfer),
        Ok(TaskKind::ProxyRequest) => passed_on(&scratch.transfer, connection),
        _ => None,
    }
}

/// The request that a proxy reads, or passes on: it is named by where the proxy keeps the
/// connection of the client that made it. Of a socket, that stays the same as long as there is one.
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

/// Where nginx keeps the connection of a client, from whose socket it has read; 0 where the process
/// is no nginx.
#[inline(never)]
pub fn read_by_nginx(socket: Socket, tgid: u32) -> u64 {
    if !is_nginx(tgid) {
        return 0;
    }
    nginx::connection_at(socket).unwrap_or(0)
}

#[inline(always)]
fn is_nginx(tgid: u32) -> bool {
    maps::runtime_of(tgid).is_some_and(|it| it.places[0] == NGINX.into())
}

/// The address of the client's connection for whose request bytes are about to be written to an
/// upstream's socket, where that is nginx's; else 0.
#[inline(never)]
pub fn passed_on_by_nginx(socket: Socket, tgid: u32) -> u64 {
    if !is_nginx(tgid) {
        return 0;
    }
    let Some(at) = nginx::connection_at(socket) else {
        return 0;
    };
    match nginx::request(at, tgid) {
        Some(Task { id, part: 0 }) => id,
        _ => 0,
    }
}

const NGINX: u8 = Proxy::Nginx as u8;
const HAPROXY: u8 = Proxy::Haproxy as u8;

/// A watched process makes a thread, whose `struct task_struct` is at `task`.
#[inline(always)]
pub fn thread_began(current: Current, watch: Watch, task: u64) -> Delivered<()> {
    if watch.tasks != TaskKind::PythonContext as u8 {
        return Ok(());
    }
    let tid = kernel_value::<u32>(task + offset(|o| &o.task_struct_pid))?;
    match maps::runtime_of(current.tgid) {
        Some(runtime) => python::thread_began(current, runtime, tid),
        None => Ok(()),
    }
}

/// A thread of a watched process ends.
#[inline(always)]
pub fn thread_ended(current: Current, watch: Watch) -> Delivered<()> {
    if watch.tasks == TaskKind::NodeStore as u8 {
        maps::forget_node_table(current.tid);
    }
    if watch.tasks != TaskKind::PythonContext as u8 {
        return Ok(());
    }
    python::thread_ended(current)
}
