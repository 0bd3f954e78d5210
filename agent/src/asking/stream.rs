//! A stream to another agent: how it comes about, and how frames are read from it and written to
//! it. Whoever is at its other end may be slow, silent or hostile, which costs that stream alone:
//! what waits is bounded, and so is the time for anything. It decides nothing about questions.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::credentials::Credentials;
use super::frame::{self, AgentName, FrameReader, PeerFrame};
use super::proof::{EXPORTER_LABEL, Exported, StreamEnd};
use super::switchboard::Allowance;
use super::tally::{AskingCounts, PeerEvent};
use crate::wall_clock::monotonic_ns;

/// For a connection and for its handshake, each.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(5);
/// Who has nothing to say says so as often.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Who says nothing for so long is not there any longer.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// Who takes nothing for so long neither.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
/// Batches of frames that wait to be written; what comes after is in the next one.
pub const BATCHES_MAX: usize = 4;
/// What is read at a time, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// Questions, answers and addresses that one agent may say in a second; it has to wait with more.
const ENTRIES_A_SECOND: u32 = 100_000;
/// How long what is too much is not read, between two looks.
const HELD_BACK: Duration = Duration::from_millis(10);

/// A connection whose other end has proven that it may ask.
pub struct Established {
    io: TlsStream<TcpStream>,
    reader: FrameReader,
    /// Who it is.
    pub name: AgentName,
    /// Where it is, as this end sees it.
    pub address: SocketAddr,
    /// Which end this is.
    pub end: StreamEnd,
}

/// Why there is no stream.
#[derive(Debug)]
pub enum NoStream {
    /// Nobody answered.
    Unreachable(std::io::Error),
    /// TLS did not come about.
    Handshake(std::io::Error),
    /// The other end does not know the secret, or has none.
    Unproven,
    /// It said something else than hello.
    Malformed,
    /// It did nothing, or not soon enough.
    Slow,
    /// It is this agent itself.
    Itself,
}

impl NoStream {
    /// As what it is counted.
    #[must_use]
    pub fn event(&self) -> Option<PeerEvent> {
        Some(match self {
            Self::Unreachable(_) => PeerEvent::Unreachable,
            Self::Handshake(_) => PeerEvent::Handshake,
            Self::Unproven => PeerEvent::Unproven,
            Self::Malformed => PeerEvent::Malformed,
            Self::Slow => PeerEvent::Silent,
            Self::Itself => return None,
        })
    }
}

impl fmt::Display for NoStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "can't be reached: {error}"),
            Self::Handshake(error) => write!(f, "no TLS: {error}"),
            Self::Unproven => f.write_str("does not prove that it knows the secret"),
            Self::Malformed => f.write_str("says something else than an agent"),
            Self::Slow => f.write_str("does not answer in time"),
            Self::Itself => f.write_str("is this agent itself"),
        }
    }
}

/// Connects to an agent that is called so.
///
/// # Errors
/// See [`NoStream`].
pub async fn connect(
    address: SocketAddr,
    host: &str,
    credentials: &Credentials,
    own: AgentName,
) -> Result<Established, NoStream> {
    let connecting = tokio::time::timeout(ESTABLISHED_WITHIN, TcpStream::connect(address));
    let tcp = connecting.await.map_err(|_| NoStream::Slow)?;
    let tcp = tcp.map_err(NoStream::Unreachable)?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.unwrap_or_else(|_| ServerName::IpAddress(address.ip().into()));
    let tls = async {
        let connector = TlsConnector::from(Arc::clone(&credentials.connecting));
        let _ = tcp.set_nodelay(true);
        let io = connector.connect(name, tcp).await;
        greet(io.map(TlsStream::from), credentials, address, own).await
    };
    let established = tokio::time::timeout(ESTABLISHED_WITHIN, tls).await;
    established.unwrap_or(Err(NoStream::Slow))
}

/// Takes the connection of another one.
///
/// # Errors
/// See [`NoStream`].
pub async fn accept(
    tcp: TcpStream,
    address: SocketAddr,
    credentials: &Credentials,
    own: AgentName,
) -> Result<Established, NoStream> {
    let tls = async {
        let acceptor = TlsAcceptor::from(Arc::clone(&credentials.accepting));
        let _ = tcp.set_nodelay(true);
        let io = acceptor.accept(tcp).await;
        greet(io.map(TlsStream::from), credentials, address, own).await
    };
    let established = tokio::time::timeout(ESTABLISHED_WITHIN, tls).await;
    established.unwrap_or(Err(NoStream::Slow))
}

