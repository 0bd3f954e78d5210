//! A look into the kernel's memory: a program that copies what the daemon asks for into a map, when
//! the very thread that asked calls the kernel the next time. Nobody else's calls are read, and all
//! of it is gone once this is dropped.
//!
//! It is written out in instructions because it has to load where the daemon's object does not: no
//! global data, no types, no helper that is younger than 4.18.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use aya_obj::generated::bpf_attr;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::commands;
use super::peek::Peek;
use crate::discover::ProcRoot;
use crate::visible::Visible;

/// Bytes that are copied at a time.
const ROOM: usize = 4096;

/// What goes into the map, and what comes back in it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct PeekRequest {
    /// Whose call answers (`bpf_get_current_pid_tgid`); 0 once it was answered.
    who: u64,
    /// Which of those bits count.
    mask: u64,
    address: u64,
    len: u64,
    /// 1: the address counts from the task that answers.
    is_within_task: u64,
    /// What the copying came to: 0, or a negative error number.
    result: i64,
    /// Address of the task that answered.
    task: u64,
    bytes: [u8; ROOM],
}

/// What makes the program run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// It is told to (`BPF_PROG_TEST_RUN`, since 5.10). Nothing is attached, nobody else notices.
    OnDemand,
    /// The thread enters the next system call, which is the one that fetches the answer.
    SystemCall,
}

/// The program with its map.
struct LoadedWindow {
    map: OwnedFd,
    program: OwnedFd,
}

impl LoadedWindow {
    fn new() -> io::Result<Self> {
        let map = commands::array(size_of::<PeekRequest>())?;
        let program = commands::load(&program(&map), NAME)?;
        Ok(Self { map, program })
    }
}

/// As `bpftool prog` lists it, while it is there.
const NAME: &CStr = c"wirespan_peek";

/// The window of one thread.
pub struct KernelWindow {
    loaded: LoadedWindow,
    /// What attaches it, if that is what its trigger takes.
    _link: Option<OwnedFd>,
    trigger: Trigger,
    who: u64,
    request: Box<PeekRequest>,
    /// The argument of the call in which the program runs.
    call: Box<bpf_attr>,
}

impl KernelWindow {
    /// Opens it for the thread that calls this, by whichever trigger the kernel has.
    ///
    /// # Errors
    /// Why the kernel lets nobody look, in one line.
    pub fn open() -> Result<Self, String> {
        Self::open_by(Trigger::OnDemand).or_else(|reason| {
            log::debug!("no look on demand: {}", Visible(reason));
            Self::open_by(Trigger::SystemCall)
        })
    }

    /// [`Self::open`] by this trigger.
    pub fn open_by(trigger: Trigger) -> Result<Self, String> {
        let loaded =
            LoadedWindow::new().map_err(|error| format!("a program to look with: {error}"))?;
        let link = match trigger {
            Trigger::OnDemand => None,
            Trigger::SystemCall => {
                let link = commands::attach(&loaded.program, c"sys_enter");
                Some(link.map_err(|error| format!("raw tracepoint sys_enter: {error}"))?)
            }
        };
        let mut window = Self {
            loaded,
            _link: link,
            trigger,
            who: own_identity(),
            request: Box::new(PeekRequest::new_zeroed()),
            call: Box::new(commands::empty()),
        };
        match window.ask(0, 0) {
            Ok(task) if task != 0 => Ok(window),
            Ok(_) => Err("the program to look with does not run in this thread's name".into()),
            Err(error) => Err(format!("a look by {trigger:?}: {error}")),
        }
    }

    /// Address of the thread's own `struct task_struct`.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn task(&mut self) -> io::Result<u64> {
        self.ask(0, 0)
    }

    /// What makes the program run.
    pub fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// The second argument of the system call that this thread is in whenever the program runs.
    pub fn second_argument(&self) -> u64 {
        &raw const *self.call as u64
    }

    /// Has the program run; returns the task it ran in, 0 if it did not.
    fn ask(&mut self, address: u64, len: usize) -> io::Result<u64> {
        let Self {
            loaded,
            request,
            call,
            ..
        } = self;
        request.who = self.who;
        request.mask = u64::MAX;
        request.address = address;
        request.len = len as u64;
        request.is_within_task = 0;
        request.result = -1;
        request.task = 0;
        commands::update(&loaded.map, request.as_bytes())?;
        if self.trigger == Trigger::OnDemand {
            commands::run(&loaded.program, call)?;
            commands::look_up(&loaded.map, request.as_mut_bytes(), &mut commands::empty())?;
        } else {
            commands::look_up(&loaded.map, request.as_mut_bytes(), call)?;
        }
        Ok(if request.who == 0 { request.task } else { 0 })
    }
}

