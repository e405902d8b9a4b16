//! What people wrote, as it may stand beside what the broker says.
//!
//! Texts keep their letters and lose what could move the cursor, turn the writing direction, hide,
//! or pass for one of the signs that only the broker's own lines have. Names and titles stand where
//! the broker speaks, so they are single words, or in quotes with all else escaped: no two that
//! differ look the same for what cannot be seen. Pure.

use unicode_width::UnicodeWidthChar as _;

/// Stands before what people wrote, on each of its rows.
pub(super) const WORDS: char = '▌';
/// Stands before what the broker says of an entry.
pub(super) const SAYS: char = '◆';
/// What we are called ourselves.
pub(super) const MYSELF: &str = "you";
/// Stands for what is not shown.
const HIDDEN: char = '\u{fffd}';
/// Accents on one letter; more would reach into the rows above and below.
const ACCENTS_MAX: usize = 3;
/// What a name may have beside letters and digits and still be one word.
const IN_WORDS: &str = "._-+@'";

/// A user's name: as it is if it is one plain word, and not that for ourselves.
pub(super) fn name(name: &str) -> String {
    word(name, IN_WORDS)
}

/// A content type.
pub(super) fn content_type(content_type: &str) -> String {
    word(content_type, "/._-+")
}

fn word(text: &str, beside: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() && !is_hidden(letter) || beside.contains(letter);
    let begins = text.starts_with(|letter: char| letter.is_alphanumeric());
    if begins && text != MYSELF && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

/// A title: always in quotes, so that it is never taken for a name or a sign.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut accents = ACCENTS_MAX;
    for letter in text.chars() {
        let is_seen = match is_accent(letter) {
            true => accents < ACCENTS_MAX,
            false => !is_hidden(letter) && !is_ours(letter) && !matches!(letter, '"' | '\\'),
        };
        accents = if is_accent(letter) { ACCENTS_MAX.min(accents + 1) } else { 0 };
        let escaped = letter.escape_debug();
        match escaped.len() {
            _ if is_seen => quoted.push(letter),
            // It prints, says the standard library, but it is blank, or ours.
            1 => quoted.extend(letter.escape_unicode()),
            _ => quoted.extend(escaped),
        }
    }
    quoted.push('"');
    quoted
}

/// The lines of a text.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.trim_end().split('\n').map(line).collect()
}

fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut accents = ACCENTS_MAX;
    for letter in text.chars() {
        let shown = match letter {
            // Joiners and selectors only change how their neighbours look.
            '\r' | '\u{200c}' | '\u{200d}' | '\u{ad}' => continue,
            letter if is_selector(letter) => continue,
            letter if letter.is_whitespace() && !is_break(letter) => ' ',
            letter if is_ours(letter) => HIDDEN,
            letter if is_accent(letter) && accents < ACCENTS_MAX => {
                accents += 1;
                line.push(letter);
                continue;
            }
            letter if is_hidden(letter) => HIDDEN,
            letter => letter,
        };
        // Nothing that is set upon a space could be told from one that is set upon our own.
        accents = if shown == ' ' { ACCENTS_MAX } else { 0 };
        line.push(shown);
    }
    line
}

/// The broker's signs, and what looks like them: blocks, heavy bars and diamonds.
fn is_ours(letter: char) -> bool {
    matches!(
        letter,
        '\u{2580}'..='\u{259f}'
            | '\u{2502}' | '\u{2503}' | '\u{2551}' | '\u{25ae}' | '\u{25af}' | '\u{2758}'..='\u{275a}'
            | '\u{25c6}'..='\u{25c8}' | '\u{2666}' | '\u{2756}' | '\u{2b25}' | '\u{2b26}' | '\u{2b29}' | '\u{2b2a}'
            | '\u{1fb00}'..='\u{1fbff}'
    )
}

/// What selects one of several looks, and has none.
fn is_selector(letter: char) -> bool {
    matches!(letter, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180f}')
}

