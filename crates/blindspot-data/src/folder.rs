//! Folders of image files: which files, and which class each has.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::files::{FileError, read_limited, sha256_hex};

/// Names that end so are images. The last ones can't be read, which is better said than passed over.
const ENDINGS: &[&str] = &[
    "jpg", "jpeg", "jpe", "png", "bmp", "gif", "tif", "tiff", "webp",
];
/// No file of labels or names is read further: 64 MiB.
const MAX_TEXT_BYTES: u64 = 1 << 26;

/// Where the classes of a folder's images are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// In the names of subfolders, if there are any: sorted, the position is the class.
    Subfolders,
    /// Nowhere: there is one image a class, and sorted by name the position is the class.
    Position,
    /// In a file: a line `NAME,CLASS` for each image (a comma, a tab or the last space between), or
    /// just `CLASS` for each image sorted by name. A class is its number or its name.
    File(PathBuf),
}

/// The image files of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Relative to the folder, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// The class of each.
    pub(crate) labels: Option<Vec<usize>>,
    /// The names of the classes.
    pub(crate) classes: Option<Vec<String>>,
    /// Name and SHA-256 of the file of labels.
    pub(crate) hashes: Vec<(String, String)>,
}

/// Lists a folder.
///
/// # Errors
/// [`DataError`] where it can't be read, has no images, or the labels don't fit them.
pub(crate) fn list_images(root: &Path, labels: &Labels) -> Result<Listing, DataError> {
    let damaged = |why: String| DataError::Damaged {
        path: root.to_owned(),
        why,
    };
    let Entries { images, folders } = entries(root)?;
    let full = images_in(root, &folders)?;
    if !images.is_empty() && !full.is_empty() && *labels == Labels::Subfolders {
        let why = format!(
            "it holds images and also subfolders with images ({}, ...); give the one or the other a \
             folder of its own",
            full[0].0.display()
        );
        return Err(damaged(why));
    }
    if images.is_empty() {
        return match (full.is_empty(), labels) {
            (false, Labels::Subfolders) => Ok(of_subfolders(full)),
            (false, _) => Err(damaged(
                "its images are in subfolders, whose names are the classes; give it without labels"
                    .into(),
            )),
            (true, _) => Err(damaged(nothing(root, &folders))),
        };
    }
    let (labels, classes, hashes) = match labels {
        Labels::Subfolders => (None, None, Vec::new()),
        Labels::Position => {
            let names = images.iter().map(|image| stem(image)).collect();
            (Some((0..images.len()).collect()), Some(names), Vec::new())
        }
        Labels::File(path) => {
            let content = read_limited(path, MAX_TEXT_BYTES)?;
            let hash = (name(path), sha256_hex(&content));
            let refused = |why| DataError::Damaged {
                path: path.clone(),
                why,
            };
            let text = String::from_utf8(content).map_err(|_| refused("it is no text".into()))?;
            let (labels, classes) = of_file(&text, &images).map_err(refused)?;
            (Some(labels), classes, vec![hash])
        }
    };
    Ok(Listing {
        files: images,
        labels,
        classes,
        hashes,
    })
}

