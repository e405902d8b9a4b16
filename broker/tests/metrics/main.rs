//! The real binary's pages, and that page, dashboards, alerts and binary know the same metrics.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod series;
mod serving;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

use serving::{Serving, eventually};

/// A metric: its type, the names of its labels, its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: String,
    meaning: String,
}

/// What a page of metrics has.
fn metrics(page: &str) -> BTreeMap<String, Metric> {
    let mut found: BTreeMap<String, Metric> = BTreeMap::new();
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(meaning)) => {
                let entry = found.entry(name.to_owned()).or_insert_with(unknown);
                entry.meaning = meaning.replace("\\n", " ");
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                found.entry(name.to_owned()).or_insert_with(unknown).kind = kind.to_owned();
            }
            _ => {}
        }
    }
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, labels)) = line.split_once('{') else { continue };
        let name = base(series, &found).to_owned();
        let labels =
            labels.split_once('}').unwrap().0.split("\",").map(|label| label.split('=').next().unwrap());
        let labels: BTreeSet<&str> = labels.filter(|label| *label != "le").collect();
        found.get_mut(&name).unwrap().labels = labels.into_iter().collect::<Vec<_>>().join(", ");
    }
    found
}

fn unknown() -> Metric {
    Metric { kind: String::new(), labels: String::new(), meaning: String::new() }
}

/// The metric that a series belongs to.
fn base<'a>(series: &'a str, known: &BTreeMap<String, Metric>) -> &'a str {
    let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| series.strip_suffix(part));
    parts.into_iter().find(|name| known.contains_key(*name)).unwrap_or(series)
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The items of docs/metrics.md: each metric, and the alerts that it says use it.
fn items(text: &str) -> BTreeMap<String, (Metric, BTreeSet<String>)> {
    text.split("\n- `").skip(1).map(item).collect()
}

/// An item without its bullet: `` name` (type by `label`, `label`)``, the meaning, `Alerts: A, B.`
fn item(text: &str) -> (String, (Metric, BTreeSet<String>)) {
    let text = text.split("\n\n").next().unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let (name, kind) = head.strip_suffix(')').and_then(|head| head.split_once("` (")).unwrap();
    let (kind, labels) = kind.split_once(" by ").unwrap_or((kind, ""));
    let rest = rest.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let (meaning, alerts) = rest.split_once(" Alerts: ").unwrap_or((&rest, ""));
    let alerts = alerts.trim_end_matches('.').split(", ").filter(|alert| !alert.is_empty());
    let alerts = alerts.map(str::to_owned).collect();
    let metric = Metric { kind: kind.into(), labels: labels.replace('`', ""), meaning: meaning.into() };
    (name.to_owned(), (metric, alerts))
}

