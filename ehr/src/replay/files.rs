//! Files and what is in them.
//!
//! Read in the order of their paths. Links are not followed, so a folder within itself ends. A file
//! is read whole, and not at all if it is larger than 256 MiB. What cannot be read is told, and
//! fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;

use super::report::Report;
use crate::hl7::batch::{self, Part};
use crate::hl7::charset;
use crate::hl7::flaw::{Flaw, Reason};
use crate::hl7::place::Place;
use crate::hl7::read::Rules;
use crate::mllp::{self, Block, Broken, Decoder};

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 28;
/// Most folders within folders.
const DEPTH_MAX: usize = 32;

/// Reads all files of a folder.
pub(super) fn read(folder: &Path, rules: &Rules, now_ms: i64) -> anyhow::Result<Report> {
    // What is named may be a link; what lies within is not followed if it is one.
    let named = folder.canonicalize().with_context(|| format!("cannot read {}", folder.display()))?;
    let mut report = Report::default();
    let mut paths = vec![(named.clone(), 0)];
    while let Some((path, depth)) = paths.pop() {
        let name = path.strip_prefix(&named).ok().filter(|name| *name != Path::new("")).unwrap_or(folder);
        let mut file =
            File { name: name.display().to_string(), number: 0, rules, now_ms, report: &mut report };
        match fs::symlink_metadata(&path) {
            Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => match within(&path, depth + 1) {
                Ok(more) => paths.extend(more),
                Err(_) => file.unread("cannot be read: check that you may read it"),
            },
            Ok(kind) if kind.is_dir() => file.unread("lies in too many folders within each other"),
            Ok(kind) if kind.is_file() && kind.len() > FILE_BYTES_MAX => {
                file.unread("is larger than 256 MiB: cut it into files of whole messages");
            }
            Ok(kind) if kind.is_file() => match fs::read(&path) {
                Ok(content) => file.content(Bytes::from(content)),
                Err(_) => file.unread("cannot be read: check that you may read it"),
            },
            Ok(_) => file.not_hl7("is a link or no file at all"),
            Err(_) => file.unread("cannot be read: check that you may read it"),
        }
    }
    Ok(report)
}

/// What lies in a folder, last first, so that it is taken in order.
fn within(folder: &Path, depth: usize) -> std::io::Result<Vec<(PathBuf, usize)>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push((entry?.path(), depth));
    }
    paths.sort();
    paths.reverse();
    Ok(paths)
}

/// A file while it is read.
struct File<'r> {
    name: String,
    /// Of the message, from 1 on.
    number: usize,
    rules: &'r Rules,
    now_ms: i64,
    report: &'r mut Report,
}

impl File<'_> {
    /// There is no message in it.
    fn not_hl7(&mut self, why: &'static str) {
        self.report.not_hl7(&self.name, why, false);
    }

    /// There may be messages in it, and nobody knows.
    fn unread(&mut self, why: &'static str) {
        self.report.not_hl7(&self.name, why, true);
    }

    fn content(&mut self, content: Bytes) {
        if !has_message(&content) {
            return self.not_hl7("no line in it begins with MSH");
        }
        if content.contains(&mllp::VT) || content.contains(&mllp::FS) {
            self.in_blocks(&content);
        } else {
            self.bare(&content);
        }
    }

    fn in_blocks(&mut self, content: &[u8]) {
        let bounds = mllp::Bounds {
            message_bytes_max: self.rules.bounds.message_bytes_max,
            ..mllp::Bounds::default()
        };
        let mut decoder = Decoder::new(bounds);
        decoder.buffer().extend_from_slice(content);
        loop {
            match decoder.next_block() {
                Ok(Some(block)) => self.block(block),
                Ok(None) => break,
                Err(Broken::NoMessage(_) | Broken::Endless(_)) => {
                    return self.refused(Reason::NoHeader, 0);
                }
            }
        }
        while let Some(block) = decoder.finish() {
            self.block(block);
        }
    }

    fn block(&mut self, block: Block) {
        match block {
            Block::Message(bytes) => self.bare(&bytes),
            Block::CutOff(bytes) => self.refused(Reason::CutOff, bytes.len()),
            Block::TooLong { .. } => {
                let max = self.rules.bounds.message_bytes_max;
                self.refused(Reason::TooLong { max }, max);
            }
            Block::Stray(bytes) => self.refused(Reason::NoHeader, bytes),
        }
    }

    fn bare(&mut self, content: &Bytes) {
        for part in batch::split(content) {
            self.number += 1;
            match part {
                Part::Message(bytes) => {
                    let read = self.rules.read(bytes, self.now_ms);
                    self.report.message(&self.name, self.number, read);
                }
                Part::Flaw(flaw) => self.report.refused(&self.name, self.number, None, &flaw),
            }
        }
    }

    fn refused(&mut self, reason: Reason, byte: usize) {
        self.number += 1;
        self.report.refused(&self.name, self.number, None, &Flaw::new(reason, Place::byte(byte)));
    }
}

/// Whether a line begins with the name of a header.
fn has_message(content: &[u8]) -> bool {
    let marks = [b"\xff\xfe", b"\xfe\xff"];
    let unmarked = marks.iter().find_map(|mark| content.strip_prefix(*mark)).unwrap_or(content);
    let begins = |line: &[u8]| {
        let line = line.strip_prefix(charset::MARK).unwrap_or(line);
        let named = [b"MSH", b"FHS", b"BHS"].iter().any(|name| line.starts_with(*name));
        named && line.get(3).is_none_or(u8::is_ascii_punctuation)
    };
    let is_end = |byte: &u8| matches!(*byte, b'\r' | b'\n' | mllp::VT | mllp::FS);
    charset::is_wide(unmarked) || content.split(is_end).any(begins)
}
