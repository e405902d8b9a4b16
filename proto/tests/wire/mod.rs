//! Makes frames of every type from a string of choices, damages them, and states what must hold of
//! any byte stream.
//!
//! Shared by the property tests and by the fuzz targets. Types come from the .proto files, not from
//! the generated code, so what is made here checks the generated code too. Every choice is a byte
//! of the input: the same bytes give the same frames, and fewer bytes give smaller ones, which is
//! what lets a test runner shrink a failure.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{self, WireType};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use wardline_proto::frame::{self, FrameError, LENGTH_BYTES_MAX};
use wardline_proto::message_entry::MessageEntry;
use wardline_proto::v1::entry::Body;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::{Entry, Message as Content, PushFrame};

/// A string of choices; when it has run out, every choice is the first one.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    /// Chooses a number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let wide = bound > 256;
        let (high, low) = (if wide { self.byte() } else { 0 }, self.byte());
        (usize::from(high) << 8 | usize::from(low)) % bound
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Chooses a varint's value other than 0; all magnitudes are about as likely.
    fn number(&mut self) -> u64 {
        let bits = self.below(64);
        (1 << bits) | (u64::from(self.byte()) << 8 | u64::from(self.byte())) & ((1 << bits) - 1)
    }
}

/// How freely a message is spelt.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Spelling {
    /// As prost writes it: each field once, in the order of numbers, defaults left out.
    Canonical,
    /// As protobuf allows: fields in any order and more than once, lists unpacked, numbers that
    /// nobody knows.
    Loose,
}

/// The messages of `wardline.v1` as the .proto files declare them, fields in the order of numbers.
pub(crate) struct Schema {
    messages: BTreeMap<String, DescriptorProto>,
}

impl Schema {
    /// Reads the files of the crate in this folder.
    pub(crate) fn load(root: &str) -> Self {
        let set = protox::compile(["wardline/v1/frame.proto"], [root])
            .expect("the crate was built from these files");
        let messages = set
            .file
            .into_iter()
            .flat_map(|file| file.message_type)
            .map(|mut message| {
                // A oneof is written where its lowest number stands.
                let fields = message.field.clone();
                let place = |field: &FieldDescriptorProto| {
                    let same = fields.iter().filter(|other| other.oneof_index == field.oneof_index);
                    let lowest = same.map(FieldDescriptorProto::number).min();
                    (field.oneof_index.and(lowest).unwrap_or(field.number()), field.number())
                };
                message.field.sort_by_key(place);
                (format!(".wardline.v1.{}", message.name()), message)
            })
            .collect();
        Self { messages }
    }

    /// The field numbers of the arms of a frame's oneof.
    pub(crate) fn arms(&self, frame: &str) -> Vec<u32> {
        let fields = &self.messages[&format!(".wardline.v1.{frame}")].field;
        fields.iter().filter(|field| field.oneof_index.is_some()).map(number).collect()
    }

    /// Makes the content of a frame that has this arm and no other.
    pub(crate) fn frame(
        &self,
        frame: &str,
        arm: u32,
        spelling: Spelling,
        choices: &mut Choices<'_>,
    ) -> Vec<u8> {
        let fields = &self.messages[&format!(".wardline.v1.{frame}")].field;
        let fields: Vec<_> =
            fields.iter().filter(|field| field.oneof_index.is_none() || number(field) == arm).collect();
        let at = fields.iter().position(|field| number(field) == arm).expect("an arm of this frame");
        let (before, after) = match spelling {
            Spelling::Canonical => (&fields[..at], &fields[at + 1..]),
            Spelling::Loose => (&fields[..], &[][..]),
        };
        let mut content = Vec::new();
        self.message(before, spelling, choices, &mut content);
        self.field(fields[at], spelling, choices, &mut content);
        if spelling == Spelling::Canonical {
            self.message(after, spelling, choices, &mut content);
        }
        content
    }

    fn message(
        &self,
        fields: &[&FieldDescriptorProto],
        spelling: Spelling,
        choices: &mut Choices<'_>,
        out: &mut Vec<u8>,
    ) {
        match spelling {
            Spelling::Canonical => {
                let mut oneofs = BTreeSet::new();
                for field in fields {
                    let arm_taken = field.oneof_index.is_some_and(|oneof| oneofs.contains(&oneof));
                    if !arm_taken && choices.below(4) != 0 {
                        self.field(field, spelling, choices, out);
                        oneofs.extend(field.oneof_index);
                    }
                }
            }
            Spelling::Loose => {
                for _ in 0..choices.below(2 * fields.len() + 2) {
                    match choices.below(fields.len() + 1) {
                        known if known < fields.len() => self.field(fields[known], spelling, choices, out),
                        _ => unknown_field(choices, out),
                    }
                }
            }
        }
    }

