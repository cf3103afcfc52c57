//! Where results go: what is written beside them, and what must not be replaced.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use blindspot::run::journal::difference_of_result;
use blindspot_data::files;
use serde::Serialize;
use serde_json::Value;

use crate::errors::{Exists, Usage};

/// A JSON file of a result is not read further: 1 GiB.
const MAX_JSON: u64 = 1 << 30;

/// The file with this extension beside the arrays': `json` for the summary, `svg` for the plot. `FILE.npz` has
/// `FILE.json`, any other name keeps its ending.
pub(super) fn beside(out: &Path, extension: &str) -> Result<PathBuf, Usage> {
    match out.extension() {
        Some(end) if end == OsStr::new(extension) => Err(Usage(format!(
            "--out must not end in .{extension}: that name is for what is written beside it"
        ))),
        Some(end) if end.eq_ignore_ascii_case("npz") => Ok(out.with_extension(extension)),
        _ => {
            let mut name = out.as_os_str().to_owned();
            name.push(format!(".{extension}"));
            Ok(name.into())
        }
    }
}

/// Makes sure that no file that is written is one that is read.
pub(super) fn refuse_inputs(written: &[PathBuf], read: &[PathBuf]) -> Result<(), Usage> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let read: Vec<PathBuf> = read.iter().filter_map(|path| real(path)).collect();
    for path in written {
        if real(path).is_some_and(|path| read.contains(&path)) {
            let path = path.display();
            let why = format!("{path} is read by this command: write to another name");
            return Err(Usage(why));
        }
    }
    Ok(())
}

/// Makes sure that files that are there may be replaced: by what the user says, or since the first of them,
/// a JSON file, says that they come from the same work, that `about` describes.
pub(super) fn refuse_other_results(
    written: &[PathBuf],
    about: &impl Serialize,
    overwrite: bool,
) -> anyhow::Result<()> {
    // An empty folder has nothing to lose.
    let there = |path: &&PathBuf| match fs::read_dir(path) {
        Ok(mut files) => files.next().is_some(),
        // Not what a link is to lead to, nor a device, which can't be written anyway.
        Err(_) => path.is_file(),
    };
    let (Some(found), false) = (written.iter().find(there), overwrite) else {
        return Ok(());
    };
    let record: Option<Value> = written
        .first()
        .and_then(|json| files::read_limited(json, MAX_JSON).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let why = match record {
        Some(record) => difference_of_result(&record, &serde_json::to_value(about)?),
        None => Some("what it comes from is not known".into()),
    };
    match why {
        Some(why) => Err(Exists {
            path: found.clone(),
            why,
        }
        .into()),
        None => Ok(()),
    }
}

/// What was written, for people: the files, of which those after the first are named without the folder that they share
/// with it, and the page.
pub(super) fn listing(files: &[PathBuf], page: Option<&Path>) -> String {
    let folder = files.first().and_then(|first| first.parent());
    let name = |(place, file): (usize, &PathBuf)| match file.file_name() {
        Some(name) if place > 0 && file.parent() == folder => name.to_string_lossy().into_owned(),
        _ => file.display().to_string(),
    };
    let names: Vec<String> = files.iter().enumerate().map(name).collect();
    let mut lines = Vec::new();
    if !names.is_empty() {
        lines.push(format!("Written: {}", names.join(", ")));
    }
    if let Some(page) = page {
        lines.push(format!("Page: {}", page.display()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_two_results_never_share_a_name() {
        let beside =
            |out: &str| beside(Path::new(out), "json").map(|path| path.display().to_string());
        assert_eq!(beside("a/run.npz").unwrap(), "a/run.json");
        assert_eq!(beside("run.NPZ").unwrap(), "run.json");
        assert_eq!(beside("run.a").unwrap(), "run.a.json");
        assert_eq!(beside("run.b").unwrap(), "run.b.json");
        assert_eq!(beside("run").unwrap(), "run.json");
        assert!(beside("run.json").is_err());
    }

    #[test]
    fn what_was_written_is_named_once_with_its_folder() {
        let files = ["out/a.npz", "out/a.json", "else/b.csv"].map(PathBuf::from);
        let page = Some(Path::new("out/a.html"));
        assert_eq!(
            listing(&files, page),
            "Written: out/a.npz, a.json, else/b.csv\nPage: out/a.html"
        );
        assert_eq!(listing(&[], page), "Page: out/a.html");
        assert_eq!(listing(&[], None), "");
    }
}
