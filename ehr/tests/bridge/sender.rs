//! A sender, and what it sends.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wardline_ehr::mllp::{Block, Bounds, Decoder};

use crate::site::within;

/// A sender with a connection.
pub(crate) struct Sender<T> {
    stream: T,
    decoder: Decoder,
}

impl Sender<TcpStream> {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Sender<T> {
    pub(crate) fn over(stream: T) -> Self {
        Self { stream, decoder: Decoder::new(Bounds::default()) }
    }

    /// Sends a message; whether it could be sent.
    pub(crate) async fn send(&mut self, message: &str) -> bool {
        let block = format!("\x0b{message}\x1c\r");
        let sent = async {
            self.stream.write_all(block.as_bytes()).await?;
            self.stream.flush().await
        };
        within("a message to be taken", sent).await.is_ok()
    }

    /// The next answer; `None`: the connection was closed.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        within("an answer", async {
            loop {
                if let Some(Block::Message(answer)) = self.decoder.next_block().unwrap() {
                    return Some(String::from_utf8_lossy(&answer).into_owned());
                }
                match self.stream.read_buf(self.decoder.buffer()).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    /// The code and id of the next answer: `AA 7`; `None`: the connection was closed.
    pub(crate) async fn hear_code(&mut self) -> Option<String> {
        let answer = self.hear().await?;
        let msa = answer.split('\r').find(|segment| segment.starts_with("MSA|")).unwrap();
        Some(msa.split('|').skip(1).take(2).collect::<Vec<_>>().join(" "))
    }

    /// Sends a message and says how it was answered: `AA`; `None`: the connection was closed.
    pub(crate) async fn say(&mut self, message: &str) -> Option<String> {
        if !self.send(message).await {
            return None;
        }
        let answer = self.hear_code().await?;
        answer.split(' ').next().map(str::to_owned)
    }
}

/// An event of an encounter, some minutes into a day of long ago.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) trigger: &'static str,
    pub(crate) minute: u32,
    pub(crate) visit: String,
    pub(crate) patient: String,
    pub(crate) ward: &'static str,
}

impl Event {
    pub(crate) fn of(trigger: &'static str, minute: u32, visit: &str, ward: &'static str) -> Self {
        Self { trigger, minute, visit: visit.into(), patient: format!("P{visit}"), ward }
    }

    /// As it is sent, under an id that is the same for the same event.
    pub(crate) fn text(&self) -> String {
        let Self { trigger, minute, visit, patient, ward } = self;
        let time = format!("202601011{:01}{:02}00", minute / 60, minute % 60);
        let id = format!("{trigger}-{visit}-{minute}");
        let place = if ward.is_empty() { String::new() } else { format!("{ward}^1^A") };
        format!(
            "MSH|^~\\&|HIS|GH|WL|GH|{time}||ADT^{trigger}|{id}|P|2.5\rEVN||{time}\rPID|||{patient}^^^GH^MR||Doe^Jane\r\
             PV1||I|{place}{}{visit}^^^GH\r",
            "|".repeat(16)
        )
    }
}
