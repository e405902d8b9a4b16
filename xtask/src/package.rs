//! `cargo xtask package`: the Debian package, by `cargo deb`.
//!
//! Builds the broker, lets it write its own man pages and completions, and packs them by what
//! `broker/Cargo.toml` says. The package ends up in `target/package/`. What is missing to do that
//! is named.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::say;

/// Makes the package; whether it could be made.
///
/// # Errors
/// If `cargo deb` is missing, or a step could not be run.
pub fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let has_cargo_deb = workspace.output(&["deb", "--version"], &[])?.status.success();
    ensure!(has_cargo_deb, "missing to pack: cargo install cargo-deb --locked --no-default-features");
    let program = workspace.programs(Engine::default())?.wardline;
    let folder = workspace.root.join("target").join("package");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let mut generate = Command::new(program);
    generate.arg("generate").arg("--to").arg(&folder).stdin(Stdio::null());
    let status = generate.status().context("cannot run wardline generate")?;
    ensure!(status.success(), "wardline generate ended with {status}");
    let output = folder.to_string_lossy().into_owned();
    let arguments = ["deb", "--package", "wardline-broker", "--no-build", "--locked", "--output", &output];
    let packed = workspace.run(&arguments, &[])?;
    if packed {
        say(&format!("the package is in {output}"));
    }
    Ok(packed)
}
