//! How a command names images: `mnist:test`, `folder:DIR`, `npz:FILE`, `cifar10:DIR`,
//! `idx:IMAGES,LABELS`, `csv:FILE,COLUMN`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::cifar::read_cifar10;
use crate::columns::Schema;
use crate::error::DataError;
use crate::fetch::{Download, Locations, PARTS, Silent, find};
use crate::folder::{Labels, list_images, name};
use crate::idx::{Idx, read_first};
use crate::limit::ReadLimit;
use crate::npz::{Axes, read_npz};
use crate::set::ImageSet;
use crate::suggest::suggest;
use crate::table::read_table;

/// A specification of an image set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataSpec {
    /// A part of a known set: its position in the table of known parts.
    Known(usize),
    /// IDX files of the user's own.
    Idx {
        /// The images: axes n, height, width, or n, channels, height, width.
        images: PathBuf,
        /// Their classes: one axis, n long.
        labels: Option<PathBuf>,
    },
    /// A folder of image files (PNG, JPEG, BMP, GIF, WebP, TIFF, PNM): `folder:DIR` (a subfolder a class), `folder:DIR,LABELS`,
    /// `folder:DIR,position`.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Where the classes are.
        labels: Labels,
    },
    /// Image files, without classes: `files:A,B`, or as a JSON list, `files:["A", "B"]`.
    Files(Vec<PathBuf>),
    /// An archive of NumPy arrays `x` and `y`: `npz:FILE`, `npz:FILE,nchw`, `npz:FILE,nhwc`.
    Npz {
        /// The archive.
        path: PathBuf,
        /// The order of the images' axes, where it can't be seen from their sizes.
        axes: Option<Axes>,
    },
    /// CIFAR-10's binary batches: `cifar10:FILE`, or a folder of them as `cifar10:DIR` (the test
    /// images) or `cifar10:DIR,train`.
    Cifar10 {
        /// The file or folder.
        path: PathBuf,
        /// Of a folder, whether the training images are meant.
        train: bool,
    },
    /// A table of numbers, the names of its columns in the first line: `csv:FILE`, or with the column
    /// of the classes, `csv:FILE,COLUMN`.
    Csv {
        /// The file.
        path: PathBuf,
        /// The name of the column of the classes.
        label: Option<String>,
    },
}

/// What specifications there are besides the known sets.
const FORMS: &str = "folder:DIR[,LABELS], files:FILE[,FILE...], npz:FILE, cifar10:DIR[,train], \
                     idx:IMAGES[,LABELS] and csv:FILE[,COLUMN]";

impl FromStr for DataSpec {
    type Err = DataError;

