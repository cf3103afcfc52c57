//! The errors of networks on examples, as in tables 2 and 4.

use blindspot_model::classifier::Classifier;
use blindspot_run::journal::{Entries, JournalError, Work, take};
use blindspot_run::monitor::Monitor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Distortion;
use super::saved::SavedError;
use super::source::ExampleSource;
use super::trial::{About, ExampleSet, Trial};
use super::variant::Variant;
use crate::stats::wilson;

/// The fraction of a set of images that a network misclassifies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// Number of images that the network misclassifies.
    pub wrong: u64,
    /// Number of images.
    pub images: u64,
    /// Fraction of the images that the network misclassifies, in [0, 1].
    pub error: f64,
    /// Lower end of the fraction's 95% confidence interval (Wilson 1927).
    pub low: f64,
    /// Upper end of the fraction's 95% confidence interval (Wilson 1927).
    pub high: f64,
}

impl Rate {
    /// The fraction `wrong` / `images`, with its confidence interval; None if there are no images.
    pub fn of(wrong: u64, images: u64) -> Option<Rate> {
        if images == 0 {
            return None;
        }
        let [low, high] = wilson(wrong, images);
        Some(Rate {
            wrong,
            images,
            error: wrong as f64 / images as f64,
            low,
            high,
        })
    }
}

/// The distortion of the images with these L2 norms that were perturbed.
pub(super) fn of_perturbed(norms: &[f64], length: usize) -> Option<Distortion> {
    let perturbed: Vec<f64> = norms.iter().copied().filter(|&norm| norm > 0.0).collect();
    Distortion::of(&perturbed, length)
}

/// The errors of networks (columns) on examples in their variants (rows).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Matrix {
    /// For each row the examples' name and variant.
    pub rows: Vec<String>,
    /// For each column the network's name.
    pub columns: Vec<String>,
    /// The errors, as `rates[row][column]`.
    pub rates: Vec<Vec<Rate>>,
    /// The errors on the same images before anything was done to them, as `clean[row][column]`.
    pub clean: Vec<Vec<Rate>>,
    /// Of the images that a column's network gets right before anything was done to them, those that it
    /// misclassifies in the row, as `fooled[row][column]`; None if it gets none right.
    pub fooled: Vec<Vec<Option<Rate>>>,
    /// For each row the distortion of its images that were perturbed; None if none was.
    pub distortion: Vec<Option<Distortion>>,
    /// For each row the L2 norm of each image's perturbation, 0 if it was not perturbed. Not stored.
    #[serde(skip)]
    pub norms: Vec<Vec<f64>>,
}

/// The errors of each network on each set of examples in each variant. Networks and sets are given by name.
/// The same seed gives the same noise. A set is read once, or twice if a variant needs its mean distortion.
/// If the monitor cancels the work, the matrix has the rows of the finished sets.
///
/// # Errors
/// [`SavedError`] if examples can't be read or don't fit a network.
pub fn matrix<S: ExampleSource, N: Classifier>(
    files: &[(String, S)],
    networks: &[(String, N)],
    variants: &[Variant],
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<Matrix, SavedError> {
    let trial = Trial {
        files,
        networks,
        variants,
        seed,
    };
    trial.matrix(false, monitor)
}

impl<S: ExampleSource, N: Classifier> Trial<'_, S, N> {
    /// The errors of all networks, of all images or of those alone that all networks get right as they are.
    pub(super) fn matrix(
        &self,
        correct_only: bool,
        monitor: &dyn Monitor,
    ) -> Result<Matrix, SavedError> {
        let columns = self.networks.iter().map(|(name, _)| name.clone());
        let tally = Tally::new(self.sets(), columns.collect(), self.variants.to_vec());
        let mut tally = tally.correct_only(correct_only);
        self.answers(0..self.examples(), monitor, |_, contents| {
            contents.iter().for_each(|content| tally.add(content));
            Ok::<(), SavedError>(())
        })?;
        Ok(tally.matrix())
    }
}

/// Counts of what the networks of a [`Trial`] answered.
#[derive(Debug)]
pub struct Tally {
    sets: std::vec::IntoIter<ExampleSet>,
    variants: Vec<Variant>,
    /// The set under way.
    set: Option<ExampleSet>,
    /// Number of examples of the set that were added.
    added: usize,
    /// Number of those that count.
    counted: u64,
    /// Whether only images count that all networks get right as they are.
    correct_only: bool,
    /// The number of the set's images that each network misclassifies as they are.
    clean: Vec<u64>,
    /// For each variant the number of the set's images that each network misclassifies.
    wrong: Vec<Vec<u64>>,
    /// For each variant the number of those of them that the network gets right as they are.
    fooled: Vec<Vec<u64>>,
    /// For each variant the L2 norms of the set's perturbations.
    norms: Vec<Vec<f64>>,
    matrix: Matrix,
}

