//! Rounding noise: how far a margin that a runtime computes can be from the exact one.
//!
//! Sums of single-precision numbers depend on their order, and every runtime has its own: it
//! blocks, fuses and rearranges layers. So a class that leads by less than the noise here may trail
//! elsewhere. How large the noise is depends on the network and the input: some 1e-7 of the largest
//! output for one layer, 1e-4 for dozens of layers that amplify what the ones below have rounded.
//!
//! [`MarginNoise`] estimates it from the error of the network's own evaluation in single precision,
//! which is known: the evaluation in double precision tells it. One error says little of the next, so
//! the largest error of any margin at a few inputs next to the one in question is taken, times a
//! factor. The factor was measured against onnxruntime at each level of its optimisations, over
//! networks of many kinds, up to 32 layers deep: onnxruntime's largest error was a fifth of what is
//! given here on average, and none reached it. Weights that are computed from a file's numbers count
//! as another runtime may have them ([`and_of`](MarginNoise::and_of)).
//!
//! A model in half precision is measured in the same way with each of its values rounded to that.

#[cfg(test)]
mod tests;

use blindspot_net::Real;

use crate::classifier::{CheckedEvaluator, Classifier, ClassifierError};

/// Inputs at which the error is looked at: the one in question, and the same darkened a little.
const INPUTS: usize = 4;
/// Inputs at which the error is looked at where there are fewer classes than `FEW`, and so few margins: the largest of a few errors
/// can be small by chance.
const INPUTS_OF_FEW: usize = 8;
const FEW: usize = 8;
/// By how much each is darker than the one before, as a fraction: enough to round all sums anew.
const DARKER: f32 = 1.0 / 512.0;
/// The noise, as a multiple of the largest error seen.
const FACTOR: f64 = 4.0;
/// Bytes that the values of inputs evaluated at a time may take: those of a large network may not fit in memory.
const MEMORY: usize = 16 << 20;
/// The least noise, as a fraction of the largest output: the rounding of two outputs, twice.
const LEAST: f64 = 4.0 / (1u32 << 24) as f64;
/// The noise where nothing is computed in double precision, as a fraction of the largest output.
const UNKNOWN: f64 = 2e-6;

/// The largest absolute output: what margins are measured against.
pub fn scale<T: Real>(outputs: &[T]) -> f64 {
    let sizes = outputs.iter().map(|output| output.f64().abs());
    sizes.fold(0.0, f64::max)
}

/// Estimates the rounding noise of a classifier's margins, input by input.
///
/// ```
/// use blindspot_model::rounding::MarginNoise;
/// use blindspot_net::{Graph, Network, Op, Operand, ops::Gemm};
///
/// // Two classes, told apart by ten values; both carry a large offset.
/// let mut graph = Graph::new("x", &[10])?;
/// let image = Operand::Value(graph.input());
/// let weight = Operand::Weight(graph.weight("w", &[10, 2])?);
/// let bias = Operand::Weight(graph.weight("b", &[2])?);
/// graph.node("dense", Op::Gemm(Gemm { trans_b: false }), &[image, weight, bias], "logits")?;
/// let weights = |offset: f32| vec![(1..=20).map(|i| 1.0 / i as f32).collect(), vec![offset; 2]];
/// let small = Network::new(graph.clone(), weights(0.0))?;
/// let large = Network::new(graph, weights(1e4))?;
///
/// let noise_of = |network: &Network<f32>| {
///     let exact = network.cast::<f64>();
///     MarginNoise::new(network, Some(&exact)).at(&[0.7; 10])
/// };
/// assert!(noise_of(&small)? < 1e-5);
/// // The offset costs digits: single precision has 7 of them.
/// assert!(noise_of(&large)? > 1e-3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MarginNoise<'c> {
    rounded: CheckedEvaluator<'c, f32>,
    exact: Option<CheckedEvaluator<'c, f64>>,
    refolded: Option<CheckedEvaluator<'c, f32>>,
    /// Inputs that are evaluated at a time.
    together: usize,
    /// The outputs at the input asked about last.
    outputs: Outputs,
}

/// A classifier's outputs for one input, one a class.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outputs {
    /// As they are rounded.
    pub rounded: Vec<f32>,
    /// In double precision, as far as the classifier has one.
    pub exact: Vec<f64>,
}

