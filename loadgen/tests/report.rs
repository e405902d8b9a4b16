//! The report of made-up runs: complete, well-formed, harmless, and readable without colours or
//! script.

mod synthetic;

use std::fs;

use roxmltree::{Document, Node, ParsingOptions};
use synthetic::{Shape, run};
use wardline_loadgen::report::{FILE, ReadError, Run, read, render};
use wardline_loadgen::result::{RunResult, SCHEMA};

fn parse(html: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(html, options).expect("the page is well-formed")
}

fn named(name: &str, result: RunResult) -> Run {
    Run { name: name.into(), result }
}

fn elements<'a, 'd>(document: &'a Document<'d>, name: &'a str) -> impl Iterator<Item = Node<'a, 'd>> {
    document.descendants().filter(move |node| node.has_tag_name(name))
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

/// Every plot has a title, a description, both axes with a unit, values beside them, and a legend.
fn assert_plots_are_readable(document: &Document<'_>) {
    let mut ids = Vec::new();
    for svg in elements(document, "svg") {
        let title = svg.children().find(|node| node.has_tag_name("title")).map(text).unwrap_or_default();
        assert!(!title.is_empty(), "a plot without a title");
        let description = svg.children().find(|node| node.has_tag_name("desc")).map(text).unwrap_or_default();
        assert!(description.len() > 20, "{title}: no description");
        let of_class = |class: &str| {
            svg.children()
                .filter(|node| node.attribute("class").unwrap_or_default().split(' ').any(|it| it == class))
                .map(text)
                .collect::<Vec<_>>()
        };
        let labels = of_class("label");
        let is_bars = svg.children().any(|node| node.has_tag_name("rect"));
        assert_eq!(labels.len(), if is_bars { 1 } else { 2 }, "{title}: axes without a label");
        for label in labels {
            let units = ["(", "per second", "conversations", "messages"];
            assert!(units.iter().any(|unit| label.contains(unit)), "{title}: `{label}` has no unit");
        }
        assert!(of_class("tick").iter().filter(|tick| !tick.is_empty()).count() >= 4, "{title}: bare axes");
        assert!(!of_class("legend").is_empty(), "{title}: no legend");
        ids.extend(svg.descendants().filter_map(|node| node.attribute("id")));
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id stands twice");
}

fn titles(document: &Document<'_>) -> Vec<String> {
    elements(document, "svg")
        .filter_map(|svg| svg.children().find(|node| node.has_tag_name("title")).map(text))
        .collect()
}

#[test]
fn one_run_has_everything() {
    let html = render(&[named("monday", run(&Shape::default()))]);
    let document = parse(&html);
    assert_plots_are_readable(&document);
    let titles = titles(&document);
    for title in [
        "Latency by percentile",
        "Deliveries over time",
        "Acknowledged messages over time",
        "Latency over time",
        "Backlog over time",
        "CPU over time",
        "Memory over time",
        "Search for the highest sustainable rate",
    ] {
        assert!(titles.iter().any(|it| it == title), "no plot `{title}` among {titles:?}");
    }
    let page = text(document.root_element());
    for told in ["monday", "Passed", "wardline-loadgen run", "Xeon", "fsync per group", "TLS 1.3", "ext4"] {
        assert!(page.contains(told), "the page does not tell `{told}`");
    }
    assert!(!html.contains("NaN") && !html.contains(">inf"), "a figure that is none");
}

#[test]
fn several_runs_are_named_and_compared() {
    let sizes = [(10, 1_000), (100, 10_000), (1_000, 100_000)];
    let runs: Vec<Run> = sizes
        .iter()
        .map(|&(members, conversations)| {
            let shape = Shape { members, conversations, ..Shape::default() };
            named(&format!("fan-out-{members}"), run(&shape))
        })
        .collect();
    let html = render(&runs);
    let document = parse(&html);
    assert_plots_are_readable(&document);
    let overlay = elements(&document, "svg")
        .find(|svg| text(*svg).contains("all runs"))
        .expect("the runs are laid over one another");
    for run in &runs {
        assert!(text(overlay).contains(&run.name), "{} is not in the overlay", run.name);
        let rows = elements(&document, "th").filter(|cell| text(*cell) == run.name).count();
        assert_eq!(rows, 1, "{} stands once in the table of medians", run.name);
        assert!(elements(&document, "h2").any(|heading| text(heading).starts_with(&run.name)));
    }
    let titles = titles(&document);
    for title in ["Broker CPU by members", "Broker memory by members", "Broker CPU by conversations"] {
        assert!(titles.iter().any(|it| it == title), "no plot `{title}` among {titles:?}");
    }
}

#[test]
fn neither_the_same_size_nor_another_kind_of_workload_makes_a_cost_plot() {
    let mut other = run(&Shape { members: 8, conversations: 3, ..Shape::default() });
    other.workload = "code-blue".into();
    let runs = [named("a", run(&Shape::default())), named("a", run(&Shape::default())), named("b", other)];
    let html = render(&runs);
    let titles = titles(&parse(&html));
    assert!(!titles.iter().any(|title| title.starts_with("Broker CPU by")), "{titles:?}");
    assert!(html.contains("a (2)"), "folders of the same name must be told apart");
}

#[test]
fn nothing_from_a_file_becomes_markup() {
    let hostile = "</pre><script>alert(1)</script><img src=x onerror='alert(2)'>\"&\u{1}";
    let mut result = run(&Shape::default());
    result.workload = hostile.into();
    result.workload_toml = hostile.into();
    result.command = vec![hostile.into()];
    result.environment.cpu_model = hostile.into();
    result.environment.broker_config = Some(hostile.into());
    result.verdict.reasons = vec![hostile.into()];
    let latency = result.repeats[0].latencies["deliver"].clone();
    for repeat in &mut result.repeats {
        repeat.bottleneck = Some(hostile.into());
        repeat.latencies.insert(hostile.into(), latency.clone());
    }
    let html = render(&[named(hostile, result.clone()), named(hostile, result)]);
    let document = parse(&html);
    for name in ["script", "img", "link", "iframe", "image", "use", "object"] {
        assert_eq!(elements(&document, name).count(), 0, "<{name}> in the page");
    }
    for node in document.descendants().filter(Node::is_element) {
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(!name.starts_with("on") && !["src", "href", "style"].contains(&name), "{name}=");
            assert!(!attribute.value().contains("alert"), "{name}={:?}", attribute.value());
        }
    }
    let style = elements(&document, "style").map(text).collect::<String>();
    assert!(!style.contains("url(") && !style.contains("@import"), "the style sheet loads something");
    assert!(!html.contains("://"), "the page names something outside");
    assert!(text(document.root_element()).contains("<script>alert(1)</script>"), "shown as it is");
}

#[test]
fn an_empty_run_and_one_without_a_broker_have_a_report() {
    let mut empty = run(&Shape::default());
    empty.repeats.clear();
    empty.verdict.valid = false;
    empty.verdict.reasons = vec!["interrupted".into()];
    let mut blind = run(&Shape::default());
    for repeat in &mut blind.repeats {
        repeat.broker = None;
        repeat.latencies.clear();
        repeat.measured_s = 0.0;
        repeat.series.clear();
    }
    let html = render(&[named("empty", empty), named("blind", blind)]);
    let document = parse(&html);
    assert_plots_are_readable(&document);
    assert!(text(document.root_element()).contains("interrupted"));
    assert!(!html.contains("NaN"));
}

#[test]
fn the_verdict_comes_first() {
    let mut failed = run(&Shape::default());
    failed.verdict.passed = false;
    failed.repeats[0].integrity.lost = 7;
    let html = render(&[named("tuesday", failed)]);
    let document = parse(&html);
    let verdict = elements(&document, "p")
        .find(|node| node.attribute("class").is_some_and(|class| class.contains("verdict")))
        .expect("there is a verdict");
    assert!(text(verdict).starts_with("Failed"));
}

#[test]
fn folders_are_read_or_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join(FILE);
    assert!(matches!(read(folder.path()), Err(ReadError::Missing { .. })));

    let result = run(&Shape::default());
    let mut json = serde_json::to_value(&result).expect("a result is JSON");
    fs::write(&file, json.to_string()).expect("the folder can be written to");
    let found = read(folder.path()).expect("a result");
    assert_eq!(found.result.repeats.len(), result.repeats.len());
    assert_eq!(folder.path().file_name().and_then(|name| name.to_str()), Some(found.name.as_str()));

    let whole = json.to_string();
    fs::write(&file, &whole[..whole.len() / 2]).expect("the folder can be written to");
    let error = read(folder.path()).expect_err("half a file");
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(FILE), "{error}");

    fs::write(&file, "{\"schema\": 1}").expect("the folder can be written to");
    assert!(matches!(read(folder.path()), Err(ReadError::Damaged { .. })), "no fields");

    json["schema"] = (SCHEMA + 1).into();
    fs::write(&file, json.to_string()).expect("the folder can be written to");
    let error = read(folder.path()).expect_err("from the future");
    assert!(matches!(error, ReadError::Newer { schema, .. } if schema == u64::from(SCHEMA) + 1), "{error}");
}
