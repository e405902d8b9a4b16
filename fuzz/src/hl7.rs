//! HL7 messages: any bytes, and messages put together from what systems send, damaged or not.
//!
//! Nothing panics, and nothing takes long. A message that is taken apart is made up of its segments
//! again, byte for byte. Whatever it was, its answers can be read, are in its own delimiters, and
//! name it by the id that it has. No flaw quotes what a message says.

use bytes::Bytes;
use wardline_ehr::hl7::ack::{Envelope, Objection, Reply, Stamped};
use wardline_ehr::hl7::batch::{self, Part};
use wardline_ehr::hl7::charset::Charset;
use wardline_ehr::hl7::flaw::Flaw;
use wardline_ehr::hl7::message::{Bounds, Message};
use wardline_ehr::hl7::place::Name;
use wardline_ehr::hl7::read::{Reading, Rules};
use wardline_ehr::record::What;

use crate::wire::{Choices, damage};

const NOW_MS: i64 = 1_796_036_400_000;
/// Stands in what is made, and must stand in no flaw.
const SECRET: &str = "ZEBRA77";
/// Longest field of a sender that an answer repeats.
const ECHO_BYTES_MAX: usize = 512;

/// Reads a message, or several.
///
/// # Panics
/// If a property does not hold.
pub fn run(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let mut choices = Choices(rest);
    let piece = match how % 3 {
        0 => rest.to_vec(),
        1 => made(&mut choices),
        _ => {
            let mut piece = made(&mut choices);
            for _ in 0..=choices.below(4) {
                damage(&mut piece, &mut choices);
            }
            piece
        }
    };
    let is_made = how % 3 != 0;
    for part in batch::split(&Bytes::from(piece)) {
        match part {
            Part::Message(bytes) => message(bytes, is_made),
            Part::Flaw(flaw) => said(&flaw, is_made),
        }
    }
}

fn message(bytes: Bytes, is_made: bool) {
    let latin = Charset::named("8859/1").expect("Latin-1");
    let rules = Rules { takes_tests: true, unstated: latin, ..Rules::default() };
    if let Ok(message) = Message::read(bytes.clone(), &Bounds::default(), latin) {
        whole(&message, &bytes);
    }
    let reply = match rules.read(bytes.clone(), NOW_MS).outcome {
        Ok(reading) => {
            reads(&reading);
            Reply::Applied
        }
        Err(flaw) => {
            said(&flaw, is_made);
            Reply::Refused(Objection::from(&flaw))
        }
    };
    answered(&bytes, &reply);
}

/// What is taken apart is all there.
fn whole(message: &Message, bytes: &[u8]) {
    let mut at = 0;
    for segment in message.segments() {
        let start = segment.place().byte;
        assert!(
            bytes[at..start].iter().all(|byte| b"\r\n\t \0\x1a\xef\xbb\xbf".contains(byte)),
            "passed over"
        );
        let separator = message.delimiters().field;
        let (mut rebuilt, first) = match segment.name() {
            Name::MSH => (b"MSH".to_vec(), 2),
            name => (name.as_str().as_bytes().to_vec(), 1),
        };
        for number in first..=u32::try_from(segment.fields()).expect("a bounded number") {
            rebuilt.push(separator);
            rebuilt.extend(segment.field(number).raw());
        }
        assert_eq!(rebuilt, segment.raw(), "a segment is not its fields");
        at = start + segment.raw().len();
    }
}

/// What is read is what is promised of it.
fn reads(reading: &Reading) {
    let Reading::Event(event) = reading else { return };
    assert!(event.source.occurred.unix_ms <= NOW_MS + 3_600_000, "an event from the future");
    match &event.what {
        What::Encounter(about) => assert!(!about.patient.identifiers.is_empty(), "nobody"),
        What::Person(patient) => assert!(!patient.identifiers.is_empty(), "nobody"),
        What::Merge(merges) => assert!(merges.iter().all(|merge| !merge.prior.is_empty()), "nothing merged"),
        What::Results(results) => {
            for report in results.iter().flat_map(|results| &results.reports) {
                let json: serde_json::Value = serde_json::from_str(report.fhir.as_str()).expect("JSON");
                assert_eq!(json["resourceType"], "DiagnosticReport");
            }
        }
    }
}

