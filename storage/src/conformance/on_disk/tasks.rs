//! What a child does: the parts of rules that must be killed, or that meet a full disk.

use std::path::{Path, PathBuf};

use super::child::{FOLDER, TASK, say};
use super::subject::OnDisk;
use super::{failed, kill, refusal};

/// What a child does in a folder.
type Task = fn(&OnDisk<'_>, &Path);

/// What a child can do.
const TASKS: &[(&str, Task)] = &[
    ("commit", kill::commit_for_ever),
    ("commit and wait", kill::commit_and_wait),
    ("hold", refusal::hold),
    ("fail", failed::fail),
    ("fail halfway", failed::fail_halfway),
    ("fail others", failed::fail_others),
];

/// Does what a child is there for, and ends the process, if this is one.
pub(super) fn do_if_asked(on_disk: &OnDisk<'_>) {
    let Ok(wanted) = std::env::var(TASK) else { return };
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a child has a folder"));
    let (_, task) = TASKS.iter().find(|(name, _)| *name == wanted).expect("a task that there is");
    say("began");
    task(on_disk, &folder);
    std::process::exit(0);
}
