//! The pages that `--report` asks for.

use std::path::{Path, PathBuf};

use blindspot_data::files::{self, FileError};

/// The page's file: the one that is named, or index.html in the folder that is named.
pub(super) fn file(report: &Path) -> PathBuf {
    let ending = report.extension();
    if ending.is_some_and(|ending| ending.eq_ignore_ascii_case("html")) {
        report.to_owned()
    } else {
        report.join("index.html")
    }
}

/// Makes the page's folder, so that a page that can't be written is found out before the work.
pub(super) fn check(report: Option<&Path>) -> Result<(), FileError> {
    let Some(report) = report else { return Ok(()) };
    let file = file(report);
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        files::make_folder(folder)?;
    }
    files::check_writable(&file)
}

/// Writes the page.
pub(super) fn write(report: &Path, page: &str) -> Result<(), FileError> {
    files::write_atomically(&file(report), |sink| sink.write_all(page.as_bytes()))
}

/// The address of a file as the page names it: relative to the page's folder where that is possible.
pub(super) fn link(report: &Path, target: &Path) -> Option<(String, String)> {
    let page = std::path::absolute(file(report)).ok()?;
    let target = std::path::absolute(target).ok()?;
    let name = target.file_name()?.to_string_lossy().into_owned();
    let mut up = String::new();
    let mut folder = page.parent()?;
    while !target.starts_with(folder) {
        up += "../";
        folder = folder.parent()?;
    }
    let rest = target.strip_prefix(folder).ok()?;
    let parts = rest.iter().map(|part| encoded(&part.to_string_lossy()));
    Some((name, up + &parts.collect::<Vec<_>>().join("/")))
}

/// A name as a part of an address.
fn encoded(name: &str) -> String {
    let mut address = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address += &format!("%{byte:02X}");
        }
    }
    address
}

/// The command that this process was started by, ready to be pasted.
pub(super) fn command() -> String {
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| quoted(&word.to_string_lossy()));
    let command: Vec<String> = std::iter::once("blindspot".to_owned())
        .chain(words)
        .collect();
    command.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_files_as_seen_from_it() {
        let link = |report: &str, target: &str| {
            link(Path::new(report), Path::new(target)).map(|(_, address)| address)
        };
        assert_eq!(link("page.html", "a b.npz").unwrap(), "a%20b.npz");
        assert_eq!(link("pages", "a.npz").unwrap(), "../a.npz");
        assert_eq!(
            link("pages/one.html", "pages/data/a.npz").unwrap(),
            "data/a.npz"
        );
        assert_eq!(quoted("mnist:test"), "mnist:test");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
