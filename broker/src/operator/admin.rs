//! The operator's door: a Unix socket in the data folder, for what only the process that has the
//! store open can do.
//!
//! One line is asked, one line of JSON is answered. `checkpoint` makes a copy of the store within
//! the data folder and names it; the copy lives as long as the connection, at most [`HELD_MAX`],
//! since it keeps alive what reclaiming would free. A line of JSON is an order to take access
//! back, or to give it back. The socket belongs to the broker's user alone; there is nothing else
//! to prove. One copy at a time: who comes meanwhile waits for a while, since the one before may be
//! about to go. A few connections; leftovers of a crash are removed before the door is opened.

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader as AsyncBufReader,
};
use tokio::net::{UnixListener, UnixStream as AsyncUnixStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wardline_storage::engine::{Engine, EngineError};
use wardline_storage::format::{self, FormatError};
use wardline_storage::id::Timestamp;
use wardline_storage::model::Applied;

use crate::operator::backup::{Source, StoreIdentity};
use crate::operator::revoke::{Done, Order, Revoker};

/// The socket's name in the data folder.
pub const SOCKET: &str = "admin.sock";
/// Longest time that a copy of the store is kept for somebody.
pub const HELD_MAX: Duration = Duration::from_secs(3600);

/// How the folders of copies begin.
const CHECKPOINT: &str = "checkpoint-";
const CONNECTIONS_MAX: usize = 4;
/// How long nobody is let in after that failed, such as for too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for the copy before to be gone.
const TURN_PATIENCE: Duration = Duration::from_secs(30);
const REQUEST_BYTES_MAX: u64 = 4 * 1024;
/// Room for all revocations in a list.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Longest time to ask.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time until a copy is made: all tables are flushed for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// What was asked of the broker was not done. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The socket is there and cannot be used.
    #[error("cannot talk to the broker through {}: {source}; run this as the broker's user, on its machine", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The broker refused.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// A copy could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It is not a store that this version reads.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Leftovers could not be removed.
    #[error("cannot clear the data folder {}: {source}", path.display())]
    Folder {
        /// The data folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Checkpoint {
        folder: PathBuf,
        engine: String,
        #[serde(default = "format_1")]
        format: u32,
        #[serde(default)]
        position: u64,
        #[serde(default)]
        log_time_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store: Option<StoreIdentity>,
        /// A broker of a version before, which still runs, tells its position by partitions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        applied: Vec<u64>,
    },
    Done(Done),
    Error(String),
}

fn format_1() -> u32 {
    1
}

/// A copy of the store. Removed when dropped.
#[derive(Debug)]
pub struct Checkpoint {
    source: Source,
    /// The broker keeps the copy as long as this is open; `None`: it is ours.
    held: Option<UnixStream>,
}

impl Checkpoint {
    /// Asks the broker that has this data folder open for a copy; `None`: there is no broker.
    /// Blocks.
    ///
    /// # Errors
    /// [`AdminError`] if there is one and it cannot be asked, or refuses.
    pub fn ask(data: &Path) -> Result<Option<Self>, AdminError> {
        let Some((stream, answer)) = ask(data, "checkpoint")? else { return Ok(None) };
        match answer {
            Answer::Checkpoint { folder, engine, format, position, log_time_ms, store, applied } => {
                // The broker's working folder need not be ours; the copy lies in the data folder.
                let checkpoint = data.join(folder.file_name().unwrap_or_default());
                let position = applied.iter().fold(position, |sum, part| sum.saturating_add(*part));
                let applied = Applied { position, time: Timestamp(log_time_ms) };
                let source = Source { checkpoint, engine, format, applied, store };
                Ok(Some(Self { source, held: Some(stream) }))
            }
            other => Err(unasked(data, other)),
        }
    }

    /// Makes a copy in the data folder of an engine that this process has open. Blocks.
    ///
    /// # Errors
    /// [`AdminError`] if it could not be made.
    pub fn make(engine: &dyn Engine, data: &Path) -> Result<Self, AdminError> {
        clear(data).map_err(|source| AdminError::Folder { path: data.to_owned(), source })?;
        Self::fresh(engine, data)
    }

    /// The log's time, if a running broker lent the copy and knows it.
    pub fn broker_time(&self) -> Option<Timestamp> {
        let time = self.source.applied.time;
        self.held.as_ref().map(|_| time).filter(|time| *time > Timestamp::ZERO)
    }

