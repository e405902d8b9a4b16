//! Failures: which have an exit code of their own, and how each is told.

use thiserror::Error;

/// Failures that have an exit code of their own.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The store failed while serving.
    #[error(
        "the store failed: {0}; nothing acknowledged is lost; see to the disk, or to what else this names, then start the \
         broker again"
    )]
    Storage(String),
    /// What was typed makes no sense.
    #[error("{0}")]
    Usage(&'static str),
}

/// An error and its causes, in one line, each said once: many a text has its cause in it already.
/// What came from elsewhere cannot move the cursor.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told.replace(|letter: char| letter.is_control() && letter != '\n', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, Error)]
    #[error("cannot read {path}: {source}; look there")]
    struct Unreadable {
        path: &'static str,
        source: io::Error,
    }

    #[test]
    fn a_cause_is_said_once() {
        let unreadable = || Unreadable { path: "ca.pem", source: io::Error::other("no\u{1b}[2Jsuch file") };
        let error = anyhow::Error::from(unreadable());
        assert_eq!(told(&error), "cannot read ca.pem: no\u{fffd}[2Jsuch file; look there");
        let error = Err::<(), _>(unreadable()).context("the broker cannot start").unwrap_err();
        assert_eq!(
            told(&error),
            "the broker cannot start: cannot read ca.pem: no\u{fffd}[2Jsuch file; look there"
        );
        let error = Err::<(), _>(io::Error::other("b")).context("c").context("a").unwrap_err();
        assert_eq!(told(&error), "a: c: b");
    }
}
