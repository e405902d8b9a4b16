//! `cargo xtask tidy`: keeps the house rules of CONTRIBUTING.md that no compiler keeps.
//!
//! Looks at every file that git knows or would add. [`rules`] are about one file at a time:
//! headers, lengths, words that must not stand in finished code, names of modules, paths of
//! somebody's machine; [`functions`] are not too long. [`house`] is about who may know whom:
//! dependencies between the crates, and what the pure parts must not touch; [`circles`] about files
//! that import each other. [`columns`], [`sentences`], [`citations`] and [`glossary`] are about
//! prose. Every rule has a test that plants a violation; the repository itself is checked by a test
//! too, so `cargo test` is enough.

pub mod circles;
pub mod citations;
pub mod columns;
pub mod finding;
pub mod functions;
pub mod glossary;
pub mod house;
pub mod paths;
pub mod rules;
pub mod sentences;
pub mod source;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use citations::Tree;
use finding::Finding;
use source::Source;

/// Checks all files of a repository.
///
/// # Errors
/// If git does not list them or one cannot be read.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::new(files(root)?.iter().map(String::as_str));
    Ok(check_in(&tree, &sources(root)?))
}

/// Checks these files as if they were the repository.
pub fn check_sources(sources: &[Source]) -> Vec<Finding> {
    check_in(&Tree::new(sources.iter().map(|source| source.path.as_str())), sources)
}

/// Checks these files of a repository that has others too.
fn check_in(tree: &Tree, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        rules::check(source, &mut findings);
        house::check(source, &mut findings);
        columns::check(source, &mut findings);
        sentences::check(source, &mut findings);
        if source.is_rust() {
            functions::check(source, &mut findings);
        }
    }
    rules::check_reasons(sources, &mut findings);
    circles::check(sources, &mut findings);
    citations::check(sources, tree, &mut findings);
    glossary::check(sources, &mut findings);
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
