//! Reads the daemon's own sockets through a layout, and compares with what the kernel says of them
//! by system calls. A layout that is another kernel's does not get past this, whoever gave it.

use std::fmt::{self, Debug};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll;
use rustix::fs::fstat;
use rustix::net::{Shutdown, shutdown, sockopt};
use wirespan_common::config::Offsets;

use super::peek::Peek;
use super::specimens::{self, SpecimenPair};
use super::window::{KernelWindow, own_tid};
use crate::arch;
use crate::discover::ProcRoot;

/// Why a layout is not taken.
#[derive(Debug)]
pub enum Mismatch {
    /// Something is not where it says.
    Differs {
        /// What was read.
        what: &'static str,
        /// What it is, by a system call.
        told: String,
        /// What it is by the layout.
        read: String,
    },
    /// It could not be tried.
    Untried(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { what, told, read } => {
                write!(
                    f,
                    "it is not this kernel's: {what} is {told}, and {read} by it"
                )
            }
            Self::Untried(reason) => write!(f, "it could not be tried: {reason}"),
        }
    }
}

impl From<io::Error> for Mismatch {
    fn from(error: io::Error) -> Self {
        Self::Untried(format!("own sockets: {error}"))
    }
}

impl From<rustix::io::Errno> for Mismatch {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

fn same<T: PartialEq + Debug>(
    what: &'static str,
    told: T,
    read: Option<T>,
) -> Result<(), Mismatch> {
    if read.as_ref() == Some(&told) {
        return Ok(());
    }
    Err(Mismatch::Differs {
        what,
        told: format!("{told:?}"),
        read: read.map_or_else(|| "unreadable".to_owned(), |read| format!("{read:?}")),
    })
}

/// How often is looked again at what changes meanwhile.
const ROUNDS: u32 = 50;

/// Tries a layout on this thread, which is not the process's first.
///
/// # Errors
/// See [`Mismatch`].
pub fn verify(window: &mut KernelWindow, at: &Offsets) -> Result<(), Mismatch> {
    let task = window.task()?;
    let own = Through { at, task };
    own.thread(window)?;
    own.descriptors(window)?;
    own.kinds(window)?;
    own.unix(window)?;
    own.tcp(window)?;
    own.ports(window)?;
    own.polled(window)
}

/// The layout, and where this thread's task is.
#[derive(Clone, Copy)]
struct Through<'a> {
    at: &'a Offsets,
    task: u64,
}

/// One socket, as the layout leads to it.
#[derive(Clone, Copy)]
struct ReachedMember {
    file: u64,
    sk: u64,
}

