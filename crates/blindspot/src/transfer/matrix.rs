//! The errors of networks on examples, as in tables 2 and 4.

use blindspot_model::classifier::Classifier;
use blindspot_run::journal::{Entries, JournalError, Work, take};
use blindspot_run::monitor::Monitor;
use serde::{Deserialize, Serialize};

use super::Distortion;
use super::saved::SavedError;
use super::source::ExampleSource;
use super::trial::{About, ExampleSet, Trial};
use super::variant::Variant;
use crate::stats::wilson;

/// The fraction of a set of images that a network misclassifies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
    /// The fraction `wrong` / `images`, with its confidence interval.
    pub fn of(wrong: u64, images: u64) -> Rate {
        let [low, high] = wilson(wrong, images);
        Rate {
            wrong,
            images,
            error: wrong as f64 / images.max(1) as f64,
            low,
            high,
        }
    }
}

/// The errors of networks (columns) on examples in their variants (rows).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// For each row the examples' name and variant.
    pub rows: Vec<String>,
    /// For each column the network's name.
    pub columns: Vec<String>,
    /// The errors, as `rates[row][column]`.
    pub rates: Vec<Vec<Rate>>,
    /// For each row the distortion of its images.
    pub distortion: Vec<Distortion>,
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
    let columns = networks.iter().map(|(name, _)| name.clone());
    let mut tally = Tally::new(trial.sets(), columns.collect(), variants.to_vec());
    trial.answers(0..trial.examples(), monitor, |_, contents| {
        contents.iter().for_each(|content| tally.add(content));
        Ok::<(), SavedError>(())
    })?;
    Ok(tally.matrix())
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
    /// For each variant the number of the set's images that each network misclassifies.
    wrong: Vec<Vec<u64>>,
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
            wrong: vec![vec![0; networks.len()]; variants.len()],
            norms: vec![Vec::new(); variants.len()],
            variants,
            matrix: Matrix {
                rows: Vec::new(),
                columns: networks,
                rates: Vec::new(),
                distortion: Vec::new(),
            },
        }
    }

    /// An empty tally of the trial that a journal's header describes.
    pub fn of(about: &About) -> Tally {
        let networks = about.models.iter().map(|model| model.file.clone());
        let (sets, variants) = (about.examples.clone(), about.variants.clone());
        Tally::new(sets, networks.collect(), variants)
    }

    /// Adds the content of an example's journal entry, as [`Trial::answers`] gives it. Examples have to come
    /// in order.
    ///
    /// # Panics
    /// If the content is of another trial.
    pub fn add(&mut self, mut content: &[u8]) {
        let rest = &mut content;
        let label = u32::from_le_bytes(take(rest));
        for (wrong, norms) in self.wrong.iter_mut().zip(&mut self.norms) {
            norms.push(f64::from_le_bytes(take(rest)));
            for wrong in wrong {
                *wrong += u64::from(u32::from_le_bytes(take(rest)) != label);
            }
        }
        self.added += 1;
        if let Some(set) = self.set.take_if(|set| set.count == self.added) {
            self.end(&set);
            (self.set, self.added) = (self.sets.next(), 0);
        }
    }

    /// Adds the rows of a set whose examples were all added.
    fn end(&mut self, set: &ExampleSet) {
        let name = &set.name;
        let counts = self.wrong.iter_mut().zip(&mut self.norms);
        for (&variant, (wrong, norms)) in self.variants.iter().zip(counts) {
            self.matrix.rows.push(variant.name_of(name));
            let rates = wrong.iter().map(|&wrong| Rate::of(wrong, set.count as u64));
            self.matrix.rates.push(rates.collect());
            let distortion = Distortion::of(norms, set.image_len);
            self.matrix.distortion.push(distortion);
            wrong.fill(0);
            norms.clear();
        }
    }

    /// The trial that a journal's entries are of, and its matrix.
    ///
    /// # Errors
    /// [`JournalError`] if the entries are of other work, or can't be read.
    pub fn stored(entries: &Entries) -> Result<(About, Matrix), JournalError> {
        let about = About::of(entries)?;
        let counts = about.examples.iter().map(|set| set.count);
        if counts.fold(0, usize::saturating_add) != entries.len() {
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
