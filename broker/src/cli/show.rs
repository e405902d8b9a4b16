//! How things look on a terminal: times, entries, receipts.
//!
//! One line each, columns by spaces; times are UTC. What the broker says stands in the head of a
//! [`Line`], or after its own sign; what people wrote stands after theirs, and names and titles are
//! made [`plain`] first. Nothing here asks the broker anything.

use std::time::{Duration, UNIX_EPOCH};

use wardline_client::{
    Body, Conversation, Entry, Kind, Member, Notice, Priority, Receipt, ReceiptKind, Recipient, Role,
    Sequence,
};

use super::plain;
use super::rows::{Line, Rest};

/// A time, to the second, in UTC.
pub(super) fn time(ms: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH);
    // Beyond the year 9999 there is no such text.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(time.min(UNIX_EPOCH + LAST)).to_string()
}

/// A time of today's conversation: hours, minutes, seconds.
fn clock(ms: u64) -> String {
    time(ms).get(11..19).unwrap_or_default().to_owned()
}

/// An entry.
pub(super) fn entry(entry: &Entry, me: &str) -> Line {
    let sender = if entry.sender == me { plain::MYSELF.into() } else { plain::name(&entry.sender) };
    let mut head = format!("{}  {sender:<12} #{:<4}", clock(entry.time_ms), entry.sequence);
    let rest = match &entry.body {
        Body::Message { content_type, payload, priority, reply_to, .. } => {
            if *priority == Priority::Urgent {
                head.push_str(" URGENT");
            }
            if let Some(sequence) = reply_to {
                head.push_str(&format!(" (re #{sequence})"));
            }
            match std::str::from_utf8(payload) {
                Ok(text) if content_type.starts_with("text/") => Rest::Written(plain::lines(text)),
                _ => {
                    Rest::Said(format!("({} bytes of {})", payload.len(), plain::content_type(content_type)))
                }
            }
        }
        Body::Tombstone { by, .. } => Rest::Said(format!("(deleted by {})", plain::name(by))),
        Body::Notice(notice) => Rest::Said(format!("({})", self::notice(notice))),
    };
    Line { head, rest }
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Deleted(seq) => format!("deleted #{seq}"),
        Notice::Added(people, Role::Member) => format!("added {}", names(people)),
        Notice::Added(people, role) => format!("added {} as {}", names(people), self::role(*role)),
        Notice::Left(people) => format!("{} left", names(people)),
        Notice::Removed(person) => format!("{} left", plain::name(person)),
        Notice::Renamed(title) => format!("renamed to {}", plain::quoted(title)),
        Notice::Retention(time) => format!("messages are kept for {} now", humantime::format_duration(*time)),
        Notice::Role(person, role) => format!("{} is {} now", plain::name(person), self::role(*role)),
        Notice::WithoutAdmin => WITHOUT_ADMIN.to_owned(),
    }
}

/// Also after a conversation in a list.
const WITHOUT_ADMIN: &str = "nobody is admin: the tenant's administrator can name one";

/// What somebody may do in a conversation.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Publisher => "publisher",
        Role::Admin => "admin",
    }
}

fn names(people: &[String]) -> String {
    people.iter().map(|name| plain::name(name)).collect::<Vec<_>>().join(", ")
}

/// Somebody's receipt for one of our messages: one check mark for received, two for read.
pub(super) fn receipt(receipt: &Receipt, sequence: Sequence) -> Line {
    let (marks, done) = match receipt.kind {
        ReceiptKind::Delivered => ("✓ ", "received by"),
        ReceiptKind::Read => ("✓✓", "read by"),
    };
    let head = format!("{}  {marks:<12} #{sequence:<4}", clock(receipt.time_ms));
    Line { head, rest: Rest::Said(format!("{done} {}", plain::name(&receipt.user))) }
}

/// A recipient of a message and what they did with it.
pub(super) fn recipient(recipient: &Recipient) -> Line {
    let marks = match (recipient.read_at_ms, recipient.delivered_at_ms) {
        (Some(_), _) => "✓✓",
        (None, Some(_)) => "✓ ",
        (None, None) => "  ",
    };
    let when = |at: Option<u64>| at.map_or("-".into(), time);
    Line::said(format!(
        "{marks} {:<20} received {:<20}  read {}",
        plain::name(&recipient.user),
        when(recipient.delivered_at_ms),
        when(recipient.read_at_ms)
    ))
}

/// A member of a conversation.
pub(super) fn member(member: &Member) -> Line {
    let role = self::role(member.role);
    let (user, since) = (plain::name(&member.user), time(member.joined_at_ms));
    Line::said(format!("{user:<20} {role:<9} since {since}"))
}

/// A conversation in a list.
pub(super) fn conversation(conversation: &Conversation) -> Line {
    let without_admin =
        if conversation.without_admin { format!("  ({WITHOUT_ADMIN})") } else { String::new() };
    Line::said(format!(
        "{}  {:<20} {:>4} unread  {:>6} entries  {}{without_admin}",
        conversation.id,
        label(conversation),
        conversation.unread,
        conversation.head,
        time(conversation.last_activity_ms)
    ))
}

/// What people call a conversation: `@name` is a direct one, and a title stands in quotes. The
/// care conversation of a patient has no title: `encounter list` shows whose it is.
pub(super) fn label(conversation: &Conversation) -> String {
    match conversation.kind {
        Kind::Group if conversation.care => "care conversation".into(),
        Kind::Direct => format!("@{}", plain::name(&conversation.peer)),
        Kind::Group | Kind::Broadcast => plain::quoted(&conversation.title),
    }
}
