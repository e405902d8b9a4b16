//! How records become bytes: a compact, versioned codec, written by hand because it is the format.
//!
//! A record is a version byte and its fields in a fixed order: ids as they are, times as 8 bytes
//! big-endian, numbers and lengths as base-128 varints. Whoever changes a layout adds a version and
//! keeps reading the old one; `tests/record.rs` freezes the bytes. Decoding trusts nothing: it
//! never panics, sets no memory aside for a length before that many bytes are known to be there,
//! and refuses a version that it does not know by its name. What the log holds, groups of
//! submissions, are records too.

mod codec;
mod conversation;
mod encounter;
mod patient;
mod people;
mod retention;
mod said;
mod staff;
mod submission;

use bytes::{Bytes, BytesMut};

use crate::engine::EngineError;
use crate::id::{ClientMessageId, DeviceId, Seq, Timestamp, UserId};
use crate::model::{
    Acknowledgement, Applied, Body, Cursor, Device, Entry, IdSecret, Kind, Message, Notice, Policy, Priority,
    Revocation, Role,
};

pub use codec::{Damage, Reader, Writer};

/// A thing that has a layout in bytes.
pub trait Record: Sized {
    /// What to call it in an error: `a ...`.
    const NAME: &'static str;

    /// The version that this code writes, and the highest that it reads. They begin at 1.
    const VERSION: u8 = 1;

    /// Writes the fields.
    fn write(&self, out: &mut Writer<'_>);

    /// Reads the fields.
    ///
    /// # Errors
    /// [`Damage`] if they are not what [`Record::write`] writes.
    fn read(from: &mut Reader<'_>) -> Result<Self, Damage>;

    /// The record's bytes.
    fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(64);
        self.encode_into(&mut bytes);
        bytes.freeze()
    }

    /// Appends the record's bytes.
    fn encode_into(&self, bytes: &mut BytesMut) {
        let mut out = Writer { bytes };
        out.u8(Self::VERSION);
        self.write(&mut out);
    }

    /// The record that these bytes are.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`] if they are none, [`EngineError::Version`] if they are of a version
    /// that this code does not know.
    fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        let mut from = open::<Self>(bytes)?;
        Self::read(&mut from).and_then(|record| from.end().map(|()| record)).map_err(damaged::<Self>)
    }
}

/// Reads the version that a record opens with; what follows are the fields.
fn open<R: Record>(bytes: &[u8]) -> Result<Reader<'_>, EngineError> {
    let mut from = Reader { rest: bytes, version: 0 };
    from.version = from.u8().map_err(damaged::<R>)?;
    match from.version {
        0 => Err(damaged::<R>(Damage("no record has version 0"))),
        found if found > R::VERSION => {
            Err(EngineError::Version { record: R::NAME, found, reads: R::VERSION })
        }
        _ => Ok(from),
    }
}

fn damaged<R: Record>(damage: Damage) -> EngineError {
    EngineError::Corrupt { doing: "decoding a record", detail: format!("{}: {}", R::NAME, damage.0) }
}

/// The part of an entry that counting and searching need, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// Who caused it.
    pub sender: UserId,
    /// The broker's time of it.
    pub time: Timestamp,
    /// When it is gone, by its own record.
    pub expires: Timestamp,
    /// Whether it is a message, neither deleted nor a notice.
    pub is_message: bool,
    /// Whether it is a notice.
    pub is_notice: bool,
    /// Whether it is a message that was deleted.
    pub is_tombstone: bool,
}

impl EntryHeader {
    /// Reads the header of an entry's bytes and leaves the rest alone.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`] if they do not start like an entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        let mut from = open::<Entry>(bytes)?;
        Self::read(&mut from).map(|(header, _)| header).map_err(damaged::<Entry>)
    }

    /// The same, and whether it is an urgent message, which stands a little further on.
    ///
    /// # Errors
    /// As [`EntryHeader::decode`].
    pub fn decode_urgency(bytes: &[u8]) -> Result<(Self, bool), EngineError> {
        let mut from = open::<Entry>(bytes)?;
        let read = |from: &mut Reader<'_>| {
            let (header, _) = Self::read(from)?;
            let urgent = header.is_message && read_label(from)?.1 == Priority::Urgent;
            Ok((header, urgent))
        };
        read(&mut from).map_err(damaged::<Entry>)
    }

    fn read(from: &mut Reader<'_>) -> Result<(Self, u8), Damage> {
        let (sender, time, expires, tag) =
            (UserId::new(from.array()?), from.time()?, from.time()?, from.u8()?);
        let (is_message, is_tombstone, is_notice) = (tag == MESSAGE, tag == TOMBSTONE, tag == NOTICE);
        Ok((Self { sender, time, expires, is_message, is_tombstone, is_notice }, tag))
    }
}