    fn from_str(text: &str) -> Result<DataSpec, DataError> {
        if let Some(position) = PARTS.iter().position(|part| part.name == text) {
            return Ok(DataSpec::Known(position));
        }
        let refused = |why: String| DataError::Spec {
            spec: text.to_owned(),
            why,
        };
        if let Some((form, rest)) = text.split_once(':').filter(|(_, rest)| !rest.is_empty()) {
            // A path may have a comma itself: that of a file or folder that is there counts as one.
            let (path, option) = match rest.rsplit_once(',') {
                Some((path, option)) if !Path::new(rest).exists() => (path, Some(option)),
                _ => (rest, None),
            };
            let path = PathBuf::from(path);
            match form {
                "idx" => {
                    let (images, labels) = match rest.split_once(',') {
                        Some((images, labels)) => (images, Some(PathBuf::from(labels))),
                        None => (rest, None),
                    };
                    let images = images.into();
                    return Ok(DataSpec::Idx { images, labels });
                }
                "folder" => {
                    let labels = match option {
                        None => Labels::Subfolders,
                        Some("position") => Labels::Position,
                        Some(file) => Labels::File(file.into()),
                    };
                    return Ok(DataSpec::Folder { path, labels });
                }
                "files" => {
                    let list = serde_json::from_str(rest);
                    let split = || rest.split(',').map(PathBuf::from).collect();
                    return Ok(DataSpec::Files(list.unwrap_or_else(|_| split())));
                }
                "npz" => {
                    let axes = option.map(str::parse).transpose().map_err(refused)?;
                    return Ok(DataSpec::Npz { path, axes });
                }
                "csv" => {
                    if let Some(why) = other_table(&path) {
                        return Err(refused(why));
                    }
                    let label = option.map(str::to_owned);
                    return Ok(DataSpec::Csv { path, label });
                }
                "cifar10" => {
                    let train = match option {
                        None | Some("test") => false,
                        Some("train") => true,
                        Some(other) => {
                            return Err(refused(format!(
                                "`{other}` is no part of CIFAR-10: write test or train"
                            )));
                        }
                    };
                    return Ok(DataSpec::Cifar10 { path, train });
                }
                _ => {}
            }
        }
        if let Some(meant) = meant(text) {
            return Err(refused(meant));
        }
        let names = PARTS.iter().map(|part| part.name).collect::<Vec<_>>();
        let likely = suggest(text, names.iter().copied());
        Err(refused(format!(
            "did you mean `{}`? There are {}, {FORMS}",
            likely.unwrap_or("mnist:test"),
            names.join(", ")
        )))
    }
}

/// Tables that are no CSV, and the line of Python that makes one of them.
const OTHER_TABLES: [(&str, &str); 4] = [
    ("parquet", "read_parquet"),
    ("feather", "read_feather"),
    ("arrow", "read_feather"),
    ("xlsx", "read_excel"),
];

/// What to do with a table that is no CSV.
fn other_table(path: &Path) -> Option<String> {
    let ending = path.extension()?.to_ascii_lowercase();
    let (kind, read) = OTHER_TABLES.iter().find(|(known, _)| ending == *known)?;
    Some(format!(
        "tables are read from CSV, and not from {kind}; write one with pandas.{read}(FILE).to_csv(\"table.csv\", \
         index=False)"
    ))
}

/// What somebody meant who gave an address, or the mere path of something that is there.
fn meant(text: &str) -> Option<String> {
    if text.contains("://") {
        let why = "it is an address, and images are read from files: fetch them first, then name the folder, as in \
                   folder:DIR, or the file, as in npz:FILE";
        return Some(why.to_owned());
    }
    let path = Path::new(text);
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let other = other_table(path);
    if other.is_some() {
        return other;
    }
    let form = match ending.to_str().unwrap_or_default() {
        _ if path.is_dir() && path.join("data_batch_1.bin").is_file() => "cifar10",
        _ if path.is_dir() => "folder",
        _ if !path.is_file() => return None,
        "npz" => "npz",
        "csv" | "tsv" => "csv",
        "bin" => "cifar10",
        "png" | "jpg" | "jpeg" | "bmp" | "gif" | "webp" | "tif" | "tiff" | "ppm" | "pgm" => "files",
        "gz" => "idx",
        _ if text.contains("ubyte") => "idx",
        _ => return None,
    };
    let more = match form {
        "idx" => ",LABELS",
        "csv" => ",COLUMN",
        _ => "",
    };
    Some(format!("did you mean `{form}:{text}{more}`?"))
}

impl DataSpec {
    /// The text that names image files, whatever is in their names.
    pub fn of_files(files: &[PathBuf]) -> String {
        let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
        let plain = |name: &str| !name.contains([',', '[', '"']);
        if names.iter().all(|name| plain(name)) {
            format!("files:{}", names.join(","))
        } else {
            let list = serde_json::to_string(&names).expect("names are text");
            format!("files:{list}")
        }
    }

