//! Answers in both modes and of all versions, each read back as the message that it is.

use bytes::Bytes;

use super::*;
use crate::hl7::charset::Charset;
use crate::hl7::flaw::Reason;
use crate::hl7::message::{Bounds, Message};
use crate::hl7::place::Name;

const SENT: &str = "MSH|^~\\&|HIS|GH^1.2^ISO|WARD|LINE|20261130||ADT^A01^ADT_A01|id\\T\\7|T|VERSION|||ACCEPT|OUTCOME||8859/1\rPID|1";

fn envelope(version: &str, accept: &str, outcome: &str) -> Envelope {
    let sent = SENT.replace("VERSION", version).replace("ACCEPT", accept).replace("OUTCOME", outcome);
    Envelope::read(sent.as_bytes()).expect("it has a header")
}

fn stamped() -> Stamped {
    Stamped { control_id: "W1".into(), now_ms: 1_796_058_000_000, offset_s: 3600 }
}

fn refused() -> Reply {
    let at = Place { field: 3, repetition: 2, component: 1, ..Place::segment(Name::PID, 1, 90) };
    Reply::Refused(Objection::from(&Flaw::new(Reason::NoPatient, at)))
}

fn retry() -> Reply {
    Reply::retry("try again")
}

fn codes(accept: &str, outcome: &str, reply: &Reply) -> Vec<String> {
    let answers = envelope("2.5", accept, outcome).answers(reply, &stamped());
    let code = |answer: &Vec<u8>| {
        let text = String::from_utf8_lossy(answer).into_owned();
        text.split("MSA|").nth(1).map(|msa| msa[..2].to_owned()).expect("it has MSA")
    };
    answers.iter().map(code).collect()
}

fn lines(answer: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(answer).split_terminator('\r').map(str::to_owned).collect()
}

#[test]
fn an_answer_goes_back_where_the_message_came_from() {
    let answers = envelope("2.5", "", "").answers(&Reply::Applied, &stamped());
    let wanted = [
        "MSH|^~\\&|WARD|LINE|HIS|GH^1.2^ISO|20261130180000+0100||ACK^A01^ACK|W1|T|2.5||||||8859/1",
        "MSA|AA|id\\T\\7",
    ];
    assert_eq!(answers.iter().map(|answer| lines(answer)).collect::<Vec<_>>(), [wanted]);
}

#[test]
fn original_mode_has_one_answer() {
    assert_eq!(codes("", "", &Reply::Applied), ["AA"]);
    assert_eq!(codes("", "", &retry()), ["AE"]);
    assert_eq!(codes("", "\"\"", &refused()), ["AR"]);
}

#[test]
fn enhanced_mode_has_those_that_are_wanted() {
    for (accept, outcome, good, retried, bad) in [
        ("AL", "NE", "CA", "CE", "CR"),
        ("NE", "AL", "AA", "AE", "AR"),
        ("AL", "", "CA", "CE", "CR"),
        ("", "AL", "AA", "AE", "AR"),
        ("NE", "NE", "", "", ""),
        ("AL", "AL", "CA AA", "CE AE", "CR AR"),
        ("ER", "NE", "", "CE", "CR"),
        ("SU", "NE", "CA", "", ""),
        ("SU", "ER", "CA", "AE", "AR"),
        ("??", "NE", "CA", "CE", "CR"),
    ] {
        for (reply, wanted) in [(Reply::Applied, good), (retry(), retried), (refused(), bad)] {
            let wanted: Vec<&str> = wanted.split_whitespace().collect();
            assert_eq!(codes(accept, outcome, &reply), wanted, "{accept} {outcome} {reply:?}");
        }
    }
    let two = envelope("2.5", "AL", "AL").answers(&Reply::Applied, &stamped());
    let ids = two.iter().map(|answer| lines(answer)[0].split('|').nth(9).map(str::to_owned));
    assert_eq!(ids.collect::<Vec<_>>(), [Some("W1".into()), Some("W1-2".into())]);
    assert!(lines(&two[1])[0].contains("|||NE|NE||8859/1"), "an answer wants none");
}

#[test]
fn an_objection_says_what_and_where_in_the_words_of_the_version() {
    let text = "PID-3(2).1, byte 90: the patient has no identifier (HL7 v2.5.1, section 3.4.2.3)";
    let err = |version: &str| lines(&envelope(version, "", "").answers(&refused(), &stamped())[0])[2].clone();
    let new = format!("ERR||PID^1^3^2^1|101^Required field missing^HL70357|E||||{text}");
    for version in ["2.5", "2.5.1", "2.8", "2.10", "", "?"] {
        assert_eq!(err(version), new, "{version}");
    }
    for version in ["2.1", "2.3.1", "2.4"] {
        assert_eq!(err(version), "ERR|PID^1^3^101&Required field missing&HL70357", "{version}");
    }
    let err = lines(&envelope("2.5", "", "").answers(&retry(), &stamped())[0])[2].clone();
    assert_eq!(err, "ERR|||207^Application internal error^HL70357|E||||try again");
}

#[test]
fn older_versions_know_less_of_the_type() {
    let kind = |version: &str| {
        let answer = envelope(version, "", "").answers(&Reply::Applied, &stamped());
        lines(&answer[0])[0].split('|').nth(8).map(str::to_owned)
    };
    assert_eq!(kind("2.3").as_deref(), Some("ACK^A01"));
    assert_eq!(kind("2.4").as_deref(), Some("ACK^A01^ACK"));
}

#[test]
fn an_answer_is_in_the_senders_delimiters_and_can_be_read() {
    let sent = b"MSH$%*!/$A$B$C$D$20261130$$ADT%A08$a!E!b$P$2.5\rPID$1";
    let envelope = Envelope::read(sent).expect("it has a header");
    let odd = Objection { code: Code::DataType, at: None, text: "costs 5$ & 100%, é\n".into() };
    let answer = envelope.answers(&Reply::Refused(odd), &stamped()).remove(0);
    let message = Message::read(Bytes::from(answer), &Bounds::default(), Charset::Utf8).expect("it is HL7");
    let field = |name: &[u8], number| {
        let segment = Name::read(name).and_then(|name| message.first(name)).expect("it is there");
        segment.field(number).text().map(|given| given.value().unwrap_or_default())
    };
    assert_eq!(field(b"MSA", 2).as_deref(), Ok("a!b"));
    assert_eq!(field(b"MSH", 3).as_deref(), Ok("C"));
    assert!(field(b"ERR", 8).is_ok_and(|text| text.starts_with("costs 5$ & 100%, ") && text.ends_with('\n')));
}

#[test]
fn what_cannot_be_read_is_answered_all_the_same() {
    assert_eq!(Envelope::read(b"hello"), None);
    assert_eq!(Envelope::read(b"MSH"), None);
    let answer = Envelope::unknown().answers(&refused(), &stamped()).remove(0);
    assert_eq!(lines(&answer)[0], "MSH|^~\\&|||||20261130180000+0100||ACK|W1|P|2.5.1");
    assert_eq!(lines(&answer)[1], "MSA|AR|");
    let long = format!("MSH|^~\\&|A|B|C|D|||ADT^A01|{}|P|2.5\r", "x".repeat(600));
    let answer = Envelope::read(long.as_bytes()).expect("it has a header").answers(&refused(), &stamped());
    assert_eq!(lines(&answer[0])[1], "MSA|AR|");
}
