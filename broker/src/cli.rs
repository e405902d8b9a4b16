//! The command line: what can be typed, and who carries it out.
//!
//! `serve`, `check-config`, `revoke`, `backup`, `verify`, `restore` and `doctor` are the
//! operator's; `token` signs with the development key; everything else is a client of a running
//! broker, through the SDK like any other program. Results go to stdout, everything else to stderr.
//! Nothing here names an engine.

mod backup;
mod conversation;
mod doctor;
mod encounter;
mod engines;
mod failure;
mod generate;
mod issuers;
mod message;
mod open_files;
mod patient;
mod plain;
mod record;
mod report;
mod revoke;
mod rows;
mod serve;
mod session;
mod show;
mod staff;
mod state_hash;
mod tail;
mod time;
mod token;

use clap::{CommandFactory as _, Parser, Subcommand};
use rustix::fs::Mode;
use rustix::process::umask;
use wardline_broker::operator::text_log;
use wardline_storage::log::Starter;

pub(crate) use engines::Engines;
pub(crate) use failure::{Failure, told};
pub(crate) use report::say_last;

/// The messaging backbone of a hospital network.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the broker, until SIGTERM or Ctrl-C.
    Serve(serve::Arguments),
    /// Prints a token, signed with the development key.
    Token(token::Arguments),
    /// Creates, lists and changes conversations.
    #[command(subcommand)]
    Conversation(conversation::Command),
    /// Publishes a message; returns once it is durable.
    Send(message::Send),
    /// Shows messages and receipts as they arrive, until Ctrl-C.
    Tail(tail::Arguments),
    /// Shows the messages of a conversation.
    History(message::History),
    /// Shows who received and read a message, and when.
    Receipts(message::Receipts),
    /// Erases the content of a message of your own, or of your group's, for all.
    Delete(message::Delete),
    /// Says what happened to an encounter; shows what the patients' record says.
    #[command(subcommand)]
    Encounter(encounter::Command),
    /// Says what is known of a patient, or that two are one.
    #[command(subcommand)]
    Patient(patient::Command),
    /// Says who works on a ward, all of them.
    Roster(staff::Roster),
    /// Says who cares for a patient beside the ward's roster, all of them.
    CareTeam(staff::CareTeam),
    /// Takes access back from a user, a device, a tenant, or tokens of a key; gives it back.
    Revoke(revoke::Arguments),
    /// Backs up the store, beside a running broker or without one.
    Backup(backup::Backup),
    /// Reads backups whole and says whether they could be restored.
    Verify(backup::Verify),
    /// Makes a data folder out of a backup.
    Restore(backup::Restore),
    /// Checks this host and the data folder, and says what to change.
    Doctor(doctor::Arguments),
    /// Says whether the broker could start with this configuration.
    CheckConfig(serve::CheckConfig),
    /// Writes man pages and shell completions.
    #[command(hide = true)]
    Generate(generate::Arguments),
}

impl Arguments {
    /// Carries out what was typed.
    pub(crate) fn run(self, engines: Engines, log: &'static dyn Starter) -> anyhow::Result<()> {
        // Several parts speak TLS; all of them by the same library. A second installation is
        // refused, and harmless.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if !matches!(self.command, Command::Generate(_)) {
            // Payloads and keys are for their owner alone, from the first byte on.
            umask(Mode::RWXG | Mode::RWXO);
        }
        match self.command {
            Command::Serve(arguments) => serve::serve(arguments, engines, log),
            Command::CheckConfig(arguments) => serve::check_config(&arguments, engines),
            Command::Revoke(arguments) => revoke::run(&arguments),
            Command::Backup(arguments) => backup::backup(&arguments, engines),
            Command::Verify(arguments) => backup::verify(&arguments),
            Command::Restore(arguments) => backup::restore(&arguments, engines),
            Command::Doctor(arguments) => doctor::run(&arguments, engines),
            Command::Generate(arguments) => generate::run(&arguments, Self::command()),
            Command::Token(arguments) => token::print(&arguments),
            Command::Conversation(command) => client(command.run()),
            Command::Send(send) => client(send.run()),
            Command::Tail(arguments) => client(arguments.run()),
            Command::History(history) => client(history.run()),
            Command::Receipts(receipts) => client(receipts.run()),
            Command::Delete(delete) => client(delete.run()),
            Command::Encounter(command) => client(command.run()),
            Command::Patient(command) => client(command.run()),
            Command::Roster(roster) => client(roster.run()),
            Command::CareTeam(team) => client(team.run()),
        }
    }
}