    fn field(
        &self,
        field: &FieldDescriptorProto,
        spelling: Spelling,
        choices: &mut Choices<'_>,
        out: &mut Vec<u8>,
    ) {
        let repeated = field.label() == Label::Repeated;
        let times = if repeated { 1 + choices.below(3) } else { 1 };
        match field.r#type() {
            Type::Uint32 | Type::Uint64 | Type::Bool | Type::Enum => {
                let values: Vec<u64> = (0..times).map(|_| scalar(field.r#type(), choices)).collect();
                if repeated && (spelling == Spelling::Canonical || choices.below(2) == 0) {
                    let mut packed = Vec::new();
                    values.iter().for_each(|value| encoding::encode_varint(*value, &mut packed));
                    length_delimited(number(field), &packed, out);
                } else {
                    for value in values {
                        encoding::encode_key(number(field), WireType::Varint, out);
                        encoding::encode_varint(value, out);
                    }
                }
            }
            Type::String => {
                (0..times).for_each(|_| length_delimited(number(field), text(choices).as_bytes(), out))
            }
            Type::Bytes => (0..times).for_each(|_| length_delimited(number(field), &opaque(choices), out)),
            Type::Message => {
                let fields: Vec<_> = self.messages[field.type_name()].field.iter().collect();
                for _ in 0..times {
                    let mut content = Vec::new();
                    self.message(&fields, spelling, choices, &mut content);
                    length_delimited(number(field), &content, out);
                }
            }
            other => panic!("{}: this test cannot make a {other:?} yet, teach it", field.name()),
        }
    }
}

/// Whether a message has a field with this number at its top.
pub(crate) fn has_field(content: &[u8], wanted: u32) -> bool {
    let mut rest = content;
    while let Ok((number, wire_type)) = encoding::decode_key(&mut rest) {
        if number == wanted {
            return true;
        }
        encoding::skip_field(wire_type, number, &mut rest, encoding::DecodeContext::default())
            .expect("made by us");
    }
    false
}

fn number(field: &FieldDescriptorProto) -> u32 {
    u32::try_from(field.number()).expect("field numbers are positive")
}

fn scalar(of: Type, choices: &mut Choices<'_>) -> u64 {
    match of {
        Type::Uint32 => choices.number() % u64::from(u32::MAX) + 1,
        Type::Uint64 => choices.number(),
        Type::Bool => 1,
        // Values of tomorrow included: they must survive a peer of today.
        _ => 1 + choices.below(60) as u64,
    }
}

fn text(choices: &mut Choices<'_>) -> String {
    (0..=choices.below(12))
        .map(|_| ['a', '7', ' ', '\0', 'é', '患', '🩺', '\u{202e}'][choices.below(8)])
        .collect()
}

fn opaque(choices: &mut Choices<'_>) -> Vec<u8> {
    let bytes = [16, 1, 2, 127, 128, 300, 5000][choices.below(7)];
    vec![choices.byte(); bytes]
}

fn unknown_field(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let number = [900, 19_000_000, 0x1fff_ffff][choices.below(3)];
    match choices.below(4) {
        0 => {
            encoding::encode_key(number, WireType::Varint, out);
            encoding::encode_varint(choices.number(), out);
        }
        1 => length_delimited(number, &opaque(choices), out),
        2 => {
            encoding::encode_key(number, WireType::SixtyFourBit, out);
            out.extend([choices.byte(); 8]);
        }
        _ => {
            encoding::encode_key(number, WireType::ThirtyTwoBit, out);
            out.extend([choices.byte(); 4]);
        }
    }
}

fn length_delimited(number: u32, content: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(number, WireType::LengthDelimited, out);
    encoding::encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// Puts a length before the content.
pub(crate) fn framed(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + LENGTH_BYTES_MAX);
    encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// Damages bytes in one place: flips, sets, inserts, removes, doubles, cuts, or floods.
pub(crate) fn damage(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    const TELLING: [u8; 8] = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x0b, 0x0c, 0x12];
    let at = choices.below(bytes.len() + 1);
    let run = (1 + choices.below(24)).min(bytes.len() - at);
    match choices.below(7) {
        0 if run > 0 => bytes[at] ^= 1 << choices.below(8),
        1 if run > 0 => bytes[at] = TELLING[choices.below(8)],
        2 => bytes.insert(at, choices.byte()),
        3 => drop(bytes.drain(at..at + run)),
        4 => {
            let copy = bytes[at..at + run].to_vec();
            let to = choices.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        5 => bytes.truncate(at),
        _ => {
            let flood = vec![TELLING[choices.below(8)]; 1 + choices.below(300)];
            bytes.splice(at..at, flood);
        }
    }
}

/// What came of a byte stream.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Frames that were whole, as prost writes them; `None`: refused as content.
    pub(crate) frames: Vec<Option<Vec<u8>>>,
    /// What ended it; `None`: more bytes were wanted.
    pub(crate) end: Option<FrameError>,
}

/// Reads a byte stream that arrives in the chosen portions, and checks what must hold of any.
///
/// # Panics
/// If the codec reserves memory, lets a frame over the limit pass, disagrees with the specification
/// of lengths, or if decoding an accepted frame's own encoding gives something else.
pub(crate) fn read<M: Message + Default + PartialEq>(
    stream: &[u8],
    frame_bytes_max: usize,
    mut portions: Choices<'_>,
) -> Reading {
    let mut reading = Reading::default();
    let (mut buffer, mut arriving, mut consumed) = (BytesMut::new(), stream, 0);
    loop {
        let before = (buffer.capacity(), buffer.len());
        let outcome = frame::split(&mut buffer, frame_bytes_max);
        assert!(buffer.capacity() <= before.0, "split reserved {} bytes", buffer.capacity() - before.0);
        let visible = &stream[consumed..consumed + before.1];
        assert_eq!(
            outcome,
            expected(visible, frame_bytes_max),
            "length bytes {:x?}",
            &visible[..visible.len().min(6)]
        );
        match outcome {
            Ok(Some(content)) => {
                consumed += before.1 - buffer.len();
                reading.frames.push(round_trip::<M>(content));
            }
            Ok(None) if arriving.is_empty() => return reading,
            Ok(None) => {
                let portion = [1, 2, 3, 7, 100, 1500, usize::MAX][portions.below(7)].min(arriving.len());
                let (now, later) = arriving.split_at(portion);
                buffer.extend_from_slice(now);
                arriving = later;
            }
            Err(error) => {
                assert_eq!(buffer.len(), before.1, "a refusal consumed bytes");
                assert_eq!(
                    frame::split(&mut buffer, frame_bytes_max).as_ref(),
                    Err(&error),
                    "a refusal is final"
                );
                reading.end = Some(error);
                return reading;
            }
        }
    }
}

/// What `split` must answer, said with prost's own varints.
fn expected(visible: &[u8], frame_bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
    let prefix = &visible[..visible.len().min(LENGTH_BYTES_MAX)];
    if prefix.iter().all(|byte| *byte >= 0x80) {
        return if prefix.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(FrameError::Length) };
    }
    let mut rest = visible;
    let length = encoding::decode_varint(&mut rest).expect("it ends within five bytes");
    if encoding::encoded_len_varint(length) != visible.len() - rest.len() {
        return Err(FrameError::Length);
    }
    if length > frame_bytes_max as u64 {
        return Err(FrameError::TooLarge { length, max: frame_bytes_max });
    }
    Ok(rest.get(..length as usize).map(Bytes::copy_from_slice))
}

