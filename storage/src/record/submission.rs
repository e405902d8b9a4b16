//! The bytes of submissions and groups: what a log that keeps them appends.
//!
//! ```text
//! submission  02 · tenant 16 · user 16 · device 16 · name · rights 1 · command
//! command     kind 1 · its fields, in the order in which `Command` has them
//! group       02 · position · time 8 · count · so many submissions, each without the 02
//! ```
//!
//! What may be missing has a flag (0 or 1) before it, a list its length. A flag, a length or a kind
//! that is not what is written here is damage, as in every record; so each value has one encoding.
//! Who changes the layout of a submission gives both records another version. In version 1 nobody
//! had rights.

use std::sync::Arc;

use bytes::Bytes;

use super::codec::{Damage, Reader, Writer};
use super::people::{read_people, write_people};
use super::{Record, encounter, kind, kind_byte, patient, priority, priority_byte, role, role_byte, staff};
use crate::command::{Acknowledge, Actor, Command, Create, Group, Publish, Rights, Submission};
use crate::id::{ClientMessageId, ConversationId, DeviceId, KeyId, Seq, SignInId, TenantId, UserId};
use crate::key;
use crate::model::{IdSecret, Policy, Subject};
use crate::retention::Retentions;

/// The kinds of commands. Append only.
const CREATE: u8 = 1;
const ADD_MEMBERS: u8 = 2;
const REMOVE_MEMBER: u8 = 3;
const RENAME: u8 = 4;
const SET_RETENTION: u8 = 5;
const PUBLISH: u8 = 6;
const ACKNOWLEDGE: u8 = 7;
const DELETE_MESSAGE: u8 = 8;
const REGISTER_DEVICE: u8 = 9;
const REEXPIRE: u8 = 10;
const FOUND: u8 = 11;
const SET_POLICY: u8 = 12;
const TICK: u8 = 13;
const SET_ROLE: u8 = 14;
const SET_RETENTIONS: u8 = 15;
const REVOKE: u8 = 16;
const LIFT: u8 = 17;
const ENCOUNTER: u8 = 18;
const PATIENT: u8 = 19;
const MERGE: u8 = 20;
const STAFF: u8 = 21;
const REGROUP: u8 = 22;

/// The shortest submission in a group: its name is empty, its command has no fields; one of version
/// 1 has no rights.
const SUBMISSION_BYTES_MIN: usize = TenantId::BYTES + UserId::BYTES + DeviceId::BYTES + 1 + 1;

impl Record for Submission {
    const NAME: &'static str = "a submission";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Writer<'_>) {
        let Actor { tenant, user, name, device, rights } = &*self.actor;
        out.id(tenant.as_bytes());
        out.id(user.as_bytes());
        out.id(device.as_bytes());
        out.text(name);
        out.u8(rights_byte(*rights));
        write_command(&self.command, out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (tenant, user) = (TenantId::new(from.array()?), UserId::new(from.array()?));
        let (device, name) = (DeviceId::new(from.array()?), from.text()?);
        let rights = if from.version > 1 { rights(from.u8()?)? } else { Rights::default() };
        let actor = Arc::new(Actor { tenant, user, name, device, rights });
        Ok(Self { actor, command: read_command(from)? })
    }
}

impl Record for Group {
    const NAME: &'static str = "a group";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Writer<'_>) {
        out.varint(self.position);
        out.time(self.time);
        out.list(&self.submissions, |out, submission| submission.write(out));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (position, time) = (from.varint()?, from.time()?);
        let submissions = from.list(SUBMISSION_BYTES_MIN, Submission::read)?;
        Ok(Self { position, time, submissions })
    }
}

fn rights_byte(rights: Rights) -> u8 {
    let Rights { broadcaster, administrator, registrar } = rights;
    u8::from(broadcaster) | u8::from(administrator) << 1 | u8::from(registrar) << 2
}

fn rights(byte: u8) -> Result<Rights, Damage> {
    let [broadcaster, administrator, registrar] = [1, 2, 4].map(|right| byte & right != 0);
    let rights = Rights { broadcaster, administrator, registrar };
    if rights_byte(rights) == byte { Ok(rights) } else { Err(Damage("a right is unknown")) }
}

