//! Damage to any file is refused or reported, or does no harm; nothing that was synced is lost
//! without a word, and nothing is repaired by deleting.
//!
//! Of each kind of file that a store has, closed or killed, some are taken: a bit is flipped, the
//! end is cut off, a page becomes zeros, the file goes, or is as it once was. Then the store is
//! opened. If it is refused, putting the right bytes back must bring everything back. If it opens,
//! each read must be right or fail, also in a copy, and after a commit, a reclaim and another
//! opening. Of what looks well only some is looked into so far: opening takes its time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::random::Random;
use super::super::rows::EARLY;
use super::folder::{Folder, copy, files, kind};
use super::kill::{KILLED_BATCHES, commit_through, leave_killed};
use super::story::{Model, Reads, batch};
use super::subject::OnDisk;
use crate::engine::{Durability, Engine};
use crate::open::OpenError;

/// Files of one kind that are damaged.
const FILES_MAX: usize = 2;
const FLIPS: usize = 12;
/// One in so many stores that look sound is used further; all are that do not.
const LOOKED_INTO: u64 = 6;
/// Damages that are done to each file, however long that takes.
const LEAST: usize = 8;
/// How long there is for more.
const LASTS: Duration = Duration::from_secs(25);
const PAGE: usize = 4096;

/// What is done to a file.
#[derive(Clone)]
enum Damage {
    Flip {
        byte: usize,
        bit: usize,
    },
    Cut {
        bytes: usize,
    },
    Zeros {
        from: usize,
    },
    Gone,
    /// As it was before.
    Older {
        content: Vec<u8>,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flip { byte, bit } => write!(f, "bit {bit} of byte {byte} was flipped"),
            Self::Cut { bytes } => write!(f, "it was cut to {bytes} bytes"),
            Self::Zeros { from } => write!(f, "a page of zeros was put at byte {from}"),
            Self::Gone => f.write_str("it was removed"),
            Self::Older { content } => write!(f, "it became as it was before, of {} bytes", content.len()),
        }
    }
}

impl Damage {
    /// Does it; `None`: it would change nothing.
    fn done_to(&self, content: &[u8]) -> Option<Option<Vec<u8>>> {
        let mut damaged = content.to_vec();
        match self {
            Self::Flip { byte, bit } => *damaged.get_mut(*byte)? ^= 1 << bit,
            Self::Cut { bytes } => damaged.truncate(*bytes),
            Self::Zeros { from } => {
                let end = (from + PAGE).min(damaged.len());
                damaged.get_mut(*from..end)?.fill(0);
            }
            Self::Gone => return Some(None),
            Self::Older { content } => damaged.clone_from(content),
        }
        (damaged != content).then_some(Some(damaged))
    }

    /// What is done to a file of this length; first what is done in any case.
    fn some(bytes: usize, random: &mut Random) -> Vec<Self> {
        if bytes == 0 {
            return vec![Self::Gone];
        }
        let mut at = |from: usize, to: usize| from + random.below_usize(to - from);
        // Beginnings and ends have what tells of the rest.
        let places = [(0, bytes), (0, bytes.min(200)), (bytes.saturating_sub(200), bytes), (0, bytes)];
        let flips = places.into_iter().cycle().take(FLIPS);
        let mut flips: Vec<_> =
            flips.map(|(from, to)| Self::Flip { byte: at(from, to), bit: at(0, 8) }).collect();
        let cut = |bytes| Self::Cut { bytes };
        let mut all = vec![Self::Gone, cut(bytes - 1), cut(bytes / 2)];
        all.extend(flips.split_off(FLIPS - 4));
        all.push(Self::Zeros { from: at(0, bytes) / PAGE * PAGE });
        assert_eq!(all.len(), LEAST, "what is done in any case");
        all.extend(flips);
        all.extend([bytes.saturating_sub(7), bytes.saturating_sub(100), 0, at(0, bytes)].map(cut));
        all.push(Self::Zeros { from: at(0, bytes) / PAGE * PAGE });
        all
    }
}

