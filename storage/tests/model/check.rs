//! Runs generated sequences through the applier and the model, and compares.

use std::collections::BTreeMap;
use std::sync::Arc;

use wardline_storage::applier::Applier;
use wardline_storage::command::{Outcome, Submission};
use wardline_storage::engine::{Direction, Engine, KeyRange, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::key;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::view::View;

use super::Model;
use super::generate::Draw;
use super::read::compare;

/// How often what happened: a comparison in which something never happens proves nothing about it.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) happened: BTreeMap<String, u64>,
}

impl Tally {
    fn note(&mut self, what: &impl std::fmt::Debug) {
        // The variant's name, and whether there was something to change.
        let text = format!("{what:?}");
        let end = text.find([' ', '{']).unwrap_or(text.len()).min(text.find("(Seq").unwrap_or(text.len()));
        *self.happened.entry(text[..end].trim_end_matches(')').to_owned()).or_default() += 1;
    }
}

/// Runs one sequence on an engine.
///
/// # Errors
/// What differs from the model, with the submissions up to there.
pub(crate) fn sequence(
    engine: Arc<dyn Engine>,
    mut draw: Draw,
    commands_max: u64,
    tally: &mut Tally,
) -> Result<(), String> {
    let (mut model, mut applier) =
        (Model::default(), Applier::new(engine.clone()).map_err(|e| e.to_string())?);
    let mut past: Vec<Submission> = Vec::new();
    let length = 5 + draw.below(commands_max.saturating_sub(5).max(1));
    let failed = |what: String, past: &[Submission]| {
        let past: Vec<String> = past.iter().map(|submission| format!("  {submission:?}")).collect();
        format!("{what}, after\n{}", past.join("\n"))
    };
    while (past.len() as u64) < length {
        let size = if draw.below(3) == 0 { 1 } else { 1 + draw.below(8) };
        let (mut group, mut expected, mut told) = (Vec::new(), Vec::new(), Vec::new());
        // Whatever the clock shows: the log's time does not go back.
        let time = draw.pass_time(&model).max(applier.applied().time);
        for _ in 0..size {
            let submission = draw.submission(&model);
            let (verdict, events) = model.apply(time, &submission);
            expected.push(verdict);
            told.extend(events);
            group.push(submission);
        }
        let result = applier.apply_group(time, &group).map_err(|error| failed(error.to_string(), &past))?;
        past.extend(group);
        tally.commands += size;
        for verdict in &result.verdicts {
            match verdict {
                Ok(Outcome::Heard(heard)) => tally.note(&heard.effect),
                Ok(outcome) => tally.note(outcome),
                Err(rejection) => tally.note(rejection),
            }
        }
        result.events.iter().for_each(|event| tally.note(event));
        if result.verdicts != expected {
            return Err(failed(format!("verdicts {:?}, expected {expected:?}", result.verdicts), &past));
        }
        if result.events != told {
            return Err(failed(format!("events {:?}, expected {told:?}", result.events), &past));
        }
        if draw.below(6) == 0 {
            engine.reclaim(applier.applied().time).map_err(|error| failed(error.to_string(), &past))?;
        }
        if draw.below(6) == 0 {
            let now = draw.reading_time(&model);
            compare(&View::new(&*engine, now), &model, now, &mut draw).map_err(|what| failed(what, &past))?;
        }
    }
    let now = draw.reading_time(&model);
    compare(&View::new(&*engine, now), &model, now, &mut draw).map_err(|what| failed(what, &past))
}

/// Applies the same submissions in three groupings, and compares every record that is left.
///
/// # Errors
/// The first grouping that leaves something else.
pub(crate) fn grouping(mut draw: Draw, commands_max: u64) -> Result<(), String> {
    let mut model = Model::default();
    let mut moments = Vec::new();
    let mut time = Timestamp::ZERO;
    for _ in 0..2 + draw.below(commands_max / 4) {
        time = draw.pass_time(&model).max(time);
        let mut submissions = Vec::new();
        for _ in 0..1 + draw.below(7) {
            let submission = draw.submission(&model);
            let _ = model.apply(time, &submission);
            submissions.push(submission);
        }
        moments.push((time, submissions));
    }
    // What is of one moment may be one group, or several.
    let by = |size: usize| {
        let groups = moments
            .iter()
            .flat_map(move |(time, submissions)| submissions.chunks(size).map(move |group| (*time, group)));
        contents(groups)
    };
    let size = 2 + draw.below(5) as usize;
    let (single, whole, mixed) = (by(1)?, by(usize::MAX)?, by(size)?);
    match (single == whole, single == mixed) {
        (true, true) => Ok(()),
        (false, _) => Err("one group leaves something else than single commands".into()),
        (_, false) => Err(format!("groups of {size} leave something else than single commands")),
    }
}

/// The records, and which time it is.
type Contents = (Vec<(Table, Vec<u8>, Vec<u8>)>, Timestamp);

fn contents<'a>(groups: impl Iterator<Item = (Timestamp, &'a [Submission])>) -> Result<Contents, String> {
    let engine = Arc::new(MemoryEngine::default());
    let mut applier = Applier::new(engine.clone()).map_err(|error| error.to_string())?;
    for (time, group) in groups {
        applier.apply_group(time, group).map_err(|error| error.to_string())?;
    }
    let mut contents = Vec::new();
    // Before the first expiry everything is there; at the others it shows that records go at the
    // same times.
    for now in [0, 1_000_050, 1_000_300].map(Timestamp) {
        for table in Table::ALL {
            let all = KeyRange { from: &[], to: &[0xff; 129] };
            let mut visit = |row: wardline_storage::engine::Row<'_>| {
                let (key, value) = (row.key, row.value);
                // A group that changes nothing takes no position, so single commands take fewer.
                if key != key::APPLIED {
                    contents.push((table, key.to_vec(), value.to_vec()));
                }
                std::ops::ControlFlow::Continue(())
            };
            let scanned = engine.scan(table, all, Direction::Forward, now, &mut visit);
            scanned.map_err(|error| error.to_string())?;
        }
    }
    Ok((contents, applier.applied().time))
}
