//! What is set of one sender: where it sends to, how its messages are read and answered, and what
//! it may take up.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::limits::Limits;
use crate::hl7::ack::Answering;
use crate::hl7::read::Rules;

/// Where to listen, and how.
#[derive(Clone)]
pub struct Settings {
    /// What the operator calls whoever sends here: a label of metrics.
    pub name: String,
    /// The address.
    pub address: SocketAddr,
    /// TLS, of each moment: a new handshake uses what is there then. `None`: in the clear.
    pub tls: Option<watch::Receiver<Arc<rustls::ServerConfig>>>,
    /// In which mode messages are answered.
    pub answering: Answering,
    /// How messages are read.
    pub rules: Rules,
    /// What a sender may take up.
    pub limits: Limits,
}
