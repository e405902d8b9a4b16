//! The bytes of records and keys, frozen: whoever changes them breaks stores that exist, and sees
//! it here.

mod records;

use proptest::prelude::*;
use records::{check_bytes, samples};
use wardline_storage::command::{Rights, Submission};
use wardline_storage::engine::EngineError;
use wardline_storage::id::{
    BedId, ClientMessageId, ConversationId, DeviceId, EncounterId, EventId, IdentifierId, KeyId, PatientId,
    Seq, SignInId, TenantId, UserId, WardId,
};
use wardline_storage::key::{self, Stay};
use wardline_storage::model::{Conversation, Cursor, Entry, IdSecret, Member, ReceiptKind, Subject};
use wardline_storage::record::{EntryHeader, Record};
use wardline_storage::retention::Retentions;
use wardline_storage::staff::{Staff, StaffOf};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frozen<R: Record + PartialEq + std::fmt::Debug>(records: Vec<R>, fixtures: &[String]) {
    assert_eq!(records.len(), fixtures.len());
    for (record, fixture) in records.into_iter().zip(fixtures) {
        let fixture = fixture.replace(' ', "");
        assert_eq!(hex(&record.encode()), fixture, "{record:?}");
        assert_eq!(R::decode(&record.encode()).expect("what was encoded decodes"), record);
    }
}

#[test]
fn records_are_frozen() {
    const TENANT: &str = "7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e";
    // Who, when, until when: the beginning of every entry.
    const ENTRY: &str = "01 a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 0000018bcfe5687b 0000018bcfe652db";
    const NAMED: &str = "00 904e 904e 00 00 904e 904e 00 00 904e 904e 00";
    let with = |prefix: &str, rest: &[&str]| -> Vec<String> {
        rest.iter().map(|rest| format!("{prefix} {rest}")).collect()
    };
    frozen(
        records::conversations(),
        &with(
            &format!("02 {TENANT}"),
            &[
                "01 00 00 00 0000018bcfe5687b 0000018bcfe5687b 02 00 00 00 00",
                "02 00 00 00 0000018bcfe5687b 0000018bcfe5687b 02 00 00 00 00",
                "03 0c c39c62657267616265203742 01 80a8cc7b ac02 0000018bcfe5687b 0000018bcfe5687c c801 03 02 7fe807 8001e0d403 00 00",
                &format!("02 00 00 00 0000018bcfe5687b 0000018bcfe5687b 02 00 00 01 {} 01", "ec".repeat(16)),
            ],
        ),
    );
    frozen(
        records::members(),
        &with(
            "02 05 616c696365",
            &[
                "01 0000018bcfe5687b 01 00 00 00",
                "02 0000018bcfe5687b 01 01 808001 01 00",
                "03 0000018bcfe5687b 01 00 00 01",
            ],
        ),
    );
    frozen(
        records::entries(),
        &with(
            ENTRY,
            &[
                "01 c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1 01 00 0a 746578742f706c61696e 05 68656c6c6f",
                "01 c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1 02 29 0a 746578742f706c61696e 05 68656c6c6f",
                "02 b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0 0000018bcfe5687d",
                "03 01 29",
                "03 02 02 a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0 02",
                "03 03 b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0",
                "03 04 04 57617264",
                "03 05 e0d403",
                "03 06 b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0 03",
                "03 07",
                "03 08 02 a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0",
            ],
        ),
    );
    frozen(
        records::cursors(),
        &with(
            "01",
            &["00 00 00", "09 08 02 d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1 07 d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2 09"],
        ),
    );
    frozen(records::devices(), &with("01", &["0000018bcfe5687b 0000018bcfe652db"]));
    frozen(records::acknowledgements(), &with("01", &["ac02 0000018bcfe5687b"]));
    frozen(vec![records::TIME], &with("01", &["0000018bcfe5687b"]));
    frozen(vec![Seq(300)], &with("01", &["ac02"]));
    frozen(vec![records::APPLIED], &with("01", &["f0a204 0000018bcfe5687b"]));
    frozen(vec![records::POLICY], &with("01", &["8090fbd309 80b89929 e807 08"]));
    frozen(
        vec![records::retentions()],
        &[format!("01 {} 01 {TENANT} {NAMED}", "e807 d00f b817 00 a01f 8827 f02e e807 d836 c03e a846 d00f")],
    );
    frozen(records::revocations(), &with("01", &["0000018bcfe5687b ffffffffffffffff 03 626f62"]));
    frozen(vec![IdSecret::new([0x5e; 32])], &[format!("01 {}", "5e".repeat(32))]);
}