impl Through<'_> {
    fn of_task<T: zerocopy::FromBytes>(&self, peek: &mut impl Peek, offset: u32) -> Option<T> {
        peek.value(self.task + u64::from(offset))
    }

    fn thread(&self, window: &mut KernelWindow) -> Result<(), Mismatch> {
        let Self { at, .. } = *self;
        let host = ProcRoot::host();
        let tid = self.of_task(window, at.task_struct_pid);
        same("the number of a thread", own_tid(&host), tid)?;
        let tgid = self.of_task(window, at.task_struct_tgid);
        same("the number of a process", host.own_pid(), tgid)?;
        let code = self.of_task(window, at.task_struct_exit_code);
        same("the exit code of a living thread", 0u32, code)?;
        if at.task_struct_fsbase != 0
            && let Some(pointer) = arch::thread_pointer()
        {
            let read = self.of_task(window, at.task_struct_fsbase);
            same("where a thread's own memory is", pointer, read)?;
        }
        if at.task_struct_io_uring != 0 {
            let ring = self.of_task(window, at.task_struct_io_uring);
            same("a ring that a thread has not", 0u64, ring)?;
        }
        if at.task_struct_stack != 0 {
            let argument = window.second_argument();
            let stack: Option<u64> = self.of_task(window, at.task_struct_stack);
            let read =
                stack.and_then(|it| window.value(it.wrapping_add(arch::SECOND_ARGUMENT_IN_STACK)));
            same("an argument of a system call", argument, read)?;
        }
        self.living(window)
    }

    /// Threads come and go meanwhile.
    fn living(&self, peek: &mut impl Peek) -> Result<(), Mismatch> {
        let at = self.at;
        let threads = || std::fs::read_dir("/proc/self/task").map(|all| all.count() as u32);
        let mut last = Ok(());
        for _ in 0..ROUNDS {
            let told = threads()?;
            let signal: Option<u64> = self.of_task(peek, at.task_struct_signal);
            let live = signal.and_then(|it| peek.value(it + u64::from(at.signal_struct_live)));
            last = same("the number of a process's threads", told, live);
            if last.is_ok() {
                break;
            }
            // One began or ended meanwhile, which nothing tells of.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        last
    }

    fn table(&self, peek: &mut impl Peek) -> Option<u64> {
        let files: u64 = self.of_task(peek, self.at.task_struct_files)?;
        peek.value(files.wrapping_add(self.at.files_struct_fdt.into()))
    }

    fn room(&self, peek: &mut impl Peek) -> Option<u32> {
        let table = self.table(peek)?;
        peek.value(table.wrapping_add(self.at.fdtable_max_fds.into()))
    }

    fn file_of(&self, peek: &mut impl Peek, fd: i32) -> Option<u64> {
        let table = self.table(peek)?;
        let array: u64 = peek.value(table.wrapping_add(self.at.fdtable_fd.into()))?;
        peek.value(array.wrapping_add(fd as u64 * 8))
    }

    fn descriptors(&self, peek: &mut impl Peek) -> Result<(), Mismatch> {
        let at = self.at;
        let (pipe, other) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let high = rustix::io::fcntl_dupfd_cloexec(&pipe, 100)?;
        let file = self.file_of(peek, pipe.as_raw_fd());
        let twin = self.file_of(peek, high.as_raw_fd()).unwrap_or_default();
        same("the file of a descriptor", twin, file)?;
        let told = specimens::room_for_descriptors(ProcRoot::host().path())?;
        same("the room of a table of descriptors", told, self.room(peek))?;
        let closed = high.as_raw_fd();
        drop(high);
        same("that of a closed one", 0u64, self.file_of(peek, closed))?;
        let inode = file.and_then(|it| peek.value::<u64>(it + u64::from(at.file_f_inode)));
        let read = inode.and_then(|it| peek.value(it + u64::from(at.inode_i_mode)));
        same("the mode of a pipe", fstat(&pipe)?.st_mode as u16, read)?;
        drop(other);
        Ok(())
    }

    fn reach(&self, peek: &mut impl Peek, descriptor: &OwnedFd) -> Result<ReachedMember, Mismatch> {
        let at = self.at;
        let file = self
            .file_of(peek, descriptor.as_raw_fd())
            .unwrap_or_default();
        let mut follow = |from: u64, offset: u32| {
            peek.value::<u64>(from.wrapping_add(offset.into()))
                .unwrap_or_default()
        };
        let inode = follow(file, at.file_f_inode);
        let socket = follow(file, at.file_private_data);
        let reached = ReachedMember {
            file,
            sk: follow(socket, at.socket_sk),
        };
        let back = follow(socket, at.socket_file);
        let owner = follow(reached.sk, at.sock_sk_socket);
        let status = fstat(descriptor)?;
        let number = peek.value(inode + u64::from(at.inode_i_ino));
        same("the inode of a socket", status.st_ino, number)?;
        let mode = peek.value(inode + u64::from(at.inode_i_mode));
        same("the mode of a socket", status.st_mode as u16, mode)?;
        let beside = socket.wrapping_add(at.socket_to_inode.into());
        same("where a socket's inode is", inode, Some(beside))?;
        same("the file of a socket", file, Some(back))?;
        same("the socket of a sock", socket, Some(owner))?;
        Ok(reached)
    }

    fn kinds(&self, peek: &mut impl Peek) -> Result<(), Mismatch> {
        let (inet, unix) = (libc::AF_INET as u16, libc::AF_UNIX as u16);
        let tcp = specimens::tcp_socket(false)?;
        self.kind(
            peek,
            &tcp,
            [inet, libc::SOCK_STREAM as u16, libc::IPPROTO_TCP as u16],
        )?;
        let udp = specimens::udp()?;
        self.kind(
            peek,
            &udp,
            [inet, libc::SOCK_DGRAM as u16, libc::IPPROTO_UDP as u16],
        )?;
        let pair = SpecimenPair::unix(&specimens::name())?;
        self.kind(peek, &pair.client, [unix, libc::SOCK_STREAM as u16, 0])
    }

    fn kind(
        &self,
        peek: &mut impl Peek,
        descriptor: &OwnedFd,
        [family, socket_type, protocol]: [u16; 3],
    ) -> Result<(), Mismatch> {
        let at = self.at;
        let sk = self.reach(peek, descriptor)?.sk;
        let mut read = |offset: u32| peek.value::<u16>(sk.wrapping_add(offset.into()));
        let mask = at.sock_sk_protocol_mask as u16;
        let of_protocol = read(at.sock_sk_protocol).map(|it| it & mask);
        same(
            "the family of a socket",
            family,
            read(at.sock_common_skc_family),
        )?;
        same("the type of a socket", socket_type, read(at.sock_sk_type))?;
        same("the protocol of a socket", protocol, of_protocol)
    }

    fn unix(&self, peek: &mut impl Peek) -> Result<(), Mismatch> {
        let at = self.at;
        let name = specimens::name();
        let pair = SpecimenPair::unix(&name)?;
        let client = self.reach(peek, &pair.client)?.sk;
        let server = self.reach(peek, &pair.server)?.sk;
        let peer = peek.value(client + u64::from(at.unix_sock_peer));
        same("the peer of a Unix socket", server, peer)?;
        let mut told = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        told.push(0);
        told.extend(name);
        let address: u64 = peek
            .value(server + u64::from(at.unix_sock_addr))
            .unwrap_or_default();
        let len = peek.value(address.wrapping_add(at.unix_address_len.into()));
        same("the length of a Unix socket's name", told.len() as u32, len)?;
        let mut name = vec![0; told.len()];
        let is_read = peek.peek(address.wrapping_add(at.unix_address_name.into()), &mut name);
        same("the name of a Unix socket", told, is_read.then_some(name))?;
        let queue = server + u64::from(at.sock_sk_receive_queue) + u64::from(at.sk_buff_head_qlen);
        for packets in 0..2u32 {
            same(
                "how much waits for a Unix socket",
                packets,
                peek.value(queue),
            )?;
            specimens::write(&pair.client, 1, false)?;
        }
        let state = server + u64::from(at.sock_sk_shutdown);
        same("which ends a socket has", 0u8, peek.value(state))?;
        shutdown(&pair.server, Shutdown::Write)?;
        same("which ends a socket has", 2u8, peek.value(state))?;
        shutdown(&pair.client, Shutdown::Write)?;
        same("which ends a socket has", 3u8, peek.value(state))
    }

    fn tcp(&self, peek: &mut impl Peek) -> Result<(), Mismatch> {
        let pair = SpecimenPair::tcp(false)?;
        self.addresses(peek, &pair)?;
        match SpecimenPair::tcp(true) {
            Ok(pair) => self.addresses(peek, &pair)?,
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(error.into()),
        }
        self.sequences(peek, &pair)
    }

    fn addresses(&self, peek: &mut impl Peek, pair: &SpecimenPair) -> Result<(), Mismatch> {
        let at = self.at;
        for descriptor in [&pair.client, &pair.server] {
            let sk = self.reach(peek, descriptor)?.sk;
            let (own, peer) = (specimens::local(descriptor)?, specimens::peer(descriptor)?);
            let port = peek.value(sk + u64::from(at.sock_common_skc_num));
            same("the port of a socket", own.port(), port)?;
            let port = peek.value(sk + u64::from(at.sock_common_skc_dport));
            same("the port of a peer", peer.port(), port.map(u16::from_be))?;
            let mut address = |what, of: SocketAddr, [v4, v6]: [u32; 2]| match of.ip() {
                IpAddr::V4(ip) => same(what, ip.octets(), peek.value(sk + u64::from(v4))),
                IpAddr::V6(ip) => same(what, ip.octets(), peek.value(sk + u64::from(v6))),
            };
            let places = [
                at.sock_common_skc_rcv_saddr,
                at.sock_common_skc_v6_rcv_saddr,
            ];
            address("the address of a socket", own, places)?;
            let places = [at.sock_common_skc_daddr, at.sock_common_skc_v6_daddr];
            address("the address of a peer", peer, places)?;
        }
        Ok(())
    }

    /// The same streams, as both ends have them: something was read, something waits, and something
    /// was not sent.
    fn sequences(&self, peek: &mut impl Peek, pair: &SpecimenPair) -> Result<(), Mismatch> {
        const SENT: u32 = 90;
        const READ: u32 = 20;
        let (client, server) = (&pair.client, &pair.server);
        // What arrives is not acknowledged at once, so that what is written next is kept back.
        sockopt::set_tcp_quickack(server, false)?;
        specimens::write(client, SENT as usize, false)?;
        specimens::wait_until_unread(server, SENT)?;
        specimens::read(server, READ as usize)?;
        specimens::write(client, 1, false)?;
        let ends = [self.reach(peek, client)?.sk, self.reach(peek, server)?.sk];
        for _ in 0..ROUNDS {
            let now = || -> io::Result<_> {
                let counts = [specimens::counts(client)?, specimens::counts(server)?];
                let waits = [specimens::unread(server)?, specimens::unsent(client)?];
                Ok((counts, waits))
            };
            let (counts, waits) = now()?;
            let compared = self.positions(peek, ends, waits);
            let compared = compared.and_then(|()| self.counts(peek, ends, counts));
            // Something may have come meanwhile, or be on its way.
            if now()? == (counts, waits) && waits.iter().sum::<u32>() == SENT - READ + 1 {
                return compared;
            }
        }
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    }

    fn positions(
        &self,
        peek: &mut impl Peek,
        [client, server]: [u64; 2],
        [unread, unsent]: [u32; 2],
    ) -> Result<(), Mismatch> {
        let at = self.at;
        let mut of = |sk: u64, offset: u32| peek.value::<u32>(sk + u64::from(offset));
        let written = of(client, at.tcp_sock_write_seq);
        let sent = of(client, at.tcp_sock_snd_nxt);
        let received = of(server, at.tcp_sock_rcv_nxt);
        let read = of(server, at.tcp_sock_copied_seq);
        let apart = |one: Option<u32>, other: Option<u32>| Some(one?.wrapping_sub(other?));
        same("how much waits to be read", unread, apart(received, read))?;
        same("how much waits to be sent", unsent, apart(written, sent))?;
        same("how much is on its way", 0, apart(sent, received))?;
        if at.inet_connection_sock_icsk_ulp_ops == 0 {
            return Ok(());
        }
        let upper = client + u64::from(at.inet_connection_sock_icsk_ulp_ops);
        same("what sits on a socket", 0u64, peek.value(upper))
    }

    fn counts(
        &self,
        peek: &mut impl Peek,
        [client, server]: [u64; 2],
        [of_client, of_server]: [specimens::TcpCounts; 2],
    ) -> Result<(), Mismatch> {
        let at = self.at;
        if at.tcp_sock_bytes_sent == 0 {
            return Ok(());
        }
        let mut of = |sk: u64, offset: u32| Some(peek.value::<u64>(sk + u64::from(offset)));
        let sent = of(client, at.tcp_sock_bytes_sent);
        same("how many bytes were sent", of_client.sent, sent)?;
        let again = of(client, at.tcp_sock_bytes_retrans);
        same("how many were sent again", of_client.retransmitted, again)?;
        let received = of(server, at.tcp_sock_bytes_received);
        same("how many bytes were received", of_server.received, received)
    }

    fn ports(&self, peek: &mut impl Peek) -> Result<(), Mismatch> {
        let at = self.at;
        if at.inet_connection_sock_icsk_bind_hash == 0 {
            return Ok(());
        }
        let bound = specimens::bound(specimens::SERVER, 0, true)?;
        let (chosen, _listener) = specimens::unbound_pair()?;
        for (descriptor, reuse) in [(&bound, 0i8), (&chosen, -1)] {
            let sk = self.reach(peek, descriptor)?.sk;
            let bucket = sk + u64::from(at.inet_connection_sock_icsk_bind_hash);
            let bucket = peek.value::<u64>(bucket).unwrap_or_default();
            let port = peek.value(bucket.wrapping_add(at.inet_bind_bucket_port.into()));
            same(
                "the port of a bucket",
                specimens::local(descriptor)?.port(),
                port,
            )?;
            let read = peek.value(bucket.wrapping_add(at.inet_bind_bucket_fastreuse.into()));
            same("whether a bucket is reused", reuse, read)?;
            // Of sharing tells the byte beside it.
            let beside = u64::from(at.inet_bind_bucket_fastreuse) + 1;
            let shared = peek.value::<i8>(bucket.wrapping_add(beside));
            same(
                "whether a port is shared",
                reuse == 0,
                shared.map(|it| it > 0),
            )?;
        }
        Ok(())
    }

    fn polled(&self, peek: &mut impl Peek) -> Result<(), Mismatch> {
        const DATA: u64 = 0x6c61_796f_7574_7321;
        let at = self.at;
        if at.file_f_ep == 0 && at.file_f_ep_links == 0 {
            return Ok(());
        }
        let socket = specimens::udp()?;
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(DATA);
        epoll::add(&set, &socket, data, epoll::EventFlags::empty())?;
        let file = self.reach(peek, &socket)?.file;
        let head = match at.file_f_ep_links {
            0 => peek.value::<u64>(file + u64::from(at.file_f_ep)),
            links => Some(file + u64::from(links)),
        };
        let first = head.and_then(|head| peek.value::<u64>(head));
        let event = first.map(|first| {
            let item = first.wrapping_sub(at.epitem_fllink.into());
            item.wrapping_add(u64::from(at.epitem_event) + arch::EPOLL_DATA_OFFSET as u64)
        });
        same(
            "what epoll was given",
            DATA,
            event.and_then(|it| peek.value(it)),
        )
    }
}
