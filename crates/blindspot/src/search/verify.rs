//! The network is asked again, in both number types, what it answers to the final images, and how
//! far each change is from a local minimum.

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;

use super::change::InputBox;
use super::cuts::eliminate;
use super::{Example, SearchOptions, Target};

/// Images that are evaluated at a time.
const BATCH: usize = 64;
/// A rival whose lead is below this part of the largest logit holds the change, too.
const TIE: f64 = 1e-3;
/// Rivals that hold a change at most, as far as the residual is concerned.
const RIVALS: usize = 6;

/// Fills in what the network answers to each changed image, whether that is what was asked for,
/// and the KKT residual. `original` gives the image of the example at a position.
pub(super) fn verify<'a>(
    network: &Network<f32>,
    options: &SearchOptions,
    examples: &mut [Example],
    original: impl Fn(usize) -> &'a [f32] + Sync,
) {
    let exact = network.cast::<f64>();
    let chunks = examples.par_chunks_mut(BATCH).enumerate();
    chunks.for_each_init(
        || (Evaluator::new(network), Evaluator::new(&exact)),
        |(evaluator, exactly), (chunk, examples)| {
            let classes = network.output_len();
            let input = evaluator.input(examples.len());
            for (place, example) in input.chunks_exact_mut(network.input_len()).zip(&*examples) {
                place.copy_from_slice(&example.adversarial);
            }
            let wide: Vec<f64> = input.iter().map(|&value| f64::from(value)).collect();
            exactly.input(examples.len()).copy_from_slice(&wide);
            let answers = evaluator.forward().chunks_exact(classes);
            let logits = exactly.forward().to_vec();
            for ((example, answer), exact) in examples
                .iter_mut()
                .zip(answers)
                .zip(logits.chunks_exact(classes))
            {
                example.after = argmax(answer);
                if matches!(options.target, Target::Untargeted | Target::All) {
                    example.target = example.after;
                }
                let agreed = argmax(exact) == example.after;
                let asked = example.after == example.target && example.after != example.label;
                example.success = agreed && asked || example.already_wrong();
            }
            residuals(examples, exactly, &logits, options, |i| {
                original(chunk * BATCH + i)
            });
        },
    );
}

/// The KKT residuals of a batch that has just been evaluated.
fn residuals<'a>(
    examples: &mut [Example],
    evaluator: &mut Evaluator<'_, f64>,
    logits: &[f64],
    options: &SearchOptions,
    original: impl Fn(usize) -> &'a [f32],
) {
    let classes = logits.len() / examples.len();
    let length = evaluator.network().input_len();
    // The rivals that hold each change: of a label that is left, the label alone.
    let rivals: Vec<Vec<usize>> = examples
        .iter()
        .zip(logits.chunks_exact(classes))
        .map(|(example, logits)| {
            if matches!(options.target, Target::Untargeted | Target::All) {
                return vec![example.label];
            }
            let size = logits
                .iter()
                .fold(1.0f64, |size, logit| size.max(logit.abs()));
            let mut others: Vec<usize> = (0..classes).filter(|&c| c != example.after).collect();
            others.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            let lead = |class: usize| logits[example.after] - logits[class];
            let tied = others
                .iter()
                .filter(|&&class| lead(class) < TIE * size)
                .count();
            others.truncate(tied.clamp(1, RIVALS));
            others
        })
        .collect();
    let mut normals: Vec<Vec<f64>> = Vec::new();
    for rank in 0..RIVALS {
        if rank > 0 && rivals.iter().all(|rivals| rivals.len() <= rank) {
            break;
        }
        let mut direction = vec![0.0; logits.len()];
        for ((row, example), rivals) in direction
            .chunks_exact_mut(classes)
            .zip(&*examples)
            .zip(&rivals)
        {
            if let Some(&rival) = rivals.get(rank) {
                row[example.after] += 1.0;
                row[rival] -= 1.0;
            }
        }
        normals.push(evaluator.backward(&direction).to_vec());
    }
    for (i, example) in examples.iter_mut().enumerate() {
        if example.l2 > 0.0 {
            let rows: Vec<&[f64]> = normals[..rivals[i].len()]
                .iter()
                .map(|rows| &rows[i * length..(i + 1) * length])
                .collect();
            let changed = &example.adversarial;
            example.kkt = residual(original(i), changed, &rows, options.bounds) / example.l2;
        }
    }
}

/// How far the change is from the nearest one that the normals at its end would give: the distance
/// to the point of the box at the best non-negative multiples of the normals.
fn residual(original: &[f32], changed: &[f32], normals: &[&[f64]], bounds: InputBox) -> f64 {
    let change = |i: usize| f64::from(changed[i]) - f64::from(original[i]);
    let mut free: Vec<bool> = changed
        .iter()
        .map(|value| bounds.lower < *value && *value < bounds.upper)
        .collect();
    let mut best = f64::INFINITY;
    // Which values the box holds depends on the multiples, and they on it.
    for _ in 0..4 {
        let sum = |f: &dyn Fn(usize) -> f64| -> f64 {
            (0..changed.len()).filter(|&i| free[i]).map(f).sum()
        };
        let mut matrix: Vec<Vec<f64>> = normals
            .iter()
            .map(|a| {
                let mut row: Vec<f64> = normals.iter().map(|b| sum(&|i| a[i] * b[i])).collect();
                row.push(sum(&|i| a[i] * change(i)));
                row
            })
            .collect();
        let solved = eliminate(&mut matrix);
        let multiples: Vec<f64> = matrix.iter().map(|row| row[normals.len()]).collect();
        let least = (0..normals.len()).min_by(|&a, &b| multiples[a].total_cmp(&multiples[b]));
        if let Some(out) =
            least.filter(|&least| normals.len() > 1 && !(solved && multiples[least] >= 0.0))
        {
            // A rival that would pull doesn't hold the change.
            let mut others = normals.to_vec();
            others.remove(out);
            return best.min(residual(original, changed, &others, bounds));
        }
        let mut square = 0.0;
        for (i, free) in free.iter_mut().enumerate() {
            let forces = normals.iter().zip(&multiples);
            let force = forces.map(|(normal, multiple)| multiple.max(0.0) * normal[i]);
            let wanted = f64::from(original[i]) + if solved { force.sum() } else { 0.0 };
            let inside = wanted.clamp(f64::from(bounds.lower), f64::from(bounds.upper));
            square += (f64::from(changed[i]) - inside).powi(2);
            *free = wanted == inside;
        }
        best = best.min(square.sqrt());
    }
    best
}
