//! The character set of a message, as MSH-18 says it (HL7 table 0211), and by other names in use.
//!
//! A label that is not known is refused, never guessed at. Where a sender states nothing, HL7 means
//! ASCII; a site that knows better sets it for that sender. Only sets in which a byte below 128 is
//! always that character are read, so that a delimiter is a delimiter: UTF-16, UTF-32, GB 18030,
//! Big5 and what switches sets by escapes are refused. 8859/1 is read as Windows-1252, which is the
//! same and more: senders say the one and mean the other.

use encoding_rs::Encoding;

use super::flaw::Reason;

/// UTF-8's byte order mark. It explains the bytes of the message that it stands before.
pub(crate) const MARK: &[u8] = b"\xef\xbb\xbf";

/// How the bytes of a message become characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Nothing over 127.
    Ascii,
    /// Nothing over 127, since the sender states no character set.
    Unstated,
    /// UTF-8.
    Utf8,
    /// One byte, one character.
    Single(&'static Encoding),
}

/// The parts of ISO 8859, from the first on, in the names of the Encoding Standard. There is no
/// twelfth; two of the parts are read as the supersets that are in use.
const PARTS: [&str; 16] = [
    "windows-1252",
    "iso-8859-2",
    "iso-8859-3",
    "iso-8859-4",
    "iso-8859-5",
    "iso-8859-6",
    "iso-8859-7",
    "iso-8859-8",
    "windows-1254",
    "iso-8859-10",
    "windows-874",
    "",
    "iso-8859-13",
    "iso-8859-14",
    "iso-8859-15",
    "iso-8859-16",
];

impl Charset {
    /// What a label means; spaces, hyphens and the like, and capital letters, make no difference.
    ///
    /// # Errors
    /// [`Reason::WideCharset`] or [`Reason::UnknownCharset`].
    pub fn named(label: &str) -> Result<Self, Reason> {
        let plain: String =
            label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        match plain.as_str() {
            "ASCII" | "USASCII" | "ISOIR6" | "ISO646" => return Ok(Self::Ascii),
            // The bare word is of before version 2.5. Such a message is no UTF-16, or it would not
            // have been read up to here.
            "UNICODE" | "UNICODEUTF8" | "UTF8" => return Ok(Self::Utf8),
            "LATIN1" | "ISOIR100" => return single(1),
            _ => {}
        }
        let wide = plain.trim_start_matches("UNICODE");
        if wide.starts_with("UTF16") || wide.starts_with("UTF32") || wide.starts_with("UCS") {
            return Err(Reason::WideCharset);
        }
        let windows = plain.strip_prefix("WINDOWS").or_else(|| plain.strip_prefix("CP"));
        if let Some(page) =
            windows.filter(|page| page.parse().is_ok_and(|page| (1250..=1258).contains(&page)))
        {
            return encoding(&format!("windows-{page}"));
        }
        let part = plain.trim_start_matches("ISO").strip_prefix("8859").and_then(|part| part.parse().ok());
        part.map_or(Err(Reason::UnknownCharset), single)
    }

    /// The characters, unless the bytes are not in this set.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Ascii | Self::Unstated if !bytes.is_ascii() => None,
            Self::Ascii | Self::Unstated | Self::Utf8 => Some(str::from_utf8(bytes).ok()?.to_owned()),
            Self::Single(encoding) => {
                let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
                Some(text.into_owned())
            }
        }
    }

    /// What to say of bytes that it cannot decode.
    pub(super) fn complaint(self) -> Reason {
        if self == Self::Unstated { Reason::UnstatedCharset } else { Reason::NotInCharset }
    }
}

fn single(part: usize) -> Result<Charset, Reason> {
    let name = part.checked_sub(1).and_then(|at| PARTS.get(at)).ok_or(Reason::UnknownCharset)?;
    encoding(name)
}

fn encoding(name: &str) -> Result<Charset, Reason> {
    Encoding::for_label(name.as_bytes()).map(Charset::Single).ok_or(Reason::UnknownCharset)
}

/// Whether a message begins as UTF-16 or UTF-32 do.
pub(crate) fn is_wide(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || bytes.starts_with(b"M\0S\0")
        || bytes.starts_with(b"\0M\0S")
        || bytes.starts_with(b"M\0\0\0S")
        || bytes.starts_with(b"\0\0\0M\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_as_they_are_met() {
        for label in ["ASCII", "us-ascii", "ISO IR6"] {
            assert_eq!(Charset::named(label), Ok(Charset::Ascii), "{label}");
        }
        for label in ["UNICODE UTF-8", "UTF-8", "utf8", "UNICODE"] {
            assert_eq!(Charset::named(label), Ok(Charset::Utf8), "{label}");
        }
        for label in ["8859/1", "ISO-8859-1", "ISO8859-1", "iso_8859-1", "latin1", "CP1252"] {
            let latin = Charset::named(label).expect(label);
            assert_eq!(latin.decode(b"M\xfcller").as_deref(), Some("Müller"), "{label}");
        }
        assert_eq!(Charset::named("8859/15").expect("15").decode(b"\xa4").as_deref(), Some("€"));
        assert_eq!(Charset::named("8859/9").expect("9").decode(b"\xfe").as_deref(), Some("ş"));
        assert_eq!(Charset::named("8859/5").expect("5").decode(b"\xb0").as_deref(), Some("А"));
    }

    #[test]
    fn every_part_of_8859_is_there_but_the_twelfth() {
        for part in 0..20 {
            let is_there = (1..=16).contains(&part) && part != 12;
            assert_eq!(Charset::named(&format!("8859/{part}")).is_ok(), is_there, "{part}");
        }
    }

    #[test]
    fn what_is_not_read_is_said() {
        for label in ["UNICODE UTF-16", "UTF-16LE", "UNICODE UTF-32", "UCS-2"] {
            assert_eq!(Charset::named(label), Err(Reason::WideCharset), "{label}");
        }
        for label in ["GB 18030-2000", "BIG-5", "ISO IR87", "KS X 1001", "nonsense", "8859/", "", "CP437"] {
            assert_eq!(Charset::named(label), Err(Reason::UnknownCharset), "{label}");
        }
    }

    #[test]
    fn bytes_that_are_not_in_it_are_not_replaced() {
        assert_eq!(Charset::Ascii.decode(b"\xfc"), None);
        assert_eq!(Charset::Unstated.decode(b"\xfc"), None);
        assert_eq!(Charset::Utf8.decode(b"\xfc"), None);
        assert_eq!(Charset::named("8859/7").expect("7").decode(b"\xff"), None);
        assert_eq!(Charset::Unstated.complaint(), Reason::UnstatedCharset);
    }
}