fn said(flaw: &Flaw, is_made: bool) {
    let text = flaw.to_string();
    assert!(text.is_ascii() && text.contains("section"), "{text}");
    assert!(!is_made || !text.contains(SECRET), "a flaw quotes the message");
}

/// The answers to these bytes can be read, and are to them.
fn answered(bytes: &[u8], reply: &Reply) {
    let Some(envelope) = Envelope::read(bytes) else { return };
    let stamped = Stamped { control_id: "W1".into(), now_ms: NOW_MS, offset_s: 0 };
    let sent = Message::read(Bytes::copy_from_slice(bytes), &Bounds::default(), Charset::Unstated);
    for answer in envelope.answers(reply, &stamped) {
        let answer = Message::read(Bytes::from(answer), &Bounds::default(), Charset::Unstated);
        // Its character set is the sender's, which may be none.
        let Ok(answer) = answer else {
            assert!(sent.is_err(), "an answer to a message cannot be read");
            continue;
        };
        let Ok(sent) = &sent else { continue };
        assert_eq!(answer.delimiters(), sent.delimiters());
        let msa = answer.first(Name::read(b"MSA").expect("a name")).expect("an answer has MSA");
        let id = sent.header().field(10).raw();
        assert!(msa.field(2).raw() == id || id.len() > ECHO_BYTES_MAX, "an answer to another message");
    }
}

/// A message of segments as they are met.
fn made(choices: &mut Choices<'_>) -> Vec<u8> {
    const KINDS: [&str; 12] = [
        "ADT^A01",
        "ADT^A02",
        "ADT^A03",
        "ADT^A08",
        "ADT^A31",
        "ADT^A40",
        "ADT^A06",
        "ORU^R01",
        "ORU^R01^ORU_R01",
        "ACK",
        "SIU^S12",
        "ADT",
    ];
    const SEGMENTS: [&str; 20] = [
        "EVN|A01|20261130||||20261130",
        "PID|1||1^^^GH^MR~ZEBRA77^^^STATE||ZEBRA77^Jane||1970|F||||||||||ACC",
        "PID|||\"\"|4",
        "PV1||I|W^R^B|||W0|D1^ZEBRA77~D2|\"\"|||||||||D3||V1|||||||||||||||||||||||||20261129080000",
        "PV1||\"\"",
        "MRG|2^^^GH~ZEBRA77^^^STATE",
        "ROL||AD|CP|N1^ZEBRA77",
        "ORC|RE|P1|F1",
        "OBR|1|P1|F1|X^ZEBRA77^LN|||20261130|20261201||||||||||||||20261130||CH|F",
        "OBX|1|NM|X^Test^LN|1|7.10|mmol/L^^UCUM|1-2|HH~AA|||F",
        "OBX|2|SN|X||<^5",
        "OBX|3|ED|X||^application^pdf^Base64^SGVsbG8=",
        "OBX|4|ED|X||^text^plain^Hex^4865",
        "OBX|5|CWE|X||A^B^LN^C^D^SCT",
        "OBX|6|DTM|X||20261130",
        "NTE|1||ZEBRA77 \\F\\ \\X41\\ \\H\\~two",
        "ZBE|1^2&3~4|\"\"",
        "\\E\\",
        "BTS|1",
        "",
    ];
    const ENDS: [&str; 4] = ["\r", "\n", "\r\n", "\r\r"];
    let end = ENDS[choices.below(4)];
    let kind = KINDS[choices.below(KINDS.len())];
    let charset = ["", "8859/1", "UNICODE UTF-8", "UTF-16", "?"][choices.below(5)];
    let modes = ["", "AL", "NE", "ER", "SU", "?"];
    let (accept, outcome) = (modes[choices.below(6)], modes[choices.below(6)]);
    let mut text =
        format!("MSH|^~\\&|ZEBRA77|B|C|D|20261130||{kind}|id|P|2.5|||{accept}|{outcome}||{charset}{end}");
    for _ in 0..choices.below(14) {
        text.push_str(SEGMENTS[choices.below(SEGMENTS.len())]);
        text.push_str(end);
    }
    text.into_bytes()
}
