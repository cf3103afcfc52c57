//! The network is asked again, in both number types, what it answers to the final images, and how
//! far each change is from a local minimum.

use std::sync::Arc;

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;

use super::change::{self, size};
use super::cuts::eliminate;
use super::goal::Aim;
use super::ranges::Room;
use super::{Example, SearchOptions, Target, batch};

/// A rival whose lead is below this part of the largest logit holds the change, too.
const TIE: f64 = 1e-3;
/// Rivals that hold a change at most, as far as the residual is concerned.
const RIVALS: usize = 6;

/// Fills in what the network answers to each changed image, whether that is what was asked for,
/// and the KKT residual. `original` gives the image of the example at a position and its room.
pub(super) fn verify<'a>(
    network: &Network<f32>,
    options: &SearchOptions,
    examples: &mut [Example],
    original: impl Fn(usize) -> (&'a [f32], Arc<Room>) + Sync,
) {
    let exact = network.cast::<f64>();
    let batch = batch::size(&exact);
    let chunks = examples.par_chunks_mut(batch).enumerate();
    chunks.for_each_init(
        || (Evaluator::new(network), Evaluator::new(&exact)),
        |evaluators, (chunk, examples)| {
            let original = |i: usize| original(chunk * batch + i);
            let mut logits = ask(evaluators, examples, options);
            let mut asked = false;
            for (i, example) in examples.iter_mut().enumerate() {
                if example.l2 > 0.0 && !example.success {
                    agree(evaluators, example, options, original(i));
                    asked = true;
                }
            }
            // The residuals are about the images that were asked for last.
            if asked {
                logits = ask(evaluators, examples, options);
            }
            residuals(examples, &mut evaluators.1, &logits, options, original);
        },
    );
}

/// The network in both number types.
type Evaluators<'n> = (Evaluator<'n, f32>, Evaluator<'n, f64>);

/// Asks the network in both number types for its answers; gives its logits in `f64`.
fn ask(
    (evaluator, exactly): &mut Evaluators<'_>,
    examples: &mut [Example],
    options: &SearchOptions,
) -> Vec<f64> {
    let network = evaluator.network();
    let classes = network.output_len();
    let input = evaluator.input(examples.len());
    for (place, example) in input.chunks_exact_mut(network.input_len()).zip(&*examples) {
        place.copy_from_slice(&example.adversarial);
    }
    let wide = exactly.input(examples.len()).iter_mut().zip(&*input);
    wide.for_each(|(place, &value)| *place = value.into());
    let answers = evaluator.forward().chunks_exact(classes);
    let logits = exactly.forward().to_vec();
    for ((example, answer), exact) in examples
        .iter_mut()
        .zip(answers)
        .zip(logits.chunks_exact(classes))
    {
        example.prediction = argmax(answer);
        if matches!(options.target, Target::Untargeted | Target::All) {
            example.target = example.prediction;
        }
        let goal = options.goal(example.label, example.target);
        let reached = goal.margin(answer) > 0.0 && goal.margin(exact) > 0.0;
        example.success = reached || example.already_misclassified;
    }
    logits
}

/// Parts of its length that a change is stretched by at first and at last, and from one to the next.
const STRETCH: (f64, f64, f64) = (1e-6, 1e-2, 4.0);

/// Of a change that ends so near the boundary that the number types disagree: the least of a few
/// stretches with which they don't.
fn agree(
    evaluators: &mut Evaluators<'_>,
    example: &mut Example,
    options: &SearchOptions,
    (original, room): (&[f32], Arc<Room>),
) {
    let (mut stretch, last, growth) = STRETCH;
    let mut tried = example.clone();
    while stretch < last {
        let (from, to) = (&example.adversarial, &mut tried.adversarial);
        change::along(original, from, 1.0 + stretch, &room, to);
        ask(evaluators, std::slice::from_mut(&mut tried), options);
        tried.evaluations += 1;
        if tried.success {
            tried.l2 = change::norm(original, &tried.adversarial);
            *example = tried;
            return;
        }
        stretch *= growth;
    }
}

