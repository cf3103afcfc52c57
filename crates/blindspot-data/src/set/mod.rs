//! Image sets: in memory, or read from their files as they are needed.

mod check;
mod choice;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::columns::Columns;
use crate::decode::{Fit, MAX_FILE_BYTES, Planes, Resize, decode, fit_planes};
use crate::error::DataError;
use crate::files::read_limited;
use crate::folder::{Listing, name};
pub use check::Broken;
pub use choice::random_positions;

/// Where images are.
#[derive(Debug)]
enum Source {
    /// One after the other, each of this shape.
    Bytes(Vec<u8>, [usize; 3]),
    /// Likewise.
    Floats(Vec<f32>),
    /// A folder, and files relative to it.
    Files(PathBuf, Vec<PathBuf>),
}

/// Images of one shape, perhaps with their classes; or a choice of some of them.
///
/// A choice shares the images with the set that it was made from. Images of a folder stay in their
/// files until they are asked for, so a set may be larger than memory; [`ImageSet::checked`] finds
/// broken ones before the work begins.
#[derive(Debug, Clone)]
pub struct ImageSet {
    name: String,
    shape: [usize; 3],
    source: Arc<Source>,
    /// How images become those of the set's shape; None where they are so already.
    fit: Option<Fit>,
    /// Positions in the source.
    indices: Vec<usize>,
    /// Of the images chosen.
    labels: Option<Vec<usize>>,
    classes: Option<Arc<Vec<String>>>,
    /// Of a table that is described.
    columns: Option<Arc<Columns>>,
    hashes: Vec<(String, String)>,
    /// What a user should know of the set, in words.
    notes: Vec<String>,
}

