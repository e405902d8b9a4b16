//! The harness that the benches share, and the bare libraries that they are held against.
//!
//! - [`message`]: what a typical message is, and who publishes it where.
//! - [`side_by_side`]: a measurement and its limit in alternation, and the line with their ratio.
//! - [`bare_rocksdb`]: the same bytes without Wardline, on disk.
//! - [`backlog`]: a store that has messages in it. [`recording`]: what a group of commands comes
//!   to.
//! - [`cpu`]: what threads used of it, for notes beside a ratio.
//! - [`fanout`]: a broker ([`site`]) and [`bare_quinn`], with the same [`endpoint`] settings and
//!   the same readers, which only [count](tally).
//!
//! Every bench measures the same message (256 bytes, one conversation), so that figures of
//! different layers can be held against each other.

pub mod backlog;
pub mod bare_quinn;
pub mod bare_rocksdb;
pub mod cpu;
pub mod endpoint;
pub mod fanout;
pub mod message;
pub mod recording;
pub mod side_by_side;
pub mod site;
pub mod tally;

/// As the broker's program allocates, on either side of each bench.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
