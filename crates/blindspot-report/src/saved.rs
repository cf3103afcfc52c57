//! Adversarial images in a folder: beside their originals and what was changed, with a table and a page.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use askama::Template;
use blindspot::examples::SavedExample;
use blindspot_data::files::{make_folder, write_atomically};
use blindspot_data::png;

use crate::ReportError;
use crate::embedded::magnified;
use crate::names::{class_name, file_name};
use crate::page::{Made, Page, words};
use crate::table::{Cell, Table, digits};

/// What is said of saved images besides themselves.
#[derive(Debug, Clone, Copy)]
pub struct SavedImages<'a> {
    /// The network and the images, for people.
    pub subject: &'a str,
    /// Channels, height and width of an image.
    pub image_shape: [usize; 3],
    /// The names of the classes, that of class 0 first.
    pub classes: Option<&'a [String]>,
    /// How they were made.
    pub made: &'a Made,
}

/// The subfolders, in the order of the page's columns.
const FOLDERS: [&str; 3] = ["original", "perturbation", "adversarial"];

#[derive(Template)]
#[template(path = "saved.html")]
struct Shown<'a> {
    page: Page<'a>,
    small: bool,
    rows: Vec<Row>,
}

/// An image on the page.
struct Row {
    /// The address of its file in each of the subfolders.
    file: String,
    name: String,
    wrong_before: bool,
    answers: String,
    norm: String,
    magnified: String,
}

