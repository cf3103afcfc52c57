//! Image sets: in memory, or read from their files as they are needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::decode::{Fit, MAX_FILE_BYTES, Planes, Resize, decode, fit_planes};
use crate::error::DataError;
use crate::files::{read_limited, sha256_hex};
use crate::folder::{Listing, few, name};

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
    hashes: Vec<(String, String)>,
}

/// An image that can't be used: its file, relative to the set's folder, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
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
            hashes,
        })
    }

    /// The images of a folder. The shape is that of the first one that can be read.
    pub(crate) fn of_folder(root: PathBuf, listing: Listing) -> Result<ImageSet, DataError> {
        let Listing {
            files,
            labels,
            classes,
            hashes,
        } = listing;
        let set = ImageSet {
            name: name(&root),
            shape: [0; 3],
            indices: (0..files.len()).collect(),
            source: Arc::new(Source::Files(root, files)),
            fit: None,
            labels,
            classes: classes.map(Arc::new),
            hashes,
        };
        set.fitted(&Fit::default())
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
    /// and all those names are given, labels become positions among the given ones: a folder of some
    /// of a network's classes gets the network's numbers. Otherwise the given names take the place
    /// of the set's.
    ///
    /// # Errors
    /// [`DataError::Unfit`] where there are too few.
    pub fn with_classes(&self, names: Vec<String>) -> Result<ImageSet, DataError> {
        let mut set = self.clone();
        let own = self.classes().unwrap_or_default();
        let places: Option<Vec<usize>> = own
            .iter()
            .map(|own| names.iter().position(|name| name == own))
            .collect();
        match (places, &mut set.labels) {
            (Some(places), Some(labels)) if !own.is_empty() => {
                labels.iter_mut().for_each(|label| *label = places[*label]);
            }
            (_, labels) => {
                let most = labels.iter().flatten().max().map_or(0, |label| label + 1);
                let needed = own.len().max(most);
                if names.len() < needed {
                    let why = format!(
                        "it has {needed} classes, and {} names are given; give one for each class, \
                         or all the names that it uses itself",
                        names.len()
                    );
                    let set = self.name.clone();
                    return Err(DataError::Unfit { set, why });
                }
            }
        }
        set.classes = Some(Arc::new(names));
        Ok(set)
    }

    /// The index in the data set of the image at each position: its place in the set as it was loaded.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// Name and SHA-256 (unpacked) of each file that the set came from. Of a folder, once it is
    /// [`checked`](ImageSet::checked), one hash stands for all images: that of the lines
    /// `<SHA-256>  <file>` in the order of the files, as `sha256sum` prints them.
    pub fn hashes(&self) -> &[(String, String)] {
        &self.hashes
    }

    /// Reads every image of a folder once, several at a time, to find broken ones and to hash them;
    /// a set that is in memory is as it should be. `done` is told how many have been read.
    ///
    /// The set that is given lacks the broken images if `skip` is true; they are given beside it.
    ///
    /// # Errors
    /// [`DataError::Broken`] where an image is broken and `skip` is false, or none is left.
    pub fn checked(
        &self,
        skip: bool,
        done: &(dyn Fn(usize) + Sync),
    ) -> Result<(ImageSet, Vec<Broken>), DataError> {
        let Source::Files(root, files) = &*self.source else {
            return Ok((self.clone(), Vec::new()));
        };
        let (count, fit) = (AtomicUsize::new(0), self.fit.unwrap_or_default());
        let check = |index: usize| -> Result<String, Broken> {
            let file = &files[self.indices[index]];
            let broken = |why: String| Broken {
                file: file.clone(),
                why,
            };
            let content = read_limited(&root.join(file), MAX_FILE_BYTES)
                .map_err(|error| broken(error.to_string()))?;
            let planes = decode(&content, &fit).map_err(broken)?;
            if planes.shape != self.shape {
                return Err(broken(self.other_shape(planes.shape)));
            }
            done(count.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(sha256_hex(&content))
        };
        let results: Vec<Result<String, Broken>> =
            (0..self.len()).into_par_iter().map(check).collect();
        let (mut kept, mut lines, mut broken) = (Vec::new(), Vec::new(), Vec::new());
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(hash) => {
                    kept.push(index);
                    lines.push((self.indices[index], hash));
                }
                Err(image) => broken.push(image),
            }
        }
        if !broken.is_empty() && (!skip || kept.is_empty()) {
            let images: Vec<String> = broken
                .iter()
                .map(|image| format!("{} ({})", image.file.display(), image.why))
                .collect();
            return Err(DataError::Broken {
                folder: root.clone(),
                broken: broken.len(),
                of: self.len(),
                images: few(&images),
            });
        }
        lines.sort();
        lines.dedup();
        let list: String = lines
            .iter()
            .map(|(index, hash)| format!("{hash}  {}\n", files[*index].display()))
            .collect();
        let mut set = self.select(&kept);
        let hash = sha256_hex(list.as_bytes());
        set.hashes.retain(|(name, _)| *name != self.name);
        set.hashes.push((self.name.clone(), hash));
        Ok((set, broken))
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
                .map_err(|error| error.to_string())
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

    /// Images `positions` of this set, in that order.
    ///
    /// # Panics
    /// Where there is no such image.
    pub fn select(&self, positions: &[usize]) -> ImageSet {
        let labels = self.labels.as_ref();
        ImageSet {
            indices: positions
                .iter()
                .map(|&position| self.indices[position])
                .collect(),
            labels: labels.map(|labels| positions.iter().map(|&i| labels[i]).collect()),
            ..self.clone()
        }
    }

    /// The first `count` images, or all where there are fewer.
    pub fn first(&self, count: usize) -> ImageSet {
        let positions: Vec<usize> = (0..count.min(self.len())).collect();
        self.select(&positions)
    }

    /// `count` images in an order that the seed gives, or all where there are fewer: a longer
    /// choice begins with the shorter one.
    pub fn shuffled(&self, count: usize, seed: u64) -> ImageSet {
        self.select(&self.random_positions(count, seed))
    }

    /// The positions in this set of `count` different images in an order that the seed gives, or of
    /// all where there are fewer: a longer choice begins with the shorter one.
    pub fn random_positions(&self, count: usize, seed: u64) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..self.len()).collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = count.min(self.len());
        for i in 0..count {
            // The remainder of 64 random bits is even to 1 in 10^14 for any set that fits memory.
            let rest = (self.len() - i) as u64;
            positions.swap(i, i + (random.next_u64() % rest) as usize);
        }
        positions.truncate(count);
        positions
    }

    /// Two disjoint halves, each in the order of the set: P1 and P2 of the paper's section 4.2.
    /// P1 has one image less where the number is odd.
    pub fn halves(&self, seed: u64) -> [ImageSet; 2] {
        let shuffled = self.random_positions(self.len(), seed);
        let (one, two) = shuffled.split_at(self.len() / 2);
        [one, two].map(|half| {
            let mut half = half.to_vec();
            half.sort_unstable();
            self.select(&half)
        })
    }
}

