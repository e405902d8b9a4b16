//! A store is opened with the help of its ballast: a recovery writes before it can read.
//!
//! What the engine says that it may take is given first, and all of it if that was too little. What
//! is left, and what the recovery freed, is taken back before anything is served, so that the next
//! start finds it too. Whose store it is, and whether it is in use, is found out before the ballast
//! is touched.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Ballast;
use super::engine::BallastedEngine;
use crate::engine::Engine;
use crate::open::{self, OpenError, Opener, Options};
use crate::room;

/// A store that is open.
pub struct Opened {
    /// The engine; its commits rest on the ballast.
    pub engine: Arc<dyn Engine>,
    /// `None`: it has none.
    pub ballast: Option<Arc<Ballast>>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("ballast", &self.ballast).finish_non_exhaustive()
    }
}

/// Opens a folder with one of the engines there are, and with ballast of
/// [`Options::ballast_bytes`]. The ballast of a store that is new here must fit at once; that of
/// another one grows when it can.
///
/// # Errors
/// [`OpenError`], also if there is no room.
pub fn open(
    engines: &[&dyn Opener],
    chosen: &dyn Opener,
    folder: &Path,
    options: Options,
) -> Result<Opened, OpenError> {
    let size = options.ballast_bytes;
    let is_store = open::is_store(engines, chosen, folder)?;
    if size == 0 || !chosen.keeps_files() {
        let engine = open::open(engines, chosen, folder, options)?;
        if chosen.keeps_files() {
            Ballast::remove(folder).map_err(|source| out_of_reach(folder, source))?;
        }
        return Ok(Opened { engine, ballast: None });
    }
    if !is_store {
        refuse_too_large(folder, size)?;
    }
    let found = usable(Ballast::find(folder, size));
    let engine = open_with(found.as_ref(), engines, chosen, folder, options)?;
    // The engine's lock is ours from here on.
    let ballast = found.or_else(|| usable(Ballast::make(folder, size)));
    let Some(ballast) = ballast.map(Arc::new) else { return Ok(Opened { engine, ballast: None }) };
    if let Err(error) = ballast.take_back(0) {
        say_unusable(&error);
    }
    say_what_is_missing(&ballast);
    let engine = Arc::new(BallastedEngine::new(engine, Arc::clone(&ballast)));
    Ok(Opened { engine, ballast: Some(ballast) })
}

/// Opens a folder to look at it: with the help of the ballast that it has, which has as much
/// afterwards as there is room for.
///
/// # Errors
/// [`OpenError`], also if there is no room.
pub fn look(
    engines: &[&dyn Opener],
    chosen: &dyn Opener,
    folder: &Path,
    options: Options,
) -> Result<Arc<dyn Engine>, OpenError> {
    if !open::is_store(engines, chosen, folder)? || !chosen.keeps_files() {
        return open::open(engines, chosen, folder, options);
    }
    let found = usable(Ballast::find(folder, u64::MAX));
    let found = found.map(|found| Ballast { size: found.kept(), ..found });
    let engine = open_with(found.as_ref(), engines, chosen, folder, options)?;
    if let Some(Err(error)) = found.map(|found| found.take_back(0)) {
        say_unusable(&error);
    }
    Ok(engine)
}

fn open_with(
    ballast: Option<&Ballast>,
    engines: &[&dyn Opener],
    chosen: &dyn Opener,
    folder: &Path,
    mut options: Options,
) -> Result<Arc<dyn Engine>, OpenError> {
    let Ok(room) = room::of_nearest(folder) else { return open::open(engines, chosen, folder, options) };
    options.is_sparing = room.free_bytes < options.ballast_bytes;
    let Some(ballast) = ballast else { return open::open(engines, chosen, folder, options) };
    let wanted = chosen.room_to_open(folder, options).map_err(|source| out_of_reach(folder, source))?;
    if wanted > room.free_bytes {
        ballast.give(wanted - room.free_bytes);
    }
    match open::open(engines, chosen, folder, options) {
        Err(OpenError::NoRoom { .. }) if ballast.give(u64::MAX) > 0 => {
            open::open(engines, chosen, folder, options)
        }
        opened => opened,
    }
}

fn refuse_too_large(folder: &Path, size: u64) -> Result<(), OpenError> {
    let room = room::of_nearest(folder).map_err(|source| out_of_reach(folder, source))?;
    if room.free_bytes >= size {
        return Ok(());
    }
    Err(OpenError::Ballast { path: folder.to_owned(), size_bytes: size, free_bytes: room.free_bytes })
}

/// A store is served without ballast rather than not at all.
fn usable(found: io::Result<Option<Ballast>>) -> Option<Ballast> {
    found.inspect_err(say_unusable).ok().flatten()
}

fn say_unusable(error: &io::Error) {
    tracing::error!(
        code = "ballast-unusable",
        %error,
        "the file ballast in the data folder cannot be used, so a full disk may refuse control commands and starts: it \
         must be the broker's user's"
    );
}

fn say_what_is_missing(ballast: &Ballast) {
    if ballast.missing() > 0 {
        tracing::warn!(
            code = "ballast-missing",
            missing = ballast.missing(),
            kept = ballast.kept(),
            "the disk has no room for the whole ballast, which recovery and control commands rest on: make room"
        );
    }
}

fn out_of_reach(folder: &Path, source: io::Error) -> OpenError {
    OpenError::of_folder(folder, source)
}
