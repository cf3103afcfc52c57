//! Names that come from files, and the places where they must not be more than names.

use std::collections::HashSet;

/// Characters of a file's name, at most: file systems take some 255 bytes.
const LONGEST: usize = 120;

/// A text without what a terminal would obey: control characters, but for line ends, and marks that turn
/// the direction of writing are written as in Rust.
pub fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && (c.is_control() || turns(c)) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// A name for a terminal or a table, on one line: control characters escaped, line breaks as spaces.
pub(crate) fn plain_line(text: &str) -> String {
    plain(text).replace('\n', " ")
}

/// A text in a cell of a Markdown table, where nothing of it is markup.
pub(crate) fn in_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in plain_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '[' | ']' | '~' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text in a cell of comma-separated values: spreadsheets take what begins like a formula for one, so an
/// apostrophe comes before it.
pub(crate) fn in_csv(text: &str) -> String {
    let begins = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if begins && text.len() > 1 && text.parse::<f64>().is_err() {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

/// Names without what file systems or shells make of some characters, none too long, and no two the same,
/// in capitals either.
pub fn file_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut free = |name: &str| {
        let name = file_name(name);
        let numbered = |number: usize| match number {
            1 => name.clone(),
            _ => format!("{name}-{number}"),
        };
        let mut candidates = (1..).map(numbered);
        let free = candidates.find(|name| taken.insert(name.to_lowercase()));
        free.expect("some number is free")
    };
    names.into_iter().map(&mut free).collect()
}

/// A name without what file systems or shells make of some characters.
pub fn file_name(name: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = name.chars().map(|c| if safe(c) { c } else { '_' });
    name.take(LONGEST).collect()
}

/// A class for people: its name and number, or its number alone.
pub(crate) fn class_name(classes: Option<&[String]>, number: usize) -> String {
    match classes.and_then(|names| names.get(number)) {
        Some(name) if *name != number.to_string() => format!("{name} ({number})"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_more_than_a_name() {
        assert_eq!(
            plain("a\u{1b}[31mred\u{7f}\u{202e}\nb ü"),
            "a\\u{1b}[31mred\\u{7f}\\u{202e}\nb ü"
        );
        assert_eq!(
            in_markdown("<img src=x> a|b `c` [d](e)\n*f*"),
            "&lt;img src=x&gt; a\\|b \\`c\\` \\[d\\](e) \\*f\\*"
        );
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-2.5", "-2.5"),
            ("-", "-"),
            ("conv1", "conv1"),
        ] {
            assert_eq!(in_csv(text), cell);
        }
    }

    #[test]
    fn files_of_different_names_are_different_files() {
        let long = "n".repeat(5000);
        let names = ["a/b", "a:b", "A/b", "a_b-2", &long, &long];
        let files = file_names(names);
        assert_eq!(files[..4], ["a_b", "a_b-2", "A_b-3", "a_b-2-2"]);
        assert!(files.iter().all(|name| name.len() < 200) && files[4] != files[5]);
    }
}
