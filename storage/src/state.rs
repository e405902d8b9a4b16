//! What the committer reads from: the seam between the machine and whatever holds its state.
//!
//! [`State`] is an engine, what is remembered of one, or changes over one. The machine
//! decides on it, and `scan` walks it; neither knows which it is.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Direction, Engine, EngineError, KeyRange, Table, Visit};
use crate::id::{ConversationId, Timestamp, UserId};
use crate::key;
use crate::model::{Applied, Conversation, Cursor, IdSecret, Member, Policy};
use crate::record::Record;
use crate::retention::{Retentions, Rules};

/// What the machine reads from: an engine, or changes over one. The records that nearly every
/// command reads are asked for as what they are, so that a state may keep them decoded; they do not
/// expire.
pub trait State {
    /// Reads one record, unless it is deleted or expired at `now`.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError>;

    /// Visits the records of a range in order, as [`Engine::scan`] does.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError>;

    /// Reads a conversation.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, EngineError> {
        record(self, Table::Conversation, &key::conversation(id), ANY_TIME)
    }

    /// Reads a membership, active or not.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn member(&self, id: ConversationId, user: UserId) -> Result<Option<Member>, EngineError> {
        record(self, Table::Member, &key::member(id, user), ANY_TIME)
    }

    /// Reads somebody's watermarks.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn cursor(&self, id: ConversationId, user: UserId) -> Result<Option<Cursor>, EngineError> {
        record(self, Table::Cursor, &key::cursor(id, user), ANY_TIME)
    }

    /// Reads the bounds in force; `None`: nobody has set any.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn policy(&self) -> Result<Option<Policy>, EngineError> {
        record(self, Table::Meta, key::POLICY, ANY_TIME)
    }

    /// Reads the floors, defaults and ceilings of retention; `None`: nobody has set any.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn retentions(&self) -> Result<Option<Arc<Retentions>>, EngineError> {
        Ok(record(self, Table::Meta, key::RETENTIONS, ANY_TIME)?.map(Arc::new))
    }
}

/// How far a store has come in the log.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub fn applied(state: &(impl State + ?Sized)) -> Result<Applied, EngineError> {
    Ok(record(state, Table::Meta, key::APPLIED, ANY_TIME)?.unwrap_or_default())
}

/// What the operator has put in force; `None`: there is no policy yet.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub fn rules(state: &(impl State + ?Sized)) -> Result<Option<Rules>, EngineError> {
    let Some(policy) = state.policy()? else { return Ok(None) };
    Ok(Some(Rules { policy, retentions: state.retentions()? }))
}

/// The store's secret for ids; `None`: nobody has given it one.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub fn id_secret(state: &(impl State + ?Sized)) -> Result<Option<IdSecret>, EngineError> {
    record(state, Table::Meta, key::ID_SECRET, ANY_TIME)
}

/// For records that do not expire.
const ANY_TIME: Timestamp = Timestamp(0);

/// Reads and decodes one record, unless it is deleted or expired at `now`.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(crate) fn record<R: Record>(
    state: &(impl State + ?Sized),
    table: Table,
    key: &[u8],
    now: Timestamp,
) -> Result<Option<R>, EngineError> {
    state.get(table, key, now)?.map(|bytes| R::decode(&bytes)).transpose()
}

impl<E: Engine + ?Sized> State for E {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        Engine::get(self, table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        Engine::scan(self, table, range, direction, now, visit)
    }
}
