//! `generate`: man pages and shell completions, from the command line's own definition, so that
//! they cannot differ. For those who package; hidden from the help.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

/// The program's name.
const NAME: &str = "wardline-ehr";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder that gets man/ and completions/.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Writes them for a command line.
pub(super) fn run(arguments: &Arguments, command: Command) -> anyhow::Result<()> {
    let mut command = command.name(NAME);
    clap_mangen::generate_to(command.clone(), folder(&arguments.to, "man")?)?;
    let completions = folder(&arguments.to, "completions")?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, NAME, &completions)?;
    }
    Ok(())
}

fn folder(to: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = to.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
