//! Escape sequences (HL7 v2.5.1, section 2.7): what a delimiter looks like within a text.
//!
//! Those for delimiters, hexadecimal bytes and the line break become what they mean. All other
//! sequences of the standard (highlighting, layout, other character sets, local ones) stay as they
//! are, and so does an escape character that begins none: a path with backslashes is read as it was
//! written. Nothing is dropped.

use std::borrow::Cow;

use super::charset::Charset;
use super::delimiters::Delimiters;

/// Longest sequence that is looked for, in bytes; hexadecimal ones are as long as they are.
const SEQUENCE_BYTES_MAX: usize = 32;

/// Makes characters of the bytes of a text, its sequences read; `None`: they are not in the set.
pub fn read(raw: &[u8], delimiters: &Delimiters, charset: Charset) -> Option<String> {
    let Some(escape) = delimiters.escape else { return charset.decode(raw) };
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == escape) {
        text.push_str(&charset.decode(&rest[..at])?);
        let behind = &rest[at + 1..];
        let end = behind.iter().position(|byte| *byte == escape);
        let sequence = end.map(|end| &behind[..end]);
        match sequence.and_then(|sequence| meaning(sequence, delimiters, charset)) {
            Some(meaning) => {
                text.push_str(&meaning);
                rest = &behind[sequence.map_or(0, <[u8]>::len) + 1..];
            }
            None => {
                text.push(char::from(escape));
                rest = behind;
            }
        }
    }
    text.push_str(&charset.decode(rest)?);
    Some(text)
}

/// What stands for a sequence; `None`: this is none.
fn meaning<'s>(sequence: &'s [u8], delimiters: &Delimiters, charset: Charset) -> Option<Cow<'s, str>> {
    let one = |byte: Option<u8>| byte.map(|byte| char::from(byte).to_string().into());
    match sequence {
        b"F" => one(Some(delimiters.field)),
        b"S" => one(Some(delimiters.component)),
        b"R" => one(delimiters.repetition),
        b"E" => one(delimiters.escape),
        b"T" => one(delimiters.subcomponent),
        b"P" => one(delimiters.truncation),
        b".br" => Some("\n".into()),
        [b'X', digits @ ..] => {
            let read = bytes(digits).and_then(|bytes| charset.decode(&bytes)).map(Cow::Owned);
            read.or_else(|| kept(sequence, delimiters))
        }
        sequence => kept(sequence, delimiters),
    }
}

/// A sequence that stays as it is, if it is one.
fn kept<'s>(sequence: &'s [u8], delimiters: &Delimiters) -> Option<Cow<'s, str>> {
    let escape = char::from(delimiters.escape?);
    let is_short = sequence.len() <= SEQUENCE_BYTES_MAX;
    let is_sequence = match sequence {
        b"H" | b"N" => true,
        [b'.', command @ ..] => is_short && is_command(command),
        [b'C' | b'M', digits @ ..] => {
            matches!(digits.len(), 4 | 6) && digits.iter().all(u8::is_ascii_hexdigit)
        }
        [b'Z', local @ ..] => is_short && !local.is_empty() && local.iter().all(u8::is_ascii_alphanumeric),
        [b'X', digits @ ..] => bytes(digits).is_some(),
        _ => false,
    };
    is_sequence.then(|| format!("{escape}{}{escape}", String::from_utf8_lossy(sequence)).into())
}

/// Whether this is a command for layout: two letters, perhaps a number.
fn is_command(command: &[u8]) -> bool {
    let [first, second, number @ ..] = command else { return false };
    let number = number.strip_prefix(b"+").or_else(|| number.strip_prefix(b"-")).unwrap_or(number);
    [first, second].iter().all(|byte| byte.is_ascii_lowercase())
        && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b' ')
}

/// The bytes that hexadecimal digits stand for.
fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    hex::decode(digits).ok().filter(|bytes| !bytes.is_empty())
}

