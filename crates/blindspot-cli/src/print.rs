//! Everything that is printed. Who reads it may stop reading at any time, as `head` does: that ends
//! the printing, and is no error.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use blindspot_report::plain;
use serde::Serialize;

use crate::args::Common;
use crate::errors::Unprinted;

/// Prints text for people, unless the user asked for silence or for JSON.
pub(crate) fn say(common: &Common, text: &str) -> Result<(), Unprinted> {
    if common.quiet || common.json {
        return Ok(());
    }
    self::text(&plain(text))
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
    let line = format!("{style}blindspot:{style:#} {}\n", plain(text));
    // There is nowhere left to say that this can't be said.
    let _ = anstream::stderr().write_all(line.as_bytes());
}
