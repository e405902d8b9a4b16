//! What can be typed, and who carries it out.

mod generate;
mod serve;
mod told;

use clap::{CommandFactory as _, Parser, Subcommand};
pub(crate) use told::told;
use wardline_ehr::replay;

/// Wardline's bridge to the patient record.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes HL7 messages of senders and tells the broker, until SIGTERM or Ctrl-C.
    Serve(serve::Arguments),
    /// Tries addresses, certificates, token and broker, and says what is wrong.
    Check(serve::Configuration),
    /// Says whether the bridge could start with this configuration.
    CheckConfig(serve::Configuration),
    /// Reads a folder of HL7 files and says what would be taken, and what not and why.
    Replay(replay::Arguments),
    /// Writes man pages and shell completions.
    #[command(hide = true)]
    Generate(generate::Arguments),
}

impl Arguments {
    /// Whether it is to serve, as whoever supervises it wants to know.
    pub(crate) fn is_serve(&self) -> bool {
        matches!(self.command, Command::Serve(_))
    }

    /// Carries out what was typed; whether everything is right.
    pub(crate) fn run(self) -> anyhow::Result<bool> {
        // Several parts speak TLS; all of them by the same library. A second installation is
        // refused, and harmless.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        match self.command {
            Command::Serve(arguments) => serve::serve(&arguments),
            Command::Check(configuration) => serve::check(&configuration),
            Command::CheckConfig(configuration) => serve::check_config(&configuration),
            Command::Replay(arguments) => replay::run(&arguments),
            Command::Generate(arguments) => generate::run(&arguments, Self::command()).map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }
}