/// What ends a line somewhere.
fn is_break(letter: char) -> bool {
    matches!(letter, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What has no look of its own: control, format, private, unassigned, blank; and accents.
fn is_hidden(letter: char) -> bool {
    let is_escaped = !matches!(letter, '"' | '\'' | '\\') && letter.escape_debug().len() > 1;
    is_escaped || is_filler(letter) || is_selector(letter)
}

/// What takes a place and is blank, yet counts as a letter.
fn is_filler(letter: char) -> bool {
    matches!(letter, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

/// What is set upon the letter before it.
fn is_accent(letter: char) -> bool {
    let upon_a_letter = ['a', letter].iter().collect::<String>();
    let is_printable = upon_a_letter.escape_debug().eq(['a', letter]);
    is_printable && letter.width() == Some(0) && !is_selector(letter) && !is_filler(letter)
}

/// How many columns a text may take, at the most: terminals do not agree on all letters.
pub(super) fn cells(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

/// The same of a letter; an accent counts too, since some terminals give it a place.
pub(super) fn cells_of(letter: char) -> usize {
    letter.width_cjk().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_others_are_quoted() {
        for plain in ["alice", "dr.silva", "o'neill", "carol@ward-5.example", "Müller", "李", "x+y_1"] {
            assert_eq!(name(plain), plain);
        }
        let cases = [
            ("", r#""""#),
            ("you", r#""you""#),
            ("@carol", r#""@carol""#),
            ("bob, carol as admin", r#""bob, carol as admin""#),
            ("bob\u{200b}", r#""bob\u{200b}""#),
            ("bo\u{301}b", "\"bo\u{301}b\""),
            ("b\u{fe0f}ob", r#""b\u{fe0f}ob""#),
            ("\u{202e}bob", r#""\u{202e}bob""#),
            ("bob\u{1b}[2J", r#""bob\u{1b}[2J""#),
            ("bob\n#7", r#""bob\n#7""#),
            ("bob\u{a0}", r#""bob\u{a0}""#),
            ("bob▌", r#""bob\u{258c}""#),
            ("bob\"", r#""bob\"""#),
            ("bob\u{3164}", r#""bob\u{3164}""#),
        ];
        for (text, shown) in cases {
            assert_eq!(name(text), shown, "{text:?}");
        }
        assert_eq!(quoted("@carol"), r#""@carol""#);
        assert_eq!(content_type("image/svg+xml"), "image/svg+xml");
        assert_eq!(content_type("text/plain; x"), r#""text/plain; x""#);
    }

    #[test]
    fn texts_keep_letters_and_lose_what_moves_hides_or_imitates() {
        let cases: [(&str, &[&str]); 14] = [
            ("Potassium is 6.1", &["Potassium is 6.1"]),
            ("a \"b\" c\\d 'e'", &["a \"b\" c\\d 'e'"]),
            ("one\r\ntwo\n\n three \n\n", &["one", "two", "", " three"]),
            ("a\tb\u{a0}c\u{3000}d", &["a b c d"]),
            ("\u{1b}[2J\u{7}\u{9b}1m", &["�[2J��1m"]),
            ("a\rb", &["ab"]),
            ("a\u{b}b\u{85}c\u{2028}d", &["a�b�c�d"]),
            ("\u{202e}evil\u{2066}\u{200f}", &["�evil��"]),
            ("▌ ◆ █ │ |", &["� � � � |"]),
            ("\u{e0b0}\u{e0041}\u{ffff}", &["���"]),
            ("❤\u{fe0f} 👩\u{200d}⚕", &["❤ 👩⚕"]),
            ("cafe\u{301} नमस्ते", &["cafe\u{301} नमस्ते"]),
            ("\u{301}x \u{338}y", &["�x �y"]),
            ("z\u{301}\u{302}\u{303}\u{304}", &["z\u{301}\u{302}\u{303}�"]),
        ];
        for (text, shown) in cases {
            assert_eq!(lines(text), shown, "{text:?}");
        }
    }

    #[test]
    fn letters_count_at_their_widest() {
        assert_eq!(cells("abc"), 3);
        assert_eq!(cells("李明"), 4);
        assert!(cells("e\u{301}") >= 1 && cells("✓◆▌") >= 3);
    }
}
