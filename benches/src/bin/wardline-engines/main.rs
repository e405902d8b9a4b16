//! The engines beside each other: the same rows, on the same disk, by turns; prints a Markdown
//! table.
//!
//! Every figure is taken in a process of its own, so that the memory of one engine is not counted
//! with that of another, and one of them can be killed. A round gives every engine its turn; the
//! table has the medians of all rounds. Nothing is left behind. Some minutes; `--help` has the
//! sizes.
#![expect(clippy::print_stdout, reason = "the table is the output")]

mod machine;
mod measure;
mod options;
mod rows;
mod table;
mod turn;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tempfile::TempDir;
use wardline_storage::open::Opener;

use options::Sizes;

/// Those that are compared, in the order of the table's columns.
const ENGINES: &[&dyn Opener] = &[&wardline_rocksdb::Rocks, &wardline_redb::Redb];

/// Compares the engines. Prints a Markdown table of medians.
#[derive(Parser)]
#[command(name = "wardline-engines", version)]
struct Cli {
    /// How often each engine has its turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// A folder on the disk in question; a folder within it is made and removed.
    #[arg(long, default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    sizes: Sizes,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the program has its own processes do.
#[derive(Subcommand)]
enum Part {
    /// Measures one engine in a new folder, tells, and commits until it is killed.
    #[command(hide = true)]
    Measure { engine: String, store: PathBuf },
    /// Opens what a killed one left, and tells how long that took.
    #[command(hide = true)]
    Reopen { engine: String, store: PathBuf },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Measure { engine, store }) => measure::run(opener(&engine)?, &store, &cli.sizes),
        Some(Part::Reopen { engine, store }) => measure::reopen(opener(&engine)?, &store, &cli.sizes),
        None => compare(&cli),
    }
}

fn compare(cli: &Cli) -> Result<()> {
    let folder = TempDir::with_prefix_in("wardline-engines-", &cli.folder)
        .with_context(|| format!("cannot write in {}; name another --folder", cli.folder.display()))?;
    let machine = machine::describe(folder.path())?;
    let mut turns = Vec::new();
    for round in 1..=cli.rounds {
        for engine in ENGINES {
            turns.push(turn::take(engine.name(), round, folder.path(), &cli.sizes)?);
        }
    }
    let names: Vec<&str> = ENGINES.iter().map(|engine| engine.name()).collect();
    print!("{}", table::render(&names, &turns, cli.rounds, &cli.sizes, &machine));
    Ok(())
}

fn opener(name: &str) -> Result<&'static dyn Opener> {
    let found = ENGINES.iter().find(|engine| engine.name() == name);
    found.copied().with_context(|| format!("there is no engine \"{name}\""))
}
