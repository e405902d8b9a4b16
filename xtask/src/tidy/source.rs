//! A source file, as the style rules look at it.
//!
//! Rules match on text, so they must not trip over the words that only stand in a string or in
//! prose. A small scanner splits a Rust file into three views of the same length and lines: code,
//! comments, and strings; what does not belong to a view is blank in it. It knows Rust's tokens
//! just well enough for that and never fails: a file that does not parse is the compiler's
//! business.

use std::path::PathBuf;

/// A file of the repository with its views.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it lies, from the repository's root, with forward slashes.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// Comments and the insides of strings blanked. Equal to `text` if it is not Rust.
    pub code: String,
    /// All but comments blanked; everything, where there are none.
    pub comments: String,
}

impl Source {
    /// Takes in a file.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let (code, comments) = match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("rs") => views(&text),
            Some("proto") => (text.clone(), views(&text).1),
            Some("toml" | "yml" | "yaml" | "sh") => (text.clone(), hash_comments(&text)),
            _ if path == ".ci/run" => (text.clone(), hash_comments(&text)),
            _ => (text.clone(), blank(&text)),
        };
        Self { path, text, code, comments }
    }

    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is prose.
    pub fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Whether it is a test, a bench or an example, from its folder or name.
    pub fn is_test(&self) -> bool {
        self.stem() == "tests"
            || self.folders().any(|folder| matches!(folder, "tests" | "benches" | "examples"))
    }

    /// Its code up to the inline tests, which stand last in a file.
    pub fn production_code(&self) -> &str {
        if self.is_test() {
            return "";
        }
        self.code.find("#[cfg(test)]").map_or(self.code.as_str(), |tests| &self.code[..tests])
    }

    /// Its name without folders and extension.
    pub fn stem(&self) -> String {
        PathBuf::from(&self.path)
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// The folders that it lies in, outermost first.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        let folders = self.path.rsplit_once('/').map_or("", |(folders, _)| folders);
        folders.split('/').filter(|folder| !folder.is_empty())
    }
}

/// Whether the match stands alone, not within a longer word.
pub(super) fn is_word(view: &str, byte: usize, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    let before = view[..byte].chars().next_back();
    let after = view[byte + word.len()..].chars().next();
    !before.is_some_and(joins) && !after.is_some_and(joins)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Text,
}

/// Splits Rust into code (delimiters of strings included) and comments.
fn views(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut comments = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, part) = token(&chars, at);
        for &c in &chars[at..end] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if part == Part::Code { c } else { blank });
            comments.push(if part == Part::Comment { c } else { blank });
        }
        at = end;
    }
    (code, comments)
}

/// What stands behind a `#` that is in no string of its line; all else blanked.
fn hash_comments(text: &str) -> String {
    let mut comments = String::with_capacity(text.len());
    let (mut quote, mut before, mut is_comment) = (None, ' ', false);
    for c in text.chars() {
        match c {
            '\n' => (quote, is_comment) = (None, false),
            '#' if quote.is_none() && before.is_whitespace() => is_comment = true,
            '"' | '\'' if !is_comment && quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            _ => {}
        }
        comments.push(if is_comment || c == '\n' { c } else { ' ' });
        before = c;
    }
    comments
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { ' ' }).collect()
}

/// Finds where the token that begins at `at` ends, and what it is.
fn token(chars: &[char], at: usize) -> (usize, Part) {
    let next = |ahead: usize| chars.get(at + ahead).copied();
    match chars[at] {
        '/' if next(1) == Some('/') => (line_end(chars, at), Part::Comment),
        '/' if next(1) == Some('*') => (block_end(chars, at), Part::Comment),
        '"' => (string_end(chars, at + 1), Part::Text),
        'r' if !follows_word(chars, at) || chars[at - 1] == 'b' => match raw_string_end(chars, at + 1) {
            Some(end) => (end, Part::Text),
            None => (at + 1, Part::Code),
        },
        // A character, not a lifetime: 'x' or an escape.
        '\'' if next(1) == Some('\\') => (character_end(chars, at + 2), Part::Text),
        '\'' if next(2) == Some('\'') => (at + 3, Part::Text),
        _ => (at + 1, Part::Code),
    }
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |length| at + length)
}

fn block_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn character_end(chars: &[char], at: usize) -> usize {
    // The escaped character itself may be a quote.
    let from = (at + 1).min(chars.len());
    chars[from..].iter().position(|&c| c == '\'').map_or(chars.len(), |length| from + length + 1)
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
    let open = at + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes =
        |quote: usize| chars[quote + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    let quote = (open + 1..chars.len()).find(|&i| chars[i] == '"' && closes(i));
    Some(quote.map_or(chars.len(), |quote| quote + 1 + hashes))
}
