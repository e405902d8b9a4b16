//! Framing, usual and odd, in whatever pieces it arrives.

mod portions;

use proptest::prelude::*;

use super::*;
use portions::blocks_in;

const BOUNDS: Bounds = Bounds { message_bytes_max: 40, passed_bytes_max: 5000, stray_bytes_max: 100 };

fn blocks(stream: &str) -> Vec<Block> {
    let whole = blocks_in(stream.as_bytes(), &[usize::MAX], BOUNDS);
    assert_eq!(blocks_in(stream.as_bytes(), &[1], BOUNDS), whole, "byte by byte: {stream:?}");
    assert_eq!(whole.1, None);
    whole.0
}

fn message(text: &str) -> Block {
    Block::Message(Bytes::copy_from_slice(text.as_bytes()))
}

fn cut_off(text: &str) -> Block {
    Block::CutOff(Bytes::copy_from_slice(text.as_bytes()))
}

const TWO: [&str; 2] = ["MSH|1\r", "MSH|2\r"];

#[test]
fn messages_between_their_marks() {
    assert_eq!(blocks("\x0bMSH|1\r\x1c\r"), [message("MSH|1\r")]);
    assert_eq!(blocks("\x0bMSH|1\r\x1c\r\x0bMSH|2\r\x1c\r"), TWO.map(message));
    assert_eq!(blocks("\x0b\x1c\r"), [message("")]);
}

#[test]
fn odd_ends_and_beginnings() {
    for stream in [
        "\x0bMSH|1\r\x1c\n\x0bMSH|2\r\x1c\n",
        "\x0bMSH|1\r\x1c\r\n\x0bMSH|2\r\x1c\r\n",
        "\x0bMSH|1\r\x1c\x0bMSH|2\r\x1c",
        "\x0bMSH|1\r\x1c\x1c\r\r\x0bMSH|2\r\x1c\x1c\r",
        "\x0b\x0bMSH|1\r\x1c\r\x0b\x0b\x0bMSH|2\r\x1c\r",
        "MSH|1\r\x1c\rMSH|2\r\x1c\r",
        "MSH|1\r\x1cMSH|2\r\x1c\r",
        "\n\n MSH|1\r\x1c\r\0\0\0MSH|2\r\x1c\r\0",
        "\0\0\x0bMSH|1\r\x1c\r \t\x0bMSH|2\r\x1c\0\x1c\r",
    ] {
        assert_eq!(blocks(stream), TWO.map(message), "{stream:?}");
    }
    assert_eq!(blocks("BHS|1\r\x1c\r"), [message("BHS|1\r")]);
}

#[test]
fn an_end_within_a_message_is_kept() {
    assert_eq!(blocks("\x0bMSH|a\x1cb\r\x1c\r"), [message("MSH|a\x1cb\r")]);
    assert_eq!(blocks("\x0bMSH|a\x1cMSHb\r\x1c\r"), [message("MSH|a\x1cMSHb\r")]);
    assert_eq!(blocks("\x0bMSH|a\x1c \x1c\r"), [message("MSH|a\x1c ")]);
}

#[test]
fn what_was_cut_off_is_not_taken_for_a_message() {
    assert_eq!(blocks("\x0bMSH|1\r\x0bMSH|2\r\x1c\r"), [cut_off("MSH|1\r"), message("MSH|2\r")]);
    assert_eq!(blocks("\x0bMSH|1\rPI"), [cut_off("MSH|1\rPI")]);
    assert_eq!(blocks("\x0b"), [cut_off("")]);
}

#[test]
fn stray_bytes_are_told() {
    assert_eq!(blocks("hello\x0bMSH|1\r\x1c\r"), [Block::Stray(5), message("MSH|1\r")]);
    assert_eq!(blocks("xxMSH|\r MSH|1\r\x1c\r"), [Block::Stray(6), message("MSH|1\r")]);
    assert_eq!(blocks("\x0bMSH|1\r\x1c\rMS"), [message("MSH|1\r"), Block::Stray(2)]);
    let (blocks, broken) = blocks_in(&[b'x'; 101], &[7], BOUNDS);
    assert_eq!((blocks.len(), broken), (0, Some(Broken::NoMessage(100))));
}