impl ImageSet {
    /// A set of images of shape [channels, height, width], one after the other in `pixels`, with
    /// a class for each if there are labels, and name and SHA-256 of each file they came from.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn new(
        name: &str,
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Option<Vec<usize>>,
        hashes: Vec<(String, String)>,
    ) -> Result<ImageSet, String> {
        let count = pixels.len();
        ImageSet::of(
            name,
            shape,
            Source::Bytes(pixels, shape),
            count,
            labels,
            hashes,
        )
    }

    /// The same of images whose values are floats and stay as they are.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn of_floats(
        name: &str,
        shape: [usize; 3],
        values: Vec<f32>,
        labels: Option<Vec<usize>>,
        hashes: Vec<(String, String)>,
    ) -> Result<ImageSet, String> {
        let count = values.len();
        ImageSet::of(name, shape, Source::Floats(values), count, labels, hashes)
    }

    fn of(
        name: &str,
        shape: [usize; 3],
        source: Source,
        values: usize,
        labels: Option<Vec<usize>>,
        hashes: Vec<(String, String)>,
    ) -> Result<ImageSet, String> {
        let length: usize = shape.iter().product();
        if length == 0 || values == 0 || !values.is_multiple_of(length) {
            return Err(format!("{values} values are no images of shape {shape:?}"));
        }
        let count = values / length;
        if let Some(labels) = &labels
            && labels.len() != count
        {
            return Err(format!("{count} images have {} labels", labels.len()));
        }
        Ok(ImageSet {
            name: name.to_owned(),
            shape,
            source: Arc::new(source),
            fit: None,
            indices: (0..count).collect(),
            labels,
            classes: None,
            columns: None,
            hashes,
            notes: Vec::new(),
        })
    }

    /// The images of a folder. The shape is that of the first one that can be read.
    pub(crate) fn of_folder(root: PathBuf, listing: Listing) -> Result<ImageSet, DataError> {
        let Listing {
            files,
            labels,
            classes,
            hashes,
            notes,
        } = listing;
        let set = ImageSet {
            name: name(&root),
            shape: [0; 3],
            indices: (0..files.len()).collect(),
            source: Arc::new(Source::Files(root, files)),
            fit: None,
            labels,
            classes: classes.map(Arc::new),
            columns: None,
            hashes,
            notes,
        };
        set.fitted(&Fit::default())
    }

    /// Images of files, without classes. The shape is that of the first one that can be read.
    pub(crate) fn of_image_files(files: Vec<PathBuf>) -> Result<ImageSet, DataError> {
        let listing = Listing {
            files,
            labels: None,
            classes: None,
            hashes: Vec::new(),
            notes: Vec::new(),
        };
        let set = ImageSet::of_folder(PathBuf::new(), listing)?;
        Ok(ImageSet {
            name: "files".into(),
            ..set
        })
    }

    /// The same images resized, cropped and with the channels asked for.
    ///
    /// # Errors
    /// [`DataError`] where the set's values are floats, which are not resized, or no image can be
    /// read.
    pub fn fitted(&self, fit: &Fit) -> Result<ImageSet, DataError> {
        let unfit = |why: String| DataError::Unfit {
            set: self.name.clone(),
            why,
        };
        let [channels, height, width] = self.shape;
        let same = fit
            .resize
            .is_none_or(|size| size == Resize::Exactly([height, width]))
            && fit.crop.is_none_or(|crop| crop == [height, width])
            && fit.channels.is_none_or(|asked| asked == channels);
        match &*self.source {
            Source::Floats(_) if !same => {
                return Err(unfit(format!(
                    "its {height}x{width} images of {channels} channels are floats, which are used \
                     as they are; resize or crop the arrays before"
                )));
            }
            Source::Bytes(..) | Source::Floats(_) if same => return Ok(self.clone()),
            _ => {}
        }
        let mut first = None;
        for index in 0..self.len() {
            match self.planes(index, fit) {
                Ok(planes) => {
                    return Ok(ImageSet {
                        shape: planes.shape,
                        // What the first image has, the others have to have.
                        fit: Some(Fit {
                            channels: Some(planes.shape[0]),
                            ..*fit
                        }),
                        ..self.clone()
                    });
                }
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        let (path, why) = first.unwrap_or_default();
        Err(match &*self.source {
            Source::Files(..) => DataError::Damaged {
                path,
                why: format!("{why}; no image of this folder can be used"),
            },
            _ => unfit(why),
        })
    }

    /// What the set is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Channels, height, width of an image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// How many values an image has.
    pub fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True where images are read from their files one by one, and have to be
    /// [`checked`](ImageSet::checked).
    pub fn is_of_files(&self) -> bool {
        matches!(*self.source, Source::Files(..))
    }

    /// The file of image `index`, relative to the set's folder, where it has one of its own.
    pub fn file(&self, index: usize) -> Option<&Path> {
        match &*self.source {
            Source::Files(_, files) => Some(&files[self.indices[index]]),
            _ => None,
        }
    }

    /// The class of each image.
    pub fn labels(&self) -> Option<&[usize]> {
        self.labels.as_deref()
    }

    /// The names of the classes.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_ref().map(|names| names.as_slice())
    }

    /// The same images with these classes, that of class 0 first. Where the set names its classes
    /// and the names of all its images' classes are given, labels become positions among the given
    /// ones: a folder of some of a network's classes gets the network's numbers. Where none of them
    /// is given, the given names take the place of the set's.
    ///
    /// # Errors
    /// [`DataError::Unfit`] where there are too few, or only some of the set's own names are given.
    pub fn with_classes(&self, names: Vec<String>) -> Result<ImageSet, DataError> {
        let unfit = |why: String| DataError::Unfit {
            set: self.name.clone(),
            why,
        };
        let mut set = self.clone();
        let own = self.classes().unwrap_or_default();
        let places: Vec<Option<usize>> = own
            .iter()
            .map(|own| names.iter().position(|name| name == own))
            .collect();
        let used: BTreeSet<usize> = self.labels().unwrap_or_default().iter().copied().collect();
        let given = |class: &&usize| places.get(**class).is_some_and(Option::is_some);
        if used.iter().any(|class| given(&class)) {
            if let Some(&missing) = used.iter().find(|class| !given(class)) {
                return Err(unfit(format!(
                    "its class {} is not among the names that are given, and others are; give the \
                     names of all its classes, or none of them",
                    own[missing]
                )));
            }
            for label in set.labels.iter_mut().flatten() {
                *label = places[*label].unwrap_or(*label);
            }
        } else {
            let most = used.last().map_or(0, |label| label.saturating_add(1));
            let needed = own.len().max(most);
            if names.len() < needed {
                return Err(unfit(format!(
                    "it has {needed} classes, and {} names are given; give one for each class, or all \
                     the names that it uses itself",
                    names.len()
                )));
            }
        }
        set.classes = Some(Arc::new(names));
        Ok(set)
    }

    /// What the columns are, of a table that was read with a description of them.
    pub fn columns(&self) -> Option<&Columns> {
        self.columns.as_deref()
    }

    pub(crate) fn with_columns(self, columns: Columns) -> ImageSet {
        let columns = Some(Arc::new(columns));
        ImageSet { columns, ..self }
    }

    /// The index in the data set of the image at each position: its place in the set as it was loaded.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// The same images with values that lie outside of a range by rounding alone, by up to a millionth of
    /// its width, moved to its ends; and of how many images. Only images whose values are floats have such.
    pub fn within_rounding(&self, [low, high]: [f32; 2]) -> (ImageSet, usize) {
        let Source::Floats(values) = &*self.source else {
            return (self.clone(), 0);
        };
        let slack = 1e-6 * (high - low);
        let off = |value: f32| {
            (value < low && value >= low - slack) || (value > high && value <= high + slack)
        };
        let length = self.image_len();
        let image = |at: usize| &values[at * length..][..length];
        let images = self.indices.iter().copied();
        let off_images = images.filter(|&at| image(at).iter().any(|&value| off(value)));
        let count = off_images.count();
        if count == 0 {
            return (self.clone(), 0);
        }
        let moved = values.iter();
        let moved = moved.map(|&value| {
            if off(value) {
                value.clamp(low, high)
            } else {
                value
            }
        });
        let source = Arc::new(Source::Floats(moved.collect()));
        let set = ImageSet {
            source,
            ..self.clone()
        };
        (set, count)
    }

    /// What a user should know of the set and is no error, in words: class folders without images,
    /// files that were passed over.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Name and SHA-256 (unpacked) of each file that the set came from. Of a folder, once it is
    /// [`checked`](ImageSet::checked), one hash stands for all images: that of the lines
    /// `<SHA-256>  <file>` in the order of the files, as `sha256sum` prints them.
    pub fn hashes(&self) -> &[(String, String)] {
        &self.hashes
    }

    /// Reads the image at `position` into `out`, [`image_len`](ImageSet::image_len) values: bytes as
    /// byte / 255, in [0, 1]; floats as they are.
    ///
    /// # Errors
    /// [`DataError::Damaged`] where its file can't be read or decoded, or has another shape. After
    /// [`ImageSet::checked`] that happens only to files that change meanwhile.
    ///
    /// # Panics
    /// Where there is no such image, or `out` has another length.
    pub fn read_image(&self, position: usize, out: &mut [f32]) -> Result<(), DataError> {
        let (at, length) = (self.indices[position], self.image_len());
        match (&*self.source, &self.fit) {
            (Source::Floats(values), _) => out.copy_from_slice(&values[at * length..][..length]),
            (Source::Bytes(pixels, _), None) => scale(&pixels[at * length..][..length], out),
            (_, fit) => {
                let planes = self.planes_or_damaged(position, &fit.unwrap_or_default())?;
                if planes.shape != self.shape {
                    return Err(DataError::Damaged {
                        path: self.path(position),
                        why: self.other_shape(planes.shape),
                    });
                }
                scale(&planes.bytes, out);
            }
        }
        Ok(())
    }

    /// Image `index`, fitted; or its file and what is wrong with it.
    fn planes(&self, index: usize, fit: &Fit) -> Result<Planes, (PathBuf, String)> {
        let planes = match &*self.source {
            Source::Bytes(pixels, shape) => {
                let length: usize = shape.iter().product();
                let pixels = &pixels[self.indices[index] * length..][..length];
                fit_planes(pixels, *shape, fit)
            }
            Source::Files(..) => read_limited(&self.path(index), MAX_FILE_BYTES)
                .map_err(|error| format!("it can't be read: {}", error.source))
                .and_then(|content| decode(&content, fit)),
            Source::Floats(_) => Err("its values are floats".into()),
        };
        planes.map_err(|why| (self.path(index), why))
    }

    /// Image `index`, fitted.
    pub(crate) fn planes_or_damaged(&self, index: usize, fit: &Fit) -> Result<Planes, DataError> {
        let planes = self.planes(index, fit);
        planes.map_err(|(path, why)| DataError::Damaged { path, why })
    }

    /// The file of image `index`; that of nothing where it has none of its own.
    fn path(&self, index: usize) -> PathBuf {
        match &*self.source {
            Source::Files(root, files) => root.join(&files[self.indices[index]]),
            _ => PathBuf::new(),
        }
    }

    /// What to say of an image of another shape than the set's.
    fn other_shape(&self, [channels, height, width]: [usize; 3]) -> String {
        let [_, h, w] = self.shape;
        format!(
            "it has {width}x{height} pixels (width x height) and {channels} channels, others have \
             {w}x{h}; crop all of them to one size, and perhaps resize them before"
        )
    }
}

/// Bytes as numbers in [0, 1].
fn scale(bytes: &[u8], out: &mut [f32]) {
    for (out, &byte) in out.iter_mut().zip(bytes) {
        *out = f32::from(byte) / 255.0;
    }
}

#[cfg(test)]
mod tests;
