//! A simple engine that keeps files, with one defect or none.
//!
//! All is in memory, and in a log of batches (`log`) that is read at opening and written anew by a
//! reclaim. How many batches it must have stands in a note beside it (`noted`). A lock (`lock`)
//! keeps others out.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Row, Table, Visit,
};
use wardline_storage::garbage::Heap;
use wardline_storage::id::Timestamp;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::open::{OpenError, Opener, Options};

use crate::defect::Defect;
use crate::frame;

const NAME: &str = "files";
const LOG: &str = "log";
const NOTE: &str = "noted";

/// The engine before it is open.
pub(crate) struct Files {
    pub(crate) defect: Defect,
}

struct FileEngine {
    defect: Defect,
    folder: PathBuf,
    memory: MemoryEngine,
    garbage: Heap,
    writer: Mutex<Writer>,
    /// Held for reading by a scan that does not hold the memory engine.
    scanning: RwLock<()>,
    _lock: File,
}

struct Writer {
    log: File,
    note: File,
    /// Batches so far, and the checksum of the last one.
    batches: u64,
    checksum: u64,
    has_failed: bool,
    /// What a defect holds back.
    held: Vec<u8>,
    /// What a defect brings back.
    old: Vec<u8>,
}

impl Opener for Files {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keeps_files(&self) -> bool {
        true
    }

    fn is_store(&self, folder: &Path) -> io::Result<bool> {
        let has_log = folder.join(LOG).try_exists()?;
        Ok(has_log || self.defect != Defect::KnowsNoRemains && folder.join(NOTE).try_exists()?)
    }

    fn open(&self, folder: &Path, _options: Options) -> Result<Arc<dyn Engine>, OpenError> {
        let path = || folder.to_owned();
        let failed = |source| OpenError::Folder { path: path(), source };
        self.prepare(folder).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        if self.defect != Defect::TakesNoLock && lock.try_lock().is_err() {
            return Err(OpenError::InUse { path: path() });
        }
        let note = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(NOTE))
            .map_err(failed)?;
        let mut noted = read_note(&note);
        let file = folder.join(LOG);
        if !file.exists() {
            if noted > 0 && self.defect != Defect::OpensEmpty {
                return Err(self.damaged(folder, "the log is gone"));
            }
            noted = 0;
            fs::write(&file, frame::header(frame::MAGIC[0], 0)).map_err(failed)?;
        }
        let content = fs::read(&file).map_err(failed)?;
        let (memory, garbage) = (MemoryEngine::default(), Heap::default());
        let (batches, checksum, whole) = self.load(folder, &content, noted, &memory)?;
        let log = File::options().append(true).open(&file).map_err(failed)?;
        log.set_len(whole as u64).map_err(failed)?;
        Table::ALL.into_iter().for_each(|table| garbage.of(table).note_unknown());
        let (held, old) = (Vec::new(), Vec::new());
        let writer = Writer { log, note, batches, checksum, has_failed: false, held, old };
        let engine = FileEngine {
            defect: self.defect,
            folder: path(),
            memory,
            garbage,
            writer: Mutex::new(writer),
            scanning: RwLock::default(),
            _lock: lock,
        };
        Ok(Arc::new(engine))
    }
}

