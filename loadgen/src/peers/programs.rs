//! Where the servers' programs are, if they are not where they usually are.

use std::path::PathBuf;

/// Where the servers' programs are.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Programs {
    /// The broker. Without it, `wardline` beside this program.
    #[arg(long, value_name = "PATH")]
    pub(crate) wardline: Option<PathBuf>,
    /// Without it, from the path.
    #[arg(long, value_name = "PATH")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Without it, from the path.
    #[arg(long, value_name = "PATH")]
    pub(crate) mosquitto: Option<PathBuf>,
    /// The script of that name among the server's own. Without it, where Debian has it.
    #[arg(long, value_name = "PATH")]
    pub(crate) rabbitmq_server: Option<PathBuf>,
}
