//! Where and for how long is measured: options that several measurements share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Where and for how long the disk is measured.
#[derive(Args)]
pub(crate) struct Disk {
    /// A folder on the disk in question; a folder within it is made and removed.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) time: Time,
}

/// For how long something is measured.
#[derive(Args, Clone, Copy)]
pub(crate) struct Time {
    /// Seconds to measure; the warm-up not counted.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

impl Time {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