/// Runs a client command to its end.
fn client(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // People read what the command says; the SDK's log is for those who ask for it.
    text_log::start_for_people("off")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::Command as Verb;

    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    /// What each verb wants at the least.
    const VERBS: &[&[&str]] = &[
        &["serve"],
        &["revoke", "user", "bob", "--tenant", "north"],
        &["token", "--user", "bob"],
        &["conversation", "create", "--direct", "bob"],
        &["conversation", "list"],
        &["conversation", "members", ID],
        &["conversation", "add", ID, "bob"],
        &["conversation", "remove", ID, "bob"],
        &["conversation", "role", ID, "bob", "admin"],
        &["conversation", "leave", ID],
        &["conversation", "rename", ID, "title"],
        &["conversation", "retention", ID, "max"],
        &["send", ID, "text"],
        &["tail", ID],
        &["history", ID],
        &["receipts", ID, "1"],
        &["delete", ID, "1"],
        &["encounter", "plan", "VN=1", "--patient", "MRN=1"],
        &["encounter", "admit", "VN=1", "--patient", "MRN=1"],
        &["encounter", "update", "VN=1", "--patient", "MRN=1"],
        &["encounter", "leave", "VN=1", "--patient", "MRN=1"],
        &["encounter", "return", "VN=1", "--patient", "MRN=1"],
        &["encounter", "discharge", "VN=1", "--patient", "MRN=1"],
        &["encounter", "cancel-admit", "VN=1", "--patient", "MRN=1"],
        &["encounter", "cancel-leave", "VN=1", "--patient", "MRN=1"],
        &["encounter", "cancel-return", "VN=1", "--patient", "MRN=1"],
        &["encounter", "cancel-discharge", "VN=1", "--patient", "MRN=1"],
        &["encounter", "transfer", "VN=1", "--patient", "MRN=1", "--ward", "4A"],
        &["encounter", "cancel-transfer", "VN=1", "--patient", "MRN=1", "--ward", "4A"],
        &["encounter", "show", "VN=1"],
        &["encounter", "list"],
        &["patient", "update", "MRN=1"],
        &["patient", "merge", "--survivor", "MRN=1", "--retired", "MRN=2"],
        &["roster", "4A", "bob"],
        &["care-team", "VN=1", "--nobody"],
        &["backup", "--to", "backups"],
        &["verify", "backups"],
        &["restore", "backups", "--to", "data"],
        &["doctor"],
        &["check-config"],
        &["generate", "--to", "made"],
        &["tail"],
    ];

    /// The verbs that have none below them.
    fn leaves(verb: &Verb, path: &[String], found: &mut Vec<Vec<String>>) {
        for below in verb.get_subcommands() {
            let path = [path, &[below.get_name().to_owned()]].concat();
            match below.has_subcommands() {
                true => leaves(below, &path, found),
                false => found.push(path),
            }
        }
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_verb_is_tried_with_every_way_of_naming_oneself() {
        let mut found = Vec::new();
        leaves(&Arguments::command(), &[], &mut found);
        let ways: [&[&str]; 4] =
            [&[], &["--as", "alice"], &["--as", "alice", "--tenant", "t", "--role", "r"], &["--token", "t"]];
        for path in found {
            let with_path =
                |line: &&&[&str]| line.iter().zip(&path).filter(|(a, b)| a == b).count() == path.len();
            let line = VERBS.iter().find(with_path);
            let line = line.unwrap_or_else(|| panic!("{path:?} is not tried: add it to VERBS"));
            let verb =
                path.iter().try_fold(Arguments::command(), |verb, name| verb.find_subcommand(name).cloned());
            let is_client = verb.expect("it was found").get_arguments().any(|it| it.get_long() == Some("as"));
            let count = if is_client { ways.len() } else { 1 };
            for way in &ways[..count] {
                let typed = [&["wardline"][..], *line, *way].concat();
                if let Err(error) = Arguments::try_parse_from(&typed) {
                    panic!("{typed:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn who_is_removed_is_not_who_removes() {
        let typed = ["wardline", "conversation", "remove", ID, "bob", "--as", "alice"];
        let command = Arguments::try_parse_from(typed).expect("it is documented").command;
        let told = format!("{command:?}");
        assert!(told.contains("member: \"bob\"") && told.contains("user: Some(\"alice\")"), "{told}");
    }
}
