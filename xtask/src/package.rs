//! `cargo xtask package`: the Debian packages of the broker and of the bridge, by `cargo deb`.
//!
//! Builds both, lets each write its own man pages and completions, and packs them by what
//! `broker/Cargo.toml` and `ehr/Cargo.toml` say. The packages end up in `target/package/`. What is
//! missing to do that is named.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::say;

/// Makes the packages; whether they could be made.
///
/// # Errors
/// If `cargo deb` is missing, or a step could not be run.
pub fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let has_cargo_deb = workspace.output(&["deb", "--version"], &[])?.status.success();
    ensure!(has_cargo_deb, "missing to pack: cargo install cargo-deb --locked --no-default-features");
    let broker = workspace.programs(Engine::default())?.wardline;
    let bridge = workspace.program("wardline-ehr", "wardline-ehr", &[])?;
    let folder = workspace.empty_folder("package")?;
    let of_bridge = workspace.empty_folder("package-ehr")?;
    generate(&broker, &folder)?;
    generate(&bridge, &of_bridge)?;
    let is_packed = pack(workspace, "wardline-broker", &folder)? && pack(workspace, "wardline-ehr", &folder)?;
    if is_packed {
        say(&format!("the packages are in {}", folder.display()));
    }
    Ok(is_packed)
}

/// Has a program write its man pages and completions.
fn generate(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut generate = Command::new(program);
    generate.arg("generate").arg("--to").arg(folder).stdin(Stdio::null());
    let status = generate.status().with_context(|| format!("cannot run {} generate", program.display()))?;
    ensure!(status.success(), "{} generate ended with {status}", program.display());
    Ok(())
}

fn pack(workspace: &Workspace, package: &str, folder: &Path) -> anyhow::Result<bool> {
    let output = folder.to_string_lossy().into_owned();
    workspace.run(&["deb", "--package", package, "--no-build", "--locked", "--output", &output], &[])
}
