//! The verbs of the patients' record, each of them run.

use std::path::Path;

use tempfile::TempDir;

use crate::binary::{Serving, client, fails};

/// A broker, and the hospital's feed.
struct Site {
    folder: TempDir,
    broker: Serving,
}

impl Site {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let broker = Serving::start(folder.path(), &["--set", "storage.engine=memory"]);
        Self { folder, broker }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Says something as a registrar; gives the line that came of it.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let line =
            client(self.folder(), &self.broker, "adt", &[arguments, &["--role", "registrar"]].concat());
        assert_eq!(line.lines().count(), 1, "{line}");
        line.trim().to_owned()
    }

    /// Says what happened to encounter 1 of patient 1.
    #[track_caller]
    fn encounter(&self, verb: &str, rest: &[&str]) -> String {
        self.says(&[&["encounter", verb, "VN=1", "--patient", "MRN=1"], rest].concat())
    }

    /// The first line that is shown of it.
    #[track_caller]
    fn shown(&self) -> String {
        let shown = self.client("adt", &["encounter", "show", "VN=1", "--role", "registrar"]);
        shown.lines().next().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn client(&self, user: &str, arguments: &[&str]) -> String {
        client(self.folder(), &self.broker, user, arguments)
    }
}

#[test]
fn an_encounter_is_told_and_shown() {
    let site = Site::start();
    let made = site.says(&["roster", "4A", "ann", "bob"]);
    assert_eq!(made, "changed made");
    let planned = site.encounter("plan", &["--label", "J. Doe"]);
    assert!(planned.starts_with("changed encounter=") && planned.ends_with(" made"), "{planned}");
    let place = ["--ward", "4A", "--ward-name", "Ward 4A", "--room", "12", "--bed", "2"];
    let (nowhere, elsewhere, label) = (&[][..], &["--ward", "5B"][..], &["--label", "Jane Doe"][..]);
    for (verb, arguments, status) in [
        ("admit", &place[..], "in-progress"),
        ("leave", nowhere, "on-leave"),
        ("cancel-leave", nowhere, "in-progress"),
        ("leave", nowhere, "on-leave"),
        ("return", nowhere, "in-progress"),
        ("cancel-return", nowhere, "on-leave"),
        ("return", nowhere, "in-progress"),
        ("transfer", elsewhere, "in-progress"),
        ("cancel-transfer", &place, "in-progress"),
        ("discharge", nowhere, "finished"),
        ("cancel-discharge", nowhere, "in-progress"),
        ("update", label, "in-progress"),
    ] {
        let said = site.encounter(verb, arguments);
        assert!(said.starts_with("changed "), "{verb}: {said}");
        assert!(site.shown().contains(status), "{verb}: {}", site.shown());
    }
    assert!(site.shown().ends_with(r#""Jane Doe"  "Ward 4A" "12/2""#), "{}", site.shown());
    let shown = site.client("adt", &["encounter", "show", "VN=1", "--role", "registrar"]);
    for part in [r#"number    "VN"="1""#, r#""MRN"="1""#, "life ", "place ", "leave ", "label ", "roster "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(
        site.client("adt", &["encounter", "list", "--ward", "4A", "--role", "registrar"]).lines().count(),
        1
    );
    assert_eq!(site.client("adt", &["encounter", "list", "--ward", "5B", "--role", "registrar"]), "");
    assert!(site.encounter("cancel-admit", nowhere).starts_with("changed "));
    assert!(site.shown().contains("cancelled"), "{}", site.shown());
    assert_eq!(site.broker.stop(), Some(0));
}

#[test]
fn patients_teams_and_repeated_events() {
    let site = Site::start();
    let event = ["--source", "his", "--event", "1", "--at", "2020-03-01T08:30:00Z"];
    let update = [&["patient", "update", "MRN=1", "SSN=7", "--label", "J. Doe"][..], &event].concat();
    let first = site.says(&update);
    assert!(first.starts_with("changed patient=") && first.ends_with(" made"), "{first}");
    let id = first.split_whitespace().find_map(|word| word.strip_prefix("patient=")).unwrap();
    assert_eq!(site.says(&update), format!("repeated patient={id}"));
    let late = ["patient", "update", "MRN=1", "--label", "else", "--at", "2020-02-01T08:30:00Z"];
    assert_eq!(site.says(&late), format!("late patient={id}"));
    let ahead = ["patient", "update", "MRN=1", "--label", "J. Doe", "--at", "2999-01-01T00:00:00Z"];
    assert_eq!(site.says(&ahead), format!("unchanged patient={id} ahead"));
    site.says(&["patient", "update", "MRN=2"]);
    let merge = ["patient", "merge", "--survivor", "MRN=1", "--retired", "MRN=2"];
    assert_eq!(site.says(&merge), format!("changed patient={id}"));
    assert_eq!(site.says(&["patient", "update", "MRN=2"]), format!("unchanged patient={id}"));

    let admitted = site.encounter("admit", &["--ward", "4A"]);
    let encounter = admitted.split_whitespace().find_map(|word| word.strip_prefix("encounter=")).unwrap();
    assert_eq!(site.says(&["care-team", "VN=1", "ann"]), format!("changed encounter={encounter} made"));
    // Ann is brought in, in a moment, and sees what the record says.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let listed = loop {
        let listed = site.client("ann", &["encounter", "list"]);
        if !listed.is_empty() || std::time::Instant::now() > deadline {
            break listed;
        }
    };
    assert!(listed.starts_with(encounter) && listed.contains(r#""J. Doe""#), "{listed}");
    assert!(site.client("ann", &["encounter", "show", encounter]).contains("care team"));
    assert_eq!(site.says(&["care-team", "VN=1", "--nobody"]), format!("changed encounter={encounter}"));
    assert_eq!(site.client("ann", &["encounter", "list"]), "");
    assert_eq!(site.says(&["roster", "4A", "--nobody"]), "unchanged made");
    assert_eq!(site.broker.stop(), Some(0));
}

#[test]
fn what_is_wrong_is_told_plainly() {
    let site = Site::start();
    let server = site.broker.address.to_string();
    let refused = |arguments: &[&str], code: i32, says: &[&str]| {
        let whole = [arguments, &["--as", "ann", "--server", &server]].concat();
        fails(site.folder(), &whole, code, says);
    };
    let admit = ["encounter", "admit", "VN=1", "--patient", "MRN=1"];
    refused(&admit, 1, &["registrar"]);
    refused(&["roster", "4A", "ann"], 1, &["registrar"]);
    refused(&["encounter", "show", "VN=1"], 1, &["no such encounter"]);
    refused(&["encounter", "admit", "1", "--patient", "MRN=1"], 2, &["MRN=4711"]);
    refused(&["encounter", "show", "1"], 2, &["32 hexadecimal digits", "VN=2026-17"]);
    refused(&["encounter", "admit", "VN=1"], 2, &["--patient"]);
    refused(&[&admit[..], &["--at", "yesterday"]].concat(), 2, &["2026-03-01T08:30:00Z"]);
    refused(&[&admit[..], &["--bed", "2"]].concat(), 2, &["--ward"]);
    refused(&["roster", "4A"], 2, &["--nobody"]);
    refused(&["roster", "4A", "ann", "--nobody"], 2, &["--nobody"]);
    refused(&["care-team", "VN=1"], 2, &["--nobody"]);
    let registrar = ["--role", "registrar"];
    let transfer = ["encounter", "transfer", "VN=1", "--patient", "MRN=1"];
    refused(&[&transfer[..], &registrar].concat(), 1, &["place"]);
    let circle = ["patient", "merge", "--survivor", "MRN=1", "--retired", "MRN=1"];
    refused(&[&circle[..], &registrar].concat(), 1, &["merge in a circle"]);
    assert_eq!(site.broker.stop(), Some(0));
}