#[test]
fn what_the_record_says_is_frozen() {
    let [tenant, patient, other, encounter] = ["7e", "9a", "9b", "ec"].map(|id| id.repeat(16));
    // An authority and a number; who said something; a ward and a bed.
    let number = "03 4d524e 04 34373131";
    let said = format!("01 0000018bcfe5687b {} {}", "ee".repeat(16), "a1".repeat(16));
    let (ward, bed) = ("da".repeat(16), "be".repeat(16) + "03 332d31");
    let identified = format!("01 {tenant} 01 {} {number}", "1d".repeat(16));
    frozen(
        records::patients(),
        &[
            format!("{identified} 00 00 00 00"),
            format!("{identified} 05 4d2e204d2e {said} 00 01 {other}"),
            format!("{identified} 00 00 01 {patient} 00"),
        ],
    );
    let begun = format!("01 {tenant} {patient} {number}");
    frozen(
        records::encounters(),
        &[
            format!("{begun} 01 00 00 00 00 00 00 0000018bcfe5687b"),
            format!("{begun} 02 {said} 01 01 {ward} 01 {bed} {said} 01 {said} 0000018bcfe5687b"),
            format!("{begun} 03 {said} 00 01 {ward} 00 00 00 00 0000018bcfe5687b"),
            format!("{begun} 04 {said} 00 00 00 00 00 0000018bcfe5687b"),
        ],
    );
    frozen(records::wards(), &[format!("01 {tenant} 02 3742 {said}")]);
    frozen(
        records::known(),
        &[
            "01 0000018bcfe5687b 00 00".into(),
            format!("01 0000018bcfe5687b 01 {patient} 00"),
            format!("01 0000018bcfe5687b 01 {patient} 01 {encounter}"),
        ],
    );
    frozen(vec![records::PATIENT], &[format!("01 {patient}")]);
    let (alice, bob) = ("a1".repeat(16), "b0".repeat(16));
    frozen(
        records::staff(),
        &[
            format!("01 {tenant} 00 00"),
            format!("01 {tenant} 02 {alice} 05 616c696365 {bob} 03 626f62 {said}"),
        ],
    );
    frozen(
        records::regroupings(),
        &[
            "01 01 00".into(),
            format!("01 01 01 {bob}"),
            format!("01 02 01 {bob}"),
            format!("01 03 01 {encounter}"),
        ],
    );
}

#[test]
fn submissions_are_frozen() {
    const BOB: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
    const ID: &str = "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1";
    // Tenant, user and device; the name; the rights of an administrator and a registrar.
    let actor = ["7e", "a1", "d1"].map(|id| id.repeat(16)).concat() + "05 616c696365 06";
    let room = "c0".repeat(16);
    let commands = [
        format!("01 {room} 01 01 {BOB} 03 626f62 00 00"),
        format!("01 {room} 02 00 04 57617264 01 e0d403"),
        format!("02 {room} 01 {BOB} 03 626f62 02 01"),
        format!("03 {room} {BOB}"),
        format!("04 {room} 04 57617264"),
        format!("05 {room} 00"),
        format!("05 {room} 01 e0d403"),
        format!("06 {room} {ID} 0a 746578742f706c61696e 05 68656c6c6f 01 00 00"),
        format!("06 {room} {ID} 0a 746578742f706c61696e 05 68656c6c6f 02 01 29 01 01"),
        format!("07 {room} 00 00 00 00"),
        format!("07 {room} 01 09 01 08 01 ac02 02 01 02"),
        format!("08 {room} 29"),
        "09".into(),
        format!("0a {room}"),
        format!("0b {}", "5e".repeat(32)),
        format!("10 02 {} 03 626f62 ffffffffffffffff", "b0".repeat(16)),
        format!("11 04 {}", "4e".repeat(32)),
        "0c 8090fbd309 80b89929 e807 08".into(),
        "0d".into(),
        format!("0e {room} {BOB} 03"),
        format!("0f {}", hex(&records::retentions().encode()[1..])),
    ];
    let [policy, tick] = [17, 18].map(|place| &commands[place]);
    let said = said_by_a_source();
    let whole: Vec<String> =
        commands.iter().chain(&said).map(|command| format!("02 {actor} {command}")).collect();
    frozen(records::submissions(), &whole);
    frozen(
        records::groups(),
        &[
            "02 00 0000018bcfe5687b 00".into(),
            format!("02 f0a204 0000018bcfe5687b 02 {actor} {policy} {actor} {tick}"),
        ],
    );
}