    /// The files and folders that it names.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            DataSpec::Known(_) => Vec::new(),
            DataSpec::Idx { images, labels } => {
                let labels = labels.as_deref();
                [Some(&**images), labels].into_iter().flatten().collect()
            }
            DataSpec::Folder { path, labels } => match labels {
                Labels::File(file) => vec![path, file],
                Labels::Subfolders | Labels::Position => vec![path],
            },
            DataSpec::Files(files) => files.iter().map(PathBuf::as_path).collect(),
            DataSpec::Npz { path, .. }
            | DataSpec::Cifar10 { path, .. }
            | DataSpec::Csv { path, .. } => vec![path],
        }
    }

    /// Finds the files, or fetches them, checks them and reads them.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn load(
        &self,
        locations: &Locations,
        download: &mut dyn Download,
    ) -> Result<ImageSet, DataError> {
        self.load_within(&ReadLimit::default(), locations, download)
    }

    /// Finds the files, or fetches them, checks them and reads no more images and memory than a limit allows.
    /// Images of a folder, and of the known sets, are all there: the former stay in their files, the latter
    /// are small.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn load_within(
        &self,
        limit: &ReadLimit,
        locations: &Locations,
        download: &mut dyn Download,
    ) -> Result<ImageSet, DataError> {
        match self {
            DataSpec::Known(position) => {
                let part = &PARTS[*position];
                let [images, labels] = find(part, locations, download)?;
                part.check(&images)?;
                part.check(&labels)?;
                assemble(
                    part.name,
                    &images.path,
                    images.idx,
                    Some((&labels.path, labels.idx)),
                )
            }
            DataSpec::Idx { images, labels } => {
                let of_labels = match labels {
                    Some(path) => Some((path.as_path(), read_first(path, limit)?)),
                    None => None,
                };
                assemble(&name(images), images, read_first(images, limit)?, of_labels)
            }
            DataSpec::Folder { path, labels } => {
                ImageSet::of_folder(path.clone(), list_images(path, labels)?)
            }
            DataSpec::Files(files) => ImageSet::of_image_files(files.clone()),
            DataSpec::Npz { path, axes } => read_npz(path, *axes, limit),
            DataSpec::Cifar10 { path, train } => read_cifar10(path, *train),
            DataSpec::Csv { path, label } => read_table(path, label.as_deref(), None, limit),
        }
    }
}

impl DataSpec {
    /// Reads a table whose columns are described: no more inputs are given than a limit allows, but all rows are read
    /// for what is found of the columns.
    ///
    /// # Errors
    /// [`DataError`], also where the specification names no table.
    pub fn load_described(
        &self,
        schema: &Schema,
        limit: &ReadLimit,
    ) -> Result<ImageSet, DataError> {
        match self {
            DataSpec::Csv { path, label } => {
                read_table(path, label.as_deref(), Some(schema), limit)
            }
            _ => Err(DataError::Unfit {
                set: "the set".into(),
                why: "columns are those of a table; name one, as in csv:FILE,COLUMN".into(),
            }),
        }
    }
}

impl ImageSet {
    /// The images that a specification names, such as `mnist:test`, `folder:photographs` or
    /// `npz:images.npz`: what [`DataSpec`] reads. MNIST is looked for in the folder that the
    /// environment variable `BLINDSPOT_DATA` names and in the cache, and fetched if it is in neither.
    ///
    /// # Errors
    /// [`DataError`] if the specification names no images, or they can't be had.
    pub fn open(spec: &str) -> Result<ImageSet, DataError> {
        let spec: DataSpec = spec.parse()?;
        spec.load(&Locations::new(None), &mut Silent)
    }
}

