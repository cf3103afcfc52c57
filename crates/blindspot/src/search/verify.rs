//! Verification: each final image is judged as where the classifier is used, and the KKT residual
//! tells how far its perturbation is from a local minimum.

use std::time::Instant;

use blindspot_model::classifier::{CheckedEvaluator, ClassifierError};
use rayon::prelude::*;

use super::bounds::FeasibleBox;
use super::norms::{Measure, Norm};
use super::objective::{Goal, Objective};
use super::perturbation::{self, scale};
use super::runtime::{Judge, Runtime};
use super::vectors::solve_small;
use super::{Example, SearchOptions, Target, batch, residual};

/// A constraint is active at an example where its margin is below this share of the largest
/// output, or near the rounding noise.
const TIE: f64 = 1e-3;
/// Constraints that count as active at most.
const MAX_ACTIVE: usize = 6;
/// First and last stretch of an example that does not lead by enough, as fractions of its
/// perturbation, and the factor from one to the next. What takes more is searched for again.
const STRETCH: (f64, f64, f64) = (1e-6, 0.1, 4.0);
/// Halvings between a stretch that is too short and one that does.
const HALVINGS: u32 = 4;
/// A gradient counts as zero where its linear change through the whole box is below this share of
/// the margin.
const FLAT: f64 = 1e-6;

/// An example to be verified and where it comes from.
pub(super) struct Candidate<'a> {
    pub(super) example: &'a mut Example,
    pub(super) original: &'a [f32],
    pub(super) feasible_box: &'a FeasibleBox,
    /// Set where an example was found that is none where the classifier is used.
    pub(super) refuted: &'a mut bool,
    /// Set where there was no time to verify it.
    pub(super) left_out: &'a mut bool,
}

/// Fills in what the classifier answers to each adversarial image, whether that is a success, and
/// the KKT residual; of the failures, whether there was a gradient to follow. What is not begun by
/// `until` is left out.
///
/// # Errors
/// [`ClassifierError`] where the classifier fails.
pub(super) fn verify(
    runtime: &Runtime<'_>,
    options: &SearchOptions,
    mut candidates: Vec<Candidate<'_>>,
    until: Option<Instant>,
) -> Result<(), ClassifierError> {
    // One by one where somebody waits for it.
    let size = until.map_or_else(|| batch::size(runtime.exact()), |_| 1);
    let chunks = candidates.par_chunks_mut(size);
    chunks.try_for_each_init(
        || Verifier {
            judge: runtime.judge(),
            evaluator: CheckedEvaluator::new(runtime.classifier()),
            exact: CheckedEvaluator::new(runtime.exact()),
            measure: options.measure(runtime.classifier().input_shape()),
            options,
            until,
        },
        Verifier::verify,
    )
}

struct Verifier<'c> {
    judge: Judge<'c>,
    evaluator: CheckedEvaluator<'c, f32>,
    exact: CheckedEvaluator<'c, f64>,
    /// What is to be small.
    measure: Measure,
    options: &'c SearchOptions,
    until: Option<Instant>,
}

