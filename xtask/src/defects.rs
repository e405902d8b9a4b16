//! `cargo xtask defects`: plants defects one at a time, and checks that the tests see each.
//!
//! Works on a copy of the sources in `target/defects`, never on the repository. A defect is a few
//! exact replacements of text; one that is not found exactly once, or no longer compiles, is an
//! error, so that none passes as caught because the code moved on. Without a defect the same tests
//! must pass.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::{say, tidy};

/// A defect to plant.
pub struct Defect {
    /// What is wrong then.
    pub name: &'static str,
    /// The replacements that plant it.
    pub edits: &'static [Edit],
    /// The test target of `wardline-storage` that must see it.
    pub target: &'static str,
    /// The programme of `cargo xtask torture` that must see it; `None`: only who compares two nodes
    /// can.
    pub programme: Option<&'static str>,
}

/// An exact replacement in one file.
pub struct Edit {
    /// The file, from the repository's root.
    pub path: &'static str,
    /// Stands there exactly once.
    pub from: &'static str,
    /// What takes its place.
    pub to: &'static str,
}

/// All defects.
pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "the sync is removed",
        edits: &[Edit {
            path: "storage/src/applier.rs",
            from: "commit(&batch, Durability::Synced)?",
            to: "commit(&batch, Durability::Buffered)?",
        }],
        target: "power_loss",
        programme: Some("--power"),
    },
    Defect {
        name: "the dedupe row is dropped",
        edits: &[Edit {
            path: "storage/src/machine/publish.rs",
            from: "self.insert_until(Table::Dedupe, &dedupe, &known, forgotten);",
            to: "let _ = (known, forgotten);",
        }],
        target: "power_loss",
        programme: Some("--kill"),
    },
    Defect {
        name: "the ack of a message is sent before the commit",
        edits: &[
            Edit {
                path: "storage/src/applier.rs",
                from: "group: impl IntoIterator<Item = &'s Submission>,",
                to: "group: impl IntoIterator<Item = &'s Submission>, acknowledge: impl FnOnce(&[Verdict]),",
            },
            Edit {
                path: "storage/src/applier.rs",
                from: "let decided = Instant::now();",
                to: "let decided = Instant::now(); acknowledge(&verdicts);",
            },
            Edit {
                path: "storage/src/local.rs",
                from: "let group = self.group.iter().map(|waiting| &waiting.submission);\n            let result = self.applier.apply_group(now, group)?;",
                to: "let (mut replies, submissions): (Vec<_>, Vec<_>) = \
                     self.group.drain(..).map(|waiting| (Some(waiting.reply), waiting.submission)).unzip(); \
                     let result = self.applier.apply_group(now, &submissions, |verdicts| { \
                     for ((reply, told), verdict) in replies.iter_mut().zip(&submissions).zip(verdicts) { \
                     if matches!(told.command, crate::command::Command::Publish(_)) { \
                     reply.take().unwrap().send(*verdict, 0); } } }); \
                     let result = match result { Ok(result) => result, Err(error) => { \
                     replies.into_iter().flatten().for_each(|reply| reply.lose()); return Err(error); } }; \
                     for (reply, verdict) in replies.into_iter().zip(&result.verdicts) { \
                     if let Some(reply) = reply { reply.send(*verdict, 0); } }",
            },
            Edit {
                path: "storage/src/local.rs",
                from: "assert_eq!(result.verdicts.len(), self.group.len(), \"a verdict for each submission\");",
                to: "",
            },
        ],
        target: "power_loss",
        // A kill finds what was written, if not synced, and seldom comes between.
        programme: Some("--eio"),
    },
    Defect {
        name: "a read watermark may go back",
        edits: &[
            Edit {
                path: "storage/src/machine/receipt.rs",
                from: "cursor.read = cursor.read.max(read);",
                to: "cursor.read = read;",
            },
            Edit {
                path: "storage/src/machine/receipt.rs",
                from: "if asked.read.is_some_and(|read| read < current) {",
                to: "if asked.read.is_some_and(|read| read < current) && false {",
            },
        ],
        target: "power_loss",
        programme: Some("--kill"),
    },
    Defect {
        // Twice, because an expired message is hidden twice.
        name: "a read of entries ignores expiry",
        edits: &[
            Edit {
                path: "storage/src/view/entries.rs",
                from: "let visible = self.now < expires;",
                to: "let visible = true;",
            },
            Edit {
                path: "storage/rocksdb/src/engine.rs",
                from: "if expires > now\n",
                to: "if (true || expires > now)\n",
            },
        ],
        target: "machine",
        programme: Some("--kill"),
    },
    Defect {
        name: "applying reads the clock",
        edits: &[Edit {
            path: "storage/src/machine/mod.rs",
            from: "let mut step = Step { state, now, actor: &submission.actor, effects };",
            to: "let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64); \
                 let mut step = Step { state, now, actor: &submission.actor, effects };",
        }],
        target: "replay",
        programme: None,
    },
    Defect {
        name: "every member manages",
        edits: &[Edit {
            path: "storage/src/machine/role.rs",
            from: "scene.member.role == Role::Admin && self.holds_role(scene)",
            to: "self.holds_role(scene)",
        }],
        target: "rights",
        programme: None,
    },
    Defect {
        name: "every member publishes in a broadcast",
        edits: &[Edit {
            path: "storage/src/machine/role.rs",
            from: "scene.member.role != Role::Member && self.holds_role(scene)",
            to: "self.holds_role(scene)",
        }],
        target: "rights",
        programme: None,
    },
    Defect {
        name: "a role outlasts the token that gave it",
        edits: &[Edit {
            path: "storage/src/machine/role.rs",
            from: "!by_token || self.actor.rights.broadcaster",
            to: "!by_token || true",
        }],
        target: "rights",
        programme: None,
    },
    Defect {
        name: "administrators reach into other tenants",
        edits: &[Edit {
            path: "storage/src/machine/role.rs",
            from: "&& conversation.tenant == self.actor.tenant\n",
            to: "\n",
        }],
        target: "rights",
        programme: None,
    },
    Defect {
        name: "either of two shortens what the other wrote",
        edits: &[Edit {
            path: "storage/src/retention.rs",
            from: "Kind::Direct => self.direct.between_two(),",
            to: "Kind::Direct => self.direct,",
        }],
        target: "rights",
        programme: None,
    },
    Defect {
        name: "every member removes others",
        edits: &[Edit {
            path: "storage/src/machine/conversation.rs",
            from: "|| !(own || self.is_admin(&scene))",
            to: "|| !(own || scene.conversation.admins > 0)",
        }],
        target: "rights",
        programme: None,
    },
    Defect {
        name: "every member deletes what others wrote",
        edits: &[Edit {
            path: "storage/src/machine/publish.rs",
            from: "let allowed = own || (",
            to: "let allowed = true || own || (",
        }],
        target: "rights",
        programme: None,
    },
];