/// An image set of the contents of two files.
fn assemble(
    set: &str,
    path: &Path,
    images: Idx,
    labels: Option<(&Path, Idx)>,
) -> Result<ImageSet, DataError> {
    let damaged = |path: &Path, why: String| DataError::Damaged {
        path: path.to_owned(),
        why,
    };
    let shape = match images.shape[..] {
        [_, height, width] => [1, height, width],
        [_, channels, height, width] => [channels, height, width],
        _ => {
            let why = format!("its shape is {:?}: images have 3 or 4 axes", images.shape);
            return Err(damaged(path, why));
        }
    };
    let mut hashes = vec![(name(path), images.sha256)];
    let labels = match labels {
        None => None,
        Some((path, labels)) => {
            if labels.shape.len() != 1 {
                let why = format!("its shape is {:?}: labels have 1 axis", labels.shape);
                return Err(damaged(path, why));
            }
            hashes.push((name(path), labels.sha256));
            Some(labels.values.into_iter().map(usize::from).collect())
        }
    };
    ImageSet::new(set, shape, images.values, labels, hashes).map_err(|why| {
        damaged(
            path,
            format!("{why}; give the two files that belong together"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_a_near_miss_gets_a_suggestion() {
        assert_eq!(
            "mnist:train".parse::<DataSpec>().unwrap(),
            DataSpec::Known(0)
        );
        let own = "idx:a.gz,b.gz".parse::<DataSpec>().unwrap();
        assert_eq!(
            own,
            DataSpec::Idx {
                images: "a.gz".into(),
                labels: Some("b.gz".into())
            }
        );
        let error = "mnits:test".parse::<DataSpec>().unwrap_err().to_string();
        assert!(error.contains("`mnist:test`"), "{error}");
    }

    #[test]
    fn a_mere_path_or_an_address_is_answered_with_what_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        for (name, form) in [
            ("a.npz", "npz:"),
            ("b.JPG", "files:"),
            ("t10k.gz", "idx:"),
            ("1.bin", "cifar10:"),
            ("t.csv", "csv:"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            let text = path.to_str().unwrap();
            let error = text.parse::<DataSpec>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("did you mean `{form}{text}")),
                "{error}"
            );
        }
        let text = folder.path().to_str().unwrap();
        let error = text.parse::<DataSpec>().unwrap_err().to_string();
        assert!(error.contains(&format!("`folder:{text}`")), "{error}");
        let error = "https://example.com/x.npz".parse::<DataSpec>().unwrap_err();
        assert!(error.to_string().contains("fetch them first"), "{error}");
        for text in ["t.parquet", "parquet:t.parquet", "csv:t.parquet,class"] {
            let error = text.parse::<DataSpec>().unwrap_err().to_string();
            assert!(
                error.contains("pandas.read_parquet(FILE).to_csv"),
                "{error}"
            );
        }
        let error = "missing.npz".parse::<DataSpec>().unwrap_err().to_string();
        assert!(error.contains("There are mnist:train"), "{error}");
    }

    #[test]
    fn image_files_are_named_whatever_is_in_their_names() {
        for names in [
            vec!["a.png", "b c.jpg"],
            vec!["a,b.png"],
            vec!["[a\"].png", "ü.gif"],
        ] {
            let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            let spec: DataSpec = DataSpec::of_files(&files).parse().unwrap();
            assert_eq!(spec, DataSpec::Files(files));
        }
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        let labels = folder.path().join("labels");
        std::fs::write(
            &images,
            [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6],
        )
        .unwrap();
        std::fs::write(&labels, [0, 0, 8, 1, 0, 0, 0, 1, 9]).unwrap();
        let load = |text: String| {
            text.parse::<DataSpec>()
                .unwrap()
                .load(&Locations::new(None), &mut Silent)
        };
        let (images, labels) = (images.display(), labels.display());
        let set = load(format!("idx:{images}")).unwrap();
        assert_eq!((set.len(), set.labels()), (2, None));
        let error = load(format!("idx:{images},{labels}"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("2 images have 1 labels"), "{error}");
        assert!(
            load(format!("idx:{labels}"))
                .unwrap_err()
                .to_string()
                .contains("3 or 4 axes")
        );
        assert!(load(format!("idx:{images},{images}")).is_err());
        assert!(
            load("idx:/no/such/file".into())
                .unwrap_err()
                .to_string()
                .contains("/no/such/file")
        );
    }
}