    /// What is to be backed up.
    pub fn source(&self) -> &Source {
        &self.source
    }

    fn fresh(engine: &dyn Engine, data: &Path) -> Result<Self, AdminError> {
        // Before the copy: what was applied then is in it.
        let (format, applied) = format::progress(engine)?;
        let store = format::id_secret(engine)?.map(|secret| StoreIdentity::of(&secret));
        let checkpoint = data.join(format!("{CHECKPOINT}{:016x}", rand::random::<u64>()));
        let source = Source { checkpoint, engine: engine.name().to_owned(), format, applied, store };
        // Dropped on failure, with what there is of it.
        let made = Self { source, held: None };
        engine.checkpoint(&made.source.checkpoint)?;
        Ok(made)
    }
}

impl Checkpoint {
    /// What whoever asked for it is told.
    fn answer(&self) -> Answer {
        Answer::Checkpoint {
            folder: self.source.checkpoint.clone(),
            engine: self.source.engine.clone(),
            format: self.source.format,
            position: self.source.applied.position,
            log_time_ms: self.source.applied.time.0,
            store: self.source.store.clone(),
            applied: Vec::new(),
        }
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if self.held.is_none()
            && let Err(error) = fs::remove_dir_all(&self.source.checkpoint)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(code = "checkpoint-left", %error, "a copy of the store could not be removed; the next start does it");
        }
    }
}

/// Tells the broker that has this data folder open to take access back, or to give it back;
/// `None`: there is no broker. Blocks.
///
/// # Errors
/// [`AdminError`] if there is one and it cannot be asked, or refuses.
pub fn order(data: &Path, order: &Order) -> Result<Option<Done>, AdminError> {
    let line = serde_json::to_string(order).expect("texts and switches are JSON");
    match ask(data, &line)? {
        None => Ok(None),
        Some((_, Answer::Done(done))) => Ok(Some(done)),
        Some((_, other)) => Err(unasked(data, other)),
    }
}

/// Asks the broker with one line; gives its answer, and the connection on which it came.
fn ask(data: &Path, line: &str) -> Result<Option<(UnixStream, Answer)>, AdminError> {
    let path = data.join(SOCKET);
    let failed = |source| AdminError::Socket { path: path.clone(), source };
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new((&stream).take(ANSWER_BYTES_MAX)).read_line(&mut answer).map_err(failed)?;
    let answer = serde_json::from_str(&answer).map_err(|error| failed(error.into()))?;
    Ok(Some((stream, answer)))
}