/// Writes a text so that [`read`] gives it back: for what stands in our answers. Control characters
/// become hexadecimal, and so does what is not ASCII, in UTF-8.
pub fn write(text: &str, delimiters: &Delimiters) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        let letter = letter(byte, delimiters);
        match (delimiters.escape, letter) {
            (Some(escape), Some(letter)) => out.extend([escape, letter, escape]),
            (Some(escape), None) if !(0x20..0x7f).contains(&byte) => {
                out.push(escape);
                out.extend(format!("X{byte:02X}").bytes());
                out.push(escape);
            }
            // Without an escape character it cannot be said.
            (None, Some(_)) => out.push(b' '),
            (None, None) if !(0x20..0x7f).contains(&byte) => out.push(b' '),
            (_, None) => out.push(byte),
        }
    }
    out
}

fn letter(byte: u8, delimiters: &Delimiters) -> Option<u8> {
    let is = |delimiter: Option<u8>| delimiter == Some(byte);
    match byte {
        _ if byte == delimiters.field => Some(b'F'),
        _ if byte == delimiters.component => Some(b'S'),
        _ if is(delimiters.repetition) => Some(b'R'),
        _ if is(delimiters.escape) => Some(b'E'),
        _ if is(delimiters.subcomponent) => Some(b'T'),
        _ if is(delimiters.truncation) => Some(b'P'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usual(raw: &str) -> String {
        read(raw.as_bytes(), &Delimiters::USUAL, Charset::Utf8).expect("UTF-8")
    }

    #[test]
    fn sequences_become_what_they_mean() {
        assert_eq!(usual(r"a\F\b\S\c\T\d\R\e\E\f"), r"a|b^c&d~e\f");
        assert_eq!(usual(r"one\.br\two"), "one\ntwo");
        assert_eq!(usual(r"\X41424A\ \X0d0A\ \XC3BC\"), "ABJ \r\n ü");
        assert_eq!(usual(r"\E\F\E\"), r"\F\");
    }

    #[test]
    fn others_are_left_as_they_are() {
        for raw in [
            r"\H\loud\N\",
            r"\.in+4\x\.sp3\",
            r"\Zlocal\",
            r"\C2842\",
            r"\M244C0C\",
            r"\XFF\",
            r"\X4\",
            r"C:\temp\file",
            r"\",
            r"a\",
            r"\\",
            r"\\\",
            r"\P\",
            r"\q\r\",
        ] {
            assert_eq!(usual(raw), raw);
        }
    }

    #[test]
    fn what_begins_no_sequence_does_not_swallow_the_next() {
        assert_eq!(usual(r"C:\dir\F\x"), r"C:\dir|x");
        // H is one, so the F behind it is a letter.
        assert_eq!(usual(r"\H\F\N\"), r"\H\F\N\");
    }

    #[test]
    fn without_an_escape_character_there_are_no_sequences() {
        let none = Delimiters { escape: None, ..Delimiters::USUAL };
        assert_eq!(read(br"a\F\b", &none, Charset::Ascii).as_deref(), Some(r"a\F\b"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in any::<String>()) {
            let written = write(&text, &Delimiters::USUAL);
            prop_assert!(written.iter().all(|byte| (0x20..0x7f).contains(byte) && *byte != b'|'));
            // A character of several bytes is written as several sequences.
            if text.is_ascii() {
                prop_assert_eq!(read(&written, &Delimiters::USUAL, Charset::Utf8), Some(text));
            }
        }

        #[test]
        fn no_bytes_are_dropped(raw in proptest::collection::vec(prop_oneof![Just(b'\\'), any::<u8>()], 0..60)) {
            let latin = Charset::named("8859/1").expect("Latin-1");
            let text = read(&raw, &Delimiters::USUAL, latin).expect("every byte is a character");
            // What is read anew is no shorter than what stands for it allows.
            let sequences = raw.iter().filter(|byte| **byte == b'\\').count() / 2;
            prop_assert!(text.chars().count() + 2 * sequences + raw.len() / 2 >= raw.len());
            if sequences == 0 {
                prop_assert_eq!(Some(text), latin.decode(&raw));
            }
        }
    }
}