impl Tally {
    /// An empty tally of sets of examples, of networks by name, and of variants.
    pub fn new(sets: Vec<ExampleSet>, networks: Vec<String>, variants: Vec<Variant>) -> Tally {
        let mut sets = sets.into_iter();
        Tally {
            set: sets.next(),
            sets,
            added: 0,
            counted: 0,
            correct_only: false,
            clean: vec![0; networks.len()],
            wrong: vec![vec![0; networks.len()]; variants.len()],
            fooled: vec![vec![0; networks.len()]; variants.len()],
            norms: vec![Vec::new(); variants.len()],
            variants,
            matrix: Matrix {
                rows: Vec::new(),
                columns: networks,
                rates: Vec::new(),
                clean: Vec::new(),
                fooled: Vec::new(),
                distortion: Vec::new(),
                norms: Vec::new(),
            },
        }
    }

    /// Has only images count that all networks get right as they are. A row of a set without such images has no rates.
    #[must_use]
    pub fn correct_only(mut self, only: bool) -> Tally {
        self.correct_only = only;
        self
    }

    /// An empty tally of the trial that a journal's header describes.
    pub fn of(about: &About) -> Tally {
        let networks = about.models.iter().map(|model| model.file.clone());
        let (sets, variants) = (about.examples.clone(), about.variants.clone());
        Tally::new(sets, networks.collect(), variants).correct_only(about.correct_only)
    }

    /// Adds the content of an example's journal entry, as [`Trial::answers`] gives it. Examples have to come
    /// in order.
    ///
    /// # Panics
    /// If the content is of another trial.
    pub fn add(&mut self, mut content: &[u8]) {
        let rest = &mut content;
        let label = u32::from_le_bytes(take(rest));
        let is_wrong = |rest: &mut &[u8]| u32::from_le_bytes(take(rest)) != label;
        let before: Vec<bool> = self.clean.iter().map(|_| is_wrong(rest)).collect();
        if self.correct_only && before.contains(&true) {
            self.count_added();
            return;
        }
        self.counted += 1;
        for (clean, &before) in self.clean.iter_mut().zip(&before) {
            *clean += u64::from(before);
        }
        let counts = self.wrong.iter_mut().zip(&mut self.fooled);
        for ((wrong, fooled), norms) in counts.zip(&mut self.norms) {
            norms.push(f64::from_le_bytes(take(rest)));
            for ((wrong, fooled), &before) in wrong.iter_mut().zip(fooled).zip(&before) {
                let after = is_wrong(rest);
                *wrong += u64::from(after);
                *fooled += u64::from(after && !before);
            }
        }
        self.count_added();
    }

    /// Counts an example as added; the last one of a set ends it.
    fn count_added(&mut self) {
        self.added += 1;
        if let Some(set) = self.set.take_if(|set| set.count == self.added) {
            self.end(&set);
            (self.set, self.added, self.counted) = (self.sets.next(), 0, 0);
        }
    }

    /// Adds the rows of a set whose examples were all added.
    fn end(&mut self, set: &ExampleSet) {
        let (matrix, images) = (&mut self.matrix, self.counted);
        let rates = |wrong: &[u64]| -> Vec<Rate> {
            // A set that ends has images, but where none of them counts.
            let rates = wrong.iter().filter_map(|&wrong| Rate::of(wrong, images));
            rates.collect()
        };
        for (i, variant) in self.variants.iter().enumerate() {
            let (wrong, fooled) = (&mut self.wrong[i], &mut self.fooled[i]);
            let norms = std::mem::take(&mut self.norms[i]);
            matrix.rows.push(variant.name_of(&set.name));
            matrix.rates.push(rates(wrong));
            matrix.clean.push(rates(&self.clean));
            let right = self.clean.iter().map(|clean| images - clean);
            let fooled_rates = fooled.iter().zip(right);
            let fooled_rates = fooled_rates.map(|(&fooled, right)| Rate::of(fooled, right));
            matrix.fooled.push(fooled_rates.collect());
            matrix.distortion.push(of_perturbed(&norms, set.image_len));
            matrix.norms.push(norms);
            wrong.fill(0);
            fooled.fill(0);
        }
        self.clean.fill(0);
    }

    /// The trial that a journal's entries are of, and its matrix.
    ///
    /// # Errors
    /// [`JournalError`] if the entries are of other work, or can't be read.
    pub fn stored(entries: &Entries) -> Result<(About, Matrix), JournalError> {
        let about = About::of(entries)?;
        let sound = entries.header().bytes == about.bytes();
        let counts = about.examples.iter().map(|set| set.count);
        if !sound || counts.fold(0, usize::saturating_add) != entries.len() {
            return Err(JournalError::mismatch());
        }
        let mut tally = Tally::of(&about);
        for content in entries.bytes(0..about.bytes())? {
            tally.add(&content.map_err(JournalError::Unreadable)?);
        }
        Ok((about, tally.matrix()))
    }

    /// The matrix of the sets whose examples were all added.
    pub fn matrix(self) -> Matrix {
        self.matrix
    }
}