/// The events of an encounter in all kinds, with and without a place; one of a patient; a merge.
fn said_by_a_source() -> Vec<String> {
    let source = format!("{} 0000018bcfe5687b", "ee".repeat(16));
    let number = "03 4d524e 04 34373131";
    let nameless = format!("01 {} {number} 00", "1d".repeat(16));
    let named = format!("01 {} {number} 01 05 4d2e204d2e", "1d".repeat(16));
    let happened = |what: u8, place: &str| {
        format!("12 {source} {} {number} {what:02x} {place} {named}", "ec".repeat(16))
    };
    let mut all: Vec<String> = (1..=12).map(|what| happened(what, "00")).collect();
    let (ward, bed) = ("da".repeat(16), "be".repeat(16));
    all.push(happened(2, &format!("01 {ward} 01 {bed} 03 332d31 02 3742")));
    all.push(happened(4, &format!("01 {ward} 00 02 3742")));
    all.push(format!("13 {source} {nameless}"));
    all.push(format!("14 {source} {named} {nameless}"));
    let encounter = "ec".repeat(16);
    all.push(format!("15 {source} 01 {ward} 01 {} 03 626f62", "b0".repeat(16)));
    all.push(format!("15 {source} 02 {encounter} 00"));
    all.push(format!("16 01 {ward}"));
    all.push(format!("16 02 {encounter}"));
    all
}

#[test]
fn keys_are_frozen() {
    let conversation = ConversationId::new([0xc0; 16]);
    let (user, device) = (UserId::new([0xa1; 16]), DeviceId::new([0xd1; 16]));
    let (c, u, d, m) = ("c0".repeat(16), "a1".repeat(16), "d1".repeat(16), "e1".repeat(16));
    assert_eq!(hex(&key::conversation(conversation)), c);
    assert_eq!(hex(&key::member(conversation, user)), format!("{c}{u}"));
    assert_eq!(hex(&key::membership(user, conversation)), format!("{u}{c}"));
    assert_eq!(hex(&key::message(conversation, Seq(258))), format!("{c}0000000000000102"));
    assert_eq!(hex(&key::cursor(conversation, user)), format!("{c}{u}"));
    let kinds = [
        (ReceiptKind::Delivered, "01"),
        (ReceiptKind::Read, "02"),
        (ReceiptKind::DeliveredOnly, "03"),
        (ReceiptKind::ReadOnly, "04"),
    ];
    for (kind, byte) in kinds {
        let found = hex(&key::receipt(conversation, user, kind, Seq(7)));
        assert_eq!(found, format!("{c}{u}{byte}0000000000000007"));
    }
    let client_id = ClientMessageId::new([0xe1; 16]);
    assert_eq!(hex(&key::dedupe(conversation, user, client_id)), format!("{c}{u}{m}"));
    assert_eq!(hex(&key::device(user, device)), format!("{u}{d}"));
    let store = [key::FORMAT, key::ID_SECRET, key::APPLIED, key::POLICY, key::RETENTIONS];
    let names = ["store/format", "store/id-secret", "store/applied", "store/policy", "store/retentions"];
    assert_eq!(store, names.map(str::as_bytes));
    assert_eq!(hex(&key::reexpire(conversation)), format!("{}{c}", hex(b"reexpire/")));
    let (tenant, key) = (TenantId::new([0x7e; 16]), KeyId::new([0x4e; 32]));
    let subjects = [
        (Subject::Tenant(tenant), format!("01{}", "7e".repeat(16))),
        (Subject::User(user), format!("02{u}")),
        (Subject::Device(device), format!("03{d}")),
        (Subject::Key(key), format!("04{}", "4e".repeat(32))),
        (Subject::SignIn(SignInId::new([0x51; 16])), format!("05{}", "51".repeat(16))),
    ];
    for (subject, bytes) in subjects {
        let at = key::revoked(&subject);
        assert_eq!(hex(&at), format!("{}{bytes}", hex(b"revoked/")));
        assert_eq!(key::revoked_subject(&at).expect("it was made here"), subject);
        let all = key::revocations();
        assert!(all.range().from <= &at[..] && &at[..] < all.range().to);
    }
}

