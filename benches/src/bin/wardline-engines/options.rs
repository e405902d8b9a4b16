//! How much is written, read and reclaimed.

use std::time::Duration;

use clap::Args;

/// The sizes of a turn.
#[derive(Args, Clone, Debug)]
pub(crate) struct Sizes {
    /// Messages in the store that pages are read from and half of which is reclaimed.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(2_000..=100_000_000))]
    pub(crate) messages: u64,
    /// Messages that are committed together, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000])]
    pub(crate) groups: Vec<u64>,
    /// Messages in a page of history.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) page: u64,
    /// Seconds for each size of group, and for the pages.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Memory that the engine may use, in MiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(32..=1_048_576))]
    pub(crate) memory_mib: u64,
}

impl Sizes {
    /// How long something is measured.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The same, as arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let groups: Vec<String> = self.groups.iter().map(u64::to_string).collect();
        [
            ("--messages", self.messages.to_string()),
            ("--groups", groups.join(",")),
            ("--page", self.page.to_string()),
            ("--seconds", self.seconds.to_string()),
            ("--memory-mib", self.memory_mib.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}
