//! The frame codec: what is whole, what is not yet, what never will be; and that every message type
//! survives the wire however the bytes arrive.
//!
//! Properties print their seed; `WARDLINE_SEED=<seed>` repeats a run, `PROPTEST_CASES` makes it
//! longer.

mod wire;

use std::hash::{BuildHasher, RandomState};

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use prost::Message;
use wardline_proto::frame::{self, FrameError};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::entry::Body;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::{
    ClientFrame, Entry, ListConversations, Message as Content, Publish, PushFrame, ServerFrame,
};
use wire::{Choices, Reading, Schema, Spelling, damage, framed, has_field, read, read_in_place};

const FRAME_BYTES_MAX: usize = 1024;

fn split(bytes: &[u8]) -> Result<Option<Bytes>, FrameError> {
    frame::split(&mut BytesMut::from(bytes), FRAME_BYTES_MAX)
}

fn check<S: Strategy>(input: &S, property: impl Fn(S::Value)) {
    let seed = match std::env::var("WARDLINE_SEED") {
        Ok(seed) => seed.parse().expect("WARDLINE_SEED is a whole number"),
        Err(_) => RandomState::new().hash_one("a seed"),
    };
    let config = ProptestConfig {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    if let Err(failure) = runner.run(input, |value| {
        property(value);
        Ok(())
    }) {
        panic!("{failure}\nWARDLINE_SEED={seed}");
    }
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

#[test]
fn a_length_has_one_spelling_of_at_most_five_bytes() {
    for incomplete in [&[][..], &[0x80], &[0xff, 0xff], &[0x80, 0x80, 0x80, 0x80], &[2, 0]] {
        assert_eq!(split(incomplete), Ok(None), "{incomplete:x?}");
    }
    for malformed in [&[0x80, 0][..], &[0x83, 0], &[0x81, 0x80, 0], &[0x80, 0x80, 0x80, 0x80, 0], &[0xff; 64]]
    {
        assert_eq!(split(malformed), Err(FrameError::Length), "{malformed:x?}");
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_from_its_length_alone() {
    let too_large = |length| Err(FrameError::TooLarge { length, max: FRAME_BYTES_MAX });
    assert_eq!(split(&[0x80, 0x08]), Ok(None), "exactly the limit");
    assert_eq!(split(&[0x81, 0x08]), too_large(1025));
    assert_eq!(split(&[0xff, 0xff, 0xff, 0xff, 0x0f]), too_large(u64::from(u32::MAX)));
    assert_eq!(split(&[0xff, 0xff, 0xff, 0xff, 0x7f]), too_large((1 << 35) - 1));
}

#[test]
fn an_empty_frame_is_a_message_of_defaults() {
    let mut wire = BytesMut::new();
    frame::encode(&PushFrame::default(), &mut wire);
    assert_eq!(&wire[..], [0]);
    let content = frame::split(&mut wire, 0).expect("well-formed").expect("whole");
    assert_eq!(frame::decode::<PushFrame>(content), Ok(PushFrame::default()));
    assert!(wire.is_empty());
}

#[test]
fn the_readmes_example_is_what_is_sent() {
    let mut wire = BytesMut::new();
    let request = Some(Request::ListConversations(ListConversations::default()));
    frame::encode(&ClientFrame { request_id: 1, request, ..ClientFrame::default() }, &mut wire);
    assert_eq!(&wire[..], [0x04, 0x08, 0x01, 0x62, 0x00]);
    assert!(include_str!("../README.md").contains("`04 08 01 62 00`"));
}

#[test]
fn a_payload_is_a_slice_of_the_received_buffer() {
    let publish = Publish { payload: Bytes::from_static(&[7; 600]), ..Publish::default() };
    let mut wire = BytesMut::new();
    frame::encode(
        &ClientFrame { request_id: 1, request: Some(Request::Publish(publish)), ..ClientFrame::default() },
        &mut wire,
    );
    let received = wire.as_ptr_range();

    let content = frame::split(&mut wire, FRAME_BYTES_MAX).expect("well-formed").expect("whole");
    let decoded: ClientFrame = frame::decode(content).expect("well-formed");
    let Some(Request::Publish(publish)) = decoded.request else { panic!("not a publish") };
    let payload = publish.payload.as_ptr_range();
    assert!(received.start <= payload.start && payload.end <= received.end, "the payload was copied");
}

#[test]
fn nesting_without_end_is_malformed_content() {
    // Groups of a field that nobody knows: the only way to nest, since no message contains itself.
    for depth in [101, 10_000, 1 << 20] {
        let opened = vec![0x63; depth];
        assert_eq!(frame::decode::<ClientFrame>(opened.into()), Err(FrameError::Content), "{depth} opened");
        let closed = [vec![0x63; depth], vec![0x64; depth]].concat();
        assert_eq!(frame::decode::<ClientFrame>(closed.into()), Err(FrameError::Content), "{depth} closed");
    }
}

#[test]
fn a_long_stream_in_single_bytes_takes_linear_time() {
    // A codec that looks at the content again for every byte needs 10^12 steps here and never ends.
    let content = vec![0; 1 << 20];
    let mut buffer = BytesMut::new();
    let mut frames = 0;
    for byte in framed(&content) {
        buffer.extend_from_slice(&[byte]);
        frames += usize::from(frame::split(&mut buffer, content.len()).expect("well-formed").is_some());
    }
    assert_eq!((frames, buffer.len()), (1, 0));
}

#[test]
fn every_message_type_survives_the_wire() {
    let schema = Schema::load(env!("CARGO_MANIFEST_DIR"));
    let arms = |frame| schema.arms(frame).len();
    assert_eq!(
        (arms("ClientFrame"), arms("ServerFrame"), arms("PushFrame")),
        (24, 14, 7),
        "teach this test the new arm"
    );
    check(&(choices(), choices()), |(made, portions)| {
        each_arm::<ClientFrame>(&schema, "ClientFrame", &made, &portions);
        each_arm::<ServerFrame>(&schema, "ServerFrame", &made, &portions);
        each_arm::<PushFrame>(&schema, "PushFrame", &made, &portions);
    });
}

fn each_arm<M: Message + Default + PartialEq>(schema: &Schema, frame: &str, made: &[u8], portions: &[u8]) {
    let mut stream = Vec::new();
    let mut sent = Vec::new();
    for arm in schema.arms(frame) {
        let canonical = schema.frame(frame, arm, Spelling::Canonical, &mut Choices(made));
        let loose = schema.frame(frame, arm, Spelling::Loose, &mut Choices(made));
        stream.extend(framed(&canonical));
        stream.extend(framed(&loose));
        sent.push((arm, canonical));
    }
    let Reading { frames, end } = read::<M>(&stream, usize::MAX, Choices(portions));
    assert_eq!((frames.len(), end), (2 * sent.len(), None));
    for ((arm, canonical), received) in sent.iter().zip(frames.chunks(2)) {
        assert_eq!(received[0].as_ref(), Some(canonical), "{frame}.{arm}: a field was lost or changed");
        let loose = received[1].as_ref().unwrap_or_else(|| panic!("{frame}.{arm}: refused"));
        assert!(has_field(loose, *arm), "{frame}.{arm}: lost");
    }
}

#[test]
fn a_frame_cut_short_anywhere_is_not_a_frame_yet() {
    let schema = Schema::load(env!("CARGO_MANIFEST_DIR"));
    let arms = schema.arms("ServerFrame");
    check(&(0..arms.len(), choices()), |(arm, made)| {
        let content = schema.frame("ServerFrame", arms[arm], Spelling::Loose, &mut Choices(&made));
        let whole = framed(&content);
        for cut in 0..whole.len() {
            let mut buffer = BytesMut::from(&whole[..cut]);
            assert_eq!(frame::split(&mut buffer, content.len()), Ok(None), "{cut} of {} bytes", whole.len());
            assert_eq!(&buffer[..], &whole[..cut], "nothing is consumed before the frame is whole");
        }
        for cut in 0..content.len() {
            // Cut between two fields it is a shorter message, elsewhere it is malformed: never a
            // panic.
            read::<ServerFrame>(&framed(&content[..cut]), usize::MAX, Choices(&[6]));
        }
    });
}

#[test]
fn arbitrary_bytes_never_panic_and_reserve_nothing() {
    check(&(vec(any::<u8>(), 0..2000), choices(), 0_usize..3000), |(stream, portions, frame_bytes_max)| {
        read::<ClientFrame>(&stream, frame_bytes_max, Choices(&portions));
        read::<ServerFrame>(&stream, frame_bytes_max, Choices(&portions));
        let whole = read::<PushFrame>(&stream, frame_bytes_max, Choices(&[6]));
        assert_eq!(
            read::<PushFrame>(&stream, frame_bytes_max, Choices(&portions)),
            whole,
            "portions changed the outcome"
        );
        read::<ClientFrame>(&framed(&stream), usize::MAX, Choices(&portions));
    });
}

#[test]
fn damaged_frames_never_panic_and_what_is_accepted_round_trips() {
    let schema = Schema::load(env!("CARGO_MANIFEST_DIR"));
    check(&(choices(), vec(any::<u8>(), 0..80), choices()), |(made, damages, portions)| {
        for arm in schema.arms("ClientFrame") {
            let mut content = schema.frame("ClientFrame", arm, Spelling::Loose, &mut Choices(&made));
            let mut damages = Choices(&damages);
            while !damages.0.is_empty() {
                damage(&mut content, &mut damages);
            }
            let mut stream = framed(&content);
            read::<ClientFrame>(&stream, usize::MAX, Choices(&portions));
            damage(&mut stream, &mut Choices(&portions));
            read::<ClientFrame>(&stream, 4096, Choices(&portions));
        }
    });
}

#[test]
fn an_entry_as_prost_writes_it_is_read_in_place() {
    let message = Content {
        client_message_id: Bytes::from_static(&[7; 16]),
        content_type: "text/plain".into(),
        payload: Bytes::from_static(&[1; 300]),
        priority: 1,
        reply_to_sequence: u64::MAX >> 1,
    };
    let entry = Entry {
        conversation_id: Bytes::from_static(&[9; 16]),
        sequence: 1 << 40,
        sender: "ann".into(),
        time_ms: 1_700_000_000_000,
        expires_at_ms: 1,
        body: Some(Body::Message(message)),
    };
    let empty = Entry { body: Some(Body::Message(Content::default())), ..Entry::default() };
    for entry in [entry, empty] {
        let content = PushFrame { push: Some(Push::Entry(entry)) }.encode_to_vec();
        assert!(read_in_place(&content), "{content:x?}");
        for cut in 0..content.len() {
            assert!(!read_in_place(&content[..cut]), "cut at {cut}");
        }
    }
}

#[test]
fn what_is_read_in_place_prost_reads_the_same() {
    let schema = Schema::load(env!("CARGO_MANIFEST_DIR"));
    check(&(choices(), vec(any::<u8>(), 0..80)), |(made, damages)| {
        for arm in schema.arms("PushFrame") {
            for spelling in [Spelling::Canonical, Spelling::Loose] {
                let mut content = schema.frame("PushFrame", arm, spelling, &mut Choices(&made));
                read_in_place(&content);
                let mut damages = Choices(&damages);
                while !damages.0.is_empty() {
                    damage(&mut content, &mut damages);
                    read_in_place(&content);
                }
            }
        }
    });
}
