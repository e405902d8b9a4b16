//! What `Debug` shows of a frame, since it ends up in logs: no token, no content, nobody's name.
//!
//! Goes through every text of every message of the .proto files, so that a new one is hidden until
//! it is listed here.

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::DescriptorProto;
use prost_types::field_descriptor_proto::Type;
use wardline_proto::frame;
use wardline_proto::v1::{ClientFrame, PushFrame, ServerFrame};

const SECRET: &str = "Jane Doe, ward 7";

/// Texts that may be logged: they are about software, or promise to name nobody.
const SHOWN: [&str; 6] = [
    "Hello.client_name",
    "Hello.client_version",
    "Welcome.broker_version",
    "Error.text",
    "Error.action",
    "Goodbye.text",
];

/// The one `bytes` field that is no id.
const PAYLOAD: &str = "payload";

struct Planter {
    messages: Vec<DescriptorProto>,
    /// The texts that held the secret.
    planted: BTreeSet<String>,
    shown: BTreeSet<String>,
}

impl Planter {
    /// Makes a message with every field set; of each oneof, the arm that a digit of `arms` names.
    fn message(&mut self, name: &str, arms: &mut usize) -> Vec<u8> {
        let message = self.messages.iter().find(|message| message.name() == name).expect("declared").clone();
        let mut chosen = Vec::new();
        for index in 0..message.oneof_decl.len() {
            let of_this: Vec<_> =
                message.field.iter().filter(|field| field.oneof_index == i32::try_from(index).ok()).collect();
            chosen.push(of_this[*arms % of_this.len()].number());
            *arms /= of_this.len();
        }
        let mut out = Vec::new();
        for field in &message.field {
            if field.oneof_index.is_some() && !chosen.contains(&field.number()) {
                continue;
            }
            let number = u32::try_from(field.number()).expect("positive");
            let content = match field.r#type() {
                Type::String => self.text(format!("{name}.{}", field.name())),
                Type::Bytes if field.name() == PAYLOAD => self.text(format!("{name}.{PAYLOAD}")),
                Type::Bytes => vec![0; 16],
                Type::Message => {
                    let of = field.type_name().rsplit('.').next().expect("a name");
                    self.message(of, arms)
                }
                _ => {
                    encode_key(number, WireType::Varint, &mut out);
                    encode_varint(1, &mut out);
                    continue;
                }
            };
            encode_key(number, WireType::LengthDelimited, &mut out);
            encode_varint(content.len() as u64, &mut out);
            out.extend(content);
        }
        out
    }

    fn text(&mut self, field: String) -> Vec<u8> {
        if SHOWN.contains(&field.as_str()) {
            self.shown.insert(field);
            return b"shown".to_vec();
        }
        self.planted.insert(field);
        SECRET.into()
    }

    fn shows_nothing<M: Message + Default + Debug>(&mut self, frame: &str) {
        // More than all ways to choose the arms of the oneofs within each other.
        for mut arms in 0..1000 {
            let content = Bytes::from(self.message(frame, &mut arms));
            let message: M = frame::decode(content).expect("a valid frame");
            for text in [format!("{message:?}"), format!("{message:#?}")] {
                assert!(!text.contains(SECRET), "{text}");
            }
        }
    }
}

#[test]
fn debug_shows_no_token_no_content_and_nobodys_name() {
    let set = protox::compile(["wardline/v1/frame.proto"], [env!("CARGO_MANIFEST_DIR")]).expect("compiles");
    let messages: Vec<_> = set.file.into_iter().flat_map(|file| file.message_type).collect();
    let texts: BTreeSet<String> = messages
        .iter()
        .flat_map(|message| message.field.iter().map(move |field| (message, field)))
        .filter(|(_, field)| field.r#type() == Type::String || field.name() == PAYLOAD)
        .map(|(message, field)| format!("{}.{}", message.name(), field.name()))
        .collect();
    let mut planter = Planter { messages, planted: BTreeSet::new(), shown: BTreeSet::new() };
    planter.shows_nothing::<ClientFrame>("ClientFrame");
    planter.shows_nothing::<ServerFrame>("ServerFrame");
    planter.shows_nothing::<PushFrame>("PushFrame");
    assert_eq!(&planter.planted | &planter.shown, texts, "every text of the contract was tried");
    assert_eq!(planter.shown.len(), SHOWN.len(), "a text that is listed and gone");
}
