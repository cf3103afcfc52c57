//! `blindspot merge`.

use std::path::PathBuf;

use blindspot::journal::{Entries, JournalError};
use blindspot_data::files;

use super::attack::{self, Written};
use crate::args::{Common, Merge};
use crate::exit::Usage;

pub(super) fn run(command: &Merge, common: &Common) -> anyhow::Result<()> {
    attack::beside(&command.out, "json")?;
    files::check_writable(&command.out)?;
    let entries = Entries::of_shards(&journals(&command.folders)?)?;
    let written = Written {
        out: &command.out,
        save_images: command.save_images.as_deref(),
    };
    let record = attack::write(&entries, &written)?;
    attack::tell(common, &record, &written)
}

/// The journals of shards in some folders, in the order of their names.
fn journals(folders: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for folder in folders {
        let read = std::fs::read_dir(folder);
        let files = read.map_err(|error| Usage(format!("{}: {error}", folder.display())))?;
        let found = journals.len();
        for file in files {
            let path = file?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "journal")
            {
                journals.push(path);
            }
        }
        if journals.len() == found {
            let why = format!(
                "{}: there are no journals of shards in it; give a folder that --shard wrote to",
                folder.display()
            );
            return Err(JournalError::Incomplete(why).into());
        }
    }
    journals.sort();
    Ok(journals)
}