impl Peek for KernelWindow {
    fn peek(&mut self, address: u64, buffer: &mut [u8]) -> bool {
        for (index, part) in buffer.chunks_mut(ROOM).enumerate() {
            let at = address.wrapping_add((index * ROOM) as u64);
            let is_read = self.ask(at, part.len()).is_ok_and(|task| task != 0);
            if !is_read || self.request.result != 0 {
                return false;
            }
            part.copy_from_slice(&self.request.bytes[..part.len()]);
        }
        true
    }
}

/// What is to be read of the thread of this process that ends next.
pub struct LastLook {
    loaded: LoadedWindow,
    _link: OwnedFd,
    request: Box<PeekRequest>,
}

impl LastLook {
    /// Waits for one.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn new() -> io::Result<Self> {
        let loaded = LoadedWindow::new()?;
        Ok(Self {
            _link: commands::attach(&loaded.program, c"sched_process_exit")?,
            loaded,
            request: Box::new(PeekRequest::new_zeroed()),
        })
    }

    /// Says what to read: `len` bytes from an address, or from that offset in the task that ends.
    pub fn expect(&mut self, address: u64, len: usize, is_within_task: bool) -> io::Result<()> {
        const TGID: u64 = 0xffff_ffff_0000_0000;
        let request = &mut self.request;
        request.who = own_identity() & TGID;
        request.mask = TGID;
        request.address = address;
        request.len = len.min(ROOM) as u64;
        request.is_within_task = is_within_task.into();
        request.result = -1;
        commands::update(&self.loaded.map, self.request.as_bytes())
    }

    /// What was read, once a thread ended; `None` before that, or if it could not be read.
    pub fn seen(&mut self) -> Option<&[u8]> {
        let request = &mut self.request;
        commands::look_up(
            &self.loaded.map,
            request.as_mut_bytes(),
            &mut commands::empty(),
        )
        .ok()?;
        let is_read = request.who == 0 && request.result == 0;
        is_read.then(|| &request.bytes[..request.len as usize])
    }
}

/// This thread, as the kernel side sees it, in the initial pid namespace.
fn own_identity() -> u64 {
    let host = ProcRoot::host();
    u64::from(host.own_pid()) << 32 | u64::from(own_tid(&host))
}

/// This thread's number in the pid namespace that a proc file system shows.
pub fn own_tid(host: &ProcRoot) -> u32 {
    let link = std::fs::read_link(host.path().join("thread-self")).ok();
    let named = link.as_ref().and_then(|link| link.file_name()?.to_str());
    let named = named.and_then(|name| name.parse().ok());
    named.unwrap_or_else(|| rustix::thread::gettid().as_raw_nonzero().get() as u32)
}

/// `who`, `mask` and so on are members of [`PeekRequest`].
#[rustfmt::skip]
fn program(map: &OwnedFd) -> Vec<commands::BpfInstruction> {
    use commands::{Helper, BpfInstruction as I, Register as R};
    use std::mem::offset_of;

    const END: &str = "end";
    let code = [
        I::call(Helper::GetCurrentPidTgid),
        I::copy(R::R7, R::R0),
        I::store_word(R::FramePointer, -4, 0),
        I::copy(R::R2, R::FramePointer),
        I::add(R::R2, -4),
    ];
    let mut code = code.to_vec();
    code.extend(I::map(R::R1, map));
    code.extend([
        I::call(Helper::MapLookup),
        I::jump_if_equal(R::R0, 0).to(END),
        I::copy(R::R6, R::R0),
        I::load(R::R1, R::R6, offset_of!(PeekRequest, mask)),
        I::and(R::R7, R::R1),
        I::load(R::R1, R::R6, offset_of!(PeekRequest, who)),
        I::jump_if_equal(R::R1, 0).to(END),
        I::jump_unless_same(R::R7, R::R1).to(END),
        I::set(R::R1, 0),
        I::store(R::R6, offset_of!(PeekRequest, who), R::R1),
        I::call(Helper::GetCurrentTask),
        I::store(R::R6, offset_of!(PeekRequest, task), R::R0),
        I::load(R::R3, R::R6, offset_of!(PeekRequest, address)),
        I::load(R::R1, R::R6, offset_of!(PeekRequest, is_within_task)),
        I::jump_if_equal(R::R1, 0).to("read"),
        I::add_register(R::R3, R::R0),
        I::load(R::R2, R::R6, offset_of!(PeekRequest, len)).named("read"),
        I::jump_if_above(R::R2, ROOM as i32).to(END),
        I::copy(R::R1, R::R6),
        I::add(R::R1, offset_of!(PeekRequest, bytes) as i32),
        I::call(Helper::ProbeRead),
        I::store(R::R6, offset_of!(PeekRequest, result), R::R0),
        I::set(R::R0, 0).named(END),
        I::exit(),
    ]);
    code
}
