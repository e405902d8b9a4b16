//! Segments and fields of messages as they are sent, and that every byte is in one of them.

use proptest::prelude::*;

use super::*;
use crate::given::Given;

fn read(text: &str) -> Result<Message, Flaw> {
    read_bytes(text.as_bytes())
}

fn read_bytes(bytes: &[u8]) -> Result<Message, Flaw> {
    Message::read(Bytes::copy_from_slice(bytes), &Bounds::default(), Charset::Unstated)
}

fn reason(text: &str) -> Option<Reason> {
    read(text).err().map(|flaw| flaw.reason)
}

fn raws(message: &Message) -> Vec<&str> {
    message.segments().map(|segment| str::from_utf8(segment.raw()).expect("ASCII")).collect()
}

#[test]
fn segments_end_in_every_way_that_is_met() {
    let wanted = ["MSH|^~\\&|A", "PID|1", "ZZ1|x"];
    for end in ["\r", "\n", "\r\n", "\r\r", "\n\n", "\r\n\r\n", "\r\n\n"] {
        let text = wanted.join(end);
        for text in
            [text.clone(), format!("{text}{end}"), format!("\n{text}{end}{end}"), format!("\u{feff}{text}")]
        {
            let message = read(&text).expect("it is a message");
            assert_eq!(raws(&message), wanted, "{text:?}");
            assert_eq!(message.bytes(), text.as_bytes());
        }
    }
}

#[test]
fn a_line_feed_within_a_text_is_kept() {
    let message = read("MSH|^~\\&|A\rNTE|1||one\ntwo\rPID|1\r\n").expect("it is a message");
    assert_eq!(raws(&message), ["MSH|^~\\&|A", "NTE|1||one\ntwo", "PID|1"]);
    // Where lines end with LF alone, a line is a segment or the message is refused.
    assert_eq!(reason("MSH|^~\\&|A\nNTE|1||one\ntwo\nPID|1\n"), Some(Reason::SegmentName));
    // And where a segment follows an LF, it is one.
    let message = read("MSH|^~\\&|A\rEVN|A01\nPID|1\r").expect("it is a message");
    assert_eq!(raws(&message), ["MSH|^~\\&|A", "EVN|A01", "PID|1"]);
}

#[test]
fn what_is_no_segment_is_refused_where_it_stands() {
    for (text, at) in [
        ("MSH|^~\\&|A\rpid|1\r", "MSH, byte 11"),
        ("MSH|^~\\&|A\rEVN|A01\rPI|1\r", "EVN, byte 19"),
        ("MSH|^~\\&|A\rPIDX|1\r", "MSH, byte 11"),
        ("MSH|^~\\&|A\r PID|1\r", "MSH, byte 11"),
        ("MSH|^~\\&|A\r1PD|1\r", "MSH, byte 11"),
    ] {
        let flaw = read(text).err().expect("it is none");
        assert_eq!((flaw.reason, flaw.at.to_string()), (Reason::SegmentName, at.to_owned()), "{text:?}");
        assert!(flaw.to_string().contains("2.5.2"), "{flaw}");
    }
    assert!(read("MSH|^~\\&|A\rZZZ\rNTE\r").is_ok());
}

#[test]
fn a_message_has_one_header_at_its_beginning() {
    for text in ["", "PID|1\r", "hello", "xMSH|^~\\&|", "BHS|^~\\&|\rMSH|^~\\&|"] {
        assert_eq!(reason(text), Some(Reason::NoHeader), "{text:?}");
    }
    assert_eq!(reason("MSH|^~\\&|A\rMSH|^~\\&|B\r"), Some(Reason::SecondHeader));
    assert_eq!(reason("MSH|^~\\&|A\rBTS|1\r"), Some(Reason::SegmentOrder));
    assert_eq!(reason("MSH"), Some(Reason::Delimiters));
    for wide in [b"\xff\xfeM\0S\0H\0".as_slice(), b"\xfe\xff\0M\0S", b"M\0S\0H\0", b"\0M\0S\0H"] {
        assert_eq!(read_bytes(wide).err().map(|flaw| flaw.reason), Some(Reason::WideCharset));
    }
}

#[test]
fn bounds_hold() {
    let bounds = Bounds { message_bytes_max: 60, segments_max: 3, fields_max: 4 };
    let reason = |text: &str| {
        let read = Message::read(Bytes::copy_from_slice(text.as_bytes()), &bounds, Charset::Ascii);
        read.err().map(|flaw| flaw.reason)
    };
    assert_eq!(reason("MSH|^~\\&|A|B|C\rZZ1|1|2|3|4\rZZ2\r"), None);
    assert_eq!(reason("MSH|^~\\&|A\rZZ1\rZZ2\rZZ3\r"), Some(Reason::TooManySegments { max: 3 }));
    assert_eq!(reason("MSH|^~\\&|A\rZZ1|1|2|3|4|5\r"), Some(Reason::TooManyFields { max: 4 }));
    assert_eq!(reason(&format!("MSH|^~\\&|{}", "x".repeat(60))), Some(Reason::TooLong { max: 60 }));
}

