//! What Markdown and comments cite is there: files, links, types and their methods.
//!
//! A file is cited by its path from the root, from the folder of whoever cites it or of one around
//! it (there also without `src/`), or by its name alone. A name with `::`, in `CamelCase` or of
//! many words must stand somewhere in what is not prose: that cannot tell what it means there, but
//! sees what was renamed. Where doc comments link, rustdoc looks too.

use std::collections::{BTreeSet, HashSet};

use super::finding::Finding;
use super::sentences::unfenced;
use super::source::Source;

/// Ends of names by which a word is taken for a file of ours.
const EXTENSIONS: &[&str] = &[".rs", ".md", ".proto"];
/// Files of others.
const FOREIGN: &[&str] = &["descriptor.proto"];
/// Beginnings of names that are put together while the program runs.
const PUT_TOGETHER: &[&str] = &["wardline_", "process_", "instance_"];
/// Beginnings of paths that no repository has: what builds and programs leave behind.
const MADE: &[&str] = &["target/", "fuzz/corpus", "fuzz/artifacts"];

/// All files of the repository, and the folders that they lie in.
pub struct Tree {
    paths: HashSet<String>,
    names: HashSet<String>,
    /// The first parts of all paths.
    tops: BTreeSet<String>,
}

impl Tree {
    /// Takes in the paths of all files.
    pub fn new<'p>(files: impl IntoIterator<Item = &'p str>) -> Self {
        let mut tree = Self { paths: HashSet::new(), names: HashSet::new(), tops: BTreeSet::new() };
        for file in files {
            tree.names.insert(file.rsplit('/').next().unwrap_or(file).to_owned());
            tree.tops.insert(file.split('/').next().unwrap_or(file).to_owned());
            let mut path = file;
            tree.paths.insert(path.to_owned());
            while let Some((folder, _)) = path.rsplit_once('/') {
                tree.paths.insert(folder.to_owned());
                path = folder;
            }
        }
        tree
    }

    /// Whether there is a file or folder by this name, as seen from a file.
    fn has(&self, path: &str, from: &str) -> bool {
        let path = path.trim_start_matches("./").trim_end_matches('/');
        let mut folder = from;
        while let Some((around, _)) = folder.rsplit_once('/') {
            folder = around;
            if self.is(&format!("{folder}/{path}")) || self.is(&format!("{folder}/src/{path}")) {
                return true;
            }
        }
        self.is(path) || !path.contains('/') && self.names.contains(path)
    }

    /// Whether there is such a path, `..` taken away, or a module by this name.
    fn is(&self, path: &str) -> bool {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let path = parts.join("/");
        self.paths.contains(&path) || self.paths.contains(&format!("{path}.rs"))
    }
}

/// Looks for what is cited and not there.
pub fn check(sources: &[Source], tree: &Tree, findings: &mut Vec<Finding>) {
    let names = Names::new(sources);
    for source in sources {
        let prose = if source.is_markdown() { &source.text } else { &source.comments };
        for (number, line) in unfenced(prose) {
            let mut missing: BTreeSet<&str> =
                spans(line).filter(|span| !names.has(span, source.is_markdown())).collect();
            if source.is_markdown() {
                missing.extend(links(line).filter(|path| !has_link(tree, path, &source.path)));
            }
            missing.extend(cited(line).filter(|path| is_path(path, tree) && !tree.has(path, &source.path)));
            for name in missing {
                let text = format!("cites `{name}`, which is not there: name what is, or say it in words");
                findings.push(Finding { path: source.path.clone(), line: number + 1, text });
            }
        }
    }
}

/// Words of a line that may be paths: bare, quoted or in brackets.
fn cited(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || "_-./~:@<>*{}…$".contains(c);
    line.split(move |c| !is_part(c)).filter_map(|word| {
        // A line behind it, the end of a sentence.
        let word = word.split_once(".rs:").map_or(word, |(path, _)| &word[..path.len() + 3]);
        let word = word.trim_end_matches(['.', ':']);
        (!word.is_empty()).then_some(word)
    })
}

