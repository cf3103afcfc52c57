//! The transfer study in a few lines.

use blindspot_model::Norm;
use blindspot_model::classifier::Classifier;
use blindspot_run::monitor::{Monitor, Unwatched};

use super::{ExampleSource, Matrix, SavedError, Trial, Variant};

/// The errors of networks on each other's examples: tables 2 and 4 of the paper, for any examples and any
/// networks.
///
/// ```no_run
/// use blindspot::prelude::*;
/// use blindspot::transfer::{SavedExamples, Transfer};
///
/// let (own, other) = (Model::open("a.onnx")?, Model::open("b.onnx")?);
/// let matrix = Transfer::new()
///     .examples("a", SavedExamples::open("a.npz".as_ref())?)
///     .model("a", &own)
///     .model("b", &other)
///     .amplified_to(0.1)
///     .noise(0.1)
///     .run()?;
/// for (row, rates) in matrix.rows.iter().zip(&matrix.rates) {
///     println!("{row}: {:.1}% of b's answers are wrong", 100.0 * rates[1].error);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Transfer<'a> {
    examples: Vec<(String, Box<dyn ExampleSource + 'a>)>,
    classifiers: Vec<(String, &'a dyn Classifier)>,
    variants: Vec<Variant>,
    seed: u64,
    correct_only: bool,
}

impl Default for Transfer<'_> {
    fn default() -> Self {
        Transfer::new()
    }
}

impl<'a> Transfer<'a> {
    /// A study without examples and models, of the examples as they are, with seed 0.
    pub fn new() -> Transfer<'a> {
        Transfer {
            examples: Vec::new(),
            classifiers: Vec::new(),
            variants: vec![Variant::Plain],
            seed: 0,
            correct_only: false,
        }
    }

    /// Adds a set of examples: a row of the matrix for each variant.
    pub fn examples(
        mut self,
        name: impl Into<String>,
        examples: impl ExampleSource + 'a,
    ) -> Transfer<'a> {
        self.examples.push((name.into(), Box::new(examples)));
        self
    }

    /// Adds a model, a network or any other classifier: a column of the matrix.
    pub fn model(mut self, name: impl Into<String>, model: &'a dyn Classifier) -> Transfer<'a> {
        self.classifiers.push((name.into(), model));
        self
    }

    /// Adds several models by name: a column of the matrix for each.
    pub fn models<C: Classifier + 'a>(
        self,
        models: impl IntoIterator<Item = (&'a str, &'a C)>,
    ) -> Transfer<'a> {
        let models = models.into_iter();
        models.fold(self, |study, (name, model)| study.model(name, model))
    }

    /// Adds the examples with all perturbations multiplied by one factor, so that the set's mean distortion
    /// is `distortion`.
    pub fn amplified_to(self, distortion: f64) -> Transfer<'a> {
        self.variant(Variant::Distortion(distortion))
    }

    /// Adds the examples with all perturbations multiplied by one factor, so that the mean norm of those that
    /// are not 0 is `mean`.
    pub fn amplified_to_norm(self, norm: Norm, mean: f64) -> Transfer<'a> {
        self.variant(Variant::Norm { norm, mean })
    }

    /// Adds the examples with each perturbation multiplied by `factor`.
    pub fn amplified_by(self, factor: f64) -> Transfer<'a> {
        self.variant(Variant::Factor(factor))
    }

    /// Adds the originals with Gaussian noise of standard deviation `deviation`, the control.
    pub fn noise(self, deviation: f64) -> Transfer<'a> {
        self.variant(Variant::Noise(deviation))
    }

    /// Adds a variant of the examples: a row for each set.
    pub fn variant(mut self, variant: Variant) -> Transfer<'a> {
        self.variants.push(variant);
        self
    }

    /// Sets the seed of the noise.
    pub fn seed(mut self, seed: u64) -> Transfer<'a> {
        self.seed = seed;
        self
    }

    /// Has only images count that all models get right as they are. A row of a set without such images has no rates.
    pub fn correct_only(mut self) -> Transfer<'a> {
        self.correct_only = true;
        self
    }

    /// The error of each network on each set of examples in each variant.
    ///
    /// # Errors
    /// [`SavedError`] if examples can't be read or don't fit a network.
    pub fn run(&self) -> Result<Matrix, SavedError> {
        self.run_watched(&Unwatched)
    }

    /// The error of each network on each set of examples in each variant. The monitor is told of the
    /// progress and may cancel the work; the matrix has the rows of the finished sets then.
    ///
    /// # Errors
    /// [`SavedError`] if examples can't be read or don't fit a network.
    pub fn run_watched(&self, monitor: &dyn Monitor) -> Result<Matrix, SavedError> {
        let trial = Trial {
            files: &self.examples,
            networks: &self.classifiers,
            variants: &self.variants,
            seed: self.seed,
        };
        trial.matrix(self.correct_only, monitor)
    }
}