#[test]
fn fields_are_counted_as_hl7_counts_them() {
    let message = read("MSH|^~\\&|A|B\rPID|1||7^^^H&1.2&ISO^MR~8\r").expect("it is a message");
    let msh = message.header();
    assert_eq!([1, 2, 3, 4, 5].map(|n| msh.field(n).raw()), [b"|".as_slice(), b"^~\\&", b"A", b"B", b""]);
    assert_eq!((msh.fields(), message.header().field(0).raw()), (4, b"".as_slice()));
    let pid = message.first(Name::PID).expect("there is one");
    let field = pid.field(3);
    let ids: Vec<_> = field.repetitions().map(|id| id.component(1).raw()).collect();
    assert_eq!(ids, [b"7", b"8"]);
    assert_eq!(field.component(4).subcomponent(2).raw(), b"1.2");
    assert_eq!(field.component(5).text(), Ok(Given::Value("MR".into())));
    assert_eq!(field.component(9).text(), Ok(Given::Absent));
    let place = field.repetitions().nth(1).expect("two").component(1).place();
    assert_eq!(place.to_string(), "PID-3(2).1, byte 37");
    assert_eq!(&message.bytes()[place.byte..], b"8\r");
}

#[test]
fn null_is_not_absent() {
    let message = read("MSH|^~\\&|A\rPID|\"\"||a\r").expect("it is a message");
    let pid = message.first(Name::PID).expect("there is one");
    assert_eq!(pid.field(1).text(), Ok(Given::Null));
    assert_eq!(pid.field(2).text(), Ok(Given::Absent));
    assert_eq!(pid.field(99).text(), Ok(Given::Absent));
    assert_eq!(pid.field(3).subcomponent(1).text(), Ok(Given::Value("a".into())));
}

#[test]
fn character_sets_as_stated() {
    let message = |charset: &str, name: &[u8]| {
        let head = format!("MSH|^~\\&{}{charset}\rPID|||||", "|".repeat(16));
        read_bytes(&[head.as_bytes(), name, b"\r"].concat())
    };
    let name = |charset: &str, name: &[u8]| {
        let message = message(charset, name)?;
        message.first(Name::PID).expect("there is one").field(5).text()
    };
    let umlaut = Ok(Given::Value("Jürgen".to_owned()));
    assert_eq!(name("8859/1", b"J\xfcrgen"), umlaut);
    assert_eq!(name("UNICODE UTF-8", "Jürgen".as_bytes()), umlaut);
    assert_eq!(name("8859/1~ISO IR87", b"J\xfcrgen"), umlaut);
    let complaint =
        |charset, bytes: &[u8]| name(charset, bytes).err().map(|flaw| (flaw.reason, flaw.at.field));
    assert_eq!(complaint("", b"J\xfcrgen"), Some((Reason::UnstatedCharset, 5)));
    assert_eq!(complaint("ASCII", b"J\xfcrgen"), Some((Reason::NotInCharset, 5)));
    assert_eq!(complaint("UNICODE UTF-8", b"J\xfcrgen"), Some((Reason::NotInCharset, 5)));
    assert_eq!(complaint("UNICODE UTF-16", b"J"), Some((Reason::WideCharset, 18)));
    assert_eq!(complaint("nonsense", b"J"), Some((Reason::UnknownCharset, 18)));
    let marked = "\u{feff}MSH|^~\\&|A\rPID|Jürgen\r";
    let marked = read(marked).expect("it is a message");
    assert_eq!(marked.first(Name::PID).expect("there is one").field(1).text(), umlaut);
    // What nobody asks for is nobody's trouble.
    assert!(message("", b"J\xfcrgen").is_ok());
}

#[test]
fn a_long_name_is_refused_and_a_long_text_is_not() {
    let long = "x".repeat(300);
    let message = read(&format!("MSH|^~\\&|A\rPID|{long}\r")).expect("it is a message");
    let field = message.first(Name::PID).expect("there is one").field(1);
    assert_eq!(field.named().err().map(|flaw| flaw.reason), Some(Reason::ValueTooLong { max: 256 }));
    assert_eq!(field.text(), Ok(Given::Value(long)));
}