/// Both ends say hello, the one that connected first, and prove that they know the secret.
async fn greet(
    io: std::io::Result<TlsStream<TcpStream>>,
    credentials: &Credentials,
    address: SocketAddr,
    own: AgentName,
) -> Result<Established, NoStream> {
    let mut io = io.map_err(NoStream::Handshake)?;
    let (end, exported, alpn) = match &io {
        TlsStream::Client(it) => {
            let (_, tls) = it.get_ref();
            let exported = tls.export_keying_material(Exported::default(), EXPORTER_LABEL, None);
            (StreamEnd::Connecting, exported, tls.alpn_protocol())
        }
        TlsStream::Server(it) => {
            let (_, tls) = it.get_ref();
            let exported = tls.export_keying_material(Exported::default(), EXPORTER_LABEL, None);
            (StreamEnd::Accepting, exported, tls.alpn_protocol())
        }
    };
    // One that offers no protocol at all is let through by TLS.
    if alpn != Some(frame::ALPN) {
        return Err(NoStream::Malformed);
    }
    let exported = exported.map_err(|_| NoStream::Unproven)?;
    let secret = credentials.secret.as_ref();
    let mut hello = Vec::new();
    let proof = secret.map(|secret| secret.prove(end, &exported));
    frame::put_hello(&own, proof.as_ref(), &mut hello);
    let mut reader = FrameReader::default();
    if end == StreamEnd::Connecting {
        send(&mut io, &hello).await?;
    }
    let (name, proof) = hear_hello(&mut io, &mut reader).await?;
    let is_proven = match (secret, proof) {
        (None, _) => true,
        (Some(secret), Some(proof)) => secret.is_proven(end.other(), &exported, &proof),
        (Some(_), None) => false,
    };
    if !is_proven {
        let _ = io.shutdown().await;
        return Err(NoStream::Unproven);
    }
    if end == StreamEnd::Accepting {
        send(&mut io, &hello).await?;
    }
    if name == own {
        // By then the end that connected knows that, too.
        let _ = io.shutdown().await;
        return Err(NoStream::Itself);
    }
    Ok(Established {
        io,
        reader,
        name,
        address,
        end,
    })
}

async fn send(io: &mut TlsStream<TcpStream>, bytes: &[u8]) -> Result<(), NoStream> {
    io.write_all(bytes).await.map_err(NoStream::Handshake)?;
    io.flush().await.map_err(NoStream::Handshake)
}

async fn hear_hello(
    io: &mut TlsStream<TcpStream>,
    reader: &mut FrameReader,
) -> Result<(AgentName, Option<frame::SecretProof>), NoStream> {
    // A hello is all that is read until it was said.
    let mut bytes = [0; 128];
    loop {
        match reader.next_frame() {
            Ok(Some(PeerFrame::Hello { name, proof })) => return Ok((name, proof)),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return Err(NoStream::Malformed),
        }
        let read = match io.read(&mut bytes).await {
            // That is how the other end refuses this one's proof.
            Ok(0) => return Err(NoStream::Unproven),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(NoStream::Unproven);
            }
            Err(error) => return Err(NoStream::Handshake(error)),
        };
        reader.add(&bytes[..read]);
    }
}

/// What an agent said, or that it says no more, and as what that is counted.
pub type PeerHeard = Result<PeerFrame, Option<PeerEvent>>;

impl Established {
    /// Reads what is said, which `hear` takes as fast as it can, and writes what `said` brings,
    /// until one of them ends; `hear` is told why.
    pub async fn converse<F: Future<Output = bool> + Send>(
        self,
        said: mpsc::Receiver<Vec<u8>>,
        counts: &AskingCounts,
        hear: impl Fn(PeerHeard) -> F + Send,
    ) {
        let (read, write) = split(self.io);
        let reading = listen(read, self.reader, counts, &hear);
        let why = tokio::select! {
            why = reading => why,
            why = speak(write, said, counts) => why,
        };
        hear(Err(why)).await;
    }
}

async fn listen<F: Future<Output = bool>>(
    mut io: ReadHalf<TlsStream<TcpStream>>,
    mut reader: FrameReader,
    counts: &AskingCounts,
    hear: &impl Fn(PeerHeard) -> F,
) -> Option<PeerEvent> {
    let mut allowance = Allowance::new(ENTRIES_A_SECOND);
    let mut bytes = vec![0; READ_BYTES];
    loop {
        loop {
            let frame = match reader.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return Some(PeerEvent::Malformed),
            };
            while !allowance.take(entries(&frame), monotonic_ns()) {
                tokio::time::sleep(HELD_BACK).await;
            }
            if !hear(Ok(frame)).await {
                return None;
            }
        }
        let reading = tokio::time::timeout(SILENT_MAX, io.read(&mut bytes));
        match reading.await {
            Err(_) => return Some(PeerEvent::Silent),
            Ok(Ok(0) | Err(_)) => return None,
            Ok(Ok(read)) => {
                counts.moved(false, read);
                reader.add(&bytes[..read]);
            }
        }
    }
}

fn entries(frame: &PeerFrame) -> u32 {
    // What a frame holds is bounded by its length.
    match frame {
        PeerFrame::Hello { .. } => 1,
        PeerFrame::Addresses(some) => some.len() as u32,
        PeerFrame::Questions(some) => some.len() as u32,
        PeerFrame::Answers(some) => some.len() as u32,
    }
}

async fn speak(
    mut io: WriteHalf<TlsStream<TcpStream>>,
    mut said: mpsc::Receiver<Vec<u8>>,
    counts: &AskingCounts,
) -> Option<PeerEvent> {
    let mut nothing = Vec::new();
    frame::put_addresses(&[], &mut nothing);
    loop {
        let mut bytes = match tokio::time::timeout(HEARTBEAT, said.recv()).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let _ = tokio::time::timeout(WRITTEN_WITHIN, io.shutdown()).await;
                return None;
            }
            Err(_) => nothing.clone(),
        };
        // What came meanwhile goes along.
        while bytes.len() < READ_BYTES
            && let Ok(more) = said.try_recv()
        {
            bytes.extend_from_slice(&more);
        }
        let writing = async {
            io.write_all(&bytes).await?;
            io.flush().await
        };
        match tokio::time::timeout(WRITTEN_WITHIN, writing).await {
            Err(_) => return Some(PeerEvent::Silent),
            Ok(Err(_)) => return None,
            Ok(Ok(())) => counts.moved(true, bytes.len()),
        }
    }
}
