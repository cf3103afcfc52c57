//! Counterexamples: inputs of a property's boxes with unsafe outputs, in the model's own answer.

use blindspot_model::Model;
use blindspot_net::{Evaluator, Network};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Property, Region};

/// An input whose outputs are unsafe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counterexample {
    /// The input, in single precision. Each value lies in its range, or is the number of single precision nearest to
    /// it where the range has none.
    pub inputs: Vec<f32>,
    /// The model's own outputs for it, in single precision.
    pub outputs: Vec<f32>,
    /// Which of the property's boxes it lies in, from 0.
    pub region: usize,
    /// Which of the box's cases its outputs are of, from 0.
    pub case: usize,
    /// By how much the outputs miss being safe, in the unit of the inequalities: the least by which one of the case's
    /// holds. None where the case has none.
    pub margin: Option<f64>,
    /// Whether any runtime's outputs for it are unsafe, whatever the order of its sums; false also where that is not known.
    pub in_any_runtime: bool,
}

/// Asks a model about inputs: in single precision and, on its file's own numbers, in double.
pub(super) struct Judge<'m> {
    property: &'m Property,
    own: Evaluator<'m, f32>,
    exact: Evaluator<'m, f64>,
}

impl<'m> Judge<'m> {
    /// `exact` is the model with its file's own numbers.
    pub(super) fn new(
        model: &'m Model,
        exact: &'m Network<f64>,
        property: &'m Property,
    ) -> Judge<'m> {
        Judge {
            property,
            own: Evaluator::new(model.own_end().unwrap_or(model.network())),
            exact: Evaluator::new(exact),
        }
    }

    /// The input of a box that is nearest to a point, if its outputs are unsafe in both precisions. The outputs of a
    /// margin as large as possible count where several cases apply.
    pub(super) fn judge(&mut self, region: usize, point: &[f64]) -> Option<Counterexample> {
        let Region {
            lower,
            upper,
            cases,
        } = &self.property.regions()[region];
        let ends = lower.iter().zip(upper);
        let inputs = point.iter().zip(ends);
        let inputs: Vec<f32> = inputs
            .map(|(x, (lower, upper))| nearest(*x, *lower, *upper))
            .collect();
        self.own.input(1).copy_from_slice(&inputs);
        let outputs = self.own.forward().to_vec();
        let wide: Vec<f64> = outputs.iter().map(|&y| y.into()).collect();
        let mut own = cases.iter().map(|case| margin(case, &wide)).enumerate();
        own.find(|(_, margin)| *margin >= 0.0)?;
        let places = self.exact.input(1).iter_mut();
        places
            .zip(&inputs)
            .for_each(|(place, &x)| *place = x.into());
        let exact = self.exact.forward();
        let both = cases
            .iter()
            .map(|case| margin(case, &wide).min(margin(case, exact)));
        let (case, margin) = both
            .enumerate()
            .filter(|(_, margin)| *margin >= 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        Some(Counterexample {
            inputs,
            outputs,
            region,
            case,
            margin: margin.is_finite().then_some(margin),
            in_any_runtime: false,
        })
    }

    /// The model's own outputs for inputs in single precision, one row each.
    pub(super) fn outputs(&mut self, inputs: &[f32]) -> &[f32] {
        let count = inputs.len() / self.property.inputs();
        self.own.input(count).copy_from_slice(inputs);
        self.own.forward()
    }
}

/// The least by which an inequality of a case holds; negative where one does not, NaN where outputs are no numbers.
pub(super) fn margin(case: &Case, outputs: &[f64]) -> f64 {
    let margins = case.iter().map(|inequality| -inequality.excess(outputs));
    margins.fold(f64::INFINITY, |least, margin| {
        if margin < least || margin.is_nan() {
            margin
        } else {
            least
        }
    })
}

/// The number of single precision in a range that is nearest to `x`; where the range has none, that nearest to the
/// range.
pub(super) fn nearest(x: f64, lower: f64, upper: f64) -> f32 {
    let near = x.clamp(lower, upper) as f32;
    let inside = |x: &f32| (lower..=upper).contains(&f64::from(*x));
    let candidates = [near, near.next_down(), near.next_up()];
    candidates.into_iter().find(inside).unwrap_or(near)
}
