//! What the bridge tells of itself, and what stands about it in the documentation.

use std::collections::BTreeSet;
use std::path::Path;

use crate::program::Bridge;
use crate::sender::{Event, Sender};
use crate::site::{Site, until};

/// Words that name the bridge's metrics.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with("wardline_ehr_"));
    let base = |word: &str| {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part));
        part.unwrap_or(word).to_owned()
    };
    words.map(base).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn page_documentation_dashboard_and_alerts_know_the_same_metrics() {
    let site = Site::start().await;
    let bridge = Bridge::start(&site, &[]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    assert_eq!(sender.say(&Event::of("A01", 1, "V1", "W1").text()).await.as_deref(), Some("AA"));
    let tables: String = ["docs/ehr.md", "docs/hl7.md"]
        .iter()
        .flat_map(|path| {
            read(path)
                .lines()
                .filter(|line| line.starts_with("| `wardline_ehr_"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let documented = named(&tables);
    let page = bridge.page("/metrics").1;
    let told = named(&page);
    assert!(told.is_subset(&documented), "not documented: {:?}", told.difference(&documented));
    let shown = named(&(read("grafana/dashboards/bridge.json") + &read("grafana/rules/bridge.yml")));
    assert!(shown.is_subset(&documented), "asked for: {:?}", shown.difference(&documented));
    assert!(documented.is_subset(&shown.union(&told).cloned().collect()), "neither told nor asked for");
    // Whoever is in a message is in no metric.
    assert!(!page.contains("Doe") && !page.contains("PV1") && page.contains("process_resident_memory_bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_answer_what_is_asked() {
    let site = Site::start().await;
    let bridge = Bridge::start(&site, &[]);
    assert_eq!(bridge.page("/livez"), (200, "alive\n".to_owned()));
    until("it to be ready", async || (bridge.page("/readyz").0 == 200).then_some(())).await;
    assert!(bridge.page("/version").1.contains("wardline-ehr"));
    assert_eq!(bridge.page("/elsewhere").0, 404);
    assert_eq!(bridge.value("wardline_ehr_ready"), 1.0);
    assert_eq!(bridge.value("wardline_ehr_broker_connected"), 1.0);
}