impl Verifier<'_> {
    /// Verifies the examples of one batch, if there is time.
    fn verify(&mut self, candidates: &mut [Candidate<'_>]) -> Result<(), ClassifierError> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            for candidate in candidates {
                *candidate.left_out = true;
            }
            return Ok(());
        }
        for candidate in candidates.iter_mut() {
            let index = candidate.example.index;
            self.verify_one(candidate)
                .map_err(|error| error.of_input(|_| index))?;
        }
        let changed: Vec<&mut Candidate<'_>> = candidates
            .iter_mut()
            .filter(|candidate| candidate.example.l2 > 0.0)
            .collect();
        self.kkt_residuals(changed)
    }

    fn verify_one(&mut self, candidate: &mut Candidate<'_>) -> Result<(), ClassifierError> {
        if candidate.example.already_misclassified {
            return Ok(());
        }
        self.round(candidate);
        self.judge(candidate.example)?;
        if candidate.example.l2 > 0.0 && !candidate.example.success {
            self.stretch(candidate)?;
        }
        if !candidate.example.success {
            *candidate.refuted = candidate.example.l2 > 0.0;
            let lost = self.is_lost(candidate.example);
            candidate.example.no_gradient = lost || self.is_flat(candidate)?;
            self.give_up(candidate)?;
        }
        Ok(())
    }

    /// Rounds an adversarial image's values as where the classifier is used.
    fn round(&self, candidate: &mut Candidate<'_>) {
        let example = &mut *candidate.example;
        if example.l2 > 0.0 {
            self.judge.round(&mut example.adversarial);
            example.measure(candidate.original, self.measure);
        }
    }

    /// Fills in what is answered to an adversarial image.
    fn judge(&mut self, example: &mut Example) -> Result<(), ClassifierError> {
        self.judge.evaluate(&example.adversarial, example.noise)?;
        example.prediction = self.judge.prediction();
        if matches!(self.options.target, Target::Untargeted | Target::All) {
            example.target = example.prediction;
        }
        example.noise = self.judge.noise();
        example.success = self.judge.reached(self.objective(example));
        Ok(())
    }

    fn objective(&self, example: &Example) -> Objective {
        self.options.objective(example.label, example.target)
    }

    /// Of an example so near the boundary that rounding could undo it: takes about the least stretch
    /// of its perturbation that it can't.
    fn stretch(&mut self, candidate: &mut Candidate<'_>) -> Result<(), ClassifierError> {
        let (first, last, growth) = STRETCH;
        let short = candidate.example.clone();
        let (mut fails, mut stretch) = (0.0, first);
        let mut halvings = 0;
        while stretch < last && halvings < HALVINGS {
            let mut tried = candidate.example.clone();
            perturbation::interpolate(
                candidate.original,
                &short.adversarial,
                1.0 + stretch,
                candidate.feasible_box,
                &mut tried.adversarial,
            );
            self.judge.round(&mut tried.adversarial);
            self.judge(&mut tried)?;
            candidate.example.evaluations += 1;
            tried.evaluations = candidate.example.evaluations;
            if tried.success {
                tried.measure(candidate.original, self.measure);
                *candidate.example = tried;
            } else {
                fails = stretch;
            }
            if candidate.example.success {
                halvings += 1;
                stretch = 0.5 * (fails + stretch);
            } else {
                stretch *= growth;
            }
        }
        Ok(())
    }

    /// Puts the original in the place of an image that does not succeed.
    fn give_up(&mut self, candidate: &mut Candidate<'_>) -> Result<(), ClassifierError> {
        let example = &mut *candidate.example;
        if example.l2 > 0.0 {
            example.adversarial.copy_from_slice(candidate.original);
            example.measure(candidate.original, self.measure);
            self.judge(candidate.example)?;
        }
        Ok(())
    }

    /// Whether an example, judged last, leads by enough but for the end of the model, which rounds
    /// the outputs that users see to one number.
    fn is_lost(&self, example: &Example) -> bool {
        self.judge.leads(self.objective(example))
    }

    /// Whether the gradient at the original is zero, as far as single precision can tell.
    fn is_flat(&mut self, candidate: &Candidate<'_>) -> Result<bool, ClassifierError> {
        let objective = self.objective(candidate.example);
        self.evaluator.input(1)?.copy_from_slice(candidate.original);
        let outputs = self.evaluator.outputs()?;
        let margin = objective.margin(outputs);
        let mut direction = vec![0.0; outputs.len()];
        objective.descent(outputs, &mut direction);
        let gradient = self.evaluator.pull_back(&direction)?;
        let change = candidate.feasible_box.linear_change(gradient);
        // NaN leads nowhere, too.
        Ok(change.is_nan() || change <= FLAT * margin.abs())
    }

    /// Fills in the KKT residuals of examples that were changed.
    fn kkt_residuals(
        &mut self,
        candidates: Vec<&mut Candidate<'_>>,
    ) -> Result<(), ClassifierError> {
        if candidates.is_empty() {
            return Ok(());
        }
        let (length, classes) = (self.exact.input_len(), self.exact.classes());
        let input = self.exact.input(candidates.len())?;
        for (candidate, place) in candidates.iter().zip(input.chunks_exact_mut(length)) {
            for (place, &value) in place.iter_mut().zip(&candidate.example.adversarial) {
                *place = value.into();
            }
        }
        let outputs = self.exact.outputs()?.to_vec();
        let pairs: Vec<Vec<(usize, usize)>> = candidates
            .iter()
            .zip(outputs.chunks_exact(classes))
            .map(|(candidate, outputs)| active_pairs(candidate.example, outputs, self.options))
            .collect();
        let mut normals: Vec<Vec<f64>> = Vec::new();
        for rank in 0..MAX_ACTIVE {
            if rank > 0 && pairs.iter().all(|pairs| pairs.len() <= rank) {
                break;
            }
            let mut direction = vec![0.0; outputs.len()];
            for (row, pairs) in direction.chunks_exact_mut(classes).zip(&pairs) {
                if let Some(&(up, down)) = pairs.get(rank) {
                    row[up] += 1.0;
                    row[down] -= 1.0;
                }
            }
            normals.push(self.exact.pull_back(&direction)?.to_vec());
        }
        for (i, candidate) in candidates.into_iter().enumerate() {
            let rows: Vec<&[f64]> = normals[..pairs[i].len()]
                .iter()
                .map(|rows| &rows[i * length..(i + 1) * length])
                .collect();
            let Candidate {
                original,
                feasible_box,
                example,
                ..
            } = candidate;
            let norm = self.measure.norm;
            example.kkt_residual = if norm == Norm::L2 {
                kkt_distance(original, &example.adversarial, &rows, feasible_box) / example.l2
            } else {
                let images = (*original, &example.adversarial[..]);
                let smallest = residual::smallest(self.measure, images, &rows, feasible_box);
                1.0 - (smallest / example.norm(norm)).min(1.0)
            };
        }
        Ok(())
    }
}

