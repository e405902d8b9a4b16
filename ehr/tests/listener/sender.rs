//! A sender, and sinks that do as they are told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wardline_ehr::hl7::ack::{Answering, Objection, Reply};
use wardline_ehr::hl7::flaw::Code;
use wardline_ehr::hl7::read::Rules;
use wardline_ehr::listener::{Limits, Listener, Settings, Sink};
use wardline_ehr::mllp::{Block, Bounds, Decoder};
use wardline_ehr::record::Event;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// So long nothing is to happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(200);

/// Notes events; each needs a pass of `gate`, and those whose id begins with `HELD` one of `held`.
pub(crate) struct Noting {
    pub(crate) gate: Semaphore,
    pub(crate) held: Semaphore,
    pub(crate) applied: Mutex<Vec<String>>,
}

impl Noting {
    /// One that lets so many events pass at once.
    pub(crate) fn passing(events: usize) -> Arc<Self> {
        let (gate, held) = (Semaphore::new(events), Semaphore::new(0));
        Arc::new(Self { gate, held, applied: Mutex::new(Vec::new()) })
    }

    /// Ids of the events that were applied.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.applied.lock().expect("nobody panics with it").clone()
    }
}

impl Sink for Noting {
    async fn apply(&self, event: Event) -> Reply {
        self.gate.acquire().await.expect("it stays open").forget();
        let id = event.source.id.as_str().to_owned();
        if id.starts_with("HELD") {
            self.held.acquire().await.expect("it stays open").forget();
        }
        let objection = || Objection { code: Code::Locked, at: None, text: "not now".into() };
        if id.contains("RETRY") {
            return Reply::Retry(objection());
        }
        if id.starts_with("NEVER") {
            return Reply::Refused(objection());
        }
        self.applied.lock().expect("nobody panics with it").push(id);
        Reply::Applied
    }
}

/// A listener while it runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts one on the loopback interface.
    pub(crate) async fn start(sink: Arc<Noting>, change: impl FnOnce(&mut Settings)) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings = Settings {
            name: "his".into(),
            address,
            tls: None,
            answering: Answering::Asked,
            rules: Rules::default(),
            limits: Limits::default(),
        };
        change(&mut settings);
        let listener = Listener::bind(settings).await.expect("there is a free port");
        let (address, stop) = (listener.address(), CancellationToken::new());
        let task = tokio::spawn(listener.run(sink, stop.clone()));
        Self { address, stop, task }
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) {
        timeout(LONG, self.task).await.expect("it ends in time").expect("it does not panic");
    }
}

/// A sender with a connection.
pub(crate) struct Sender<T> {
    stream: T,
    decoder: Decoder,
}

impl Sender<TcpStream> {
    /// Connects.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("it listens"))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Sender<T> {
    /// Over a connection that is there.
    pub(crate) fn over(stream: T) -> Self {
        Self { stream, decoder: Decoder::new(Bounds::default()) }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("it is taken");
        self.stream.flush().await.expect("it is taken");
    }

    /// The next answer; `None`: the connection was closed.
    pub(crate) async fn hear(&mut self) -> Option<Bytes> {
        timeout(LONG, self.hear_it()).await.expect("an answer or an end comes")
    }

    async fn hear_it(&mut self) -> Option<Bytes> {
        loop {
            match self.decoder.next_block().expect("answers are MLLP") {
                Some(Block::Message(answer)) => return Some(answer),
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            match self.stream.read_buf(self.decoder.buffer()).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The code and id of the next answer: `AA 7`; `None`: the connection was closed.
    pub(crate) async fn hear_code(&mut self) -> Option<String> {
        let answer = self.hear().await?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let msa = text.split('\r').find(|segment| segment.starts_with("MSA|")).expect("it has MSA");
        let mut fields = msa.split('|').skip(1);
        Some(format!("{} {}", fields.next().unwrap_or_default(), fields.next().unwrap_or_default()))
    }

    /// All bytes up to the end.
    pub(crate) async fn drain(&mut self, bytes: &mut Vec<u8>) {
        // An end by accident is one, too.
        let _ = timeout(LONG, self.stream.read_to_end(bytes)).await.expect("it ends");
    }

    /// Whether nothing is heard for a while.
    pub(crate) async fn hears_nothing(&mut self) -> bool {
        timeout(A_WHILE, self.hear_it()).await.is_err()
    }
}

/// A message that is applied, without what MLLP puts around it.
pub(crate) fn message(id: &str) -> String {
    of("ADT^A31", id, "")
}

/// A message of another type, or with other wishes for answers (from MSH-13 on).
pub(crate) fn of(kind: &str, id: &str, rest: &str) -> String {
    format!("MSH|^~\\&|HIS|GH|WL|GH|20260101||{kind}|{id}|P|2.5{rest}\rEVN||20260101\rPID|||1^^^GH\r")
}

/// A message about a patient.
pub(crate) fn about(patient: &str, id: &str) -> String {
    message(id).replace("|1^^^GH", &format!("|{patient}^^^GH"))
}

/// A message as it is sent.
pub(crate) fn block(message: &str) -> String {
    format!("\x0b{message}\x1c\r")
}