/// What an engine made of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Refused,
    Reported,
    Harmless,
}

pub(super) fn is_never_silent(on_disk: &OnDisk<'_>) {
    let root = Folder::in_memory();
    let [older, closed, killed] = ["older", "closed", "killed"].map(|name| root.join(name));
    commit_through(on_disk.open(&closed).as_ref(), KILLED_BATCHES * 3 / 4);
    copy(&closed, &older);
    commit_through(on_disk.open(&closed).as_ref(), KILLED_BATCHES);
    leave_killed(on_disk, &killed);
    let model = Model::through(KILLED_BATCHES);
    let mut random = Random::new();
    let seed = random.seed();
    let cases = [&closed, &killed].into_iter().flat_map(|store| cases(store, &older, &mut random));
    let mut cases: Vec<Case<'_>> = cases.collect();
    cases.sort_by_key(|case| case.order);
    let (began, mut answers) = (Instant::now(), BTreeMap::new());
    for case in cases {
        if case.order >= LEAST && began.elapsed() > LASTS {
            break;
        }
        let answer = case.answer(on_disk, &model, &root.join("damaged"));
        match answer {
            Ok(answer) => *answers.entry((kind(&case.file), answer)).or_insert(0) += 1,
            Err(wrong) => panic!("{}: {}; {wrong}; {seed}", case.file.display(), case.damage),
        }
    }
    let refused: u32 =
        answers.iter().filter(|((_, answer), _)| *answer != Answer::Harmless).map(|(_, n)| n).sum();
    assert!(refused > 0, "no damage does harm, so none was done: {answers:?}");
}

/// Some files of each kind.
fn some_files(store: &Path, random: &mut Random) -> Vec<PathBuf> {
    let mut by_kind: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files(store) {
        by_kind.entry(kind(&file)).or_default().push(file);
    }
    for files in by_kind.values_mut() {
        while files.len() > FILES_MAX {
            files.swap_remove(random.below_usize(files.len()));
        }
    }
    by_kind.into_values().flatten().collect()
}

/// A store of which one file is to be damaged.
struct Case<'a> {
    store: &'a Path,
    file: PathBuf,
    damage: Damage,
    /// Which of those of its file it is.
    order: usize,
    /// Whether what looks well is looked into.
    looks_further: bool,
}

/// What is to be done to some files of each kind.
fn cases<'a>(store: &'a Path, older: &Path, random: &mut Random) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for file in some_files(store, random) {
        let bytes = fs::read(&file).expect("reads").len();
        let older = fs::read(older.join(file.file_name().unwrap_or_default()));
        let older = older.map(|content| Damage::Older { content });
        let all = older.into_iter().chain(Damage::some(bytes, random));
        for (order, damage) in all.enumerate() {
            let looks_further =
                matches!(damage, Damage::Gone | Damage::Older { .. }) || random.below(LOOKED_INTO) == 0;
            cases.push(Case { store, file: file.clone(), damage, order, looks_further });
        }
    }
    cases
}

