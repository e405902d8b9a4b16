//! The workloads that come with the program: the files in `workloads/`, compiled in.
//!
//! So that a result says what was measured whatever lies in somebody's folder. Each file says where
//! its numbers come from; a test parses them all.

/// A workload that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// What `run` calls it.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// All of them, in the order in which `list` tells them.
        pub const SHIPPED: &[Shipped] = &[
            $(Shipped { name: $name, text: include_str!(concat!("../../workloads/", $name, ".toml")) }),*
        ];
    };
}

shipped!(
    "ward-chat",
    "noisy",
    "ehr-feed",
    "code-blue",
    "code-blue-thousands",
    "calls",
    "shift-change",
    "slow-readers",
    "max-publish",
    "fan-out-10",
    "fan-out-100",
    "fan-out-1000",
    "conversations-1000",
    "conversations-10000",
    "conversations-100000",
    "soak",
);
