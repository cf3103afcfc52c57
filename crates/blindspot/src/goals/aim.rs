//! A goal for one image: the margins that its own outputs set, and what counts as reaching them.

use blindspot_net::{Evaluator, Network, argmax};

use super::head::{HeadBuilder, Linear};
use super::{GoalError, OutputGoal};

/// How much of an output's own size its rounding at the original may be, in any runtime.
const ROUNDING: f64 = 4.0 / (1u32 << 24) as f64;
/// What the error of single precision at the original is taken times: another runtime has another one.
const ERROR_FACTOR: f64 = 4.0;

/// What a model gives for an original.
pub(crate) struct Original<'a> {
    /// Index of the image in the data set.
    pub(crate) index: usize,
    /// Its outputs in double precision.
    pub(crate) exact: &'a [f64],
    /// Its outputs as they are rounded.
    pub(crate) rounded: &'a [f32],
    /// What labels are on above in these outputs.
    pub(crate) threshold: f64,
    /// What they are on above in the outputs that users see.
    pub(crate) answering_threshold: f64,
}

impl Original<'_> {
    /// How far an output may be from the exact one in a runtime.
    fn error(&self, output: usize) -> f64 {
        let (exact, rounded) = (self.exact[output], f64::from(self.rounded[output]));
        ERROR_FACTOR * (exact - rounded).abs() + ROUNDING * exact.abs()
    }

    /// How far all outputs together may be from the exact ones in a runtime, in the L2 norm.
    fn errors(&self) -> f64 {
        let errors = (0..self.exact.len()).map(|output| self.error(output).powi(2));
        errors.sum::<f64>().sqrt()
    }
}

/// A goal for one image.
pub(crate) struct Aim {
    /// From the model's outputs to 0 and the goal's margins.
    pub(crate) head: Network<f64>,
    /// From the outputs that users see to 0 and the goal's margins.
    pub(crate) answering_head: Network<f64>,
    /// Whether 0 has to lead all the others; else any of the others is to lead it.
    pub(crate) every: bool,
    /// Whether the margin has no gradient at the original, however the model is made: its own outputs are the farthest
    /// from the goal.
    pub(crate) is_flat: bool,
}

impl Aim {
    /// The class of the head that holds before the goal is reached.
    pub(crate) fn label(&self, outputs: &[f64]) -> usize {
        if !self.every {
            return 0;
        }
        let mut evaluator = Evaluator::new(&self.head);
        evaluator.input(1).copy_from_slice(outputs);
        1 + argmax(&evaluator.forward()[1..])
    }
}

impl OutputGoal {
    /// Whether the goal fits a model with so many outputs, and all that it needs is known.
    ///
    /// # Errors
    /// [`GoalError`].
    pub fn check(&self, outputs: usize) -> Result<(), GoalError> {
        let positive = |distance: f64| distance > 0.0 && distance.is_finite();
        let named = match self {
            OutputGoal::Flip(output)
            | OutputGoal::Moves {
                output: Some(output),
                ..
            }
            | OutputGoal::Rises { output, .. }
            | OutputGoal::Falls { output, .. }
            | OutputGoal::Enters { output, .. } => Some(*output),
            OutputGoal::Labels(labels) => labels.last().copied(),
            _ => None,
        };
        if let Some(output) = named.filter(|&output| output >= outputs) {
            return Err(GoalError::Output { output, outputs });
        }
        let words = || self.to_string();
        match self {
            OutputGoal::Moves { by, .. }
            | OutputGoal::Rises { by, .. }
            | OutputGoal::Falls { by, .. }
            | OutputGoal::Near { within: by, .. }
                if !positive(*by) =>
            {
                Err(GoalError::Distance(words()))
            }
            OutputGoal::Turns { below: cosine } | OutputGoal::Aligns { above: cosine, .. }
                if !(*cosine > -1.0 && *cosine < 1.0) =>
            {
                Err(GoalError::Cosine(words()))
            }
            // NaN is no end either.
            OutputGoal::Enters { low, high, .. }
                if !(low < high && (low.is_finite() || high.is_finite())) =>
            {
                Err(GoalError::Interval(words()))
            }
            OutputGoal::Near { template, .. } | OutputGoal::Aligns { template, .. }
                if template.outputs.len() != outputs =>
            {
                Err(GoalError::Template(template.image))
            }
            OutputGoal::Aligns { template, .. } if template.outputs.iter().all(|&x| x == 0.0) => {
                Err(GoalError::NoDirection(template.image))
            }
            OutputGoal::Margin(formula) => {
                let file = || formula.file.clone();
                let network = formula.network.as_ref();
                let network = network.ok_or_else(|| GoalError::NoFormula(file()))?;
                let takes = network.input_len();
                if takes == outputs {
                    Ok(())
                } else {
                    Err(GoalError::Formula {
                        file: file(),
                        takes,
                        outputs,
                    })
                }
            }
            _ => Ok(()),
        }
    }