impl Files {
    fn prepare(&self, folder: &Path) -> io::Result<()> {
        let mut maker = DirBuilder::new();
        maker.recursive(self.defect == Defect::MakesParents);
        maker.mode(if self.defect == Defect::OpenToAll { 0o755 } else { 0o700 });
        match maker.create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Reads a log into memory; gives how many batches it has, the checksum of the last, and where
    /// it ends.
    fn load(
        &self,
        folder: &Path,
        log: &[u8],
        noted: u64,
        memory: &MemoryEngine,
    ) -> Result<(u64, u64, usize), OpenError> {
        let trusts = self.defect == Defect::TrustsBytes;
        let Some(header) = log.get(..frame::HEADER) else {
            return Err(self.damaged(folder, "the log is short"));
        };
        let base = header[8..16].try_into().map(u64::from_be_bytes).unwrap_or(0);
        if header == frame::header(frame::MAGIC[1], base) {
            return match self.defect {
                Defect::CallsNewerDamaged => Err(self.damaged(folder, "the log is of no known version")),
                _ => Err(OpenError::Newer {
                    path: folder.to_owned(),
                    what: "its log has version 2".to_owned(),
                }),
            };
        }
        if header != frame::header(frame::MAGIC[0], base) && !trusts {
            return Err(self.damaged(folder, "the log's header is damaged"));
        }
        let (mut batches, mut checksum, mut at) = (base, base, frame::HEADER);
        while let Some((content, noted, end)) = frame::first(&log[at..], checksum, trusts) {
            memory
                .commit(&frame::decode(content), Durability::Buffered)
                .map_err(|error| self.damaged(folder, &error.to_string()))?;
            (batches, checksum, at) = (batches + 1, noted, at + end);
        }
        if self.defect == Defect::KeepsHalves {
            let rest = log.get(at + 12..).unwrap_or_default();
            memory
                .commit(&frame::decode(rest), Durability::Buffered)
                .map_err(|error| self.damaged(folder, &error.to_string()))?;
        }
        if batches < noted && self.defect != Defect::EndsQuietly {
            return Err(
                self.damaged(folder, &format!("the log has {batches} batches, and {noted} were synced"))
            );
        }
        Ok((batches, checksum, at))
    }

    fn damaged(&self, folder: &Path, detail: &str) -> OpenError {
        assert!(self.defect != Defect::Panics, "{detail}");
        if self.defect == Defect::RemovesDamage {
            let _ = fs::remove_file(folder.join(LOG));
            let _ = fs::remove_file(folder.join(NOTE));
        }
        OpenError::Damaged { path: folder.to_owned(), detail: detail.to_owned(), kept: None }
    }
}

/// How many batches were synced, at least: a number, and the number inverted.
fn read_note(note: &File) -> u64 {
    let mut bytes = [0; 16];
    let (number, inverse) = match note.read_exact_at(&mut bytes, 0) {
        Ok(()) => bytes.split_at(8),
        Err(_) => return 0,
    };
    let number = number.try_into().map(u64::from_be_bytes).unwrap_or(0);
    if inverse == (!number).to_be_bytes() { number } else { 0 }
}

fn write_note(note: &File, batches: u64) -> io::Result<()> {
    note.write_all_at(&[batches.to_be_bytes(), (!batches).to_be_bytes()].concat(), 0)
}

/// Makes of a closed store one of a version to come.
pub(crate) fn make_newer(folder: &Path) {
    let log = folder.join(LOG);
    let mut content = fs::read(&log).expect("reads");
    let base = content[8..16].try_into().map(u64::from_be_bytes).expect("a header");
    content[..frame::HEADER].copy_from_slice(&frame::header(frame::MAGIC[1], base));
    fs::write(&log, content).expect("writes");
}

impl FileEngine {
    /// Everything, as a log of one batch that makes `batches`.
    fn dump(&self, batches: u64) -> (Vec<u8>, u64) {
        let mut rows = Vec::new();
        for table in Table::ALL {
            let mut visit = |row: Row<'_>| {
                let (key, value) = (Bytes::copy_from_slice(row.key), Bytes::copy_from_slice(row.value));
                rows.push(Mutation::Put { table, key, value, expires: row.expires });
                ControlFlow::Continue(())
            };
            let all = KeyRange::ALL;
            self.memory.scan(table, all, Direction::Forward, Timestamp::ZERO, &mut visit).expect("in memory");
            if self.defect == Defect::CopiesTableByTable {
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
        }
        let base = batches.saturating_sub(1);
        let mut log = frame::header(frame::MAGIC[0], base);
        let checksum = frame::append(&mut log, base, &rows);
        (log, checksum)
    }