fn write_command(command: &Command, out: &mut Writer<'_>) {
    match command {
        Command::Create(create) => {
            out.u8(CREATE);
            write_create(create, out);
        }
        Command::AddMembers { conversation, people, role, share_history } => {
            start(ADD_MEMBERS, *conversation, out);
            write_people(people, out);
            out.u8(role_byte(*role));
            out.u8((*share_history).into());
        }
        Command::RemoveMember { conversation, user } => {
            start(REMOVE_MEMBER, *conversation, out);
            out.id(user.as_bytes());
        }
        Command::Rename { conversation, title } => {
            start(RENAME, *conversation, out);
            out.text(title);
        }
        Command::SetRetention { conversation, retention } => {
            start(SET_RETENTION, *conversation, out);
            out.optional(*retention, Writer::duration);
        }
        Command::Publish(publish) => {
            start(PUBLISH, publish.conversation, out);
            write_publish(publish, out);
        }
        Command::Acknowledge(acknowledge) => {
            start(ACKNOWLEDGE, acknowledge.conversation, out);
            write_acknowledge(acknowledge, out);
        }
        Command::DeleteMessage { conversation, seq } => {
            start(DELETE_MESSAGE, *conversation, out);
            out.seq(*seq);
        }
        Command::RegisterDevice => out.u8(REGISTER_DEVICE),
        Command::Reexpire { conversation } => start(REEXPIRE, *conversation, out),
        Command::Found { secret } => secret.write(tagged(FOUND, out)),
        Command::SetPolicy(policy) => policy.write(tagged(SET_POLICY, out)),
        Command::Tick => out.u8(TICK),
        Command::SetRole { conversation, user, role } => {
            start(SET_ROLE, *conversation, out);
            out.id(user.as_bytes());
            out.u8(role_byte(*role));
        }
        Command::SetRetentions(retentions) => retentions.write(tagged(SET_RETENTIONS, out)),
        Command::Revoke { subject, name, through } => {
            out.u8(REVOKE);
            write_subject(subject, out);
            out.text(name);
            out.time(*through);
        }
        Command::Lift { subject } => write_subject(subject, tagged(LIFT, out)),
        Command::Encounter(event) => encounter::write_event(event, tagged(ENCOUNTER, out)),
        Command::Patient(event) => patient::write_event(event, tagged(PATIENT, out)),
        Command::Merge(merge) => patient::write_merge(merge, tagged(MERGE, out)),
        Command::Staff(event) => staff::write_event(event, tagged(STAFF, out)),
        Command::Regroup { of } => staff::write_of(*of, tagged(REGROUP, out)),
    }
}

fn read_command(from: &mut Reader<'_>) -> Result<Command, Damage> {
    let tag = from.u8()?;
    Ok(match tag {
        CREATE => Command::Create(read_create(from)?),
        REGISTER_DEVICE => Command::RegisterDevice,
        FOUND => Command::Found { secret: IdSecret::read(from)? },
        SET_POLICY => Command::SetPolicy(Policy::read(from)?),
        SET_RETENTIONS => Command::SetRetentions(Arc::new(Retentions::read(from)?)),
        TICK => Command::Tick,
        REVOKE => Command::Revoke { subject: read_subject(from)?, name: from.text()?, through: from.time()? },
        LIFT => Command::Lift { subject: read_subject(from)? },
        ENCOUNTER => Command::Encounter(Box::new(encounter::read_event(from)?)),
        PATIENT => Command::Patient(Box::new(patient::read_event(from)?)),
        MERGE => Command::Merge(Box::new(patient::read_merge(from)?)),
        STAFF => Command::Staff(Box::new(staff::read_event(from)?)),
        REGROUP => Command::Regroup { of: staff::read_of(from)? },
        ADD_MEMBERS..=REEXPIRE | SET_ROLE => read_command_in(tag, ConversationId::new(from.array()?), from)?,
        _ => return Err(Damage("the kind of command is unknown")),
    })
}

