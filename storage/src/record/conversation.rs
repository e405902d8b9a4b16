//! The bytes of conversations, and of who is in them.
//!
//! Both have a version before this one, which is read as what came later not being there.

use super::codec::{Damage, Reader, Writer};
use super::{Record, kind, kind_byte, role, role_byte};
use crate::id::{EncounterId, TenantId};
use crate::model::{Conversation, Member, Shortening};

/// Version 1 was about no encounter.
impl Record for Conversation {
    const NAME: &'static str = "a conversation";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Writer<'_>) {
        out.id(self.tenant.as_bytes());
        out.u8(kind_byte(self.kind));
        out.blob(self.title.as_str().as_bytes());
        out.optional(self.retention, Writer::duration);
        out.varint(self.head.0);
        out.time(self.created);
        out.time(self.last_activity);
        out.varint(self.members.into());
        out.varint(self.admins.into());
        out.list(&self.shortenings, |out, shortening| {
            out.seq(shortening.through);
            out.duration(shortening.retention);
        });
        out.optional(self.context, |out, encounter| out.id(encounter.as_bytes()));
        out.u8(self.is_care.into());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let tenant = TenantId::new(from.array()?);
        let kind = kind(from.u8()?)?;
        let title = from.text()?;
        let retention = from.optional(Reader::duration)?;
        let head = from.seq()?;
        let (created, last_activity) = (from.time()?, from.time()?);
        let (members, admins) = (from.u32()?, from.u32()?);
        let shortenings =
            from.list(2, |from| Ok(Shortening { through: from.seq()?, retention: from.duration()? }))?;
        let is_new = from.version > 1;
        let context = if is_new { from.optional(|from| from.array().map(EncounterId::new))? } else { None };
        let is_care = is_new && from.flag()?;
        Ok(Self {
            tenant,
            kind,
            title,
            retention,
            head,
            created,
            last_activity,
            members,
            admins,
            shortenings,
            context,
            is_care,
        })
    }
}

/// Version 1 did not say who gave the role: nobody is taken to have.
impl Record for Member {
    const NAME: &'static str = "a member";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Writer<'_>) {
        out.blob(self.name.as_str().as_bytes());
        out.u8(role_byte(self.role));
        out.time(self.joined);
        out.varint(self.visible_from.0);
        out.optional(self.left_after, Writer::seq);
        out.u8(self.has_published.into());
        out.u8(self.granted.into());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self {
            name: from.text()?,
            role: role(from.u8()?)?,
            joined: from.time()?,
            visible_from: from.seq()?,
            left_after: from.optional(Reader::seq)?,
            has_published: from.flag()?,
            granted: from.version > 1 && from.flag()?,
        })
    }
}
