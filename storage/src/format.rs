//! The format version of a store, and the refusal to open a newer one.
//!
//! Owns two records of the `meta` table: the version, written once into an empty store, and the
//! secret of the ids, made once and never changed. A store with records but without a version is
//! refused, not adopted.

use std::ops::ControlFlow;

use bytes::Bytes;
use thiserror::Error;

use crate::engine::{Direction, Durability, Engine, EngineError, KeyRange, Mutation, Table};
use crate::id::Timestamp;

/// The format that this code writes.
pub const FORMAT: u32 = 1;

const FORMAT_KEY: &[u8] = b"store/format";
const ID_SECRET_KEY: &[u8] = b"store/id-secret";

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

/// Checks the format of a store, and notes ours in an empty one.
///
/// # Errors
/// [`FormatError`] if the store is of a newer format, not ours, or unreadable.
pub fn check(engine: &dyn Engine) -> Result<(), FormatError> {
    const DOING: &str = "reading the format version";
    let Some(stored) = engine.get(Table::Meta, FORMAT_KEY, Timestamp::ZERO)? else {
        if !is_empty(engine)? {
            return Err(FormatError::Missing);
        }
        return Ok(write(engine, FORMAT_KEY, &FORMAT.to_be_bytes())?);
    };
    match stored.as_ref().try_into().map(u32::from_be_bytes) {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => Err(FormatError::Newer { found }),
        Ok(0) | Err(_) => Err(damaged(DOING, "it is not a version").into()),
        // Formats that were left behind are rewritten here once there are any.
        Ok(found) => Err(damaged(DOING, &format!("there never was a format {found}")).into()),
    }
}

/// The store's own secret of 32 bytes with which the broker derives ids from names, made from
/// `fresh` on first use.
///
/// # Errors
/// [`EngineError`] if the store could not be read or written.
pub fn id_secret(engine: &dyn Engine, fresh: [u8; 32]) -> Result<[u8; 32], EngineError> {
    match engine.get(Table::Meta, ID_SECRET_KEY, Timestamp::ZERO)? {
        Some(stored) => stored
            .as_ref()
            .try_into()
            .map_err(|_| damaged("reading the secret of the ids", "it is not 32 bytes long")),
        None => write(engine, ID_SECRET_KEY, &fresh).map(|()| fresh),
    }
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

fn write(engine: &dyn Engine, key: &'static [u8], value: &[u8]) -> Result<(), EngineError> {
    let put = Mutation::Put {
        table: Table::Meta,
        key: Bytes::from_static(key),
        value: Bytes::copy_from_slice(value),
        expires: Timestamp::NEVER,
    };
    engine.commit(&[put], Durability::Synced)
}

fn damaged(doing: &'static str, detail: &str) -> EngineError {
    EngineError::Corrupt { doing, detail: detail.to_owned() }
}