/// Words that name metrics in an expression; recording rules apart.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let words = text.split(|c: char| !is_part(c)).filter(|word| !word.contains(':'));
    words
        .filter(|word| word.starts_with("wardline_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// Which alert uses which metrics, through recording rules too.
fn used_by_alerts() -> BTreeMap<String, BTreeSet<String>> {
    let recorded = read("grafana/rules/recording.yml");
    let recorded: Vec<(&str, BTreeSet<String>)> = recorded
        .split("- record: ")
        .skip(1)
        .map(|rule| (rule.lines().next().unwrap().trim(), named(rule)))
        .collect();
    let alerts = read("grafana/rules/alerts.yml");
    let mut used = BTreeMap::new();
    for alert in alerts.split("- alert: ").skip(1) {
        let expression = alert.split("labels:").next().unwrap();
        let mut metrics = named(expression);
        for (name, through) in &recorded {
            if expression.contains(name) {
                metrics.extend(through.iter().cloned());
            }
        }
        used.insert(alert.lines().next().unwrap().trim().to_owned(), metrics);
    }
    used
}

/// The expressions of all dashboards.
fn expressions() -> String {
    let mut all = String::new();
    for file in fs::read_dir(repository("grafana/dashboards")).unwrap() {
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
        for panel in json["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                all.push_str(target["expr"].as_str().unwrap());
                all.push('\n');
            }
        }
    }
    all
}

#[test]
fn page_binary_dashboards_and_alerts_know_the_same_metrics() {
    // Each engine has figures of its own.
    let brokers = ["rocksdb", "redb"].map(|engine| {
        let engine = format!("storage.engine={engine}");
        Serving::start(&["--set", &engine])
    });
    let documented = items(&read("docs/metrics.md"));
    let mut found = BTreeMap::new();
    // Some are told for the first time after a few seconds.
    eventually("the binary has every documented metric", || {
        found = brokers.iter().flat_map(|broker| metrics(&broker.page("/metrics").1)).collect();
        documented.keys().all(|name| found.contains_key(name)) || {
            let missing: Vec<_> = documented.keys().filter(|name| !found.contains_key(*name)).collect();
            eprintln_once(&format!("not yet: {missing:?}"));
            false
        }
    });

    let written = |name: &String, metric: &Metric| {
        let Metric { kind, labels, meaning } = metric;
        format!("- `{name}` ({kind} by {labels})\n  {meaning}")
    };
    let undocumented: Vec<_> = found
        .iter()
        .filter(|(name, _)| !documented.contains_key(*name))
        .map(|(name, metric)| written(name, metric))
        .collect();
    assert!(undocumented.is_empty(), "docs/metrics.md lacks:\n{}", undocumented.join("\n"));
    for (name, (metric, _)) in &documented {
        assert_eq!(
            found.get(name),
            Some(metric),
            "docs/metrics.md should have:\n{}",
            written(name, &found[name])
        );
        assert!(!metric.meaning.is_empty(), "{name} has no meaning");
    }

    let used = used_by_alerts();
    for (name, (_, says)) in &documented {
        let is_used = |metrics: &BTreeSet<String>| metrics.iter().any(|metric| base(metric, &found) == name);
        let by: BTreeSet<String> =
            used.iter().filter(|(_, metrics)| is_used(metrics)).map(|(alert, _)| alert.clone()).collect();
        assert_eq!(says, &by, "docs/metrics.md, {name}: alerts");
    }
    let shown = named(&expressions());
    let asked = shown
        .iter()
        .chain(used.values().flatten())
        .filter(|metric| !metric.starts_with("wardline_loadgen_") && !metric.starts_with("wardline_ehr_"));
    for metric in asked {
        assert!(found.contains_key(base(metric, &found)), "{metric} is asked for and does not exist");
    }
    // The labels of an information metric are what it shows.
    let needless = ["wardline_build_info", "process_virtual_memory_max_bytes"];
    for name in found.keys().filter(|name| !needless.contains(&name.as_str())) {
        let is_shown = shown.iter().chain(used.values().flatten()).any(|metric| base(metric, &found) == name);
        assert!(is_shown, "{name} is in no dashboard and no alert");
    }
}

/// Says what is waited for; a test that passes shows nothing of it.
fn eprintln_once(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn the_pages_say_how_the_broker_is() {
    let broker = Serving::start(&[]);
    assert_eq!(broker.page("/livez"), (200, "alive\n".into()));
    eventually("it becomes ready", || broker.page("/readyz").0 == 200);
    let (_, ready) = broker.page("/readyz");
    for check in ["draining", "store", "log", "disk-write", "disk-room"] {
        assert!(ready.contains(&format!("ok   {check}\n")), "{ready}");
    }
    assert!(ready.ends_with("\nready\n"), "{ready}");
    let (status, version) = broker.page("/version");
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(
        (status, &version["name"], &version["protocol"]),
        (200, &"wardline".into(), &"wardline/1".into())
    );
    assert_eq!(broker.page("/").0, 404);
    assert_eq!(broker.ask("POST", "/metrics").0, 405);
    assert_eq!(broker.ask("HEAD", "/metrics"), (200, String::new()));
}

#[test]
fn a_disk_that_is_nearly_full_is_not_ready() {
    let broker = Serving::start(&["--set", "storage.reserve=1024GiB"]);
    eventually("it says so", || broker.page("/readyz").1.contains("FAIL disk-room: "));
    assert_eq!(broker.page("/readyz").0, 503);
    assert_eq!(broker.page("/livez").0, 200);
    eventually("and tells Prometheus", || {
        let (_, page) = broker.page("/metrics");
        page.contains("\nwardline_disk_full 1\n") && page.contains("\nwardline_ready 0\n")
    });
}

#[test]
fn where_others_reach_them_the_pages_are_served_with_tls() {
    let folder = TempDir::new().unwrap();
    let remote = ["serve", "--dev", "--set", "http.listen=0.0.0.0:0"];
    let refused = Command::new(env!("CARGO_BIN_EXE_wardline"))
        .current_dir(folder.path())
        .args(remote)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("http.remote = true"), "{text}");

    let broker = Serving::start(&["--set", "http.remote=true", "--set", "storage.engine=memory"]);
    let mut roots = rustls::RootCertStore::empty();
    let ca = fs::read(broker.folder.path().join("data/dev/ca.pem")).unwrap();
    for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(&ca) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let session = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, TcpStream::connect(broker.http).unwrap());
    write!(stream, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("alive\n"), "{answer}");
}

#[test]
fn the_log_has_codes_and_its_filter_changes_while_running() {
    let broker = Serving::start(&[
        "--log-format",
        "json",
        "--set",
        "log.filter=error",
        "--set",
        "storage.engine=memory",
    ]);
    assert_eq!(broker.log(), "", "nothing below an error");
    let (_, page) = broker.page("/metrics");
    let warnings = page.lines().find(|line| line.starts_with("wardline_log_events_total{level=\"warn\"}"));
    assert!(warnings.is_some_and(|line| !line.ends_with(" 0")), "counted all the same: {warnings:?}");
    drop(broker);

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wardline.toml");
    fs::write(&path, "log.filter = \"error\"\n").unwrap();
    let shown = path.display().to_string();
    let broker =
        Serving::start(&["--log-format", "json", "--config", &shown, "--set", "storage.engine=memory"]);
    fs::write(&path, "log.filter = \"info\"\n").unwrap();
    broker.signal(rustix::process::Signal::HUP);
    eventually("the new filter holds", || broker.log().contains("\"code\":\"log-filter\""));
    // What is no filter changes nothing.
    fs::write(&path, "log.filter = \"info,=\"\n").unwrap();
    broker.signal(rustix::process::Signal::HUP);
    eventually("it says so", || broker.log().contains("\"code\":\"log-filter-bad\""));
    for line in broker.log().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["fields"]["code"].is_string(), "{line}");
    }
}
