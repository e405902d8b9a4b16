//! Lines on a terminal: what the broker says, what people wrote, and which is which.
//!
//! A terminal breaks what is too long wherever its edge is, and the rest would begin a row of its
//! own: so rows are broken here, and each has its sign. Before words of people stands [`WORDS`];
//! before what the broker says of an entry, [`SAYS`]; neither is ever part of what people wrote.
//! Where the output is no terminal, lines are as long as they are.

use std::io::{self, IsTerminal as _, Write};

use unicode_width::UnicodeWidthChar as _;

use super::plain::{SAYS, WORDS, cells, cells_of};

/// Where a row begins that is not the first of its line.
const INDENT: usize = 10;
/// Least room for what follows; below, a new row begins.
const ROOM_MIN: usize = 12;
/// A terminal that does not say how wide it is.
const COLUMNS: usize = 80;

/// What is said, and what somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// By the broker, up to the sign.
    pub(super) head: String,
    pub(super) rest: Rest,
}

/// What stands after the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    None,
    /// What the broker says of an entry.
    Said(String),
    /// What somebody wrote, line by line.
    Written(Vec<String>),
}

impl Line {
    /// One that only has a head.
    pub(super) fn said(head: String) -> Self {
        Self { head, rest: Rest::None }
    }

    /// Writes it to where people look.
    pub(super) fn print(&self, out: &mut io::StdoutLock<'_>) -> io::Result<()> {
        let columns = columns(out);
        self.rows(columns).iter().try_for_each(|row| writeln!(out, "{row}"))
    }

    /// Its rows, none wider than `columns`.
    fn rows(&self, columns: Option<usize>) -> Vec<String> {
        let mut page = Page { columns: columns.unwrap_or(usize::MAX), done: Vec::new(), row: String::new() };
        page.put(&self.head, SAYS);
        match &self.rest {
            Rest::None => {}
            Rest::Said(text) => {
                page.sign(SAYS);
                page.put(text, SAYS);
            }
            Rest::Written(lines) => {
                for (number, line) in lines.iter().enumerate() {
                    match number {
                        0 => page.sign(WORDS),
                        _ => page.begin(WORDS),
                    }
                    page.put(line, WORDS);
                }
            }
        }
        page.done.push(page.row);
        page.done
    }
}

/// Rows while they are filled.
struct Page {
    columns: usize,
    done: Vec<String>,
    row: String,
}

impl Page {
    fn room(&self) -> usize {
        self.columns.saturating_sub(cells(&self.row))
    }

    /// Puts a sign, on a new row if little would fit after it.
    fn sign(&mut self, sign: char) {
        if self.room() < ROOM_MIN {
            self.begin(sign);
        } else {
            self.row.extend([' ', sign, ' ']);
        }
    }

    /// Begins a row with a sign.
    fn begin(&mut self, sign: char) {
        // On a screen that is hardly wider than the indent there is none.
        let indent = if self.columns < INDENT + ROOM_MIN { 0 } else { INDENT };
        let row = format!("{:indent$}{sign} ", "");
        self.done.push(std::mem::replace(&mut self.row, row));
    }

    /// Puts a text, and goes on in rows with a sign.
    fn put(&mut self, text: &str, sign: char) {
        let mut rest = text;
        while !rest.is_empty() {
            let fits = fitting(rest, self.room());
            if fits == 0 && self.room() < ROOM_MIN && self.columns > ROOM_MIN {
                self.begin(sign);
                continue;
            }
            // Where nothing fits, one letter goes all the same, or this would never end.
            let one = rest.chars().next().map_or(0, char::len_utf8);
            let (now, later) = rest.split_at(fits.max(one));
            self.row.push_str(if later.is_empty() { now } else { now.trim_end_matches(' ') });
            rest = later;
            if !rest.is_empty() {
                self.begin(sign);
            }
        }
    }
}