#[test]
fn many_line_feeds_cost_no_more_than_their_number() {
    let text = format!("MSH|^~\\&|A\rNTE|{}x\r", "\n".repeat(900_000));
    let began = std::time::Instant::now();
    assert_eq!(read(&text).map(|message| message.segments().count()), Ok(2));
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}

/// A segment as a tree: fields, repetitions, components, subcomponents.
type Tree = Vec<Vec<Vec<Vec<String>>>>;

fn trees() -> impl Strategy<Value = Vec<(String, Tree)>> {
    let leaf = "[ -/:-@a-zA-Z0-9]{0,6}".prop_map(|text| text.replace(['|', '^', '~', '&'], ""));
    let tree = some(some(some(some(leaf, 4), 4), 3), 6);
    some(("[A-LN-Z][A-Z0-9]{2}", tree), 6)
}

/// At least one of them.
fn some<S: Strategy>(inner: S, max: usize) -> impl Strategy<Value = Vec<S::Value>> {
    proptest::collection::vec(inner, 1..max)
}

fn written(tree: &Tree) -> String {
    let joined = |parts: Vec<String>, by: &str| parts.join(by);
    let component = |parts: &Vec<String>| joined(parts.clone(), "&");
    let repetition = |parts: &Vec<Vec<String>>| joined(parts.iter().map(component).collect(), "^");
    let field = |parts: &Vec<Vec<Vec<String>>>| joined(parts.iter().map(repetition).collect(), "~");
    joined(tree.iter().map(field).collect(), "|")
}

proptest! {
    #[test]
    fn every_part_is_found_where_it_was_written(trees in trees(), end in "\r|\n|\r\n|\r\r") {
        let batch = ["FHS", "BHS", "BTS", "FTS"];
        prop_assume!(trees.iter().all(|(name, _)| !batch.contains(&name.as_str())));
        let lines = trees.iter().map(|(name, tree)| format!("{name}|{}", written(tree)));
        let text: String = std::iter::once("MSH|^~\\&|".to_owned()).chain(lines).map(|line| line + &end).collect();
        let message = read(&text).expect("it is a message");
        let segments: Vec<_> = message.segments().skip(1).collect();
        prop_assert_eq!(segments.len(), trees.len());
        for (segment, (name, tree)) in segments.iter().zip(&trees) {
            let named = segment.name();
            prop_assert_eq!(named.as_str(), name);
            prop_assert_eq!(segment.fields(), tree.len());
            for (number, repetitions) in (1..).zip(tree) {
                let field = segment.field(number);
                prop_assert_eq!(field.repetitions().count(), repetitions.len());
                for (repetition, components) in field.repetitions().zip(repetitions) {
                    for (number, subcomponents) in (1..).zip(components) {
                        for (sub, leaf) in (1..).zip(subcomponents) {
                            let element = repetition.component(number).subcomponent(sub);
                            prop_assert_eq!(element.raw(), leaf.as_bytes());
                            let place = element.place();
                            prop_assert!(text[place.byte..].starts_with(leaf.as_str()));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_byte_is_in_a_segment_or_says_nothing(
        lines in proptest::collection::vec(prop_oneof![
            Just(b"PID|1^2~3|x".to_vec()),
            Just(b"ZZ9|".to_vec()),
            Just(b" \t".to_vec()),
            Just(b"OBX|1||\xff\xfc".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..12),
        ], 0..8),
        ends in proptest::collection::vec("\r|\n|\r\n|\n\n|", 9),
    ) {
        let mut bytes = b"MSH|^~\\&|A".to_vec();
        for (line, end) in lines.iter().zip(&ends) {
            bytes.extend(end.bytes());
            bytes.extend(line);
        }
        let Ok(message) = read_bytes(&bytes) else { return Ok(()) };
        let mut at = 0;
        for segment in message.segments() {
            let start = segment.place().byte;
            prop_assert!(bytes[at..start].iter().all(|byte| is_end(*byte) || is_blank(*byte)));
            // A segment is its name and its fields, with what divides them.
            let from = if segment.name() == Name::MSH { 2 } else { 1 };
            let mut rebuilt = if from == 2 { b"MSH".to_vec() } else { segment.name().as_str().into() };
            for number in from..=u32::try_from(segment.fields()).expect("few") {
                rebuilt.push(b'|');
                rebuilt.extend(segment.field(number).raw());
            }
            prop_assert_eq!(&rebuilt[..], segment.raw());
            at = start + segment.raw().len();
        }
        prop_assert!(bytes[at..].iter().all(|byte| is_end(*byte) || is_blank(*byte)));
        prop_assert_eq!(message.bytes(), &bytes);
    }
}