impl Case<'_> {
    /// Opens a copy of the store with the damage.
    fn answer(&self, on_disk: &OnDisk<'_>, model: &Model, folder: &Path) -> Result<Answer, String> {
        let content = fs::read(&self.file).expect("reads");
        let Some(damaged) = self.damage.done_to(&content) else { return Ok(Answer::Harmless) };
        copy(self.store, folder);
        let file = folder.join(self.name());
        match &damaged {
            Some(damaged) => fs::write(&file, damaged).expect("writes"),
            None => fs::remove_file(&file).expect("removes"),
        }
        let answer = match on_disk.try_open(folder) {
            Err(refused) => self.is_kept(&refused, damaged.as_deref(), folder).and_then(|kept| {
                let healed = folder.with_extension("healed");
                self.heals((on_disk, model), kept, &content, &healed).map_err(|lost| {
                    format!("it was refused ({refused}), and with the right bytes back: {lost}")
                })
            }),
            Ok(engine) => self.goes_on((on_disk, model), engine, folder),
        };
        fs::remove_dir_all(folder).expect("removes");
        answer
    }

    /// Its path within the store.
    fn name(&self) -> &Path {
        self.file.strip_prefix(self.store).expect("a file of it")
    }

    /// It was refused: where the damaged file lies as it was.
    fn is_kept<'f>(
        &self,
        refused: &'f OpenError,
        damaged: Option<&[u8]>,
        folder: &'f Path,
    ) -> Result<&'f Path, String> {
        let kept = match refused {
            OpenError::Damaged { kept, .. } => kept.as_deref().unwrap_or(folder),
            OpenError::Newer { .. } => folder,
            other => return Err(format!("it is damaged, but the refusal is {other:?}")),
        };
        let is_there = |damaged| fs::read(kept.join(self.name())).is_ok_and(|found| found == damaged);
        if damaged.is_none_or(is_there) {
            return Ok(kept);
        }
        Err(format!("it was refused ({refused}), but is not in {} as it was", kept.display()))
    }

    /// With the right bytes in their place all is there.
    fn heals(
        &self,
        (on_disk, model): (&OnDisk<'_>, &Model),
        kept: &Path,
        content: &[u8],
        healed: &Path,
    ) -> Result<Answer, String> {
        if !self.looks_further {
            return Ok(Answer::Refused);
        }
        copy(kept, healed);
        fs::write(healed.join(self.name()), content).expect("writes");
        let opened = on_disk.try_open(healed).map_err(|error| error.to_string());
        let there = opened.and_then(|engine| model.is_in(engine.as_ref()));
        fs::remove_dir_all(healed).expect("removes");
        there.map(|()| Answer::Refused)
    }

    /// It was opened: what is read is right or refused, now and later.
    fn goes_on(
        &self,
        (on_disk, model): (&OnDisk<'_>, &Model),
        engine: Arc<dyn Engine>,
        folder: &Path,
    ) -> Result<Answer, String> {
        let reads = model.is_reported_by(engine.as_ref());
        let Reads { refused } = reads.map_err(|wrong| format!("it opens, and {wrong}"))?;
        if refused == 0 && !self.looks_further {
            return Ok(Answer::Harmless);
        }
        // A store that is damaged may refuse any of this.
        let (next, copy) = (KILLED_BATCHES + 1, folder.with_extension("copy"));
        let is_copied = engine.checkpoint(&copy).is_ok();
        let is_committed = engine.commit(&batch(next), Durability::Synced).is_ok();
        let is_reclaimed = engine.reclaim(EARLY).is_ok();
        drop(engine);
        let copy_is_whole = if is_copied {
            let opened = reopens(on_disk, &copy, &[KILLED_BATCHES]);
            opened.map_err(|wrong| format!("it opens, and of its copy {wrong}"))?
        } else {
            false
        };
        // It may not be there, or a part of it.
        let _ = fs::remove_dir_all(&copy);
        // Of a commit that failed nobody knows.
        let lasts = if is_committed { &[next][..] } else { &[KILLED_BATCHES, next] };
        let later = reopens(on_disk, folder, lasts).map_err(|wrong| {
            format!("after a commit ({is_committed}) and a reclaim ({is_reclaimed}) {wrong}")
        })?;
        let is_whole = refused == 0 && is_committed && is_reclaimed && copy_is_whole && later;
        Ok(if is_whole { Answer::Harmless } else { Answer::Reported })
    }
}

/// Whether a store opens and has everything, up to one of these batches; an error, if it opens and
/// does not say what is missing.
fn reopens(on_disk: &OnDisk<'_>, folder: &Path, lasts: &[u32]) -> Result<bool, String> {
    let engine = match on_disk.try_open(folder) {
        Ok(engine) => engine,
        Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => return Ok(false),
        Err(other) => return Err(format!("the refusal is {other:?}")),
    };
    let mut wrong = String::new();
    for last in lasts {
        match Model::through(*last).is_reported_by(engine.as_ref()) {
            Ok(Reads { refused }) => return Ok(refused == 0),
            Err(found) => wrong = found,
        }
    }
    Err(format!("it opens, and {wrong}"))
}
