//! Something that breaks a rule of the house: where, what, and what to do.

use std::fmt;

use super::source::Source;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, from the repository's root.
    pub path: String,
    /// The line, from 1; 0: the file as a whole.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl Finding {
    /// Makes one about a file as a whole.
    pub fn file(source: &Source, text: impl Into<String>) -> Self {
        Self { path: source.path.clone(), line: 0, text: text.into() }
    }

    /// Makes one about the place at this byte of one of the file's views.
    pub fn at(source: &Source, view: &str, byte: usize, text: impl Into<String>) -> Self {
        let line = view[..byte].matches('\n').count() + 1;
        Self { path: source.path.clone(), line, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}