/// The leads that hold a change, as pairs of classes: the weakest of those the goal asks for, and
/// those nearly as weak.
fn holding(example: &Example, logits: &[f64], options: &SearchOptions) -> Vec<(usize, usize)> {
    let goal = options.goal(example.label, example.target);
    let mut others: Vec<usize> = (0..logits.len()).collect();
    others.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let mut pairs: Vec<(usize, usize)> = match goal.aim {
        Aim::Become(target) => {
            others.retain(|&class| class != target);
            others.into_iter().map(|class| (target, class)).collect()
        }
        Aim::Leave { label, top } => {
            others.retain(|&class| class != label);
            let before = others.into_iter().take(top);
            before.rev().map(|class| (class, label)).collect()
        }
    };
    let size = size(logits);
    let tied = pairs
        .iter()
        .filter(|&&(up, down)| logits[up] - logits[down] - goal.confidence < TIE * size);
    let count = tied.count().clamp(1, RIVALS);
    pairs.truncate(count);
    pairs
}

/// The KKT residuals of a batch that has just been evaluated.
fn residuals<'a>(
    examples: &mut [Example],
    evaluator: &mut Evaluator<'_, f64>,
    logits: &[f64],
    options: &SearchOptions,
    original: impl Fn(usize) -> (&'a [f32], Arc<Room>),
) {
    let classes = logits.len() / examples.len();
    let length = evaluator.network().input_len();
    let pairs: Vec<Vec<(usize, usize)>> = examples
        .iter()
        .zip(logits.chunks_exact(classes))
        .map(|(example, logits)| holding(example, logits, options))
        .collect();
    let mut normals: Vec<Vec<f64>> = Vec::new();
    for rank in 0..RIVALS {
        if rank > 0 && pairs.iter().all(|pairs| pairs.len() <= rank) {
            break;
        }
        let mut direction = vec![0.0; logits.len()];
        for (row, pairs) in direction.chunks_exact_mut(classes).zip(&pairs) {
            if let Some(&(up, down)) = pairs.get(rank) {
                row[up] += 1.0;
                row[down] -= 1.0;
            }
        }
        normals.push(evaluator.backward(&direction).to_vec());
    }
    for (i, example) in examples.iter_mut().enumerate() {
        if example.l2 > 0.0 {
            let rows: Vec<&[f64]> = normals[..pairs[i].len()]
                .iter()
                .map(|rows| &rows[i * length..(i + 1) * length])
                .collect();
            let (original, room) = original(i);
            let changed = &example.adversarial;
            example.kkt_residual = residual(original, changed, &rows, &room) / example.l2;
        }
    }
}

/// How far the change is from the nearest one that the normals at its end would give: the distance
/// to the point of the box at the best non-negative multiples of the normals.
fn residual(original: &[f32], changed: &[f32], normals: &[&[f64]], room: &Room) -> f64 {
    let change = |i: usize| f64::from(changed[i]) - f64::from(original[i]);
    let mut free: Vec<bool> = changed
        .iter()
        .enumerate()
        .map(|(i, value)| room.lower[i] < *value && *value < room.upper[i])
        .collect();
    let mut best = f64::INFINITY;
    // Which values the box holds depends on the multiples, and they on it.
    for _ in 0..20 {
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
            return best.min(residual(original, changed, &others, room));
        }
        let mut square = 0.0;
        let mut settled = true;
        for (i, free) in free.iter_mut().enumerate() {
            let forces = normals.iter().zip(&multiples);
            let force = forces.map(|(normal, multiple)| multiple.max(0.0) * normal[i]);
            let wanted = f64::from(original[i]) + if solved { force.sum() } else { 0.0 };
            let inside = wanted.clamp(f64::from(room.lower[i]), f64::from(room.upper[i]));
            square += (f64::from(changed[i]) - inside).powi(2);
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