/// Whether a word names a file or folder of ours, there or not.
fn is_path(word: &str, tree: &Tree) -> bool {
    let is_plain = word.chars().all(|c| c.is_alphanumeric() || "_-./".contains(c));
    let is_made = MADE.iter().any(|made| word.starts_with(made));
    if !is_plain
        || is_made
        || FOREIGN.contains(&word)
        || word.starts_with(['/', '-', '.'])
        || word.contains("//")
        || word.contains("NNN")
    {
        return false;
    }
    let has_name = |extension: &&str| word.strip_suffix(*extension).is_some_and(|name| !name.is_empty());
    if EXTENSIONS.iter().any(has_name) {
        return true;
    }
    // `storage/rocksdb` is a path, `read/write` is not; nor is `client/server`.
    let Some((top, rest)) = word.split_once('/') else { return false };
    tree.tops.contains(top) && (rest.contains(['/', '.']) || rest.is_empty())
}

/// Targets of links, without the part of the page.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter_map(|target| target.split('#').next().filter(|path| !path.is_empty()))
}

fn has_link(tree: &Tree, path: &str, from: &str) -> bool {
    if path.contains("://") || path.starts_with("mailto:") {
        return true;
    }
    let folder = from.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    tree.is(&format!("{folder}{}", path.trim_start_matches("./").trim_end_matches('/')))
}

/// Spans of code.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').enumerate().filter(|(number, _)| number % 2 == 1).map(|(_, span)| span)
}

/// The names that stand in what is not prose.
struct Names {
    /// All words, strings included.
    words: HashSet<String>,
    /// Those that are called or declared: what may stand behind the name of a type.
    members: HashSet<String>,
}

impl Names {
    fn new(sources: &[Source]) -> Self {
        let mut names = Self { words: HashSet::new(), members: HashSet::new() };
        for source in sources.iter().filter(|source| !source.is_markdown()) {
            let is_prose = |c: char| c != ' ' && c != '\n';
            let pairs = source.text.chars().zip(source.comments.chars());
            let text: String = pairs.map(|(c, comment)| if is_prose(comment) { ' ' } else { c }).collect();
            names.words.extend(words(&text).map(|(_, word)| word.to_owned()));
            let code = &source.code;
            let is_member = |byte: usize| {
                let before = code[..byte].trim_end();
                ["fn", "const", "mod", ".", "::"].iter().any(|mark| before.ends_with(mark))
            };
            let members = words(code).filter(|(byte, _)| source.is_rust() && is_member(*byte));
            names.members.extend(members.map(|(_, word)| word.to_owned()));
        }
        names
    }

    /// Whether a span of code is no name that could be looked up, or one that is there. In code's
    /// comments types of other libraries and languages may stand.
    fn has(&self, span: &str, is_markdown: bool) -> bool {
        let name = span.split(['(', '<', '{']).next().unwrap_or(span).trim_end_matches('!');
        let parts: Vec<&str> = name.split("::").collect();
        if !parts.iter().all(|part| !part.is_empty() && part.chars().all(joins)) {
            return true;
        }
        if let [name] = parts[..] {
            let is_put_together = PUT_TOGETHER.iter().any(|begin| name.starts_with(begin));
            let is_long = name.matches('_').count() >= 3 && !name.contains(char::is_uppercase);
            return is_put_together
                || !(is_long || is_markdown && is_camel(name))
                || self.words.contains(name);
        }
        let last = parts[parts.len() - 1];
        let is_there = |part: &&str| match *part == last && !part.starts_with(char::is_uppercase) {
            true => self.members.contains(*part),
            false => self.words.contains(*part) || matches!(*part, "crate" | "self" | "super"),
        };
        !parts.iter().any(|part| part.starts_with(char::is_uppercase)) || parts.iter().all(is_there)
    }
}

/// Words of code, and where each begins.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let words = text.split(|c: char| !joins(c)).filter(|word| !word.is_empty());
    words.map(move |word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

fn joins(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a name has humps: two at least.
fn is_camel(word: &str) -> bool {
    let mut humps = 0;
    let mut before = '_';
    for c in word.chars() {
        humps += usize::from(c.is_lowercase() && before.is_uppercase());
        before = c;
    }
    humps >= 2 && word.starts_with(char::is_uppercase) && !word.contains('_')
}