/// Writes images into the folder `dir`, which is made: `adversarial/NAME.png`, `original/NAME.png` and
/// `perturbation/NAME.png`, magnified around grey by a round factor. NAME is that of the image's own file, which
/// `file` gives by the image's index, or that index. `images.csv` has each image's files, classes, answers and norms;
/// `labels.csv` has its true class, so that `folder:DIR/adversarial,DIR/labels.csv` is an image set; `index.html` shows
/// them. Gives how many there are.
///
/// # Errors
/// [`ReportError`]; [`ReportError::Shape`] where no PNG holds such images.
pub fn save_images(
    dir: &Path,
    shown: &SavedImages<'_>,
    file: impl Fn(usize) -> Option<String>,
    images: impl Iterator<Item = io::Result<SavedExample>>,
) -> Result<usize, ReportError> {
    // What killed processes left is removed with that, from the folder itself, too.
    make_folder(dir)?;
    for folder in FOLDERS {
        make_folder(&dir.join(folder))?;
    }
    let (mut taken, mut labels) = (HashSet::new(), String::new());
    let (mut rows, mut cells) = (Vec::new(), Vec::new());
    for image in images {
        let image = image.map_err(ReportError::Kept)?;
        let source = file(image.index);
        let png_name = free_name(source.as_deref(), image.index, &mut taken);
        let magnified = pictures(dir, &png_name, &image, shown.image_shape)?;
        labels += &format!("{png_name},{}\n", image.label);
        let change = || image.levels.iter().zip(&image.original);
        let change = || {
            change().map(|(&level, &value)| f64::from(f32::from(level) / 255.0) - f64::from(value))
        };
        let norm = change().map(|value| value * value).sum::<f64>().sqrt();
        let largest = change().map(f64::abs).fold(0.0, f64::max);
        let root = (image.levels.len().max(1) as f64).sqrt();
        let class = |number: usize| shown.classes.and_then(|names| names.get(number)).cloned();
        let named = |number: usize| class_name(shown.classes, number);
        let text = |name: Option<String>| Cell::Text(name.unwrap_or_default());
        let figure = |value: f64| Cell::Text(value.to_string());
        rows.push(Row {
            name: source
                .clone()
                .unwrap_or_else(|| format!("image {}", image.index)),
            wrong_before: image.wrong_before,
            answers: if image.wrong_before {
                format!("{}, wrong as it is", named(image.before))
            } else {
                format!("{} → {}", named(image.before), named(image.answer))
            },
            norm: digits(norm),
            magnified: magnified.to_string(),
            file: address(&png_name),
        });
        cells.push(vec![
            Cell::Text(png_name),
            text(source),
            Cell::Count(image.index as u64),
            Cell::Count(image.label as u64),
            text(class(image.label)),
            Cell::Count(image.before as u64),
            text(class(image.before)),
            Cell::Count(image.answer as u64),
            text(class(image.answer)),
            figure(norm),
            figure(largest),
            figure(norm / root),
            figure(f64::from(magnified)),
        ]);
    }
    let heads = [
        "file",
        "source",
        "index",
        "label",
        "label name",
        "answer",
        "answer name",
        "answer to adversarial",
        "answer to adversarial name",
        "l2",
        "linf",
        "distortion",
        "magnified",
    ];
    let table = Table {
        title: String::new(),
        note: String::new(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: cells,
    };
    let count = rows.len();
    let page = index(shown, rows)?;
    for (name, text) in [
        ("labels.csv", labels),
        ("images.csv", table.csv()),
        ("index.html", page),
    ] {
        write_atomically(&dir.join(name), |sink| sink.write_all(text.as_bytes()))?;
    }
    Ok(count)
}

/// A name as a part of an address.
fn address(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let part = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    name.bytes().map(part).collect()
}

/// A PNG file's name after an image's own file or, where it has none or the name is taken, its index.
fn free_name(source: Option<&str>, index: usize, taken: &mut HashSet<String>) -> String {
    let stem = source.and_then(|file| Path::new(file).file_stem());
    let stem = stem.map(|stem| file_name(&stem.to_string_lossy()));
    let mut name = stem.unwrap_or_else(|| format!("{index:05}"));
    // Some file systems take capitals for small letters.
    while !taken.insert(name.to_lowercase()) {
        name += &format!("-{index}");
    }
    name + ".png"
}

/// Writes the three pictures of an image; gives by how much the perturbation is magnified.
fn pictures(
    dir: &Path,
    name: &str,
    image: &SavedExample,
    shape: [usize; 3],
) -> Result<f32, ReportError> {
    let level = |value: f32| (255.0 * value).round().clamp(0.0, 255.0) as u8;
    let originals: Vec<u8> = image.original.iter().copied().map(level).collect();
    let changes = image.levels.iter().zip(&image.original);
    let changes: Vec<f32> = changes
        .map(|(&level, &value)| f32::from(level) / 255.0 - value)
        .collect();
    let (factor, shown) = magnified(&changes);
    let perturbation: Vec<u8> = shown.map(level).collect();
    for (folder, levels) in FOLDERS
        .iter()
        .zip([&originals, &perturbation, &image.levels])
    {
        let bytes = png(levels, shape).map_err(ReportError::Shape)?;
        write_atomically(&dir.join(folder).join(name), |sink| sink.write_all(&bytes))?;
    }
    Ok(factor)
}

/// The page that shows them.
fn index(shown: &SavedImages<'_>, rows: Vec<Row>) -> Result<String, askama::Error> {
    let [_, height, width] = shown.image_shape;
    let wrong = rows.iter().filter(|row| row.wrong_before).count();
    let page = Page {
        title: format!("Images of an attack on {}", shown.subject),
        answer: match rows.len() - wrong {
            0 => "No image was fooled.".into(),
            1 => "1 image fools the network when its file is read back.".into(),
            count => format!("{count} images fool the network when their files are read back."),
        },
        warning: String::new(),
        remarks: vec![
            "Norms are of the saved images of 8 bits, against the originals; images that were not fooled are left out."
                .into(),
            match wrong {
                0 => String::new(),
                wrong => format!("With them are {wrong} that the network gets wrong as they are; these are unchanged."),
            },
        ],
        contents: vec![("images".into(), "All images".into())],
        words: words(&["perturbation", "L2 norm", "answer"]),
        made: shown.made,
    };
    let small = height.max(width) <= 64;
    Shown { page, small, rows }.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_images_share_a_file() {
        let mut taken = HashSet::new();
        let mut name = |source, index| free_name(source, index, &mut taken);
        assert_eq!(name(Some("cats/a.jpg"), 3), "a.png");
        assert_eq!(name(Some("dogs/A.jpeg"), 4), "A-4.png");
        assert_eq!(name(None, 7), "00007.png");
        assert_eq!(name(Some("00007.gif"), 8), "00007-8.png");
    }

    #[test]
    fn a_folder_has_every_picture_and_a_table_that_says_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let image = SavedExample {
            index: 12,
            label: 1,
            wrong_before: false,
            before: 1,
            answer: 0,
            original: vec![0.0, 0.5, 1.0, 0.25],
            levels: vec![51, 128, 255, 64],
        };
        let names = ["<cat>".to_owned(), "dog".to_owned()];
        let shown = SavedImages {
            subject: "m.onnx",
            image_shape: [1, 2, 2],
            classes: Some(&names),
            made: &Made::default(),
        };
        let file = |index: usize| (index == 12).then(|| "photos/b c.jpg".to_owned());
        let saved = save_images(folder.path(), &shown, file, [Ok(image)].into_iter()).unwrap();
        assert_eq!(saved, 1);
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let table = read("images.csv");
        let row: Vec<&str> = table.lines().nth(1).unwrap().split(',').collect();
        assert_eq!(
            row[1..9],
            ["photos/b c.jpg", "12", "1", "dog", "1", "dog", "0", "<cat>"]
        );
        let png_name = row[0];
        assert_eq!(read("labels.csv"), format!("{png_name},1\n"));
        let norm: f64 = row[9].parse().unwrap();
        let change = |level: f32, value: f64| f64::from(level / 255.0) - value;
        let changes = [
            change(51.0, 0.0),
            change(128.0, 0.5),
            0.0,
            change(64.0, 0.25),
        ];
        let exact = changes
            .iter()
            .map(|change| change * change)
            .sum::<f64>()
            .sqrt();
        assert!((norm - exact).abs() < 1e-12, "{norm}");
        let levels = |folder_name: &str| {
            let path = folder.path().join(folder_name).join(png_name);
            image::open(path).unwrap().to_luma8().into_raw()
        };
        assert_eq!(levels("adversarial"), [51, 128, 255, 64]);
        assert_eq!(levels("original"), [0, 128, 255, 64]);
        // Twice the change, around grey.
        let perturbation = levels("perturbation");
        assert_eq!(row[12], "2");
        assert!((229..=230).contains(&perturbation[0]) && perturbation[2] == 128);
        let page = read("index.html");
        roxmltree::Document::parse(&page[page.find("<html").unwrap()..]).unwrap();
        assert!(page.contains("dog (1) → &#60;cat&#62; (0)"), "{page}");
    }
}