#[test]
fn keys_of_the_record_are_frozen() {
    let [p, e, w, b] = ["9a", "ec", "da", "be"].map(|id| id.repeat(16));
    let (patient, encounter) = (PatientId::new([0x9a; 16]), EncounterId::new([0xec; 16]));
    let (ward, bed) = (WardId::new([0xda; 16]), BedId::new([0xbe; 16]));
    assert_eq!(hex(&key::patient(patient)), p);
    assert_eq!(hex(&key::identifier(IdentifierId::new([0x9a; 16]))), p);
    assert_eq!(hex(&key::encounter(encounter)), e);
    assert_eq!(hex(&key::ward(ward)), w);
    assert_eq!(hex(&key::heard(EventId::new([0xec; 16]))), e);
    for (stay, begins) in [
        (Stay::Of(patient), format!("01{p}")),
        (Stay::On(ward), format!("02{w}")),
        (Stay::In(bed), format!("03{b}")),
    ] {
        let at = key::stay(stay, encounter);
        assert_eq!(hex(&at), format!("{begins}{e}"));
        assert_eq!(key::stay_encounter(&at).expect("it was made here"), encounter);
        let all = key::stays(stay, None);
        assert!(all.range().from <= &at[..] && &at[..] < all.range().to);
        assert!(key::stays(stay, Some(encounter)).range().from > &at[..]);
    }
    for (of, bytes) in
        [(StaffOf::Ward(ward), format!("01{w}")), (StaffOf::Encounter(encounter), format!("02{e}"))]
    {
        assert_eq!(hex(&key::staff(of)), bytes);
        let at = key::regroup(of);
        assert_eq!(hex(&at), format!("{}{bytes}", hex(b"regroup/")));
        assert_eq!(key::regroup_of(&at).expect("it was made here"), of);
        let all = key::regroups(None);
        assert!(all.range().from <= &at[..] && &at[..] < all.range().to);
        assert!(key::regroups(Some(of)).range().from > &at[..]);
    }
}

/// A range ends behind the highest key of its prefix, also where the prefix is the highest there
/// is.
#[test]
fn ranges_hold_the_whole_prefix_and_nothing_else() {
    let highest = ConversationId::new([0xff; 16]);
    let everybody = key::members(highest, None);
    let last = key::member(highest, UserId::new([0xff; 16]));
    assert!(everybody.range().from <= &last[..] && &last[..] < everybody.range().to);
    let next = ConversationId::new([[0xc0; 15].as_slice(), &[0xc1]].concat().try_into().unwrap());
    let everybody = key::members(ConversationId::new([0xc0; 16]), None);
    assert!(everybody.range().to <= &key::member(next, UserId::new([0; 16]))[..]);
    let after = key::members(highest, Some(UserId::new([0xff; 16])));
    assert!(after.range().from >= after.range().to, "nobody comes after the last");
    let entries = key::messages(highest, Seq(3), Seq::MAX);
    let within = |seq| {
        entries.range().from <= &key::message(highest, seq)[..]
            && &key::message(highest, seq)[..] < entries.range().to
    };
    assert!(!within(Seq(2)) && within(Seq(3)) && within(Seq::MAX));
}