impl Edit {
    /// Applies it to the file's text.
    ///
    /// # Errors
    /// If the text is not there exactly once.
    pub fn apply(&self, text: &str) -> anyhow::Result<String> {
        let found = text.matches(self.from).count();
        ensure!(found == 1, "{}: found {found} times instead of once: {}", self.path, self.from);
        Ok(text.replacen(self.from, self.to, 1))
    }
}

/// Plants every defect; whether each was seen, and nothing is seen without one.
///
/// # Errors
/// If a defect cannot be planted, or does not compile.
pub fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let tree = tree(workspace)?;
    say("--- without a defect");
    let mut targets: Vec<_> = DEFECTS.iter().map(|defect| defect.target).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut good = true;
    for target in targets {
        let failed = failed_tests(&tree, target)?;
        good &= failed.is_empty();
        say(&format!("{target}: {}", if failed.is_empty() { "passes" } else { "FAILS" }));
    }
    let mut table = String::new();
    for defect in DEFECTS {
        say(&format!("--- {}", defect.name));
        let caught = plant(&tree, defect)?;
        good &= !caught.is_empty();
        let seen = if caught.is_empty() { "NOT SEEN".to_owned() } else { caught.join(", ") };
        let _ = writeln!(table, "  {:<48}{}: {seen}", defect.name, defect.target);
    }
    say(&format!("defect, and the tests that saw it:\n{table}"));
    Ok(good)
}

