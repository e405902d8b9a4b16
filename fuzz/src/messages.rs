//! Every message of the contract by itself, and the reader that reads one of them in place.
//!
//! What is accepted is written again, in as many bytes as was said, and reads as the same; its
//! `Debug` does not panic. The reader in place has prost as its oracle: what it reads, prost reads
//! the same; what prost writes, it reads.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message;
use wardline_proto::message_entry::MessageEntry;
use wardline_proto::v1;
use wardline_proto::v1::PushFrame;
use wardline_proto::v1::entry::Body;
use wardline_proto::v1::push_frame::Push;

use crate::wire::{Choices, Spelling, damage, read_in_place};
use crate::{PROTO, SCHEMA};

type Check = fn(&[u8]);

macro_rules! messages {
    ($($name:ident)*) => { &[$((stringify!($name), check::<v1::$name> as Check)),*] };
}

const MESSAGES: &[(&str, Check)] = messages![
    Acknowledge Acknowledged AddMembers CaughtUp ClientFrame Context ContextConversations ContextPage
    Conversation ConversationPage CreateConversation DeleteMessage Done EncounterState Entry Error Goodbye
    Hello History HistoryPage Identifier LaneHeader LeaveConversation Limits ListContexts
    ListConversations ListMembers ListReceipts Member MemberPage MembersAdded MembersLeft MergePatients
    Message Notice PatientNaming Place Position Publish PublishAck PushFrame Receipt ReceiptPage Recipient
    RecordEncounter RecordPatient Recorded RemoveMember RenameConversation Renew Resume RoleChanged
    ServerFrame SetCareTeam SetRetention SetRole SetRoster ShowEncounter SourceEvent Tombstone Welcome
    Word
];

/// Fails at the first input if a message of the contract is missing above.
static COMPLETE: LazyLock<()> = LazyLock::new(|| {
    let set = protox::compile(["wardline/v1/frame.proto"], [PROTO]).expect("the crate was built from them");
    let declared: BTreeSet<String> = set
        .file
        .iter()
        .flat_map(|file| &file.message_type)
        .map(|message| message.name().to_owned())
        .collect();
    let listed: BTreeSet<String> = MESSAGES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, declared, "teach this target the new message");
});

/// Decodes one message, or reads one in place.
///
/// # Panics
/// If a property does not hold.
pub fn run(data: &[u8]) {
    LazyLock::force(&COMPLETE);
    let Some((&kind, content)) = data.split_first() else { return };
    match MESSAGES.get(usize::from(kind)) {
        Some((_, check)) => check(content),
        None if kind % 2 == 0 => in_place(content),
        None => in_place(&pushed(&mut Choices(content))),
    }
}

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(content: &[u8]) {
    let Ok(message) = M::decode(content) else { return };
    let written = message.encode_to_vec();
    assert_eq!(written.len(), message.encoded_len());
    assert!(M::decode(Bytes::from(written)).as_ref() == Ok(&message), "decode, encode, decode changed it");
    // Redacted by hand for some, so it is code of ours that runs.
    assert!(!format!("{message:?}").is_empty());
}

/// Makes a pushed entry, damaged or not.
fn pushed(choices: &mut Choices<'_>) -> Vec<u8> {
    const ENTRY: u32 = 2;
    let spelling = [Spelling::Canonical, Spelling::Loose][choices.below(2)];
    let mut content = SCHEMA.frame("PushFrame", ENTRY, spelling, choices);
    for _ in 0..[0, 1, 2, 5][choices.below(4)] {
        damage(&mut content, choices);
    }
    content
}

fn in_place(content: &[u8]) {
    read_in_place(content);
    let Ok(frame) = PushFrame::decode(content) else { return };
    let Some(Push::Entry(entry)) = &frame.push else { return };
    let Some(Body::Message(message)) = &entry.body else { return };
    // Larger numbers are left to prost; nothing that the broker counts gets there.
    let numbers = [entry.sequence, entry.time_ms, entry.expires_at_ms, message.reply_to_sequence];
    if numbers.iter().all(|number| *number < 1 << 63) && message.priority >= 0 {
        let written = frame.encode_to_vec();
        assert!(MessageEntry::read(&written).is_some(), "not read in place: {written:x?}");
        read_in_place(&written);
    }
}
