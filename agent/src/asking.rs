//! Agents of several nodes that ask each other who made a request, so that a trace goes on where it
//! leaves a node, and no byte of the traffic is changed for it.
//!
//! Both ends of a TCP connection know each of its requests by the same numbers
//! ([`crate::links::JoinKey`]), from which the id of the client's span follows, too. What the
//! server's node lacks is the trace, and what was decided on sampling; the client's node has both.
//! So the one asks the other, over one stream between two agents, which goes both ways:
//!
//! ```text
//! shard ── asks, tells where its calls stand ─▶ door ─▶ switchboard ─▶ streams ─▶ other nodes
//!       ◀─ who made a request, as records ───── inbox ◀─            ◀─         ◀─
//! ```
//!
//! Who is asked about something that is not known yet answers when it is: a call stands where the
//! request does that it was made for, about which that node may be asking the next one. So a chain
//! of nodes is known as soon as its first one is, each a step later.
//!
//! All of it is one thread that no shard waits for. What is said is in [`frame`], who is asked in
//! [`routes`], what becomes of questions in [`switchboard`], how agents prove themselves in
//! [`proof`] and [`credentials`]; a [`stream`] moves bytes, [`dialling`] finds others and listens.

mod addresses;
mod calls;
pub mod credentials;
mod dialling;
mod door;
pub mod frame;
pub mod proof;
mod routes;
pub mod stream;
pub mod switchboard;
mod tally;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use wirespan_common::record::Caller;

pub use credentials::CredentialsError;
pub use door::{PeersDoor, ShardBatch, door};
pub use tally::{AskingCounts, PeerEvent};

use crate::config::AskingConfig;
use crate::health::Health;
use crate::listening::listen_on;
use crate::memory::Ledger;
use crate::sandbox;
use crate::visible::Visible;
use credentials::Keyring;
use dialling::Dialling;

/// Why nobody can be asked.
#[derive(Debug)]
pub enum AskingError {
    /// It can't listen there.
    Listen(SocketAddr, std::io::Error),
    /// There is nothing to prove itself by.
    Credentials(CredentialsError),
    /// There is no thread, or nothing for one to wait on.
    Thread(std::io::Error),
}

impl fmt::Display for AskingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, why) => write!(
                f,
                "agents of other nodes can't be listened to on {address}: {}",
                Visible(why)
            ),
            Self::Credentials(why) => {
                write!(f, "agents of other nodes can't be asked: {}", Visible(why))
            }
            Self::Thread(why) => {
                write!(f, "agents of other nodes can't be asked: {}", Visible(why))
            }
        }
    }
}

impl std::error::Error for AskingError {}

/// What asking needs, found to be there before anything else begins.
pub struct AskingSetup {
    config: Arc<AskingConfig>,
    keyring: Keyring,
    listener: Option<TcpListener>,
    batches: mpsc::Receiver<ShardBatch>,
    health: Arc<Health>,
    memory: Ledger,
}

impl AskingSetup {
    /// Reads secrets and certificates, and listens, if that is asked for. What it is to ask comes
    /// by the door that is returned.
    ///
    /// # Errors
    /// See [`AskingError`].
    pub fn new(
        config: &AskingConfig,
        memory: &Ledger,
        health: &Arc<Health>,
    ) -> Result<(Self, PeersDoor), AskingError> {
        let config = Arc::new(config.clone());
        let keyring = Keyring::new(Arc::clone(&config)).map_err(AskingError::Credentials)?;
        let listener = match config.listen {
            None => None,
            Some(address) => {
                let listening = listen_on(address);
                Some(listening.map_err(|why| AskingError::Listen(address, why))?)
            }
        };
        let (door, batches) = door(health);
        let setup = Self {
            config,
            keyring,
            listener,
            batches,
            health: Arc::clone(health),
            memory: memory.clone(),
        };
        Ok((setup, door))
    }

    /// Begins. What is known of callers is handed to `tell`, with the shard that asked, which says
    /// whether there was room.
    ///
    /// # Errors
    /// See [`AskingError`].
    pub fn start(
        self,
        tell: impl FnMut(u8, Vec<Caller>) -> bool + Send + 'static,
    ) -> Result<Asking, AskingError> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().build();
        let runtime = runtime.map_err(AskingError::Thread)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("asking".into());
        let thread = thread.spawn(move || {
            sandbox::without_rights();
            runtime.block_on(async {
                let mut dialling = Dialling::new(self, tell);
                tokio::select! {
                    () = dialling.run() => {}
                    // Also without a word.
                    _ = stopped => {}
                }
            });
            // A name that is being looked up may take its time.
            runtime.shutdown_background();
        });
        Ok(Asking {
            stop: Some(stop),
            thread: Some(thread.map_err(AskingError::Thread)?),
        })
    }
}

/// Others are asked until it is dropped, which waits for the thread's end: a moment.
#[derive(Debug)]
pub struct Asking {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _: Result<(), _> = thread.join();
        }
    }
}
