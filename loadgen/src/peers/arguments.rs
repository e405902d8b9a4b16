//! What to compare, and how: the arguments of `wardline-loadgen peers`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::contestant::Contestant;
use super::message;
use super::programs::Programs;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Durable publishes a second, many in flight.
    Publish,
    /// The time of one durable publish, one in flight, beside the disk's own sync.
    PublishOne,
    /// Deliveries a second from one publisher to many readers, all acknowledged.
    FanOut,
    /// The time from publish to delivery at a fixed rate, counted from when the message was due.
    Latency,
}

/// What to compare, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Who takes part.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contestant::value_variants().to_vec())]
    pub(super) peers: Vec<Contestant>,
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Work::value_variants().to_vec())]
    pub(super) work: Vec<Work>,
    /// How often each contestant has its turn; the figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) rounds: u32,
    /// How long is measured each time.
    #[arg(long, default_value = "8s", value_parser = crate::typed::time)]
    pub(super) duration: Duration,
    /// How long the work runs before it is measured.
    #[arg(long, default_value = "3s", value_parser = crate::typed::time)]
    pub(super) warmup: Duration,
    /// `publish`: messages without an acknowledgement, all publishers together.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=30_000))]
    pub(super) in_flight: u64,
    /// `publish`: connections that publish.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) publishers: u64,
    /// `fan-out`: messages that not every reader has.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(super) fan_out_in_flight: u64,
    /// `fan-out`, `latency`: readers.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    pub(super) readers: u64,
    /// `latency`: messages a second.
    #[arg(long, default_value_t = 200.0)]
    pub(super) rate: f64,
    /// Length of a message.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(message::HEADER_BYTES as u64..=60_000))]
    pub(super) payload_bytes: u64,
    /// Cores of the servers, as `taskset -c` takes them; `all`: not pinned.
    #[arg(long, default_value = "0")]
    pub(super) server_cores: String,
    /// Cores of this program, likewise.
    #[arg(long, default_value = "1")]
    pub(super) generator_cores: String,
    /// Where servers keep their data while they run; must be a real disk. Without it, the temporary
    /// folder.
    #[arg(long, value_name = "DIR")]
    pub(super) folder: Option<PathBuf>,
    /// Where `peers.json` goes.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) programs: Programs,
}

impl Work {
    /// As it is named on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
