//! What the code of a file names: its `use` declarations, the paths within its code, its modules.
//!
//! A reader of tokens that knows just enough of Rust: what stands under `#[cfg(test)]` is left out,
//! modules within the file are kept apart, trees of `use` are taken to pieces. It works on the view
//! of a [`Source`] without comments and strings, and never fails: what it does not understand it
//! passes over.

use super::source::Source;

/// A path that stands in code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The modules within the file that it stands in, outermost first.
    pub within: Vec<String>,
    /// Its parts; the last one is `*` for all that is there.
    pub path: Vec<String>,
    /// The name that a `use` gives it; none for a path within the code.
    pub bound: Option<String>,
    /// Where it stands, in bytes.
    pub byte: usize,
}

/// What the code of a file names, tests left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Paths, in their order.
    pub paths: Vec<Named>,
    /// The modules that lie within it: each with those around it.
    pub inner: Vec<Vec<String>>,
    /// The modules that it says lie in other files: each with those around it.
    pub outer: Vec<Vec<String>>,
}

/// Reads a file.
pub fn read(source: &Source) -> Names {
    let tokens = tokens(&source.code);
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0, within: Vec::new(), names: Names::default() };
    reader.run();
    reader.names
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    byte: usize,
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = code.char_indices().peekable();
    while let Some((byte, c)) = rest.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut end = byte + c.len_utf8();
        if is_word(c) {
            while let Some((at, c)) = rest.next_if(|(_, c)| is_word(*c)) {
                end = at + c.len_utf8();
            }
        } else if c == ':' && rest.next_if(|(_, c)| *c == ':').is_some() {
            end += 1;
        }
        tokens.push(Token { text: &code[byte..end], byte });
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// Braces that are open.
    depth: usize,
    /// The modules around, with the braces that were open outside of each.
    within: Vec<(String, usize)>,
    names: Names,
}

impl<'a> Reader<'a> {
    fn run(&mut self) {
        while let Some(token) = self.tokens.get(self.at) {
            match token.text {
                "#" if self.is_test_attribute() => self.skip_item(),
                "{" => self.open(),
                "}" => self.close(),
                "mod" => self.module(),
                "use" if !self.is(1, "<") => self.import(),
                text if text.starts_with(|c: char| c.is_alphabetic() || c == '_') => self.path(),
                _ => self.at += 1,
            }
        }
    }

    fn is(&self, ahead: usize, text: &str) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|token| token.text == text)
    }

    fn text(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text)
    }

    fn open(&mut self) {
        self.depth += 1;
        self.at += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
        if self.within.last().is_some_and(|(_, outside)| *outside == self.depth) {
            self.within.pop();
        }
    }

    /// `#[cfg(test)]`, `#[cfg(all(test, …))]`.
    fn is_test_attribute(&self) -> bool {
        let attribute = self.tokens[self.at..].iter().take_while(|token| token.text != "]");
        self.is(1, "[") && self.is(2, "cfg") && attribute.skip(3).any(|token| token.text == "test")
    }

    /// Passes over attributes and the item, statement or field that follows them.
    fn skip_item(&mut self) {
        let mut open = 0_usize;
        while self.at < self.tokens.len() {
            let text = self.text(0);
            self.at += 1;
            match text {
                "{" | "(" | "[" => open += 1,
                "}" | ")" | "]" => open = open.saturating_sub(1),
                _ => {}
            }
            let ends = match text {
                "}" | ";" => open == 0,
                _ => false,
            };
            // The end of what is around: the item was the last thing in it, without a comma.
            if ends || open == 0 && self.is(0, "}") {
                return;
            }
        }
    }

    fn around(&self) -> Vec<String> {
        self.within.iter().map(|(name, _)| name.clone()).collect()
    }

    fn module(&mut self) {
        let name = self.text(1).to_owned();
        let path = [self.around(), vec![name.clone()]].concat();
        match self.text(2) {
            "{" => {
                self.names.inner.push(path);
                self.within.push((name, self.depth));
                self.depth += 1;
            }
            ";" => self.names.outer.push(path),
            _ => {}
        }
        self.at += 3;
    }

    /// A path within the code, if it has more than one part.
    fn path(&mut self) {
        let follows = self.at > 0 && matches!(self.tokens[self.at - 1].text, "." | "::" | "'");
        let byte = self.tokens[self.at].byte;
        let mut path = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.is(0, "::") && self.text(1).starts_with(|c: char| c.is_alphabetic() || c == '_') {
            path.push(self.text(1).to_owned());
            self.at += 2;
        }
        if !follows && path.len() > 1 {
            self.names.paths.push(Named { within: self.around(), path, bound: None, byte });
        }
    }

    fn import(&mut self) {
        self.at += 1;
        self.tree(&[]);
    }

    /// A tree of `use`, up to what ends it.
    fn tree(&mut self, before: &[String]) {
        let mut path = before.to_vec();
        let byte = self.tokens.get(self.at).map_or(0, |token| token.byte);
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !self.is(0, "}") && self.at < self.tokens.len() {
                        self.tree(&path);
                        if self.is(0, ",") {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    let bound = self.text(1).to_owned();
                    self.at += 2;
                    return self.bind(path, bound, byte);
                }
                "," | "}" | ";" | "" => {
                    let bound = path.last().cloned().unwrap_or_default();
                    return self.bind(path, bound, byte);
                }
                part => {
                    path.push(part.to_owned());
                    self.at += 1;
                }
            }
        }
    }

    /// `use a::{self}` is `use a`.
    fn bind(&mut self, mut path: Vec<String>, mut bound: String, byte: usize) {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
            if bound == "self" {
                bound = path.last().cloned().unwrap_or_default();
            }
        }
        if !path.is_empty() {
            self.names.paths.push(Named { within: self.around(), path, bound: Some(bound), byte });
        }
    }
}