    /// The goal for an image, behind outputs of this shape; the goal fits them.
    ///
    /// # Errors
    /// [`GoalError::NoDirection`] where the outputs are to turn and have no direction.
    pub(crate) fn aim(&self, original: &Original<'_>, shape: &[usize]) -> Result<Aim, GoalError> {
        let every = self.asks_for_all();
        let exact = original.exact;
        let head = HeadBuilder::new(shape);
        let one = |value: HeadBuilder, factor: f64, constant: f64| {
            value.margins(&[Linear::of(0, factor, constant)], every)
        };
        let mut is_flat = false;
        let head = match self {
            OutputGoal::AnyFlip | OutputGoal::Flip(_) | OutputGoal::Labels(_) => {
                let behind = |threshold: f64| {
                    HeadBuilder::new(shape).margins(&self.flips(original, threshold), every)
                };
                return Ok(Aim {
                    head: behind(original.threshold),
                    answering_head: behind(original.answering_threshold),
                    every,
                    is_flat: false,
                });
            }
            OutputGoal::Moves { by, output: None } if exact.len() > 1 => {
                is_flat = true;
                one(head.distance_to(exact), 1.0, -by - original.errors())
            }
            OutputGoal::Moves { by, output } => {
                let output = output.unwrap_or(0);
                let (own, by) = (exact[output], by + original.error(output));
                let up = Linear::of(output, 1.0, -own - by);
                let down = Linear::of(output, -1.0, own - by);
                head.margins(&[up, down], every)
            }
            OutputGoal::Rises { by, output } => {
                let to = exact[*output] + by + original.error(*output);
                head.margins(&[Linear::of(*output, 1.0, -to)], every)
            }
            OutputGoal::Falls { by, output } => {
                let to = exact[*output] - by - original.error(*output);
                head.margins(&[Linear::of(*output, -1.0, to)], every)
            }
            OutputGoal::Enters { low, high, output } => {
                let low = low.is_finite().then(|| Linear::of(*output, 1.0, -low));
                let high = high.is_finite().then(|| Linear::of(*output, -1.0, *high));
                let ends: Vec<Linear> = low.into_iter().chain(high).collect();
                head.margins(&ends, every)
            }
            OutputGoal::Turns { below } => {
                if exact.iter().all(|&x| x == 0.0) {
                    return Err(GoalError::NoDirection(original.index));
                }
                is_flat = true;
                one(head.cosine_to(exact), -1.0, *below)
            }
            OutputGoal::Near { within, template } => {
                one(head.distance_to(&template.outputs), -1.0, *within)
            }
            OutputGoal::Aligns { above, template } => {
                one(head.cosine_to(&template.outputs), 1.0, -above)
            }
            OutputGoal::Margin(formula) => {
                let network = formula.network.as_ref();
                let network: Network<f64> = network.expect("the goal was checked").cast();
                let numbers = 0..network.output_len();
                let margins: Vec<Linear> =
                    numbers.map(|number| Linear::of(number, 1.0, 0.0)).collect();
                let head = head.formula(&network).expect("the goal was checked");
                head.margins(&margins, every)
            }
        };
        Ok(Aim {
            answering_head: head.clone(),
            head,
            every,
            is_flat,
        })
    }

    /// The margins of labels of an original, in outputs in which they are on above a threshold.
    fn flips(&self, original: &Original<'_>, threshold: f64) -> Vec<Linear> {
        let to = |label: usize, on: bool| {
            let sign = if on { 1.0 } else { -1.0 };
            Linear::of(label, sign, -sign * threshold)
        };
        let flip = |label: usize| to(label, original.exact[label] <= original.threshold);
        let all = 0..original.exact.len();
        match self {
            OutputGoal::Labels(labels) => all
                .map(|label| to(label, labels.contains(&label)))
                .collect(),
            OutputGoal::Flip(label) => vec![flip(*label)],
            _ => all.map(flip).collect(),
        }
    }

    /// Whether a model's outputs, as its users see them, reach the goal from those that it gave for the original.
    /// `threshold` is what labels are on above: 1/2 of probabilities, 0 of logits. For a network of one's own this is its
    /// own answer in double precision.
    pub fn is_reached(&self, before: &[f64], after: &[f64], threshold: f64) -> bool {
        let on = |outputs: &[f64], label: usize| outputs[label] > threshold;
        let flips = |label: usize| on(before, label) != on(after, label);
        match self {
            OutputGoal::AnyFlip => (0..after.len()).any(flips),
            OutputGoal::Flip(label) => flips(*label),
            OutputGoal::Labels(labels) => {
                (0..after.len()).all(|label| on(after, label) == labels.contains(&label))
            }
            OutputGoal::Moves {
                by,
                output: Some(output),
            } => (after[*output] - before[*output]).abs() > *by,
            OutputGoal::Moves { by, output: None } => distance(before, after) > *by,
            OutputGoal::Rises { by, output } => after[*output] - before[*output] > *by,
            OutputGoal::Falls { by, output } => before[*output] - after[*output] > *by,
            OutputGoal::Enters { low, high, output } => {
                *low < after[*output] && after[*output] < *high
            }
            OutputGoal::Turns { below } => cosine(before, after) < *below,
            OutputGoal::Near { within, template } => distance(&template.outputs, after) < *within,
            OutputGoal::Aligns { above, template } => cosine(&template.outputs, after) > *above,
            OutputGoal::Margin(formula) => formula.network.as_ref().is_some_and(|network| {
                let network = network.cast::<f64>();
                let mut evaluator = Evaluator::new(&network);
                evaluator.input(1).copy_from_slice(after);
                evaluator.forward().iter().all(|&number| number > 0.0)
            }),
        }
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

/// The cosine of two vectors; 0 where one of them is 0.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    if lengths > 0.0 {
        dot(a, b) / lengths
    } else {
        0.0
    }
}
