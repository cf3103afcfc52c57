//! Verification: the classifier is evaluated again, in both number types, on the final images, and
//! the KKT residual tells how far each perturbation is from a local minimum.

use blindspot_model::classifier::{self, CheckedEvaluator, Classifier, ClassifierError};
use blindspot_net::argmax;
use rayon::prelude::*;

use super::bounds::FeasibleBox;
use super::objective::Goal;
use super::perturbation::{self, scale};
use super::vectors::solve_small;
use super::{Example, SearchOptions, Target, batch};

/// A constraint is active at an example where its margin is below this share of the largest
/// output.
const TIE: f64 = 1e-3;
/// Constraints that count as active at most.
const MAX_ACTIVE: usize = 6;
/// First and last stretch of an example on which the number types disagree, as fractions of its
/// perturbation, and the factor from one to the next.
const STRETCH: (f64, f64, f64) = (1e-6, 1e-2, 4.0);

/// An example to be verified and where it comes from.
pub(super) struct Candidate<'a> {
    pub(super) example: &'a mut Example,
    pub(super) original: &'a [f32],
    pub(super) feasible_box: &'a FeasibleBox,
}

/// Fills in what the classifier answers to each adversarial image, whether that is a success, and
/// the KKT residual.
///
/// # Errors
/// [`ClassifierError`] where the classifier fails.
pub(super) fn verify(
    classifier: &dyn Classifier,
    options: &SearchOptions,
    mut candidates: Vec<Candidate<'_>>,
) -> Result<(), ClassifierError> {
    let exact = classifier::exact(classifier);
    let exact = &*exact;
    let chunks = candidates.par_chunks_mut(batch::size(exact));
    chunks.try_for_each_init(
        || Verifier {
            evaluator: CheckedEvaluator::new(classifier),
            exact: CheckedEvaluator::new(exact),
            options,
        },
        Verifier::verify,
    )
}

/// The classifier in both number types.
struct Verifier<'c> {
    evaluator: CheckedEvaluator<'c, f32>,
    exact: CheckedEvaluator<'c, f64>,
    options: &'c SearchOptions,
}

impl Verifier<'_> {
    /// Verifies the examples of one batch.
    fn verify(&mut self, candidates: &mut [Candidate<'_>]) -> Result<(), ClassifierError> {
        let mut examples: Vec<&mut Example> = Vec::with_capacity(candidates.len());
        examples.extend(
            candidates
                .iter_mut()
                .map(|candidate| &mut *candidate.example),
        );
        let mut outputs = self.evaluate(&mut examples)?;
        let mut stretched = false;
        for candidate in candidates.iter_mut() {
            if candidate.example.l2 > 0.0 && !candidate.example.success {
                self.stretch(candidate)?;
                stretched = true;
            }
        }
        // The residuals are about the images that were evaluated last.
        if stretched {
            let examples = candidates
                .iter_mut()
                .map(|candidate| &mut *candidate.example);
            outputs = self.evaluate(&mut examples.collect::<Vec<_>>())?;
        }
        self.kkt_residuals(candidates, &outputs)
    }

    /// Evaluates examples in both number types and fills in what was answered; gives the outputs
    /// in `f64`.
    fn evaluate(&mut self, examples: &mut [&mut Example]) -> Result<Vec<f64>, ClassifierError> {
        let (length, classes) = (self.evaluator.input_len(), self.evaluator.classes());
        let input = self.evaluator.input(examples.len())?;
        let wide = self.exact.input(examples.len())?;
        let places = input.chunks_exact_mut(length);
        for ((example, place), wide) in examples
            .iter()
            .zip(places)
            .zip(wide.chunks_exact_mut(length))
        {
            place.copy_from_slice(&example.adversarial);
            for (wide, &value) in wide.iter_mut().zip(&example.adversarial) {
                *wide = value.into();
            }
        }
        let answers = self.evaluator.outputs()?.chunks_exact(classes);
        let outputs = self.exact.outputs()?.to_vec();
        let rows = answers.zip(outputs.chunks_exact(classes));
        for (example, (answer, exact)) in examples.iter_mut().zip(rows) {
            example.prediction = argmax(answer);
            if matches!(self.options.target, Target::Untargeted | Target::All) {
                example.target = example.prediction;
            }
            let objective = self.options.objective(example.label, example.target);
            let reached = objective.margin(answer) > 0.0 && objective.margin(exact) > 0.0;
            example.success = reached || example.already_misclassified;
        }
        Ok(outputs)
    }

    /// Of an example so near the boundary that the number types disagree: takes the least of a few
    /// stretches of its perturbation with which they don't.
    fn stretch(&mut self, candidate: &mut Candidate<'_>) -> Result<(), ClassifierError> {
        let (mut stretch, last, growth) = STRETCH;
        let mut tried = candidate.example.clone();
        while stretch < last {
            perturbation::interpolate(
                candidate.original,
                &candidate.example.adversarial,
                1.0 + stretch,
                candidate.feasible_box,
                &mut tried.adversarial,
            );
            self.evaluate(&mut [&mut tried])?;
            tried.evaluations += 1;
            if tried.success {
                tried.l2 = perturbation::norm(candidate.original, &tried.adversarial);
                *candidate.example = tried;
                return Ok(());
            }
            stretch *= growth;
        }
        Ok(())
    }

    /// Fills in the KKT residuals of a batch that has just been evaluated.
    fn kkt_residuals(
        &mut self,
        candidates: &mut [Candidate<'_>],
        outputs: &[f64],
    ) -> Result<(), ClassifierError> {
        let (length, classes) = (self.exact.input_len(), self.exact.classes());
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
        for (i, candidate) in candidates.iter_mut().enumerate() {
            if candidate.example.l2 > 0.0 {
                let rows: Vec<&[f64]> = normals[..pairs[i].len()]
                    .iter()
                    .map(|rows| &rows[i * length..(i + 1) * length])
                    .collect();
                let distance = kkt_distance(
                    candidate.original,
                    &candidate.example.adversarial,
                    &rows,
                    candidate.feasible_box,
                );
                candidate.example.kkt_residual = distance / candidate.example.l2;
            }
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
    let scale = scale(outputs);
    let tied = pairs
        .iter()
        .filter(|&&(up, down)| outputs[up] - outputs[down] - objective.confidence < TIE * scale);
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
