//! The dashboards in the repository are what their sources make, and the rules of alerts are
//! tested.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::dashboards;
use xtask::observe::rules;

fn grafana() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana")
}

fn read(name: &str) -> String {
    fs::read_to_string(grafana().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_json_is_what_the_sources_make() {
    let all = dashboards::all();
    for dashboard in &all {
        let file = format!("dashboards/{}", dashboard.file());
        assert!(read(&file) == dashboard.json(), "{file} is out of date: cargo xtask dashboards");
    }
    let files = fs::read_dir(grafana().join("dashboards")).expect("the folder");
    assert_eq!(files.count(), all.len(), "a dashboard without a source");
}

#[test]
fn panels_have_what_people_need_and_do_not_overlap() {
    for dashboard in dashboards::all() {
        let json: Value = serde_json::from_str(&dashboard.json()).expect("JSON");
        let mut taken = vec![[false; 24]; 300];
        let mut titles = std::collections::BTreeSet::new();
        for panel in json["panels"].as_array().expect("panels") {
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a number") as usize;
            for row in &mut taken[at("y")..at("y") + at("h")] {
                for cell in &mut row[at("x")..at("x") + at("w")] {
                    assert!(
                        !std::mem::replace(cell, true),
                        "{}: {} overlaps",
                        dashboard.title,
                        panel["title"]
                    );
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            assert!(
                titles.insert(panel["title"].as_str().expect("a title").to_owned()),
                "{} twice",
                panel["title"]
            );
            assert!(
                panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
                "{}",
                panel["title"]
            );
            assert!(
                panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()),
                "{}",
                panel["title"]
            );
            for query in panel["targets"].as_array().expect("targets") {
                let expression = query["expr"].as_str().expect("an expression");
                let (open, close) = (
                    expression.matches(['(', '{', '[']).count(),
                    expression.matches([')', '}', ']']).count(),
                );
                assert_eq!(open, close, "{expression}");
                assert!(!expression.contains("$i}") && !expression.contains("$i,"), "{expression}");
            }
        }
    }
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_is_silent() {
    let alerts = rules::alerts(&(read("rules/alerts.yml") + &read("rules/bridge.yml")));
    let tests = read("rules/alerts.test.yml") + &read("rules/bridge.test.yml");
    assert!(alerts.len() >= 20, "{alerts:?}");
    assert_eq!(rules::untested(&alerts, &tests), Default::default());
    // And the check sees one that has none, or half a one.
    let half = tests.replacen("instance=\"silent\"", "instance=\"other\"", 3);
    assert!(!rules::untested(&alerts, &half).is_empty());
    let more = alerts.iter().cloned().chain(["WardlineUnheardOf".to_owned()]).collect();
    assert_eq!(rules::untested(&more, &tests), ["WardlineUnheardOf".to_owned()].into());
}

#[test]
fn every_alert_says_what_it_means_how_to_check_it_and_what_to_do() {
    let all = read("rules/alerts.yml").split("- alert: ").skip(1).map(str::to_owned).collect::<Vec<_>>();
    let of_bridge =
        read("rules/bridge.yml").split("- alert: ").skip(1).map(str::to_owned).collect::<Vec<_>>();
    for alert in [all, of_bridge].concat() {
        let name = alert.lines().next().unwrap_or_default();
        for needed in
            ["severity: ", "summary: ", "meaning: ", "check: ", "action: ", "dashboard: /d/wardline-"]
        {
            assert!(alert.contains(needed), "{name} has no {needed}");
        }
        let dashboard =
            alert.split("/d/wardline-").nth(1).unwrap_or_default().lines().next().unwrap_or_default();
        assert!(grafana().join(format!("dashboards/{dashboard}.json")).exists(), "{name}: {dashboard}");
    }
}
