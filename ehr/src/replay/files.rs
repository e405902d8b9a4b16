//! Files and what is in them.
//!
//! Read in the order of their paths. Links are not followed, so a folder within itself ends. A file
//! is read whole, and not at all if it is larger than 256 MiB.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;

use super::report::Report;
use crate::hl7::batch::{self, Part};
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
    let mut paths = Vec::new();
    gather(folder, DEPTH_MAX, &mut paths)?;
    paths.sort();
    let mut report = Report::default();
    for path in paths {
        let name = path.strip_prefix(folder).ok().filter(|name| *name != Path::new("")).unwrap_or(&path);
        let mut file =
            File { name: name.display().to_string(), number: 0, rules, now_ms, report: &mut report };
        let size = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        if size > FILE_BYTES_MAX {
            file.report.not_hl7(file.name, "larger than 256 MiB: cut it into files of whole messages");
            continue;
        }
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        file.content(Bytes::from(content));
    }
    Ok(report)
}

/// All files within, each once.
fn gather(path: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let context = || format!("cannot read {}", path.display());
    let kind = if depth == DEPTH_MAX { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let kind = kind.with_context(context)?;
    if kind.is_file() {
        paths.push(path.to_owned());
    } else if kind.is_dir() && depth > 0 {
        for entry in fs::read_dir(path).with_context(context)? {
            gather(&entry.with_context(context)?.path(), depth - 1, paths)?;
        }
    }
    Ok(())
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
    fn content(&mut self, content: Bytes) {
        if !has_message(&content) {
            let name = std::mem::take(&mut self.name);
            return self.report.not_hl7(name, "no line in it begins with MSH");
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
    let is_wide = content.starts_with(b"\xff\xfeM\0") || content.starts_with(b"\xfe\xff\0M");
    let begins = |line: &[u8]| {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let named = [b"MSH", b"FHS", b"BHS"].iter().any(|name| line.starts_with(*name));
        named && line.get(3).is_none_or(u8::is_ascii_punctuation)
    };
    let is_end = |byte: &u8| matches!(*byte, b'\r' | b'\n' | mllp::VT | mllp::FS);
    is_wide || content.starts_with(b"M\0S\0") || content.split(is_end).any(begins)
}
