//! How things look on a terminal: times, entries, receipts.
//!
//! One line each, columns by spaces. What others wrote is shown without control characters, so that
//! no message can move the cursor or change colours; times are UTC. Nothing here asks the broker
//! anything.

use std::time::{Duration, UNIX_EPOCH};

use wardline_client::{
    Body, Conversation, Entry, Kind, Notice, Priority, Receipt, ReceiptKind, Recipient, Role, Sequence,
};

/// A time, to the second, in UTC.
pub(super) fn time(ms: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A time of today's conversation: hours, minutes, seconds.
fn clock(ms: u64) -> String {
    time(ms).get(11..19).unwrap_or_default().to_owned()
}

/// An entry on one line; lines of its text are indented under the first.
pub(super) fn entry(entry: &Entry, me: &str) -> String {
    let sender = if entry.sender == me { "you" } else { &entry.sender };
    let text = match &entry.body {
        Body::Message { content_type, payload, priority, reply_to, .. } => {
            let urgent = if *priority == Priority::Urgent { "URGENT " } else { "" };
            let reply = reply_to.map(|seq| format!("(re #{seq}) ")).unwrap_or_default();
            let text = match std::str::from_utf8(payload) {
                Ok(text) if content_type.starts_with("text/") => clean(text),
                _ => format!("({} bytes of {})", payload.len(), clean(content_type)),
            };
            format!("{urgent}{reply}{text}")
        }
        Body::Tombstone { by, .. } => format!("(deleted by {})", clean(by)),
        Body::Notice(notice) => format!("({})", self::notice(notice)),
    };
    format!("{}  {:<12} #{:<4} {text}", clock(entry.time_ms), clean(sender), entry.sequence)
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Deleted(seq) => format!("deleted #{seq}"),
        Notice::Added(people, Role::Member) => format!("added {}", names(people)),
        Notice::Added(people, role) => format!("added {} as {}", names(people), self::role(*role)),
        Notice::Removed(person) => format!("{} left", clean(person)),
        Notice::Renamed(title) => format!("renamed to {}", clean(title)),
        Notice::Retention(time) => format!("messages are kept for {} now", humantime::format_duration(*time)),
        Notice::Role(person, role) => format!("{} is {} now", clean(person), self::role(*role)),
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
    people.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", ")
}

/// Somebody's receipt for one of our messages: one check mark for received, two for read.
pub(super) fn receipt(receipt: &Receipt, sequence: Sequence) -> String {
    let (marks, done) = match receipt.kind {
        ReceiptKind::Delivered => ("✓ ", "received by"),
        ReceiptKind::Read => ("✓✓", "read by"),
    };
    format!("{}  {marks:<12} #{sequence:<4} {done} {}", clock(receipt.time_ms), clean(&receipt.user))
}

/// A recipient of a message and what they did with it.
pub(super) fn recipient(recipient: &Recipient) -> String {
    let marks = match (recipient.read_at_ms, recipient.delivered_at_ms) {
        (Some(_), _) => "✓✓",
        (None, Some(_)) => "✓ ",
        (None, None) => "  ",
    };
    let when = |at: Option<u64>| at.map_or("-".into(), time);
    format!(
        "{marks} {:<20} received {:<20}  read {}",
        clean(&recipient.user),
        when(recipient.delivered_at_ms),
        when(recipient.read_at_ms)
    )
}

/// A conversation in a list.
pub(super) fn conversation(conversation: &Conversation) -> String {
    let without_admin =
        if conversation.without_admin { format!("  ({WITHOUT_ADMIN})") } else { String::new() };
    format!(
        "{}  {:<20} {:>4} unread  {:>6} entries  {}{without_admin}",
        conversation.id,
        label(conversation),
        conversation.unread,
        conversation.head,
        time(conversation.last_activity_ms)
    )
}

/// What people call a conversation.
pub(super) fn label(conversation: &Conversation) -> String {
    match conversation.kind {
        Kind::Direct => format!("@{}", clean(&conversation.peer)),
        Kind::Group | Kind::Broadcast => clean(&conversation.title),
    }
}

/// Text as it may stand on a terminal: line breaks become indented lines, other control characters
/// are marked.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '\n' => clean.push_str("\n          "),
            '\t' => clean.push(' '),
            '\r' => {}
            // Overrides of the writing direction can make text read as what it is not.
            c if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                clean.push('\u{fffd}');
            }
            c => clean.push(c),
        }
    }
    clean
}
