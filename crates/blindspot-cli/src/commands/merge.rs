//! `blindspot merge`.

use blindspot::run::journal::{Entries, JournalError, Work};
use blindspot::{certify, examples, transfer};

use super::{attack, units};
use crate::args::{Common, Merge};
use crate::errors::Usage;
use crate::progress::Progress;

pub(super) fn run(command: &Merge, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let entries = Entries::in_folders(&command.folders)?;
    let kind = entries.header().kind.as_str();
    if kind != examples::About::KIND {
        let options = [
            ("--save-images", command.save_images.is_some()),
            ("--smallest", command.smallest.is_some()),
        ];
        if let Some((option, _)) = options.into_iter().find(|(_, given)| *given) {
            let why = format!("{option} is for shards of `attack`, these are of `{kind}`");
            return Err(Usage(why).into());
        }
        // Only an attack leaves images out, those of the class that is asked for.
        entries.check_all()?;
    }
    if kind == units::About::KIND && command.report.is_some() {
        let why = "--report is not for shards of `units`, whose folder has a page of its own";
        return Err(Usage(why.into()).into());
    }
    match kind {
        examples::About::KIND => attack::merge(&entries, command, common),
        certify::About::KIND => super::certify::merge(&entries, command, common),
        transfer::About::KIND => super::transfer::merge(&entries, command, common),
        units::About::KIND => units::merge(&entries, command, common, progress),
        kind => {
            let (found, wanted) = (kind.to_owned(), "which can't be merged".into());
            Err(JournalError::Kind { found, wanted }.into())
        }
    }
}