#[test]
fn an_entrys_header_is_its_beginning() {
    for entry in records::entries() {
        let header = EntryHeader::decode(&entry.encode()).unwrap();
        assert_eq!((header.sender, header.time, header.expires), (entry.sender, entry.time, entry.expires));
        assert_eq!(header.is_message, matches!(entry.body, wardline_storage::model::Body::Message(_)));
    }
}

#[test]
fn a_record_cut_short_or_lengthened_is_damage() {
    for sample in samples() {
        for length in 0..sample.len() {
            check_bytes(&sample[..length]).unwrap();
        }
        let mut longer = sample.to_vec();
        longer.push(0);
        check_bytes(&longer).unwrap();
    }
    let entry = records::entries().remove(0).encode();
    for length in 0..entry.len() {
        assert!(
            matches!(Entry::decode(&entry[..length]), Err(EngineError::Corrupt { .. })),
            "{length} bytes"
        );
    }
}

#[test]
fn a_record_of_another_version_is_refused() {
    for sample in samples() {
        for version in [0, 3, 0xff] {
            let mut other = sample.to_vec();
            other[0] = version;
            assert_eq!(check_bytes(&other), Ok(0));
        }
    }
    let refused = Cursor::decode(&[9, 0, 0, 0]).expect_err("there is no such version yet");
    assert!(refused.to_string().starts_with("a cursor has version 9, this build reads up to 1"), "{refused}");
}

/// What format 2 wrote.
#[test]
fn records_of_version_1_are_read() {
    let member = records::members().remove(2).encode();
    let mut old = member[..member.len() - 1].to_vec();
    old[0] = 1;
    let read = Member::decode(&old).expect("a member of version 1");
    assert_eq!(read, Member { granted: false, ..records::members().remove(2) });

    let submission = records::submissions().remove(0);
    let bytes = submission.encode();
    // A version, three ids, and a name of five bytes go before the rights.
    let at = 1 + 3 * 16 + 6;
    let mut old = [&bytes[..at], &bytes[at + 1..]].concat();
    old[0] = 1;
    let read = Submission::decode(&old).expect("a submission of version 1");
    assert_eq!((read.actor.rights, read.command), (Rights::default(), submission.command));
}

/// What format 3 wrote.
#[test]
fn a_conversation_of_version_1_is_about_no_encounter() {
    let conversation = records::conversations().remove(2).encode();
    let mut old = conversation[..conversation.len() - 2].to_vec();
    old[0] = 1;
    let read = Conversation::decode(&old).expect("a conversation of version 1");
    assert_eq!(read, records::conversations().remove(2));
}

#[test]
fn people_who_are_not_in_their_order_are_damage() {
    let mut staff = records::staff().remove(1);
    staff.people.value.reverse();
    assert!(matches!(Staff::decode(&staff.encode()), Err(EngineError::Corrupt { .. })));
}

#[test]
fn tenants_that_are_not_in_their_order_are_damage() {
    let retentions = records::retentions();
    let named = retentions.tenants[0];
    for tenants in [vec![named, named], vec![named, (TenantId::new([1; 16]), named.1)]] {
        let bytes = Retentions { tenants, ..retentions.clone() }.encode();
        assert!(matches!(Retentions::decode(&bytes), Err(EngineError::Corrupt { .. })));
    }
}

#[test]
fn a_changed_byte_is_damage_or_another_record() {
    for sample in samples() {
        for place in 0..sample.len() {
            for change in 1..=255 {
                let mut other = sample.to_vec();
                other[place] ^= change;
                check_bytes(&other).unwrap();
            }
        }
    }
}

/// A length or a count of 2⁶³ must be refused before memory is set aside for it.
#[test]
fn announced_lengths_are_not_trusted() {
    const HUGE: [u8; 10] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    for sample in samples() {
        for place in 1..sample.len() {
            let bomb = [&sample[..place], &HUGE, &sample[place + 1..]].concat();
            check_bytes(&bomb).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_damage_or_a_record(mut bytes in prop::collection::vec(any::<u8>(), 0..200), versioned: bool) {
        if let (true, Some(first)) = (versioned, bytes.first_mut()) {
            *first = 1;
        }
        prop_assert!(check_bytes(&bytes).is_ok());
    }
}
