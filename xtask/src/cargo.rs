//! Cargo, as the chores call it: always `--locked`, and `--release` but for a first look.
//!
//! One profile for whatever has RocksDB, so that its C++ is compiled once.
//! Where build output goes is cargo's business (`CARGO_TARGET_DIR` and its configuration hold);
//! what the chores themselves leave behind goes to `target/` in the repository.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::engine::Engine;
use crate::{prerequisites, say};

/// The repository.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Its root.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
}

/// The programs that the chores start.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The broker and its command line.
    pub wardline: PathBuf,
    /// The load generator.
    pub loadgen: PathBuf,
    /// The engine that the broker has.
    pub engine: Engine,
}

/// How programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As they are shipped.
    Release,
    /// Soon, and slower: as the chores themselves are.
    Dev,
}

impl Profile {
    /// What cargo calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// Cargo's arguments for it.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Release => &["--release"],
            Self::Dev => &[],
        }
    }
}

impl Workspace {
    /// Asks cargo where everything is.
    ///
    /// # Errors
    /// If cargo does not answer.
    pub fn find() -> anyhow::Result<Self> {
        // From `cargo xtask` it is where the checkout is now; the target folder may have served
        // another before.
        let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let output = cargo(Path::new(&here))
            .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        ensure!(output.status.success(), "cargo metadata failed");
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata: not JSON")?;
        let path = |key: &str| {
            let text = metadata[key].as_str().with_context(|| format!("cargo metadata: no {key}"))?;
            anyhow::Ok(PathBuf::from(text))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// The folder `target/NAME` of a chore, emptied.
    ///
    /// # Errors
    /// If it cannot be emptied or made.
    pub fn empty_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.root.join("target").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Runs cargo with these arguments and variables and shows what it says; whether it succeeded.
    ///
    /// # Errors
    /// If cargo could not be started.
    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<bool> {
        let status = cargo(&self.root)
            .args(arguments)
            .envs(variables.iter().copied())
            .status()
            .context("cannot run cargo")?;
        Ok(status.success())
    }

    /// Runs cargo with these arguments and variables and gives what it says.
    ///
    /// # Errors
    /// If cargo could not be started.
    pub fn output(&self, arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Output> {
        let mut command = cargo(&self.root);
        command.args(arguments).envs(variables.iter().copied());
        command.output().context("cannot run cargo")
    }

    /// Builds the broker with this engine, and the load generator, after what that needs is there.
    ///
    /// # Errors
    /// If something is missing or the build fails; cargo has said why.
    pub fn programs(&self, engine: Engine) -> anyhow::Result<Programs> {
        self.programs_in(Profile::Release, engine)
    }

    /// The same, in a profile.
    ///
    /// # Errors
    /// If something is missing or the build fails; cargo has said why.
    pub fn programs_in(&self, profile: Profile, engine: Engine) -> anyhow::Result<Programs> {
        self.prepare(engine)?;
        let packages = ["wardline-broker", "wardline-loadgen"];
        let programs = self.build(profile, &packages, &engine.build_arguments(&[]), &[])?;
        let wardline = named(&programs, "wardline")?;
        let wardline =
            if engine.is_default() { wardline } else { keep(&wardline, &engine.program("wardline"))? };
        Ok(Programs { wardline, loadgen: named(&programs, "wardline-loadgen")?, engine })
    }

    /// Builds the broker with this engine and no other, after what that needs is there.
    ///
    /// # Errors
    /// If something is missing or the build fails; cargo has said why.
    pub fn broker(&self, engine: Engine) -> anyhow::Result<PathBuf> {
        self.prepare(engine)?;
        let programs =
            self.build(Profile::Release, &["wardline-broker"], &engine.build_arguments(&[]), &[])?;
        let wardline = named(&programs, "wardline")?;
        if engine.is_default() { Ok(wardline) } else { keep(&wardline, &engine.program("wardline")) }
    }

    /// Builds the broker with a feature that nobody else wants; gives the path of a copy. The
    /// program itself is built again without it: nobody may find one with the feature in its place.
    ///
    /// # Errors
    /// If something is missing or the build fails; cargo has said why.
    pub fn broker_with_feature(&self, engine: Engine, feature: &str) -> anyhow::Result<PathBuf> {
        self.prepare(engine)?;
        let programs =
            self.build(Profile::Release, &["wardline-broker"], &engine.build_arguments(&[feature]), &[])?;
        let program = named(&programs, "wardline")?;
        let copy = keep(&program, &format!("{}-{feature}", engine.program("wardline")))?;
        self.broker(engine)?;
        Ok(copy)
    }

    /// Builds one package that has no engine with these variables; gives the path of one of its
    /// programs.
    ///
    /// # Errors
    /// If the build fails; cargo has said why.
    pub fn program(&self, package: &str, name: &str, variables: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
        named(&self.build(Profile::Release, &[package], &[], variables)?, name)
    }

    /// Makes sure that what a broker with this engine is built with is there, and says so if it
    /// takes long.
    ///
    /// # Errors
    /// If something is missing and cannot be installed.
    pub fn prepare(&self, engine: Engine) -> anyhow::Result<()> {
        prerequisites::ensure(engine)?;
        if engine.is_cpp() && self.is_rocksdb_missing() {
            say("RocksDB's C++ is compiled now, once: 10 to 25 minutes on two cores");
        }
        Ok(())
    }

    /// The folder of RocksDB's library, once it is compiled.
    pub fn rocksdb_library(&self) -> Option<PathBuf> {
        let builds = std::fs::read_dir(self.target.join("release").join("build")).ok()?;
        let is_built = |entry: &std::fs::DirEntry| {
            entry.file_name().to_string_lossy().starts_with("librocksdb-sys-")
                && entry.path().join("out").join("librocksdb.a").is_file()
        };
        builds.flatten().find(is_built).map(|entry| entry.path().join("out"))
    }

    /// Builds these packages and gives the executables' paths, by name.
    fn build(
        &self,
        profile: Profile,
        packages: &[&str],
        more: &[String],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let mut command = cargo(&self.root);
        command.env("CARGO_TARGET_DIR", &self.target).envs(variables.iter().copied());
        command.args(["build", "--locked", "--bins", "--message-format=json-render-diagnostics"]);
        command.args(profile.arguments());
        command.args(packages.iter().flat_map(|package| ["--package", package])).args(more);
        let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
        if !output.status.success() {
            bail!("the build failed");
        }
        let executable = |line: &str| {
            let message: Value = serde_json::from_str(line).ok()?;
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        };
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect())
    }

    /// Whether RocksDB's C++ is still to be compiled.
    fn is_rocksdb_missing(&self) -> bool {
        std::env::var_os("ROCKSDB_LIB_DIR").is_none() && self.rocksdb_library().is_none()
    }
}

/// One of the programs that were built.
fn named(programs: &[(String, PathBuf)], wanted: &str) -> anyhow::Result<PathBuf> {
    let program = programs.iter().find(|(name, _)| name == wanted);
    program.map(|(_, path)| path.clone()).with_context(|| format!("cargo built no {wanted}"))
}

/// Copies a program to a name of its own beside it: the next build of another kind replaces it.
fn keep(program: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let copy = program.with_file_name(name);
    // Not over one that may be running.
    let _ = std::fs::remove_file(&copy);
    std::fs::copy(program, &copy).with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(copy)
}

/// A call of cargo. What `cargo run` set for this process is taken back, so that the call is the
/// same as one by hand and nothing is built again because of it.
fn cargo(directory: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(directory);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|p| text.starts_with(p))
        {
            command.env_remove(&name);
        }
    }
    command
}