impl<'c> MarginNoise<'c> {
    /// Compares a classifier as it is used (in single precision, or rounded to half) with itself in
    /// double precision. Without that the noise is taken for 2e-6 of the largest output, which is
    /// too little for networks of more than some ten layers: give an exact form where there is one
    /// ([`FnClassifier::with_exact`](crate::classifier::FnClassifier::with_exact)).
    pub fn new(classifier: &'c dyn Classifier, exact: Option<&'c dyn Classifier<f64>>) -> Self {
        MarginNoise {
            rounded: CheckedEvaluator::new(classifier),
            exact: exact.map(CheckedEvaluator::new),
            refolded: None,
            together: match classifier.one_batch() {
                // How many it takes changes while it works.
                Some(_) => 1,
                None => MEMORY / (size_of::<f64>() * classifier.values_per_input()).max(1),
            },
            outputs: Outputs::default(),
        }
    }

    /// Counts the error of another form of the classifier, too: with weights as another runtime may
    /// have computed them ([`Classifier::refolded`]).
    #[must_use]
    pub fn and_of(self, refolded: Option<&'c dyn Classifier>) -> Self {
        MarginNoise {
            refolded: refolded.map(CheckedEvaluator::new),
            ..self
        }
    }

    /// By how much one output must lead another at an input, in the unit of the outputs, for the
    /// lead to be there in any runtime that computes in this precision; above 0 unless all outputs
    /// are 0.
    ///
    /// `input` has the classifier's length. Takes four evaluations in each precision, eight of a
    /// classifier with fewer than eight classes.
    ///
    /// # Errors
    /// [`ClassifierError`] where the classifier fails, or gives NaN or infinities.
    pub fn at(&mut self, input: &[f32]) -> Result<f64, ClassifierError> {
        let inputs = match self.exact {
            Some(_) if self.rounded.classes() < FEW => INPUTS_OF_FEW,
            Some(_) => INPUTS,
            None => 1,
        };
        let mut error = 0.0f64;
        // The input itself comes last, so that its outputs stay.
        let darker: Vec<usize> = (0..inputs).rev().collect();
        for darker in darker.chunks(self.together.max(1)) {
            let place = self.rounded.input(darker.len())?;
            for (place, &darker) in place.chunks_exact_mut(input.len().max(1)).zip(darker) {
                let factor = 1.0 - darker as f32 * DARKER;
                for (place, value) in place.iter_mut().zip(input) {
                    *place = factor * value;
                }
            }
            if let Some(exact) = &mut self.exact {
                for (wide, &value) in exact.input(darker.len())?.iter_mut().zip(&*place) {
                    *wide = value.into();
                }
            }
            let rounded = self.rounded.outputs()?;
            let widened: Vec<f64>;
            let exact = match &mut self.exact {
                Some(evaluator) => evaluator.outputs()?,
                None => {
                    widened = rounded.iter().map(|&output| output.into()).collect();
                    &widened
                }
            };
            let classes = (rounded.len() / darker.len()).max(1);
            let rows = rounded
                .chunks_exact(classes)
                .zip(exact.chunks_exact(classes));
            for (rounded, exact) in rows {
                error = error.max(margin_error(rounded, exact));
                self.outputs.rounded.clear();
                self.outputs.rounded.extend_from_slice(rounded);
                self.outputs.exact.clear();
                self.outputs.exact.extend_from_slice(exact);
            }
        }
        if let Some(refolded) = &mut self.refolded {
            refolded.input(1)?.copy_from_slice(input);
            error = error.max(margin_error(refolded.outputs()?, &self.outputs.exact));
        }
        let scale = scale(&self.outputs.rounded);
        Ok(match self.exact {
            Some(_) => (FACTOR * error).max(LEAST * scale),
            None => UNKNOWN * scale,
        })
    }

    /// The outputs at the input asked about last.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }
}

/// The largest error of any difference of two outputs.
fn margin_error(rounded: &[f32], exact: &[f64]) -> f64 {
    let pairs = rounded.iter().zip(exact);
    let errors = pairs.map(|(&rounded, exact)| f64::from(rounded) - exact);
    let (least, most) = errors.fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(least, most), error| (least.min(error), most.max(error)),
    );
    most - least
}
