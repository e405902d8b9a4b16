//! The page: its frame and style sheet, tables, and the one way in which text enters it.
//!
//! Invariant: whatever comes from a file passes [`escape`]. The page is well-formed XML, loads
//! nothing, and has no script.

use std::fmt::Write as _;

/// Makes text safe within elements and attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            '\n' | '\t' => safe.push(character),
            control if control.is_control() => safe.push('\u{fffd}'),
            // No characters of XML.
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            plain => safe.push(plain),
        }
    }
    safe
}

/// Wraps a body into a page. `title` is text, `body` is HTML.
pub(super) fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    let style = include_str!("style.css");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A table with a heading row; the first column names the row. All cells are text.
pub(super) fn table(caption: &str, heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = format!("<div class=\"scroll\"><table>\n<caption>{}</caption>\n<tr>", escape(caption));
    for cell in heading {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(cell));
    }
    html += "</tr>\n";
    for row in rows {
        html += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            let _ = match column {
                0 => write!(html, "<th scope=\"row\">{cell}</th>"),
                _ => write!(html, "<td>{cell}</td>"),
            };
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// A table of names and values.
pub(super) fn facts(caption: &str, rows: &[(&str, String)]) -> String {
    let mut html =
        format!("<div class=\"scroll\"><table class=\"facts\">\n<caption>{}</caption>\n", escape(caption));
    for (name, value) in rows {
        let (name, value) = (escape(name), escape(value));
        let _ = writeln!(html, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
    }
    html + "</table></div>\n"
}

/// Pictures side by side where there is room.
pub(super) fn figures(pictures: impl IntoIterator<Item = String>) -> String {
    let mut html = String::from("<div class=\"figures\">\n");
    for picture in pictures {
        let _ = writeln!(html, "<figure>{picture}</figure>");
    }
    html + "</div>\n"
}