const MESSAGE: u8 = 1;
const TOMBSTONE: u8 = 2;
const NOTICE: u8 = 3;

impl Record for Entry {
    const NAME: &'static str = "an entry";

    fn write(&self, out: &mut Writer<'_>) {
        out.id(self.sender.as_bytes());
        out.time(self.time);
        out.time(self.expires);
        match &self.body {
            Body::Message(message) => {
                out.bytes.reserve(message.payload.len() + message.content_type.as_str().len() + 40);
                out.u8(MESSAGE);
                write_message(message, out);
            }
            Body::Tombstone { by, at } => {
                out.u8(TOMBSTONE);
                out.id(by.as_bytes());
                out.time(*at);
            }
            Body::Notice(notice) => {
                out.u8(NOTICE);
                write_notice(notice, out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (header, tag) = EntryHeader::read(from)?;
        let body = match tag {
            MESSAGE => Body::Message(read_message(from)?),
            TOMBSTONE => Body::Tombstone { by: UserId::new(from.array()?), at: from.time()? },
            NOTICE => Body::Notice(read_notice(from)?),
            _ => return Err(Damage("the kind of entry is unknown")),
        };
        Ok(Self { sender: header.sender, time: header.time, expires: header.expires, body })
    }
}

fn write_message(message: &Message, out: &mut Writer<'_>) {
    out.id(message.client_id.as_bytes());
    out.u8(priority_byte(message.priority));
    out.varint(message.reply_to.unwrap_or(Seq::ZERO).0);
    out.blob(message.content_type.as_str().as_bytes());
    out.blob(&message.payload);
}

/// What a message begins with.
fn read_label(from: &mut Reader<'_>) -> Result<(ClientMessageId, Priority), Damage> {
    Ok((ClientMessageId::new(from.array()?), priority(from.u8()?)?))
}

fn read_message(from: &mut Reader<'_>) -> Result<Message, Damage> {
    let (client_id, priority) = read_label(from)?;
    let reply_to = Some(from.seq()?).filter(|seq| *seq != Seq::ZERO);
    let content_type = from.text()?;
    let payload = Bytes::copy_from_slice(from.blob()?);
    Ok(Message { client_id, content_type, payload, priority, reply_to })
}

fn write_notice(notice: &Notice, out: &mut Writer<'_>) {
    match notice {
        Notice::Deleted(seq) => {
            out.u8(1);
            out.varint(seq.0);
        }
        Notice::Added(users, role) => {
            out.u8(2);
            out.list(users, |out, user| out.id(user.as_bytes()));
            out.u8(role_byte(*role));
        }
        Notice::Removed(user) => {
            out.u8(3);
            out.id(user.as_bytes());
        }
        Notice::Renamed(title) => {
            out.u8(4);
            out.blob(title.as_str().as_bytes());
        }
        Notice::Retention(retention) => {
            out.u8(5);
            out.duration(*retention);
        }
        Notice::Role(user, role) => {
            out.u8(6);
            out.id(user.as_bytes());
            out.u8(role_byte(*role));
        }
        Notice::NoAdmin => out.u8(7),
        Notice::Left(users) => {
            out.u8(8);
            out.list(users, |out, user| out.id(user.as_bytes()));
        }
    }
}

fn read_notice(from: &mut Reader<'_>) -> Result<Notice, Damage> {
    Ok(match from.u8()? {
        1 => Notice::Deleted(from.seq()?),
        2 => {
            let users = from.list(UserId::BYTES, |from| from.array().map(UserId::new))?;
            Notice::Added(users, role(from.u8()?)?)
        }
        3 => Notice::Removed(UserId::new(from.array()?)),
        4 => Notice::Renamed(from.text()?),
        5 => Notice::Retention(from.duration()?),
        6 => Notice::Role(UserId::new(from.array()?), role(from.u8()?)?),
        7 => Notice::NoAdmin,
        8 => Notice::Left(from.list(UserId::BYTES, |from| from.array().map(UserId::new))?),
        _ => return Err(Damage("the kind of notice is unknown")),
    })
}

impl Record for Cursor {
    const NAME: &'static str = "a cursor";

    fn write(&self, out: &mut Writer<'_>) {
        out.varint(self.delivered.0);
        out.varint(self.read.0);
        out.list(&self.devices, |out, (device, seq)| {
            out.id(device.as_bytes());
            out.seq(*seq);
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (delivered, read) = (from.seq()?, from.seq()?);
        let devices =
            from.list(DeviceId::BYTES + 1, |from| Ok((DeviceId::new(from.array()?), from.seq()?)))?;
        Ok(Self { delivered, read, devices })
    }
}

impl Record for Device {
    const NAME: &'static str = "a device";

    fn write(&self, out: &mut Writer<'_>) {
        out.time(self.registered);
        out.time(self.last_seen);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self { registered: from.time()?, last_seen: from.time()? })
    }
}

impl Record for Acknowledgement {
    const NAME: &'static str = "a remembered acknowledgement";

    fn write(&self, out: &mut Writer<'_>) {
        out.varint(self.seq.0);
        out.time(self.time);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self { seq: from.seq()?, time: from.time()? })
    }
}

/// The value of a receipt: when.
impl Record for Timestamp {
    const NAME: &'static str = "a receipt";

    fn write(&self, out: &mut Writer<'_>) {
        out.time(*self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        from.time()
    }
}

/// The value of a mark: the sequence to go on from.
impl Record for Seq {
    const NAME: &'static str = "a mark of waiting work";

    fn write(&self, out: &mut Writer<'_>) {
        out.varint(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        from.seq()
    }
}

impl Record for Applied {
    const NAME: &'static str = "an applied position";

    fn write(&self, out: &mut Writer<'_>) {
        out.varint(self.position);
        out.time(self.time);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self { position: from.varint()?, time: from.time()? })
    }
}

impl Record for Policy {
    const NAME: &'static str = "a policy";

    fn write(&self, out: &mut Writer<'_>) {
        out.duration(self.retention_max);
        out.duration(self.dedupe_window);
        out.varint(self.members_max.into());
        out.varint(self.devices_max.into());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self {
            retention_max: from.duration()?,
            dedupe_window: from.duration()?,
            members_max: from.u32()?,
            devices_max: from.u32()?,
        })
    }
}

impl Record for Revocation {
    const NAME: &'static str = "a revocation";

    fn write(&self, out: &mut Writer<'_>) {
        out.time(self.made);
        out.time(self.through);
        out.text(&self.name);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self { made: from.time()?, through: from.time()?, name: from.text()? })
    }
}

impl Record for IdSecret {
    const NAME: &'static str = "a secret for ids";

    fn write(&self, out: &mut Writer<'_>) {
        out.bytes.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        from.array().map(Self::new)
    }
}

fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Direct => 1,
        Kind::Group => 2,
        Kind::Broadcast => 3,
    }
}

fn kind(byte: u8) -> Result<Kind, Damage> {
    match byte {
        1 => Ok(Kind::Direct),
        2 => Ok(Kind::Group),
        3 => Ok(Kind::Broadcast),
        _ => Err(Damage("the kind of conversation is unknown")),
    }
}

fn priority_byte(priority: Priority) -> u8 {
    match priority {
        Priority::Routine => 1,
        Priority::Urgent => 2,
    }
}

fn priority(byte: u8) -> Result<Priority, Damage> {
    match byte {
        1 => Ok(Priority::Routine),
        2 => Ok(Priority::Urgent),
        _ => Err(Damage("the priority is unknown")),
    }
}

fn role_byte(role: Role) -> u8 {
    match role {
        Role::Member => 1,
        Role::Admin => 2,
        Role::Publisher => 3,
    }
}

fn role(byte: u8) -> Result<Role, Damage> {
    match byte {
        1 => Ok(Role::Member),
        2 => Ok(Role::Admin),
        3 => Ok(Role::Publisher),
        _ => Err(Damage("the role is unknown")),
    }
}