/// Bytes as numbers in [0, 1].
fn scale(bytes: &[u8], out: &mut [f32]) {
    for (out, &byte) in out.iter_mut().zip(bytes) {
        *out = f32::from(byte) / 255.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(count: usize) -> ImageSet {
        let pixels = (0..count * 6).map(|i| i as u8).collect();
        let labels = (0..count).map(|i| i % 3).collect();
        ImageSet::new("test", [1, 2, 3], pixels, Some(labels), Vec::new()).unwrap()
    }

    #[test]
    fn a_choice_keeps_images_labels_and_positions_together() {
        let set = set(20);
        let chosen = set.select(&[7, 3]).select(&[1]);
        assert_eq!(chosen.indices(), [3]);
        assert_eq!(chosen.labels(), Some(&[0][..]));
        let (mut image, mut same) = ([0.0; 6], [0.0; 6]);
        chosen.read_image(0, &mut image).unwrap();
        set.read_image(3, &mut same).unwrap();
        assert_eq!(image, same);
        assert_eq!(image[5], 23.0 / 255.0);
    }

    #[test]
    fn a_file_that_broke_meanwhile_is_an_error_where_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.png");
        std::fs::write(&file, crate::png(&[7; 6], [1, 2, 3]).unwrap()).unwrap();
        let listing = crate::folder::list_images(folder.path(), &crate::Labels::Subfolders);
        let set = ImageSet::of_folder(folder.path().to_owned(), listing.unwrap()).unwrap();
        let mut image = [0.0; 6];
        set.read_image(0, &mut image).unwrap();
        assert_eq!(image, [7.0 / 255.0; 6]);
        std::fs::write(&file, "no image").unwrap();
        let error = set.read_image(0, &mut image).unwrap_err().to_string();
        assert!(error.contains("image.png: it is no image"), "{error}");
        std::fs::remove_file(&file).unwrap();
        let error = set.read_image(0, &mut image).unwrap_err().to_string();
        assert!(error.contains("image.png"), "{error}");
    }

    #[test]
    fn halves_are_disjoint_and_seeded() {
        let set = set(21);
        let [one, two] = set.halves(4);
        let mut all: Vec<usize> = one.indices().iter().chain(two.indices()).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..21).collect::<Vec<_>>());
        assert_eq!(one.len(), 10);
        assert_eq!(set.halves(4)[0].indices(), one.indices());
        assert_ne!(set.halves(5)[0].indices(), one.indices());
    }

    #[test]
    fn a_shuffle_is_a_choice_without_repetition_that_begins_with_the_shorter_one() {
        let set = set(30);
        let (short, long) = (set.shuffled(5, 1), set.shuffled(100, 1));
        assert_eq!(long.indices()[..5], *short.indices());
        let mut all = long.indices().to_vec();
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert!(ImageSet::new("x", [1, 2, 2], vec![0; 7], None, Vec::new()).is_err());
        let error = ImageSet::new("x", [1, 2, 2], vec![0; 8], Some(vec![1]), Vec::new());
        assert_eq!(error.unwrap_err(), "2 images have 1 labels");
    }
}
