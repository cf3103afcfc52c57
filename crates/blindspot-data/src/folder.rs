//! Folders of image files: which files, and which class each has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::files::{FileError, read_limited, sha256_hex};
use crate::labels::read_labels;

/// Names that end so are images.
const ENDINGS: &[&str] = &[
    "jpg", "jpeg", "jpe", "png", "bmp", "gif", "tif", "tiff", "webp", "pbm", "pgm", "ppm", "pnm",
];
/// No file of labels or names is read further: 64 MiB.
const MAX_TEXT_BYTES: u64 = 1 << 26;

/// Where the classes of a folder's images are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// In the names of subfolders, if there are any: sorted, the position is the class, also of those
    /// without images.
    Subfolders,
    /// Nowhere: there is one image a class, and sorted by name the position is the class.
    Position,
    /// In a file: a line `NAME,CLASS` for each image (a comma, a tab or a space between), or just
    /// `CLASS` for each image sorted by name. A class is its number or its name; all are of one kind.
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
    /// What a user should know of the folder, in words.
    pub(crate) notes: Vec<String>,
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
    let Entries {
        images,
        mut others,
        folders,
    } = entries(root)?;
    let subfolders = subfolders(root, &folders)?;
    let full = subfolders
        .iter()
        .find(|(_, within)| !within.images.is_empty());
    if let (false, Some((folder, _)), Labels::Subfolders) = (images.is_empty(), full, labels) {
        let why = format!(
            "it holds images and also subfolders with images ({}, ...); give the one or the other a \
             folder of its own",
            folder.display()
        );
        return Err(damaged(why));
    }
    if images.is_empty() {
        return match (full, labels) {
            (Some(_), Labels::Subfolders) => Ok(of_subfolders(subfolders)),
            (Some(_), _) => Err(damaged(
                "its images are in subfolders, whose names are the classes; give it without labels"
                    .into(),
            )),
            (None, _) => Err(damaged(nothing(root, &folders))),
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
            let (labels, classes) = read_labels(&text, &images).map_err(refused)?;
            (Some(labels), classes, vec![hash])
        }
    };
    // A file of labels may lie beside its images.
    others.retain(|other| hashes.iter().all(|(file, _)| name(other) != *file));
    Ok(Listing {
        files: images,
        labels,
        classes,
        hashes,
        notes: passed_over(&others).into_iter().collect(),
    })
}

/// The names in a folder, sorted.
struct Entries {
    images: Vec<PathBuf>,
    /// Files whose names are not those of images.
    others: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

fn entries(folder: &Path) -> Result<Entries, DataError> {
    let fail = |source: io::Error| FileError {
        action: "read",
        path: folder.to_owned(),
        source,
    };
    let (mut images, mut others, mut folders) = (Vec::new(), Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = PathBuf::from(entry.file_name());
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let mut kind = entry.file_type().map_err(fail)?;
        if kind.is_symlink() {
            // A link that leads nowhere, or to a device, is found to be broken when it is read.
            match fs::metadata(entry.path()) {
                Ok(behind) if behind.is_file() || behind.is_dir() => kind = behind.file_type(),
                _ if is_image(&name) => images.push(name.clone()),
                _ => {}
            }
        }
        if kind.is_dir() {
            folders.push(name);
        } else if kind.is_file() {
            if is_image(&name) {
                &mut images
            } else {
                &mut others
            }
            .push(name);
        }
    }
    images.sort();
    others.sort();
    folders.sort();
    Ok(Entries {
        images,
        others,
        folders,
    })
}

/// The subfolders and what is in them.
fn subfolders(root: &Path, folders: &[PathBuf]) -> Result<Vec<(PathBuf, Entries)>, DataError> {
    let within = folders
        .iter()
        .map(|folder| Ok((folder.clone(), entries(&root.join(folder))?)));
    within.collect()
}

/// The images of subfolders: the position of each folder is its class, so that a folder without
/// images leaves the numbers of the others as they are.
fn of_subfolders(subfolders: Vec<(PathBuf, Entries)>) -> Listing {
    let classes: Vec<String> = subfolders.iter().map(|(folder, _)| name(folder)).collect();
    let (mut files, mut labels) = (Vec::new(), Vec::new());
    let (mut empty, mut others) = (Vec::new(), Vec::new());
    for (class, (folder, within)) in subfolders.into_iter().enumerate() {
        if within.images.is_empty() {
            empty.push(format!("{} (class {class})", classes[class]));
        }
        labels.extend(within.images.iter().map(|_| class));
        files.extend(within.images.iter().map(|image| folder.join(image)));
        others.extend(within.others.iter().map(|other| folder.join(other)));
    }
    let mut notes = Vec::new();
    if !empty.is_empty() {
        notes.push(format!(
            "subfolders without an image that is read: {}",
            few(&empty)
        ));
    }
    notes.extend(passed_over(&others));
    notes.extend(renumbered(&classes));
    Listing {
        files,
        labels: Some(labels),
        classes: Some(classes),
        hashes: Vec::new(),
        notes,
    }
}

/// Says which files are not taken for images, if there are any.
fn passed_over(others: &[PathBuf]) -> Option<String> {
    let names: Vec<String> = others
        .iter()
        .map(|other| other.display().to_string())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "files passed over, which are not named as images that are read (.png, .jpg): {}",
            few(&names)
        )
    })
}