fn round_trip<M: Message + Default + PartialEq>(content: Bytes) -> Option<Vec<u8>> {
    let message: M = match frame::decode(content) {
        Ok(message) => message,
        Err(error) => {
            assert_eq!(error, FrameError::Content);
            return None;
        }
    };
    let mut wire = BytesMut::new();
    frame::encode(&message, &mut wire);
    let again = frame::split(&mut wire, usize::MAX).expect("our own encoding").expect("a whole frame");
    assert!(wire.is_empty(), "an encoding of more than one frame");
    assert!(
        frame::decode::<M>(again.clone()).as_ref() == Ok(&message),
        "decode, encode, decode changed the message"
    );
    Some(again.to_vec())
}

/// Reads a frame in place, and checks that prost reads the same; whether it was read.
///
/// # Panics
/// If prost reads something else.
pub(crate) fn read_in_place(content: &[u8]) -> bool {
    let Some(read) = MessageEntry::read(content) else { return false };
    let (Ok(sender), Ok(content_type)) = (str::from_utf8(read.sender), str::from_utf8(read.content_type))
    else {
        assert_eq!(frame::decode::<PushFrame>(content.to_vec().into()), Err(FrameError::Content));
        return true;
    };
    let message = Content {
        client_message_id: Bytes::copy_from_slice(read.client_message_id),
        content_type: content_type.to_owned(),
        payload: Bytes::copy_from_slice(read.payload),
        priority: read.priority,
        reply_to_sequence: read.reply_to_sequence,
    };
    let entry = Entry {
        conversation_id: Bytes::copy_from_slice(read.conversation_id),
        sequence: read.sequence,
        sender: sender.to_owned(),
        time_ms: read.time_ms,
        expires_at_ms: read.expires_at_ms,
        body: Some(Body::Message(message)),
    };
    let frame = PushFrame { push: Some(Push::Entry(entry)) };
    assert!(
        frame::decode::<PushFrame>(content.to_vec().into()) == Ok(frame),
        "prost reads {content:x?} otherwise"
    );
    true
}