/// Plants a defect, runs its tests, takes it back; gives the tests that failed.
fn plant(tree: &Workspace, defect: &Defect) -> anyhow::Result<Vec<String>> {
    planted(tree, defect, || failed_tests(tree, defect.target))
}

/// Does something to the sources with a defect in them, then takes it back.
fn planted<T>(
    tree: &Workspace,
    defect: &Defect,
    then: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut originals = Vec::new();
    for edit in defect.edits {
        let path = tree.root.join(edit.path);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", edit.path))?;
        write(&path, &edit.apply(&text)?)?;
        originals.push((path, text));
    }
    let done = then();
    // The last first: of several edits of one file the first one's original is the true one.
    for (path, text) in originals.iter().rev() {
        write(path, text)?;
    }
    done
}

/// Builds a broker with a defect, in the same place as the tests; gives the program's path.
///
/// # Errors
/// If there is no such defect, it cannot be planted, or does not compile.
pub fn broker(workspace: &Workspace, name: &str) -> anyhow::Result<PathBuf> {
    let defect = DEFECTS.iter().find(|defect| defect.name == name);
    let defect = defect.with_context(|| format!("there is no defect \"{name}\""))?;
    let tree = tree(workspace)?;
    // RocksDB is not part of any defect: what the real broker was built with does.
    workspace.broker(Engine::default())?;
    let library = workspace.rocksdb_library().map(|folder| folder.display().to_string());
    let library = library.as_deref().filter(|_| std::env::var_os("ROCKSDB_LIB_DIR").is_none());
    let variables: Vec<_> = library
        .into_iter()
        .flat_map(|folder| [("ROCKSDB_LIB_DIR", folder), ("ROCKSDB_STATIC", "1")])
        .collect();
    planted(&tree, defect, || {
        let built = tree.program("wardline-broker", "wardline", &variables)?;
        // The next build, of another defect, would replace it.
        let kept = tree.root.with_file_name(format!("wardline, {name}"));
        fs::copy(&built, &kept).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(kept)
    })
}

/// A copy of the sources, and where it is built.
fn tree(workspace: &Workspace) -> anyhow::Result<Workspace> {
    let folder = workspace.target.join("defects");
    let tree = Workspace { root: folder.join("tree"), target: folder.join("target") };
    copy_sources(&workspace.root, &tree.root)?;
    Ok(tree)
}

/// Runs one test target; gives the tests that failed.
fn failed_tests(tree: &Workspace, target: &str) -> anyhow::Result<Vec<String>> {
    let target_folder = tree.target.display().to_string();
    let variables = [("CARGO_TARGET_DIR", target_folder.as_str()), ("RUST_BACKTRACE", "0")];
    let test = ["test", "--locked", "--release", "--package", "wardline-storage", "--test", target];
    let built = tree.output(&[&test[..], &["--no-run"]].concat(), &variables)?;
    if !built.status.success() {
        bail!("it does not compile:\n{}", String::from_utf8_lossy(&built.stderr));
    }
    let ran = tree.output(&test, &variables)?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let name = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    let failed: Vec<_> = text.lines().filter_map(name).collect();
    ensure!(
        ran.status.success() == failed.is_empty(),
        "{target} ended without saying which test failed:\n{text}"
    );
    Ok(failed)
}

/// Copies the files that git knows or would add.
fn copy_sources(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot empty {}", to.display()))?;
    }
    for path in tidy::files(from)? {
        let (source, copy) = (from.join(&path), to.join(&path));
        // Listed and gone: deleted in the work tree, not yet in the index.
        if !source.is_file() {
            continue;
        }
        let folder = copy.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::copy(&source, &copy).with_context(|| format!("cannot copy {path}"))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
