//! One word, one meaning: what `docs/glossary.md` forbids stands nowhere.
//!
//! There an item is `- **word**: meaning.`, and a line `Not: a, b` below it names words that are
//! not used for it. They are looked for in Markdown, in comments, and among the words that
//! identifiers consist of (`SideCar` and `side_car` are `side car`); strings are what they are.
//! Behind a word may stand where it is right: `Not: car (but: side car, storage/rocksdb/)` allows
//! it within that phrase, and in files whose path begins so.

use super::finding::Finding;
use super::source::Source;

/// Where the words stand.
pub const GLOSSARY: &str = "docs/glossary.md";

/// A word, or several, that must not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The parts of it, in small letters.
    parts: Vec<String>,
    /// What to use.
    instead: String,
    /// Phrases of which it may be part.
    within: Vec<Vec<String>>,
    /// Beginnings of paths where it is right.
    places: Vec<String>,
}

/// Looks for forbidden words in all files.
pub fn check(sources: &[Source], findings: &mut Vec<Finding>) {
    let Some(glossary) = sources.iter().find(|source| source.path == GLOSSARY) else { return };
    let forbidden = read(&glossary.text);
    for source in sources.iter().filter(|source| source.path != GLOSSARY) {
        for view in views(source) {
            let words = words(view);
            for word in &forbidden {
                find(source, view, &words, word, findings);
            }
        }
    }
}

/// What a glossary forbids.
pub fn read(glossary: &str) -> Vec<Forbidden> {
    let (mut forbidden, mut instead) = (Vec::new(), String::new());
    for line in glossary.lines() {
        if let Some(item) = line.strip_prefix("- **") {
            instead = item.split("**").next().unwrap_or_default().to_owned();
        } else if let Some(list) = line.trim_start().strip_prefix("Not:") {
            forbidden.extend(items(list).map(|item| one(item, &instead)));
        }
    }
    forbidden
}

/// The items of a list between commas, those within brackets not counted.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let between = move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    list.split(between).map(|item| item.trim().trim_end_matches('.')).filter(|item| !item.is_empty())
}

fn one(item: &str, instead: &str) -> Forbidden {
    let (word, but) = item.split_once('(').unwrap_or((item, ""));
    let but = but.trim_end_matches(')').trim().trim_start_matches("but:");
    let (places, within): (Vec<&str>, Vec<&str>) = items(but).partition(|item| item.contains(['/', '.']));
    Forbidden {
        parts: parts(word),
        instead: instead.to_owned(),
        within: within.into_iter().map(parts).collect(),
        places: places.into_iter().map(str::to_owned).collect(),
    }
}

fn parts(phrase: &str) -> Vec<String> {
    words(phrase).into_iter().map(|word| word.text).collect()
}

/// What of a file is looked at.
fn views(source: &Source) -> Vec<&str> {
    match source.path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("md") => vec![&source.text],
        Some("rs") => vec![&source.code, &source.comments],
        _ => vec![&source.comments],
    }
}

/// A word in small letters, where it begins, and whether it belongs together with the one before.
struct Word {
    text: String,
    byte: usize,
    joined: bool,
}

/// Takes text to words: also `snake_case` and `CamelCase`.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut before, mut joined) = (' ', false);
    for (byte, c) in text.char_indices() {
        if c.is_alphanumeric() {
            let is_hump = c.is_uppercase() && !before.is_uppercase();
            if !before.is_alphanumeric() || is_hump {
                words.push(Word { text: String::new(), byte, joined });
                joined = true;
            }
            let word = words.last_mut().expect("it has begun");
            word.text.extend(c.to_lowercase());
        } else if !c.is_whitespace() && !matches!(c, '_' | '-' | '/' | '!' | '#' | '*') {
            joined = false;
        }
        before = c;
    }
    words
}

fn find(source: &Source, view: &str, words: &[Word], forbidden: &Forbidden, findings: &mut Vec<Finding>) {
    if forbidden.places.iter().any(|place| source.path.starts_with(place)) {
        return;
    }
    for at in 0..words.len() {
        if stands(words, at, &forbidden.parts)
            && !forbidden.within.iter().any(|phrase| covers(words, at, phrase))
        {
            let text = format!(
                "`{}` is not our word: the glossary says `{}` ({GLOSSARY})",
                forbidden.parts.join(" "),
                forbidden.instead
            );
            findings.push(Finding::at(source, view, words[at].byte, text));
        }
    }
}

/// Whether the phrase begins at this word; the last part may stand in the plural.
fn stands(words: &[Word], at: usize, phrase: &[String]) -> bool {
    let Some(there) = words.get(at..at + phrase.len()).filter(|_| !phrase.is_empty()) else { return false };
    there.iter().zip(phrase).enumerate().all(|(number, (word, part))| {
        let is_last = number + 1 == phrase.len();
        let is_same = word.text == *part || is_last && word.text.strip_suffix('s') == Some(part);
        is_same && (number == 0 || word.joined)
    })
}

/// Whether this word is part of the phrase here.
fn covers(words: &[Word], at: usize, phrase: &[String]) -> bool {
    (at.saturating_sub(phrase.len().saturating_sub(1))..=at).any(|from| stands(words, from, phrase))
}