#[test]
fn a_message_that_is_too_long_is_passed_over_and_told() {
    let exact = format!("MSH|{}", "x".repeat(36));
    assert_eq!(blocks(&format!("\x0b{exact}\x1c\r")), [message(&exact)]);
    let long = format!("MSH|{}", "x".repeat(4000));
    let head = Bytes::copy_from_slice(&long.as_bytes()[..HEAD_BYTES]);
    let told = Block::TooLong { head, bytes: 4004 };
    let stream = format!("\x0b{long}\x1c\r\x0bMSH|2\r\x1c\r");
    assert_eq!(blocks(&stream), [told.clone(), message("MSH|2\r")]);
    assert_eq!(blocks(&format!("\x0b{long}\x0bMSH|2\r\x1c\r")), [told.clone(), message("MSH|2\r")]);
    assert_eq!(blocks(&format!("\x0b{long}")), [told]);
}

#[test]
fn ten_megabytes_cost_no_more_than_a_message() {
    let bounds = Bounds { message_bytes_max: 1 << 16, ..Bounds::default() };
    let stream = [b"\x0bMSH|".as_slice(), &vec![b'x'; 10 << 20], b"\x1c\r\x0bMSH|2\r\x1c\r"].concat();
    // How much is held is checked after each piece.
    let (blocks, broken) = blocks_in(&stream, &[1 << 14], bounds);
    assert_eq!(broken, None);
    assert!(matches!(blocks[0], Block::TooLong { bytes, .. } if bytes == 4 + (10 << 20)));
    assert_eq!(blocks[1..], [message("MSH|2\r")]);
}

#[test]
fn a_message_without_end_ends_the_stream() {
    let stream = [b"\x0bMSH|".as_slice(), &[b'x'; 6000]].concat();
    for piece in [1, 100, 10_000] {
        assert_eq!(blocks_in(&stream, &[piece], BOUNDS).1, Some(Broken::Endless(5000)), "{piece}");
    }
}

#[test]
fn a_pause_ends_a_message_that_only_lacks_its_cr() {
    let mut decoder = Decoder::new(BOUNDS);
    decoder.buffer().extend_from_slice(b"\x0bMSH|1\r");
    assert_eq!((decoder.next_block(), decoder.pause()), (Ok(None), None));
    decoder.buffer().extend_from_slice(b"\x1c");
    assert_eq!(decoder.next_block(), Ok(None));
    assert_eq!(decoder.pause(), Some(message("MSH|1\r")));
    decoder.buffer().extend_from_slice(b"\r\x0bMSH|2\r\x1c\r");
    assert_eq!(decoder.next_block(), Ok(Some(message("MSH|2\r"))));
    assert_eq!(decoder.finish(), None);
}

#[test]
fn debug_shows_no_content() {
    let shown = format!("{:?} {:?}", message("ZEBRA"), cut_off("ZEBRA"));
    assert_eq!(shown, "Message(5 bytes) CutOff(5 bytes)");
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let bit = prop_oneof![
        4 => Just(b"\x0b".to_vec()),
        4 => Just(b"\x1c\r".to_vec()),
        2 => Just(b"\x1c".to_vec()),
        3 => Just(b"MSH|^~\\&|".to_vec()),
        1 => Just(b"MS".to_vec()),
        1 => Just(b"\r\n\0 ".to_vec()),
        1 => Just(vec![b'x'; 60]),
        1 => Just(vec![b'y'; 2500]),
        3 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(bit, 0..14).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn however_the_stream_is_cut_the_blocks_are_the_same(
        stream in stream(),
        pieces in proptest::collection::vec(1_usize..40, 1..6),
    ) {
        let whole = blocks_in(&stream, &[usize::MAX], BOUNDS);
        prop_assert_eq!(blocks_in(&stream, &pieces, BOUNDS), whole.clone());
        prop_assert_eq!(blocks_in(&stream, &[1], BOUNDS), whole);
    }

    #[test]
    fn what_is_encoded_is_decoded(
        messages in proptest::collection::vec("MSH\\|[ -~\r]{0,30}", 0..5),
        pieces in proptest::collection::vec(1_usize..40, 1..6),
    ) {
        let mut stream = BytesMut::new();
        messages.iter().for_each(|message| encode(message.as_bytes(), &mut stream));
        let wanted: Vec<Block> = messages.iter().map(|text| message(text)).collect();
        prop_assert_eq!(blocks_in(&stream, &pieces, BOUNDS), (wanted, None));
    }
}