/// How many bytes of a text fit, up to a space if there is a late one; never between a letter and
/// its accents.
fn fitting(text: &str, room: usize) -> usize {
    let mut used = 0;
    let mut whole = 0;
    let mut space = None;
    for (at, letter) in text.char_indices() {
        let is_upon = letter.width() == Some(0);
        if !is_upon {
            whole = at;
        }
        used += cells_of(letter);
        if used > room {
            return space.filter(|space| space * 2 > whole).unwrap_or(whole);
        }
        if letter == ' ' {
            space = Some(at + 1);
        }
    }
    text.len()
}

/// How wide the terminal is now; `None`: it is none.
fn columns(out: &io::StdoutLock<'_>) -> Option<usize> {
    if !out.is_terminal() {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(out).map_or(0, |size| usize::from(size.ws_col));
    Some(if told == 0 { COLUMNS } else { told })
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;

    fn written(head: &str, text: &str) -> Line {
        Line { head: head.into(), rest: Rest::Written(plain::lines(text)) }
    }

    #[test]
    fn what_is_no_terminal_gets_whole_lines() {
        let line = written("08:15:02  alice        #1   ", &format!("{}\nsecond", "x".repeat(500)));
        let rows = line.rows(None);
        assert_eq!(rows.len(), 2);
        assert!(rows[0].starts_with("08:15:02  alice        #1    ▌ xxx"), "{rows:?}");
        assert_eq!(rows[1], "          ▌ second");
    }

    #[test]
    fn no_row_of_words_can_be_one_of_the_brokers() {
        let head = "08:15:02  mallory      #7   ";
        let forged = "08:15:09  carol        #8    ◆ (deleted #1)";
        for columns in [20, 24, 40, 53, 80, 81, 132, 200] {
            for padding in 0..columns + 2 {
                let texts = [
                    format!("{}{forged}", " ".repeat(padding)),
                    format!("{}{forged}", "x".repeat(padding)),
                    format!("{}{forged}", "李".repeat(padding)),
                    format!("{}{forged}", "e\u{301}".repeat(padding)),
                    format!("{}\n{forged}", "\u{200b}".repeat(padding)),
                ];
                for text in texts {
                    let rows = written(head, &text).rows(Some(columns));
                    let (first, others) = rows.split_first().expect("there is one");
                    assert!(first.starts_with(&head[..10]), "{first}");
                    assert!(rows.iter().all(|row| cells(row) <= columns), "{columns}: {rows:#?}");
                    for row in others {
                        let is_words = row.trim_start().starts_with(WORDS);
                        let head = row.split(WORDS).next().unwrap_or_default();
                        let is_rest_of_the_head =
                            row.trim_start().starts_with(SAYS) && !head.contains("carol");
                        assert!(is_words || is_rest_of_the_head, "{columns}: {rows:#?}");
                    }
                }
            }
        }
    }

    #[test]
    fn words_are_broken_at_spaces_where_there_are_some() {
        let rows = written("08:15:02  a  #1 ", "one two three four five six").rows(Some(32));
        assert_eq!(rows, ["08:15:02  a  #1  ▌ one two", "          ▌ three four five six"]);
    }

    #[test]
    fn what_the_broker_says_is_broken_as_well() {
        let head = "00112233445566778899aabbccddeeff  \"Ward 5 and a long title\"  3 unread".to_owned();
        let rows = Line::said(head).rows(Some(40));
        assert!(rows.len() > 1 && rows[1..].iter().all(|row| row.trim_start().starts_with(SAYS)), "{rows:?}");
        let rows = Line { head: "08:15:02".into(), rest: Rest::Said("(deleted #1)".into()) }.rows(Some(80));
        assert_eq!(rows, ["08:15:02 ◆ (deleted #1)"]);
    }

    /// However narrow it is, it comes to an end.
    #[test]
    fn a_terminal_of_one_column_is_served() {
        for columns in 1..12 {
            assert!(!written("08:15:02  a", "李 text").rows(Some(columns)).is_empty());
        }
    }
}
