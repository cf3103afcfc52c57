//! `blindspot completions` and `blindspot man`.

use blindspot_data::files::{self, FileError};
use clap::CommandFactory;

use crate::args::{Args, Common, Completions, Man};
use crate::errors::Unprinted;
use crate::print::{self, say};

/// The program's name.
const NAME: &str = "blindspot";

pub(super) fn completions(command: &Completions) -> Result<(), Unprinted> {
    let mut text = Vec::new();
    clap_complete::generate(command.shell, &mut Args::command(), NAME, &mut text);
    print::text(String::from_utf8_lossy(&text).trim_end())
}

pub(super) fn man(command: &Man, common: &Common) -> anyhow::Result<()> {
    let mut program = Args::command().disable_help_subcommand(true);
    program.build();
    let pages = write(&program, command)?;
    let folder = command.folder.display();
    say(common, &format!("Written: {pages} pages in {folder}"))?;
    Ok(())
}

/// Writes the page of a command and those of the commands in it; gives how many.
fn write(program: &clap::Command, command: &Man) -> Result<usize, FileError> {
    files::make_folder(&command.folder)?;
    let name = program.get_display_name().unwrap_or(program.get_name());
    let path = command.folder.join(format!("{name}.1"));
    let page = clap_mangen::Man::new(program.clone());
    files::write_atomically(&path, |mut sink| page.render(&mut sink))?;
    let own = program.get_subcommands().map(|part| write(part, command));
    own.sum::<Result<usize, _>>().map(|pages| 1 + pages)
}
