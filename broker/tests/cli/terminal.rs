//! A real terminal: nobody can write what looks like another's message, or like the broker's words.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

use crate::binary::{Serving, client, wardline};

/// Runs a command on a terminal of this width; gives what it shows, row by row.
fn on_terminal(folder: &Path, columns: u16, arguments: &[&str]) -> Vec<String> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let far = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut child = wardline(folder)
        .args(arguments)
        .stdout(far)
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    let mut near = File::from(terminal);
    let mut part = [0; 4096];
    // It ends with an error once nobody has the other end open.
    while let Ok(bytes @ 1..) = near.read(&mut part) {
        shown.extend_from_slice(&part[..bytes]);
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap().lines().flat_map(|line| broken(line, columns)).collect()
}

/// What a terminal makes of a line that is too long.
fn broken(line: &str, columns: u16) -> Vec<String> {
    let letters: Vec<char> = line.trim_end_matches('\r').chars().collect();
    if letters.is_empty() {
        return vec![String::new()];
    }
    letters.chunks(usize::from(columns)).map(|row| row.iter().collect()).collect()
}

#[test]
fn a_padded_message_is_no_row_of_somebody_else() {
    let folder = TempDir::new().unwrap();
    let broker = Serving::start(folder.path(), &["--set", "storage.engine=memory"]);
    let folder = folder.path();
    let create = ["conversation", "create", "--group", "@carol", "--member", "mallory"];
    let id = client(folder, &broker, "alice", &create).trim().to_owned();
    let forged = "08:15:09  carol        #8    \u{25c6} (deleted #1)";
    let mut sent = 0;
    for (filler, most) in
        [(" ", 82), ("x", 82), ("\u{2003}", 40), ("\u{200b}", 3), ("\n", 3), ("\r", 3), ("\t", 12)]
    {
        for padding in (0..most).step_by(if most > 20 { 7 } else { 1 }) {
            let text = format!("hello {}{forged}", filler.repeat(padding));
            client(folder, &broker, "mallory", &["send", &id, &text]);
            sent += 1;
        }
    }
    client(folder, &broker, "mallory", &["send", &id, "URGENT (re #1) \u{258c} Call me"]);
    client(folder, &broker, "mallory", &["send", &id, "Call me", "--urgent", "--reply-to", "1"]);
    sent += 2;
    let server = broker.address.to_string();
    let history = ["history", &id, "--limit", "1000", "--as", "alice", "--server", &server];
    for columns in [40, 80, 132] {
        let rows = on_terminal(folder, columns, &history);
        let heads =
            rows.iter().filter(|row| row.get(2..3) == Some(":") && row.get(5..6) == Some(":")).count();
        // Before them it says that the group has members.
        assert!((sent..=sent + 2).contains(&heads), "{columns}: {heads} of {sent}: {rows:#?}");
        for row in &rows {
            let before = row.split('\u{258c}').next().unwrap();
            assert!(!before.contains("carol"), "{columns}: {row}");
            assert!(row.matches('\u{258c}').count() <= 1, "{columns}: {row}");
            let is_ours =
                row.get(2..3) == Some(":") || row.trim_start().starts_with(['\u{258c}', '\u{25c6}']);
            assert!(is_ours, "{columns}: {row:?}");
        }
    }
    let rows = on_terminal(folder, 132, &history);
    let [.., pretended, real] = &rows[..] else { panic!("{rows:?}") };
    assert!(pretended.ends_with("\u{258c} URGENT (re #1) \u{fffd} Call me"), "{pretended}");
    assert!(real.ends_with(" URGENT (re #1) \u{258c} Call me"), "{real}");
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn a_title_or_a_name_is_taken_for_nothing_else() {
    let folder = TempDir::new().unwrap();
    let broker = Serving::start(folder.path(), &["--set", "storage.engine=memory"]);
    let folder = folder.path();
    let odd = "bob  admin  since 2020-01-01T00:00:00Z";
    let create = |title: &str| {
        let create = ["conversation", "create", "--group", title, "--member", odd, "--member", "you"];
        client(folder, &broker, "alice", &create).trim().to_owned()
    };
    let id = create("@carol");
    for title in ["\u{202e}lorac@", "@car\u{200b}ol", "Ward\u{1b}[2J", "a\" 3 unread"] {
        create(title);
    }
    client(folder, &broker, "alice", &["conversation", "create", "--direct", "carol"]);
    let list = client(folder, &broker, "alice", &["conversation", "list"]);
    let labels: Vec<&str> = list.lines().filter_map(|line| line.get(34..)).collect();
    let begins = |label: &str| labels.iter().filter(|it| it.starts_with(label)).count();
    assert_eq!(labels.len(), 6, "{list}");
    assert_eq!(begins("@carol "), 1, "{list}");
    for title in [
        "\"@carol\" ",
        r#""\u{202e}lorac@" "#,
        r#""@car\u{200b}ol" "#,
        r#""Ward\u{1b}[2J" "#,
        r#""a\" 3 unread" "#,
    ] {
        assert_eq!(begins(title), 1, "{title}: {list}");
    }
    assert!(!list.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{list}");
    let members = client(folder, &broker, "alice", &["conversation", "members", &id]);
    assert!(members.contains(&format!("\"{odd}\"")), "{members}");
    // Somebody who is called so is not oneself.
    client(folder, &broker, "you", &["send", &id, "from you"]);
    client(folder, &broker, "alice", &["send", &id, "from me"]);
    let history = client(folder, &broker, "alice", &["history", &id]);
    let line = |text: &str| history.lines().find(|line| line.ends_with(text)).unwrap().to_owned();
    assert!(line("from you").contains("\"you\" ") && line("from me").contains(" you "), "{history}");
    let server = broker.address.to_string();
    for row in
        on_terminal(folder, 50, &["conversation", "members", &id, "--as", "alice", "--server", &server])
    {
        assert!(!row.starts_with("bob"), "{row}");
    }
    assert_eq!(broker.stop(), Some(0));
}