/// What was answered is a refusal, or to another question.
fn unasked(data: &Path, answer: Answer) -> AdminError {
    match answer {
        Answer::Error(why) => AdminError::Refused(why),
        _ => AdminError::Socket {
            path: data.join(SOCKET),
            source: io::Error::other("it answered another question"),
        },
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Removes copies that a crash left behind. Only for whoever has the store open.
fn clear(data: &Path) -> io::Result<()> {
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(CHECKPOINT) && path.is_dir() {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// The open door.
pub struct Admin {
    listener: UnixListener,
    data: PathBuf,
    turn_patience: Duration,
}

impl Admin {
    /// Opens the door in the data folder of a store that this process has open. In a runtime.
    ///
    /// # Errors
    /// [`io::Error`] if leftovers cannot be removed, or the socket not be made (its path has at
    /// most 107 bytes).
    pub fn open(data: &Path) -> io::Result<Self> {
        clear(data)?;
        let path = data.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, data: data.to_owned(), turn_patience: TURN_PATIENCE })
    }

    /// Lets those who ask wait for so long until the copy before is gone.
    #[must_use]
    pub fn with_turn_patience(self, turn_patience: Duration) -> Self {
        Self { turn_patience, ..self }
    }

    /// Answers until stopped; then all copies are gone. `revoker`: of the broker that serves from
    /// the store, if one does.
    ///
    /// # Cancellation
    /// Copies are removed at the next start.
    pub async fn run(self, engine: Arc<dyn Engine>, revoker: Option<Revoker>, stop: CancellationToken) {
        let Self { listener, data, turn_patience } = self;
        let socket = data.join(SOCKET);
        let talk = Arc::new(Talk { engine, revoker, data, one: Semaphore::new(1), turn_patience, stop });
        let mut talks = JoinSet::new();
        while let Some(accepted) = talk.stop.run_until_cancelled(listener.accept()).await {
            while talks.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if talks.len() < CONNECTIONS_MAX => {
                    talks.spawn(Arc::clone(&talk).run(stream));
                }
                Ok((stream, _)) => turn_away(&stream),
                Err(error) => {
                    tracing::warn!(code = "admin-accept", %error, "the operator's socket could not be answered");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        while talks.join_next().await.is_some() {}
        // The next one to come finds nobody, not a socket that does not answer.
        let _ = fs::remove_file(socket);
    }
}

fn turn_away(stream: &AsyncUnixStream) {
    // An answer is short: it fits, or nobody reads it.
    let _ =
        stream.try_write(line_of(&Answer::Error("too many ask at once; try again".to_owned())).as_bytes());
}

fn line_of(answer: &Answer) -> String {
    serde_json::to_string(answer).expect("texts and numbers are JSON") + "\n"
}

/// What all who ask share.
struct Talk {
    engine: Arc<dyn Engine>,
    revoker: Option<Revoker>,
    data: PathBuf,
    /// Whoever has a copy has it.
    one: Semaphore,
    turn_patience: Duration,
    stop: CancellationToken,
}

impl Talk {
    async fn run(self: Arc<Self>, stream: AsyncUnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut reader = AsyncBufReader::new(reader);
        let mut line = String::new();
        let asked =
            timeout(REQUEST_TIMEOUT, (&mut reader).take(REQUEST_BYTES_MAX).read_line(&mut line)).await;
        if !matches!(asked, Ok(Ok(1..))) {
            return;
        }
        if let Ok(order) = serde_json::from_str(&line) {
            let answer = self.carry_out(order).await.map_or_else(Answer::Error, Answer::Done);
            // Who went away does not wait for it.
            let _ = timeout(REQUEST_TIMEOUT, writer.write_all(line_of(&answer).as_bytes())).await;
            return;
        }
        let made = match line.trim_end() {
            "checkpoint" => self.checkpoint().await,
            _ => {
                Err("it was asked for something that it does not know: wardline's versions differ".to_owned())
            }
        };
        let answer = match &made {
            Ok((checkpoint, _)) => checkpoint.answer(),
            Err(why) => Answer::Error(why.clone()),
        };
        let told = writer.write_all(line_of(&answer).as_bytes()).await;
        if let Ok((checkpoint, _turn)) = made {
            tracing::info!(code = "checkpoint-made", "a copy of the store was made for a backup");
            if told.is_ok() {
                self.lend(&mut reader).await;
            }
            // Removing is I/O; a panic there is logged by whoever panics.
            let _ = spawn_blocking(move || drop(checkpoint)).await;
            tracing::info!(code = "checkpoint-gone", "the copy of the store is removed");
        }
    }

    async fn carry_out(&self, order: Order) -> Result<Done, String> {
        match &self.revoker {
            Some(revoker) => revoker.carry_out(order).await,
            None => Err("nobody is served here whose access could be taken back".to_owned()),
        }
    }

    /// Makes a copy, once the one before is gone.
    async fn checkpoint(&self) -> Result<(Checkpoint, SemaphorePermit<'_>), String> {
        let turn = timeout(self.turn_patience, self.one.acquire());
        let turn = match self.stop.run_until_cancelled(turn).await {
            Some(Ok(Ok(turn))) => turn,
            Some(_) => return Err("another backup is under way; wait for it".to_owned()),
            None => return Err("it is stopping; start it again, or back up without it".to_owned()),
        };
        let (engine, data) = (Arc::clone(&self.engine), self.data.clone());
        let made = spawn_blocking(move || Checkpoint::fresh(&*engine, &data)).await;
        let made = made.map_err(|error| error.to_string())?;
        made.map(|made| (made, turn)).map_err(|error| error.to_string())
    }

    /// Waits until the copy is given back.
    async fn lend(&self, reader: &mut (impl AsyncRead + Unpin)) {
        // Whatever is said now: the connection's end is what is waited for.
        let mut rest = [0; 1];
        let over = timeout(HELD_MAX, reader.read(&mut rest));
        if let Some(Err(_)) = self.stop.run_until_cancelled(over).await {
            tracing::warn!(
                code = "checkpoint-late",
                "a backup took too long: its copy of the store is removed"
            );
        }
    }
}
