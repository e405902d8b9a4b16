//! The format version of a store: what is older is brought up to ours, what is newer is refused.
//!
//! Owns one record of the `meta` table, the version, which is written into an empty store and by a
//! migration. A migration is one batch: it is there whole or not at all, and an older broker
//! refuses the store from then on. A store with records but without a version is refused, not
//! adopted.

use std::ops::ControlFlow;

use bytes::Bytes;
use thiserror::Error;

use crate::applier::applied_row;
use crate::engine::{Direction, Durability, Engine, EngineError, KeyRange, Mutation, Table};
use crate::id::{Seq, Timestamp};
use crate::key::{self, Span};
use crate::model::{Applied, Conversation, Device, IdSecret};
use crate::record::Record;
use crate::scan;
use crate::state;

/// The format that this code writes. 1: a position for each of 64 partitions, and the secret of the
/// ids without a version. 2: one position with the log's time; the policy is a record. 3: members
/// with the role publisher, and who gave it; notices of roles; retentions by tenant. 4: patients,
/// encounters and wards; sign-ins that ended.
pub const FORMAT: u32 = 4;

/// For records that do not expire.
const ANY_TIME: Timestamp = Timestamp::ZERO;

/// The store cannot be used as it is. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Written by a newer version.
    #[error(
        "the data has format {found}, this version reads up to {FORMAT}: start a newer version of the broker, or restore a backup made by this one"
    )]
    Newer {
        /// The format found.
        found: u32,
    },
    /// Records without a format version: not a store of ours, or a damaged one.
    #[error("the store has records but no format version: this is not Wardline's data, or it is damaged")]
    Missing,
    /// The store could not be read or written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Checks the format of a store, notes ours in an empty one, and migrates an older one.
///
/// # Errors
/// [`FormatError`] if the store is of a newer format, not ours, or unreadable.
pub fn check(engine: &dyn Engine) -> Result<(), FormatError> {
    match found(engine)? {
        None => engine.commit(&[format_row()], Durability::Synced)?,
        Some(1) => migrate_from_1(engine)?,
        Some(2 | 3) => renumber(engine)?,
        Some(_) => {}
    }
    Ok(())
}

/// The format of a store, which this code reads or can migrate; `None`: it is empty. Writes
/// nothing.
///
/// # Errors
/// [`FormatError`] if the store is of a newer format, not ours, or unreadable.
pub fn found(engine: &dyn Engine) -> Result<Option<u32>, FormatError> {
    let Some(stored) = engine.get(Table::Meta, key::FORMAT, ANY_TIME)? else {
        return if is_empty(engine)? { Ok(None) } else { Err(FormatError::Missing) };
    };
    match stored.as_ref().try_into().map(u32::from_be_bytes) {
        Ok(found) if found > FORMAT => Err(FormatError::Newer { found }),
        Ok(0) | Err(_) => Err(damaged("reading the format version", "it is not a version").into()),
        Ok(found) => Ok(Some(found)),
    }
}

/// The format of a store, and how far it has come. Writes nothing; of format 1 no time is known.
///
/// # Errors
/// As [`found`].
pub fn progress(engine: &dyn Engine) -> Result<(u32, Applied), FormatError> {
    Ok(match found(engine)? {
        Some(1) => (1, Applied { position: position_of_1(engine)?, time: Timestamp::ZERO }),
        found => (found.unwrap_or(FORMAT), state::applied(engine)?),
    })
}

/// The store's secret, whatever its format; `None`: nobody has given it one. Writes nothing.
///
/// # Errors
/// As [`found`].
pub fn id_secret(engine: &dyn Engine) -> Result<Option<IdSecret>, FormatError> {
    Ok(match found(engine)? {
        Some(1) => secret_of_1(engine)?,
        _ => state::id_secret(engine)?,
    })
}

/// In format 1 the secret had no version.
fn secret_of_1(engine: &dyn Engine) -> Result<Option<IdSecret>, EngineError> {
    let Some(stored) = engine.get(Table::Meta, key::ID_SECRET, ANY_TIME)? else { return Ok(None) };
    let secret = stored.as_ref().try_into().map(IdSecret::new);
    secret.map(Some).map_err(|_| damaged("reading the secret of the ids", "it is not 32 bytes long"))
}

/// How many submissions are applied to a store of format 1.
fn position_of_1(engine: &dyn Engine) -> Result<u64, EngineError> {
    let mut position = 0;
    each(engine, Table::Meta, &key::partitions_applied(), |_, value| {
        // A number with a version, as the mark of a place is.
        position += Seq::decode(value)?.0;
        Ok(())
    })?;
    Ok(position)
}

/// What 3 and 4 added is read in what came before as not being there; an older build must not meet
/// it.
fn renumber(engine: &dyn Engine) -> Result<(), EngineError> {
    engine.commit(&[format_row()], Durability::Synced)
}

/// The log's position is the sum of its partitions', its time the latest that is on record.
fn migrate_from_1(engine: &dyn Engine) -> Result<(), EngineError> {
    let applied = Applied { position: position_of_1(engine)?, time: latest_of_1(engine)? };
    let mut batch = vec![applied_row(applied), format_row()];
    each(engine, Table::Meta, &key::partitions_applied(), |key, _| {
        batch.push(Mutation::Delete { table: Table::Meta, key: Bytes::copy_from_slice(key) });
        Ok(())
    })?;
    if let Some(secret) = secret_of_1(engine)? {
        batch.push(row(key::ID_SECRET, secret.encode()));
    }
    engine.commit(&batch, Durability::Synced)
}

/// The latest time of conversations and devices. Receipts are left out, since there may be very
/// many: one of the last moments may be later by as much.
fn latest_of_1(engine: &dyn Engine) -> Result<Timestamp, EngineError> {
    let mut latest = Timestamp::ZERO;
    each(engine, Table::Conversation, &Span::all(), |_, value| {
        latest = latest.max(Conversation::decode(value)?.last_activity);
        Ok(())
    })?;
    each(engine, Table::Device, &Span::all(), |_, value| {
        latest = latest.max(Device::decode(value)?.last_seen);
        Ok(())
    })?;
    Ok(latest)
}

fn each(
    engine: &dyn Engine,
    table: Table,
    span: &Span,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let visit = |key: &[u8], value: &[u8]| visit(key, value).map(ControlFlow::Continue);
    scan::each(engine, table, span, Direction::Forward, ANY_TIME, visit)
}

/// Whether no table has any record, be it expired.
fn is_empty(engine: &dyn Engine) -> Result<bool, EngineError> {
    for table in Table::ALL {
        let mut empty = true;
        engine.scan(table, KeyRange::ALL, Direction::Forward, Timestamp::ZERO, &mut |_| {
            empty = false;
            ControlFlow::Break(())
        })?;
        if !empty {
            return Ok(false);
        }
    }
    Ok(true)
}

fn format_row() -> Mutation {
    row(key::FORMAT, Bytes::copy_from_slice(&FORMAT.to_be_bytes()))
}

fn row(key: &'static [u8], value: Bytes) -> Mutation {
    Mutation::Put { table: Table::Meta, key: Bytes::from_static(key), value, expires: Timestamp::NEVER }
}

fn damaged(doing: &'static str, detail: &str) -> EngineError {
    EngineError::Corrupt { doing, detail: detail.to_owned() }
}
