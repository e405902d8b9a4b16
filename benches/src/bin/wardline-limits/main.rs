//! What the machine can do without Wardline: bare RocksDB, bare quinn and the disk, as one line of
//! JSON each.
//!
//! The denominators of ratios, to be measured side by side with the load generator, with the
//! broker's own options and the same bytes. Every measurement is bounded in time and leaves nothing
//! behind. On loopback only.
#![expect(clippy::print_stdout, reason = "the report is the output")]

mod disk;
mod options;
mod quinn;

use anyhow::Result;
use clap::{Parser, Subcommand};
use wardline_benches::message::PAYLOAD_BYTES;

use options::Disk;

/// Measures what the machine can do without Wardline. Prints one line of JSON.
#[derive(Parser)]
#[command(name = "wardline-limits", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bare RocksDB: batches of messages, each synced, with the options of the engine.
    Rocksdb {
        /// Messages in a batch.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
        group: u64,
        /// Bytes of a payload; each message has a key of 24 bytes besides.
        #[arg(long, default_value_t = PAYLOAD_BYTES as u64, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
        bytes: u64,
        /// Write the same bytes as the broker does for a group of publishes of the typical payload:
        /// the entry and the remembered message id of each, the conversation, the position.
        #[arg(long, conflicts_with = "bytes")]
        as_broker: bool,
        #[command(flatten)]
        disk: Disk,
    },
    /// The disk: one write and one fdatasync after the other.
    Fdatasync {
        /// Bytes of a write.
        #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
        bytes: u64,
        #[command(flatten)]
        disk: Disk,
    },
    /// Bare quinn: frames flattened into large writes to many connections; starts a server and
    /// readers.
    Quinn(quinn::Both),
    /// The server alone; says its address, and serves until its input ends.
    QuinnServer(quinn::Server),
    /// The readers alone.
    QuinnReader(quinn::Reader),
}

fn main() -> Result<()> {
    let report = match Cli::parse().command {
        Command::Rocksdb { group, bytes, as_broker, disk } => {
            disk::rocksdb(&disk, group, bytes as usize, as_broker)?
        }
        Command::Fdatasync { bytes, disk } => disk::fdatasync(&disk, bytes as usize)?,
        Command::Quinn(both) => both.run()?,
        Command::QuinnServer(server) => return server.run(),
        Command::QuinnReader(reader) => reader.run()?,
    };
    println!("{report}");
    Ok(())
}