/// Says so where the names of classes are numbers, but not their numbers: 10 comes before 2.
fn renumbered(classes: &[String]) -> Option<String> {
    let numbers: Option<Vec<usize>> = classes.iter().map(|name| name.parse().ok()).collect();
    let (class, number) = numbers?
        .into_iter()
        .enumerate()
        .find(|(class, number)| class != number)?;
    Some(format!(
        "the names of the subfolders are numbers, and count as names: sorted as text, {number} is \
         class {class}; a list of all names of classes in their order gives them others"
    ))
}

/// Why there are no images, and where they may be.
fn nothing(root: &Path, folders: &[PathBuf]) -> String {
    let below = folders.iter().find(|folder| {
        let path = root.join(folder);
        let inside = entries(&path).and_then(|within| subfolders(&path, &within.folders));
        inside.is_ok_and(|all| all.iter().any(|(_, within)| !within.images.is_empty()))
    });
    match below {
        Some(folder) => format!(
            "there are no images in it or its subfolders; did you mean folder:{}?",
            root.join(folder).display()
        ),
        None => "there are no images (.jpg, .png) in it or its subfolders".into(),
    }
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

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| {
        ENDINGS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(ending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of these files, which are empty.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
        }
        folder
    }

    #[test]
    fn a_class_folder_without_images_keeps_its_number_and_is_named() {
        let files = ["a/0.png", "b/1.avif", "c/2.jpg", "c/notes.txt", "e/3.PNG"];
        let folder = folder(&files);
        fs::create_dir(folder.path().join("d")).unwrap();
        let listing = list_images(folder.path(), &Labels::Subfolders).unwrap();
        assert_eq!(listing.labels.unwrap(), [0, 2, 4]);
        assert_eq!(listing.classes.unwrap(), ["a", "b", "c", "d", "e"]);
        let [empty, passed] = &listing.notes[..] else {
            panic!("{:?}", listing.notes)
        };
        assert!(empty.ends_with(": b (class 1), d (class 3)"), "{empty}");
        assert!(passed.ends_with(": b/1.avif, c/notes.txt"), "{passed}");
    }

    #[test]
    fn a_file_of_labels_beside_its_images_is_not_passed_over() {
        let folder = folder(&["0.png", "1.png", "2.avif"]);
        let labels = folder.path().join("labels.csv");
        fs::write(&labels, "0.png,4\n1.png,2\n").unwrap();
        let listing = list_images(folder.path(), &Labels::File(labels)).unwrap();
        assert_eq!(listing.labels.unwrap(), [4, 2]);
        let [passed] = &listing.notes[..] else {
            panic!("{:?}", listing.notes)
        };
        assert!(passed.ends_with(": 2.avif"), "{passed}");
    }

    #[test]
    fn names_that_are_numbers_but_not_those_of_the_classes_are_told() {
        let notes = |files: &[&str]| {
            let folder = folder(files);
            list_images(folder.path(), &Labels::Subfolders)
                .unwrap()
                .notes
        };
        assert_eq!(notes(&["0/a.png", "1/a.png", "2/a.png"]), [""; 0]);
        let told = notes(&["1/a.png", "2/a.png", "10/a.png"]);
        assert!(told[0].contains("1 is class 0"), "{told:?}");
    }
}