/// The names in a folder, sorted.
struct Entries {
    images: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

fn entries(folder: &Path) -> Result<Entries, DataError> {
    let fail = |source: io::Error| FileError {
        action: "read",
        path: folder.to_owned(),
        source,
    };
    let (mut images, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = PathBuf::from(entry.file_name());
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let mut kind = entry.file_type().map_err(fail)?;
        if kind.is_symlink() {
            // A link that leads nowhere is found to be broken when it is read.
            match fs::metadata(entry.path()) {
                Ok(behind) => kind = behind.file_type(),
                Err(_) if is_image(&name) => images.push(name.clone()),
                Err(_) => {}
            }
        }
        if kind.is_dir() {
            folders.push(name);
        } else if kind.is_file() && is_image(&name) {
            images.push(name);
        }
    }
    images.sort();
    folders.sort();
    Ok(Entries { images, folders })
}

/// The subfolders that hold images, and those.
fn images_in(root: &Path, folders: &[PathBuf]) -> Result<Vec<(PathBuf, Vec<PathBuf>)>, DataError> {
    let mut full = Vec::new();
    for folder in folders {
        let images = entries(&root.join(folder))?.images;
        if !images.is_empty() {
            full.push((folder.clone(), images));
        }
    }
    Ok(full)
}

fn of_subfolders(full: Vec<(PathBuf, Vec<PathBuf>)>) -> Listing {
    let classes = full.iter().map(|(folder, _)| name(folder)).collect();
    let (mut files, mut labels) = (Vec::new(), Vec::new());
    for (class, (folder, images)) in full.into_iter().enumerate() {
        labels.extend(images.iter().map(|_| class));
        files.extend(images.iter().map(|image| folder.join(image)));
    }
    Listing {
        files,
        labels: Some(labels),
        classes: Some(classes),
        hashes: Vec::new(),
    }
}

/// Why there are no images, and where they may be.
fn nothing(root: &Path, folders: &[PathBuf]) -> String {
    let below = folders.iter().find(|folder| {
        let path = root.join(folder);
        let inside = entries(&path).map(|entries| entries.folders);
        inside
            .and_then(|folders| images_in(&path, &folders))
            .is_ok_and(|full| !full.is_empty())
    });
    match below {
        Some(folder) => format!(
            "there are no images in it or its subfolders; did you mean folder:{}?",
            root.join(folder).display()
        ),
        None => "there are no images (.jpg, .png) in it or its subfolders".into(),
    }
}

/// The classes that a file of labels gives to the images, and their names if it has names: these
/// are numbered in sorted order.
fn of_file(text: &str, images: &[PathBuf]) -> Result<(Vec<usize>, Option<Vec<String>>), String> {
    let lines: Vec<(usize, &str)> = text
        .trim_start_matches('\u{feff}')
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let position: HashMap<String, usize> = images
        .iter()
        .enumerate()
        .map(|(i, image)| (image.to_string_lossy().into_owned(), i))
        .collect();
    let named = lines
        .iter()
        .any(|(_, line)| split(line).is_some_and(|(name, _)| position.contains_key(name)));
    let mut found: Vec<Option<&str>> = vec![None; images.len()];
    if named {
        for &(number, line) in &lines {
            let (name, class) = split(line)
                .ok_or_else(|| format!("line {number} is no `NAME,CLASS`: `{}`", short(line)))?;
            // A line of an image that is not there says nothing; the first may be the columns' names.
            let Some(&image) = position.get(name) else {
                continue;
            };
            if let Some(before) = found[image].replace(class)
                && before != class
            {
                return Err(format!("line {number} gives {name} a second class"));
            }
        }
    } else {
        if lines.len() != images.len() {
            return Err(format!(
                "no line begins with the name of an image, and {} lines are no classes of {} images \
                 sorted by name; write lines like `{},3`",
                lines.len(),
                images.len(),
                images[0].display()
            ));
        }
        for (place, (_, line)) in found.iter_mut().zip(&lines) {
            *place = Some(line);
        }
    }
    let without: Vec<String> = images
        .iter()
        .zip(&found)
        .filter(|(_, class)| class.is_none())
        .map(|(image, _)| image.display().to_string())
        .collect();
    if !without.is_empty() {
        return Err(format!("it has no class for {}", few(&without)));
    }
    let found: Vec<&str> = found.into_iter().flatten().collect();
    if let Ok(numbers) = found.iter().map(|class| class.parse()).collect() {
        return Ok((numbers, None));
    }
    let mut names: Vec<String> = found.iter().map(|&class| class.to_owned()).collect();
    names.sort();
    names.dedup();
    let number = |class: &&str| names.binary_search_by(|name| name.as_str().cmp(class));
    let labels = found
        .iter()
        .filter_map(|class| number(class).ok())
        .collect();
    Ok((labels, Some(names)))
}

/// Name and class of a line.
fn split(line: &str) -> Option<(&str, &str)> {
    let (name, class) = line
        .rsplit_once(',')
        .or_else(|| line.rsplit_once('\t'))
        .or_else(|| line.rsplit_once(' '))?;
    Some((unquoted(name), unquoted(class)))
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"').trim()
}

/// Names of classes: one a line, or a JSON list of strings.
///
/// # Errors
/// [`DataError`] where the file can't be read or is neither.
pub fn read_classes(path: &Path) -> Result<Vec<String>, DataError> {
    let refused = |why: String| DataError::Damaged {
        path: path.to_owned(),
        why,
    };
    let content = read_limited(path, MAX_TEXT_BYTES)?;
    let text = String::from_utf8(content).map_err(|_| refused("it is no text".into()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|error| refused(format!("it is no JSON list of names: {error}")));
    }
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    match names.iter().position(String::is_empty) {
        _ if text.is_empty() => Err(refused("it is empty; write one name a line".into())),
        Some(line) => Err(refused(format!(
            "line {} is empty; write one name a line, that of class 0 first",
            line + 1
        ))),
        None => Ok(names),
    }
}

/// The last part of a path, for people.
pub(crate) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// The first ones, and how many more.
pub(crate) fn few(items: &[String]) -> String {
    const SHOWN: usize = 5;
    match items.len().saturating_sub(SHOWN) {
        0 => items.join(", "),
        more => format!("{} and {more} more", items[..SHOWN].join(", ")),
    }
}

fn short(line: &str) -> String {
    line.chars().take(60).collect()
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| {
        ENDINGS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(ending))
    })
}