    fn write(&self, writer: &mut Writer, batch: &[Mutation], durability: Durability) -> io::Result<()> {
        let mut frame = Vec::new();
        writer.checksum = frame::append(&mut frame, writer.checksum, batch);
        writer.batches += 1;
        let holds_back = match self.defect {
            Defect::AcknowledgesEarly => writer.held.len() < 8_000,
            Defect::LosesTheMiddle => durability == Durability::Buffered,
            _ => false,
        };
        writer.held.extend(&frame);
        if self.defect == Defect::LosesTheMiddle && !holds_back {
            // What is held stays behind, and its numbers are given again.
            writer.log.write_all(&frame)?;
        } else if self.defect == Defect::KeepsHalves {
            for part in frame.chunks(400) {
                writer.log.write_all(part)?;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        } else if !holds_back {
            writer.log.write_all(&writer.held)?;
        }
        if !holds_back {
            writer.held.clear();
        }
        if durability == Durability::Synced {
            writer.log.sync_data()?;
            if !matches!(self.defect, Defect::AcknowledgesEarly | Defect::LosesTheMiddle) {
                write_note(&writer.note, writer.batches)?;
            }
        }
        Ok(())
    }

    fn rewrite(&self, writer: &mut Writer) -> io::Result<()> {
        let (content, checksum) = self.dump(writer.batches.max(1));
        let log = self.folder.join(LOG);
        let in_place = self.defect == Defect::ReclaimsInPlace;
        let beside = self.folder.join(if in_place { LOG } else { "log.new" });
        let mut file = File::options().append(true).create(true).open(&beside)?;
        file.set_len(0)?;
        file.write_all(&content)?;
        file.sync_all()?;
        match self.defect {
            Defect::KeepsTheOldLog => fs::rename(&log, self.folder.join("log.old"))?,
            Defect::WritesAnOldBuffer => writer.old = fs::read(&log)?,
            _ => {}
        }
        fs::rename(&beside, &log)?;
        File::open(&self.folder)?.sync_all()?;
        writer.batches = writer.batches.max(1);
        (writer.log, writer.checksum) = (file, checksum);
        writer.held.clear();
        Ok(())
    }

    /// Rows one by one, each looked for after the one before.
    fn step(
        &self,
        (table, range, direction): (Table, KeyRange<'_>, Direction),
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let (mut from, mut to) = (range.from.to_vec(), range.to.to_vec());
        loop {
            let mut found = None;
            let range = KeyRange { from: &from, to: &to };
            self.memory.scan(table, range, direction, now, &mut |row| {
                found = Some((row.key.to_vec(), row.value.to_vec(), row.expires));
                ControlFlow::Break(())
            })?;
            let Some((key, value, expires)) = found else { return Ok(()) };
            if visit(Row { key: &key, value: &value, expires }).is_break() {
                return Ok(());
            }
            match direction {
                Direction::Forward => from = [&key[..], &[0]].concat(),
                Direction::Backward => to = key,
            }
        }
    }
}

fn io_failed(doing: &'static str) -> impl FnOnce(io::Error) -> EngineError {
    move |error| EngineError::Io { doing, detail: error.to_string() }
}

impl Engine for FileEngine {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        self.garbage.hear(now);
        self.memory.get(table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        match self.defect {
            Defect::ScansRowByRow => self.step((table, range, direction), now, visit),
            Defect::ReclaimsUnderScans => {
                let _no_commits = self.scanning.read();
                self.step((table, range, direction), now, visit)
            }
            Defect::ServesRot => {
                let log = fs::read(self.folder.join(LOG)).map_err(io_failed("scanning"))?;
                let (files, memory) = (Files { defect: Defect::TrustsBytes }, MemoryEngine::default());
                let loaded = files.load(&self.folder, &log, 0, &memory);
                loaded.map_err(|error| io_failed("scanning")(io::Error::other(error)))?;
                memory.scan(table, range, direction, now, visit)
            }
            _ => self.memory.scan(table, range, direction, now, visit),
        }
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        let writer = &mut *self.writer.lock();
        if writer.has_failed {
            return Err(EngineError::Io {
                doing: "committing",
                detail: "an earlier commit failed".to_owned(),
            });
        }
        writer.has_failed = self.defect != Defect::TriesAgain;
        let written = self.write(writer, batch, durability);
        if self.defect != Defect::HearsNoErrors {
            written.map_err(io_failed("committing"))?;
        }
        writer.has_failed = false;
        for mutation in batch {
            let garbage = self.garbage.of(mutation.table());
            if let Mutation::Put { expires, .. } | Mutation::Insert { expires, .. } = mutation {
                garbage.note_expiry(*expires);
            }
            if !matches!(mutation, Mutation::Insert { .. }) {
                garbage.note_dead(self.garbage.latest());
            }
        }
        let _no_scans = (self.defect == Defect::ReclaimsUnderScans).then(|| self.scanning.write());
        if self.defect == Defect::ShowsHalves {
            let (first, second) = batch.split_at(batch.len() / 2);
            self.memory.commit(first, durability)?;
            std::thread::sleep(std::time::Duration::from_millis(2));
            return self.memory.commit(second, durability);
        }
        self.memory.commit(batch, durability)
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.garbage.hear(now);
        let writer = &mut *self.writer.lock();
        let reclaimed = self.memory.reclaim(now)?;
        if writer.has_failed {
            return Err(EngineError::Io { doing: "reclaiming", detail: "a commit failed".to_owned() });
        }
        if Table::ALL.into_iter().any(|table| self.garbage.of(table).is_due(now))
            && (self.defect != Defect::ForgetsReplaced || reclaimed.records > 0)
        {
            let done = self.rewrite(writer);
            if self.defect != Defect::SaysItReclaimed {
                done.map_err(io_failed("reclaiming"))?;
            }
        }
        for table in Table::ALL {
            self.garbage.of(table).take();
            self.memory.scan(table, KeyRange::ALL, Direction::Forward, Timestamp::ZERO, &mut |row| {
                self.garbage.of(table).note_expiry(row.expires);
                ControlFlow::Continue(())
            })?;
        }
        Ok(reclaimed)
    }

    fn checkpoint(&self, into: &Path) -> Result<(), EngineError> {
        const DOING: &str = "making a checkpoint";
        let copies_beside = self.defect == Defect::CopiesTableByTable;
        let writer = (!copies_beside).then(|| self.writer.lock());
        let batches =
            writer.as_ref().map_or_else(|| self.writer.lock().batches, |writer| writer.batches).max(1);
        let write = || {
            match DirBuilder::new().mode(0o700).create(into) {
                Err(_) if self.defect == Defect::CopiesOverAnother && into.exists() => {}
                made => made?,
            }
            if self.defect == Defect::CopiesWithoutTheLast {
                let log = fs::read(self.folder.join(LOG))?;
                return fs::write(into.join(LOG), &log[..log.len() - 10]);
            }
            fs::write(into.join(LOG), self.dump(batches).0)?;
            let note = File::create(into.join(NOTE))?;
            write_note(&note, batches)
        };
        write().map_err(io_failed(DOING))
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    fn health(&self, now: Timestamp) -> Health {
        self.garbage.hear(now);
        Health { oldest_unreclaimed: self.garbage.oldest(now), figures: Vec::new() }
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

impl Drop for FileEngine {
    /// What defects do when an engine is closed.
    fn drop(&mut self) {
        let writer = self.writer.get_mut();
        if self.defect == Defect::WritesAnOldBuffer && !writer.old.is_empty() {
            let _ = fs::write(self.folder.join("buffer"), &writer.old);
        }
        if self.defect == Defect::AcknowledgesEarly {
            let _ = writer.log.write_all(&writer.held);
        }
    }
}
