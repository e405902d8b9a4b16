//! What is watched: a broker that serves its pages, and load generators that keep it busy.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::broker::{Broker, Settings};
use crate::cargo::Programs;
use crate::process::{Children, Running};

/// Longer than anybody waits, so that the load ends with the chore.
const LOAD: &str = "10m";

/// Starts a broker in a folder of its own below this one.
pub(super) fn start_broker(
    programs: &Programs,
    folder: &Path,
    http: SocketAddr,
    flags: &[&str],
    children: &Children,
) -> anyhow::Result<Broker> {
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let (program, engine) = (programs.wardline.clone(), programs.engine);
    let settings = Settings { program, engine, data, log: folder.join("broker.log") };
    let http = ["--set".to_owned(), format!("http.listen={http}")];
    let flags = http.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned())).collect();
    Broker::start_with(settings, flags, children)
}

/// Starts a load generator that outlasts the chore.
pub(super) fn load(
    programs: &Programs,
    broker: &Broker,
    folder: &Path,
    workload: &str,
    arguments: &[&str],
    children: &Children,
) -> anyhow::Result<Running> {
    let arguments = [arguments, &["--warmup", "1s", "--duration", LOAD, "--repeat", "1"]].concat();
    load_for(programs, broker, folder, workload, &arguments, children)
}

/// Starts a load generator with these arguments.
pub(super) fn load_for(
    programs: &Programs,
    broker: &Broker,
    folder: &Path,
    workload: &str,
    arguments: &[&str],
    children: &Children,
) -> anyhow::Result<Running> {
    let name = Path::new(workload).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let log = fs::File::create(folder.join(format!("{name}.log")))?;
    let mut command = Command::new(&programs.loadgen);
    command.arg("run").arg(workload).args(arguments).args(["--target", &broker.target()]);
    command.args(["--broker-pid", &broker.id().to_string()]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    children.spawn(&mut command)
}