/// The active constraints at an example, as pairs of classes of which the first leads the second:
/// the smallest margin of those the objective asks for, and those nearly as small.
fn active_pairs(
    example: &Example,
    outputs: &[f64],
    options: &SearchOptions,
) -> Vec<(usize, usize)> {
    let objective = options.objective(example.label, example.target);
    let mut others: Vec<usize> = (0..outputs.len()).collect();
    others.sort_by(|&a, &b| outputs[b].total_cmp(&outputs[a]));
    let mut pairs: Vec<(usize, usize)> = match objective.goal {
        Goal::Targeted(target) => {
            others.retain(|&class| class != target);
            others.into_iter().map(|class| (target, class)).collect()
        }
        Goal::Untargeted { label, top_k } => {
            others.retain(|&class| class != label);
            let wanted = others.into_iter().take(top_k);
            wanted.rev().map(|class| (class, label)).collect()
        }
    };
    // An example leads by the noise and a little more; what another class leads by beside it is no
    // more than that.
    let tie = (TIE * scale(outputs)).max(3.0 * example.noise);
    let tied = pairs
        .iter()
        .filter(|&&(up, down)| outputs[up] - outputs[down] - objective.confidence < tie);
    let count = tied.count().clamp(1, MAX_ACTIVE);
    pairs.truncate(count);
    pairs
}

/// How far an image is from the one that the normals of its active constraints would give: the
/// distance to the point of the box at the best non-negative multiples of the normals.
fn kkt_distance(
    original: &[f32],
    adversarial: &[f32],
    normals: &[&[f64]],
    feasible_box: &FeasibleBox,
) -> f64 {
    let delta = |i: usize| f64::from(adversarial[i]) - f64::from(original[i]);
    let mut free: Vec<bool> = adversarial
        .iter()
        .enumerate()
        .map(|(i, value)| feasible_box.lower[i] < *value && *value < feasible_box.upper[i])
        .collect();
    let mut best = f64::INFINITY;
    // Which values the box holds depends on the multiples, and they on it.
    for _ in 0..20 {
        let sum = |f: &dyn Fn(usize) -> f64| -> f64 {
            (0..adversarial.len()).filter(|&i| free[i]).map(f).sum()
        };
        let mut matrix: Vec<Vec<f64>> = normals
            .iter()
            .map(|a| {
                let mut row: Vec<f64> = normals.iter().map(|b| sum(&|i| a[i] * b[i])).collect();
                row.push(sum(&|i| a[i] * delta(i)));
                row
            })
            .collect();
        let solved = solve_small(&mut matrix);
        let multiples: Vec<f64> = matrix.iter().map(|row| row[normals.len()]).collect();
        let least = (0..normals.len()).min_by(|&a, &b| multiples[a].total_cmp(&multiples[b]));
        if let Some(out) =
            least.filter(|&least| normals.len() > 1 && !(solved && multiples[least] >= 0.0))
        {
            // A constraint that would pull is not active.
            let mut others = normals.to_vec();
            others.remove(out);
            return best.min(kkt_distance(original, adversarial, &others, feasible_box));
        }
        let mut square = 0.0;
        let mut settled = true;
        for (i, free) in free.iter_mut().enumerate() {
            let forces = normals.iter().zip(&multiples);
            let force = forces.map(|(normal, multiple)| multiple.max(0.0) * normal[i]);
            let wanted = f64::from(original[i]) + if solved { force.sum() } else { 0.0 };
            let (lower, upper) = (feasible_box.lower[i], feasible_box.upper[i]);
            let inside = wanted.clamp(f64::from(lower), f64::from(upper));
            square += (f64::from(adversarial[i]) - inside).powi(2);
            settled &= *free == (wanted == inside);
            *free = wanted == inside;
        }
        best = best.min(square.sqrt());
        if settled {
            break;
        }
    }
    best
}
