//! Everything that is printed. Who reads it may stop reading at any time, as `head` does: that ends
//! the printing, and is no error.

use std::io::{self, Write};

use blindspot_report::plain;
use serde::Serialize;

use crate::args::Common;
use crate::errors::Unprinted;

/// Prints text for people, unless the user asked for silence or for JSON.
pub(crate) fn say(common: &Common, text: &str) -> Result<(), Unprinted> {
    if common.quiet || common.json {
        return Ok(());
    }
    print(&plain(text))
}

/// Prints a result as JSON, if the user asked for that.
pub(crate) fn json(common: &Common, value: &impl Serialize) -> anyhow::Result<()> {
    if common.json {
        print(&serde_json::to_string_pretty(value)?)?;
    }
    Ok(())
}

fn print(text: &str) -> Result<(), Unprinted> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Unprinted(error)),
        _ => Ok(()),
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
    // There is nowhere left to say that this can't be said.
    let _ = writeln!(io::stderr(), "blindspot: {}", plain(text));
}