/// A command about a conversation that is there.
fn read_command_in(tag: u8, conversation: ConversationId, from: &mut Reader<'_>) -> Result<Command, Damage> {
    Ok(match tag {
        ADD_MEMBERS => Command::AddMembers {
            conversation,
            people: read_people(from)?,
            role: role(from.u8()?)?,
            share_history: from.flag()?,
        },
        REMOVE_MEMBER => Command::RemoveMember { conversation, user: UserId::new(from.array()?) },
        RENAME => Command::Rename { conversation, title: from.text()? },
        SET_RETENTION => Command::SetRetention { conversation, retention: from.optional(Reader::duration)? },
        PUBLISH => Command::Publish(read_publish(conversation, from)?),
        ACKNOWLEDGE => Command::Acknowledge(read_acknowledge(conversation, from)?),
        DELETE_MESSAGE => Command::DeleteMessage { conversation, seq: from.seq()? },
        REEXPIRE => Command::Reexpire { conversation },
        SET_ROLE => {
            Command::SetRole { conversation, user: UserId::new(from.array()?), role: role(from.u8()?)? }
        }
        _ => return Err(Damage("the kind of command is unknown")),
    })
}

/// What follows are the fields of a command of this kind.
fn tagged<'w, 'b>(tag: u8, out: &'w mut Writer<'b>) -> &'w mut Writer<'b> {
    out.u8(tag);
    out
}

fn start(tag: u8, conversation: ConversationId, out: &mut Writer<'_>) {
    out.u8(tag);
    out.id(conversation.as_bytes());
}

fn write_subject(subject: &Subject, out: &mut Writer<'_>) {
    let (kind, id) = key::subject(subject);
    out.u8(kind);
    out.bytes.extend_from_slice(id);
}

fn read_subject(from: &mut Reader<'_>) -> Result<Subject, Damage> {
    Ok(match from.u8()? {
        key::TENANT => Subject::Tenant(TenantId::new(from.array()?)),
        key::USER => Subject::User(UserId::new(from.array()?)),
        key::DEVICE => Subject::Device(DeviceId::new(from.array()?)),
        key::KEY => Subject::Key(KeyId::new(from.array()?)),
        key::SIGN_IN => Subject::SignIn(SignInId::new(from.array()?)),
        _ => return Err(Damage("the kind of subject is unknown")),
    })
}

fn write_create(create: &Create, out: &mut Writer<'_>) {
    out.id(create.conversation.as_bytes());
    out.u8(kind_byte(create.kind));
    write_people(&create.others, out);
    out.text(&create.title);
    out.optional(create.retention, Writer::duration);
}

fn read_create(from: &mut Reader<'_>) -> Result<Create, Damage> {
    Ok(Create {
        conversation: ConversationId::new(from.array()?),
        kind: kind(from.u8()?)?,
        others: read_people(from)?,
        title: from.text()?,
        retention: from.optional(Reader::duration)?,
    })
}

fn write_publish(publish: &Publish, out: &mut Writer<'_>) {
    out.bytes.reserve(publish.payload.len() + publish.content_type.as_str().len() + 64);
    out.id(publish.client_id.as_bytes());
    out.text(&publish.content_type);
    out.blob(&publish.payload);
    out.u8(priority_byte(publish.priority));
    out.optional(publish.reply_to, Writer::seq);
    out.optional(publish.expires_in, Writer::duration);
}

fn read_publish(conversation: ConversationId, from: &mut Reader<'_>) -> Result<Publish, Damage> {
    Ok(Publish {
        conversation,
        client_id: ClientMessageId::new(from.array()?),
        content_type: from.text()?,
        payload: Bytes::copy_from_slice(from.blob()?),
        priority: priority(from.u8()?)?,
        reply_to: from.optional(Reader::seq)?,
        expires_in: from.optional(Reader::duration)?,
    })
}

fn write_acknowledge(acknowledge: &Acknowledge, out: &mut Writer<'_>) {
    let seqs = |out: &mut Writer<'_>, seqs: &[Seq]| out.list(seqs, |out, seq| out.seq(*seq));
    out.optional(acknowledge.delivered, Writer::seq);
    out.optional(acknowledge.read, Writer::seq);
    seqs(out, &acknowledge.delivered_only);
    seqs(out, &acknowledge.read_only);
}

fn read_acknowledge(conversation: ConversationId, from: &mut Reader<'_>) -> Result<Acknowledge, Damage> {
    Ok(Acknowledge {
        conversation,
        delivered: from.optional(Reader::seq)?,
        read: from.optional(Reader::seq)?,
        delivered_only: from.list(1, Reader::seq)?,
        read_only: from.list(1, Reader::seq)?,
    })
}
