//! Classifiers whose margin is the same all around an image, so that no search can find a way.

use blindspot_model::classifier::{CheckedEvaluator, ClassifierError};

use super::task::{Effort, Task};

/// Whether a task's margin differs neither at the original nor at any of some points by more than rounding can make
/// up, and its gradient there promises no more; adds what the points took to `effort`, the search having been at the
/// original already.
///
/// # Errors
/// [`ClassifierError`] where the classifier fails.
pub(super) fn is_constant(
    evaluator: &mut CheckedEvaluator<'_, f32>,
    task: &Task<'_>,
    points: impl Iterator<Item = Vec<f32>>,
    effort: &mut Effort,
) -> Result<bool, ClassifierError> {
    let Some(margin) = flat_margin(evaluator, task, task.original)? else {
        return Ok(false);
    };
    for point in points {
        effort.evaluations += 1;
        effort.gradients += 1;
        let other = flat_margin(evaluator, task, &point)?;
        if other.is_none_or(|other| (other - margin).abs() > task.lead) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The margin at a point, if its linear change through the whole box is below what rounding can make up, and does not
/// reach the goal.
fn flat_margin(
    evaluator: &mut CheckedEvaluator<'_, f32>,
    task: &Task<'_>,
    point: &[f32],
) -> Result<Option<f64>, ClassifierError> {
    evaluator.input(1)?.copy_from_slice(point);
    let outputs = evaluator.outputs()?;
    let margin = task.objective.margin(outputs);
    let (up, down) = task.objective.binding_pair(outputs);
    let mut direction = vec![0.0; outputs.len()];
    (direction[up], direction[down]) = (1.0, -1.0);
    let change = task
        .feasible_box
        .linear_change(evaluator.pull_back(&direction)?);
    let is_flat = change <= task.lead && margin + change <= task.lead;
    Ok(is_flat.then_some(margin))
}
