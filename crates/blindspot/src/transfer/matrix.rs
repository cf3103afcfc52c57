//! The errors of any networks on any saved examples, as in tables 2 and 4.

use blindspot_net::Network;
use serde::{Deserialize, Serialize};

use super::Distortion;
use super::saved::{SavedError, SavedExamples};
use super::trial::{About, ExampleSet, Trial, Variant};
use crate::run::journal::{Entries, JournalError, Work, take};
use crate::run::monitor::Monitor;
use crate::stats::wilson;

/// The part of a set of images that a network gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Images that it gets wrong.
    pub wrong: u64,
    /// Images.
    pub images: u64,
    /// Their fraction, in [0, 1].
    pub error: f64,
    /// Where the fraction can lie with 95% confidence: from here (Wilson 1927) ...
    pub low: f64,
    /// ... to here.
    pub high: f64,
}

impl Rate {
    /// The rate of `wrong` in `images`, and its interval.
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

/// Rows of examples, columns of networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// The examples' names, with what was done to them.
    pub rows: Vec<String>,
    /// The networks' names.
    pub columns: Vec<String>,
    /// `rates[row][column]`.
    pub rates: Vec<Vec<Rate>>,
    /// How far each row's images are from the originals.
    pub distortion: Vec<Distortion>,
}

/// The errors of the networks on the examples of each file, by name, in each variant. The same
/// seed gives the same noise. A file is read block after block, once (twice where its mean distortion is
/// needed first). Where the monitor cancels the work, the rows of the files done are given.
///
/// # Errors
/// [`SavedError`].
pub fn matrix(
    files: &[(String, SavedExamples)],
    networks: &[(String, Network<f32>)],
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

/// What the networks of a [`Trial`] answered, counted up.
#[derive(Debug)]
pub struct Tally {
    sets: std::vec::IntoIter<ExampleSet>,
    variants: Vec<Variant>,
    /// The set under way, and how many of its examples were added.
    set: Option<ExampleSet>,
    added: usize,
    /// Of that set in each variant: the images that each network gets wrong, and the norms of the
    /// changes.
    wrong: Vec<Vec<u64>>,
    norms: Vec<Vec<f64>>,
    matrix: Matrix,
}

impl Tally {
    /// Nothing yet of the examples of `sets` in their variants on the networks of these names.
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

    /// Nothing yet of the answers that a header is of.
    pub fn of(about: &About) -> Tally {
        let networks = about.models.iter().map(|model| model.file.clone());
        let (sets, variants) = (about.examples.clone(), about.variants.clone());
        Tally::new(sets, networks.collect(), variants)
    }

    /// Adds what [`Trial::answers`] gives for an example, example after example.
    ///
    /// # Panics
    /// Where it is of another trial.
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

    /// The rows of a set whose examples were all added.
    fn end(&mut self, set: &ExampleSet) {
        let name = &set.name;
        let counts = self.wrong.iter_mut().zip(&mut self.norms);
        for (&variant, (wrong, norms)) in self.variants.iter().zip(counts) {
            self.matrix.rows.push(match variant {
                Variant::Plain => name.clone(),
                Variant::Factor(factor) => format!("{name} times {factor}"),
                Variant::Distortion(wanted) => format!("{name} x{wanted}"),
                Variant::Noise(deviation) => format!("{name}: noise {deviation}"),
            });
            let rates = wrong.iter().map(|&wrong| Rate::of(wrong, set.count as u64));
            self.matrix.rates.push(rates.collect());
            let distortion = Distortion::of(norms, set.image_len);
            self.matrix.distortion.push(distortion);
            wrong.fill(0);
            norms.clear();
        }
    }

    /// What journals hold: which trial it is, and its matrix.
    ///
    /// # Errors
    /// [`JournalError`] where they hold something else, or can't be read.
    pub fn stored(entries: &Entries) -> Result<(About, Matrix), JournalError> {
        let about = About::of(entries)?;
        let counts = about.examples.iter().map(|set| set.count);
        if counts.fold(0, usize::saturating_add) != entries.len() {
            let why = "the journals' headers don't fit their entries; run their commands again";
            return Err(JournalError::Incomplete(why.into()));
        }
        let mut tally = Tally::of(&about);
        for content in entries.bytes(0..about.bytes())? {
            tally.add(&content.map_err(JournalError::unreadable)?);
        }
        Ok((about, tally.matrix()))
    }

    /// The rows of the sets whose examples were all added.
    pub fn matrix(self) -> Matrix {
        self.matrix
    }
}
