//! `cargo xtask provider`: tries the broker with an OpenID provider that others wrote.
//!
//! It is the npm package oidc-provider, which is put into `target/peers`; the test starts it, and
//! somebody with a browser of a few lines signs in and out there. What is missing is said, never
//! installed, but for that package.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::cargo::Workspace;
use crate::say;

/// The package, and which version was tried.
const PACKAGE: &str = "oidc-provider@8.8.1";
/// The test that starts it.
const TEST: &str = "identity::real";

/// Runs the test; whether it passed.
///
/// # Errors
/// If a tool is missing, or the package cannot be had.
pub fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    for tool in ["node", "npm"] {
        let mut command = Command::new(tool);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        let answers = command.status().is_ok_and(|status| status.success());
        ensure!(
            answers,
            "missing to try a real provider: {tool} (Node 18 or later; Debian: apt-get install npm)"
        );
    }
    let peers = workspace.root.join("target/peers");
    std::fs::create_dir_all(&peers).with_context(|| format!("cannot make {}", peers.display()))?;
    if !peers.join("node_modules/oidc-provider").is_dir() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&peers)
            .arg(PACKAGE);
        ensure!(npm.status().context("cannot run npm")?.success(), "{PACKAGE} cannot be installed");
    }
    let test = ["test", "--locked", "--release", "-p", "wardline-broker", "--features", "peers"];
    let arguments = [&test[..], &["--test", "quic", TEST]].concat();
    let passed = workspace.run(&arguments, &[("WARDLINE_PEERS", &peers.to_string_lossy())])?;
    say(if passed { "a real provider was followed" } else { "the test with a real provider FAILED" });
    Ok(passed)
}
