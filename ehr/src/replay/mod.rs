//! `wardline-ehr replay`: reads a folder of HL7 files as the bridge would read them from a sender.
//!
//! A file may have one message or many, bare, in MLLP blocks, or as a batch; a file with no message
//! in it is said to be none. Nothing is sent anywhere. What is told is types, counts, places and
//! reasons, never what a message says.

mod files;
mod report;

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use jiff::tz::TimeZone;

use crate::hl7::charset::Charset;
use crate::hl7::message::Bounds;
use crate::hl7::read::Rules;
use crate::hl7::time::{Stamp, Zones};

/// What to read, and by which rules.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The folder, or a single file.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// The zone of times that have none, such as Europe/Berlin; without it, this machine's.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Option<TimeZone>,
    /// The character set of messages that state none in MSH-18, such as 8859/1; without it, ASCII.
    #[arg(long, value_name = "LABEL", value_parser = charset)]
    charset: Option<Charset>,
    /// Refuse messages of other types instead of passing over them.
    #[arg(long)]
    refuse_others: bool,
    /// Refuse messages for training and debugging (MSH-11), as a bridge in production does.
    #[arg(long)]
    production: bool,
    /// What the clock shows, as HL7 writes times; without it, this machine's. Later events are
    /// refused.
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Stamp>,
    /// Most bytes of a message.
    #[arg(long, value_name = "BYTES", default_value_t = Bounds::default().message_bytes_max)]
    message_bytes_max: usize,
}

/// Reads everything and prints what came of it; whether nothing was refused.
///
/// # Errors
/// If the folder cannot be read or has no HL7 in it, or nothing can be printed.
pub fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let rules = rules(arguments)?;
    let now_ms = now_ms(arguments, &rules.zone)?;
    let report = files::read(&arguments.folder, &rules, now_ms)?;
    let text = if arguments.json { report.json() } else { report.table() };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to stdout")?,
    }
    ensure!(report.messages() > 0, "there is no HL7 message in {}", arguments.folder.display());
    Ok(report.is_right())
}

fn rules(arguments: &Arguments) -> anyhow::Result<Rules> {
    let zone = match &arguments.zone {
        Some(zone) => zone.clone(),
        None => TimeZone::try_system().context("this machine has no time zone; name one with --zone")?,
    };
    let bounds = Bounds { message_bytes_max: arguments.message_bytes_max, ..Bounds::default() };
    Ok(Rules {
        bounds,
        zone,
        unstated: arguments.charset.unwrap_or(Charset::Unstated),
        takes_tests: !arguments.production,
        refuses_others: arguments.refuse_others,
        ..Rules::default()
    })
}

fn now_ms(arguments: &Arguments, zone: &TimeZone) -> anyhow::Result<i64> {
    if let Some(stamp) = arguments.now {
        let moment = stamp.moment(&Zones::new(None, zone.clone()));
        return moment.map(|moment| moment.unix_ms).context("--now is beyond all calendars");
    }
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    i64::try_from(since.as_millis()).context("the clock is beyond all calendars")
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "there is no such time zone; write it as Europe/Berlin".to_owned())
}

fn charset(label: &str) -> Result<Charset, String> {
    Charset::named(label).map_err(|reason| reason.to_string())
}

fn time(text: &str) -> Result<Stamp, String> {
    Stamp::read(text).ok_or_else(|| "write it as YYYYMMDDHHMMSS+ZZZZ".to_owned())
}
