//! `cargo xtask tidy`: keeps the house rules of CONTRIBUTING.md that no compiler keeps.
//!
//! Looks at every file that git knows or would add. [`rules`] are about one file at a time:
//! headers, lengths, words that must not stand in finished code, names of modules, paths of
//! somebody's machine. [`house`] is about who may know whom: dependencies between the crates, and
//! what the pure parts must not touch. Every rule has a test that plants a violation; the
//! repository itself is checked by a test too, so `cargo test` is enough.

pub mod house;
pub mod rules;
pub mod source;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use source::Source;

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

/// Checks all files of a repository.
///
/// # Errors
/// If git does not list them or one cannot be read.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    Ok(check_sources(&sources(root)?))
}

/// Checks these files as if they were the repository.
pub fn check_sources(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        rules::check(source, &mut findings);
        house::check(source, &mut findings);
    }
    rules::check_reasons(sources, &mut findings);
    findings
}

/// Reads the text files that git knows or would add.
///
/// # Errors
/// If git does not list them or one cannot be read.
pub fn sources(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in files(root)?.iter().filter(|path| is_checked(path)) {
        let file = root.join(path);
        // Listed and gone: deleted in the work tree, not yet in the index.
        if file.is_file() {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
            sources.push(Source::new(path, text));
        }
    }
    Ok(sources)
}

/// The paths, from the root, of all files that git knows or would add.
///
/// # Errors
/// If git does not list them.
pub fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot run git, which knows the repository's files")?;
    ensure!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr).trim());
    let listing = String::from_utf8_lossy(&listing.stdout);
    Ok(listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// Whether it is text that people write here.
fn is_checked(path: &str) -> bool {
    const EXTENSIONS: &[&str] = &[".rs", ".toml", ".md", ".proto", ".yml", ".yaml", ".sh", ".json"];
    path == ".ci/run" || EXTENSIONS.iter().any(|extension| path.ends_with(extension))
}
