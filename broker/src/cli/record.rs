//! What the verbs of the patients' record have in common: numbers, source events, answers.
//!
//! A number is typed with who gave it, as `MRN=4711`. Who does not name the event has a fresh one,
//! of now. What came of it is one line, so that a shell can take it.

use std::io::{self, Write};
use std::str::FromStr;

use clap::Args;
use wardline_client::record::{EncounterId, Identifier, Naming, Recorded, SourceEvent};
use wardline_client::{MessageId, RequestError};

use super::serve::now;
use super::session::{Connection, Purpose, Session};

/// The source that is named where nobody names one.
const SOURCE: &str = "wardline";

/// Which event of which source, and when.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Event")]
pub(super) struct Event {
    /// Which system says it.
    #[arg(long, value_name = "NAME", default_value = SOURCE)]
    source: String,
    /// What that calls the event: the same id is the same event [default: a fresh one].
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// When it happened, like 2026-03-01T08:30:00Z [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,
}

impl Event {
    /// As the SDK takes it.
    pub(super) fn source(&self) -> SourceEvent {
        SourceEvent {
            source: self.source.clone(),
            event_id: self.event.clone().unwrap_or_else(|| MessageId::fresh().to_string()),
            time_ms: self.at.unwrap_or_else(|| now().0),
        }
    }
}

fn time(text: &str) -> Result<u64, String> {
    let wrong = |why: String| format!("{why}; write it like 2026-03-01T08:30:00Z");
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| wrong(error.to_string()))?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|error| wrong(error.to_string()))?;
    match u64::try_from(since.as_millis()) {
        Ok(0) | Err(_) => Err(wrong("it must be after 1970".into())),
        Ok(millis) => Ok(millis),
    }
}

/// A number as it is typed: who gave it, and what it is.
#[derive(Clone, Debug)]
pub(super) struct Number(pub(super) Identifier);

impl FromStr for Number {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((authority, value)) if !authority.is_empty() && !value.is_empty() => {
                Ok(Self(Identifier::new(authority, value)))
            }
            _ => Err("it must be who gave the number and the number, like MRN=4711"),
        }
    }
}

/// How the verbs of the record name a patient.
pub(super) fn naming(numbers: &[Number], label: Option<&String>) -> Naming {
    Naming { identifiers: numbers.iter().map(|number| number.0.clone()).collect(), label: label.cloned() }
}

/// Says something of the record, and prints what came of it.
pub(super) async fn say(
    connection: &Connection,
    said: impl AsyncFnOnce(&Session) -> Result<Recorded, RequestError>,
) -> anyhow::Result<()> {
    let session = connection.open(Purpose::Request).await?;
    let recorded = said(&session).await?;
    session.close().await;
    Ok(writeln!(io::stdout(), "{}", line(&recorded))?)
}

/// What came of it, in one line.
fn line(recorded: &Recorded) -> String {
    let mut words = vec![format!("{:?}", recorded.effect).to_lowercase()];
    let name = |name: &'static str| move |id: EncounterId| format!("{name}={id}");
    words.extend(recorded.encounter.map(name("encounter")));
    words.extend(recorded.patient.map(|id| format!("patient={id}")));
    let flags = [(recorded.made, "made"), (recorded.ahead, "ahead"), (recorded.disputed, "disputed")];
    words.extend(flags.iter().filter(|(is_so, _)| *is_so).map(|(_, word)| (*word).to_owned()));
    words.extend(recorded.bed_also_held_by.map(name("bed-also-held-by")));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use wardline_client::record::{Effect, PatientId};

    use super::*;

    #[test]
    fn a_number_is_who_gave_it_and_what_it_is() {
        let number: Number = "urn:oid:1.2=4=7".parse().expect("a number");
        assert_eq!(number.0, Identifier::new("urn:oid:1.2", "4=7"));
        for wrong in ["4711", "=4711", "MRN=", ""] {
            assert!(wrong.parse::<Number>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_has_a_zone_and_lies_after_1970() {
        assert_eq!(time("1970-01-01T00:00:01Z"), Ok(1_000));
        for wrong in ["1970-01-01T00:00:00Z", "yesterday", "2026-13-01T00:00:00Z", ""] {
            assert!(time(wrong).is_err_and(|why| why.contains("write it like")), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_one_line() {
        let id = EncounterId([1; 16]);
        let mut recorded = Recorded {
            effect: Effect::Changed,
            patient: Some(PatientId([2; 16])),
            encounter: Some(id),
            made: true,
            ahead: true,
            disputed: true,
            bed_also_held_by: Some(EncounterId([3; 16])),
        };
        let (one, two, three) = ("01".repeat(16), "02".repeat(16), "03".repeat(16));
        let all =
            format!("changed encounter={one} patient={two} made ahead disputed bed-also-held-by={three}");
        assert_eq!(line(&recorded), all);
        recorded = Recorded {
            effect: Effect::Late,
            patient: None,
            made: false,
            ahead: false,
            disputed: false,
            bed_also_held_by: None,
            ..recorded
        };
        assert_eq!(line(&recorded), format!("late encounter={one}"));
    }
}
