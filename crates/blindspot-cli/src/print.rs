//! Everything that is printed. Who reads it may stop reading at any time, as `head` does: that ends
//! the printing, and is no error.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use blindspot_report::{Table, plain};
use serde::Serialize;
use terminal_size::terminal_size_of;

use crate::args::Common;
use crate::errors::Unprinted;

/// Prints text for people, unless the user asked for silence or for JSON.
pub(crate) fn say(common: &Common, text: &str) -> Result<(), Unprinted> {
    if common.quiet || common.json {
        return Ok(());
    }
    let text = plain(text);
    self::text(&match width() {
        Some(width) => wrapped(&text, width),
        None => text,
    })
}

/// How many letters a line of the terminal has; None where standard output is no terminal.
pub(crate) fn width() -> Option<usize> {
    terminal_size_of(io::stdout()).map(|(width, _)| width.0.into())
}

/// A table that fits the terminal.
pub(crate) fn table(table: &Table) -> String {
    table.text_within(width().unwrap_or(usize::MAX))
}

/// Text whose lines end at a space before they would end at the terminal's edge. What goes on stands below what is said
/// of a name, where the line begins with one.
fn wrapped(text: &str, width: usize) -> String {
    let wrap = |line: &str| {
        if line.chars().count() <= width {
            return line.to_owned();
        }
        let said = line.find("  ").map_or(0, |gap| {
            let rest = line[gap..].trim_start_matches(' ');
            line.len() - rest.len()
        });
        let indent = line[..said].chars().count();
        let indent = if indent <= width / 2 { indent } else { 0 };
        let mut lines = String::new();
        let mut length = 0;
        for word in line.split_inclusive(' ') {
            let letters = word.trim_end().chars().count();
            if length + letters > width && length > indent {
                lines.truncate(lines.trim_end().len());
                lines += &format!("\n{}", " ".repeat(indent));
                length = indent;
            }
            lines += word;
            length += word.chars().count();
        }
        lines
    };
    text.split('\n').map(wrap).collect::<Vec<_>>().join("\n")
}

/// Prints a result as JSON, if the user asked for that.
pub(crate) fn json(common: &Common, value: &impl Serialize) -> anyhow::Result<()> {
    if common.json {
        text(&serde_json::to_string_pretty(value)?)?;
    }
    Ok(())
}

/// Prints text as it is.
pub(crate) fn text(text: &str) -> Result<(), Unprinted> {
    let printed = writeln!(io::stdout(), "{text}");
    printed.or_else(unread).map_err(Unprinted)
}

/// What becomes of an error of printing: nothing where nobody reads on.
pub(crate) fn unread(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    }
}

/// A number of things of all, with the share if there are any.
pub(crate) fn of(part: usize, all: usize) -> String {
    match all {
        0 => "0 of 0".into(),
        _ => format!("{part} of {all} ({:.1}%)", 100.0 * part as f64 / all as f64),
    }
}

/// Prints what a user should know beside the result on standard error, after the program's name.
pub(crate) fn warning(text: &str) {
    aside(AnsiColor::Yellow, text);
}

/// Prints what the command failed by, likewise.
pub(crate) fn error(text: &str) {
    aside(AnsiColor::Red, text);
}

/// The program's name is in colour where standard error is a terminal that has colours, and `NO_COLOR` is not set.
fn aside(colour: AnsiColor, text: &str) {
    let style = Style::new().bold().fg_color(Some(colour.into()));
    let mut text = format!("blindspot: {}", plain(text));
    if let Some((width, _)) = terminal_size_of(io::stderr()) {
        text = wrapped(&text, width.0.into());
    }
    let said = text.strip_prefix("blindspot:").unwrap_or(&text);
    let line = format!("{style}blindspot:{style:#}{said}\n");
    // There is nowhere left to say that this can't be said.
    let _ = anstream::stderr().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_spaces_below_what_is_said() {
        let text = "short\nname  one two three four\nall words of a line without names";
        assert_eq!(
            wrapped(text, 16),
            "short\nname  one two\n      three four\nall words of a\nline without\nnames"
        );
        assert_eq!(wrapped("a/very/long/path.npz", 8), "a/very/long/path.npz");
    }
}
