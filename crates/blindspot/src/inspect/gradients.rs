//! A network's gradient beside finite differences.

use std::time::{Duration, Instant};

use blindspot_net::{Evaluator, Network};
use blindspot_run::random::Stream;
use schemars::JsonSchema;
use serde::Serialize;

/// How far a gradient is from finite differences, at one image.
///
/// Both are of the margin between the two largest outputs, in double precision, along the gradient
/// and, for networks that are not very slow, along random directions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct GradientCheck {
    /// The norm of the gradient by the image's values; 0 where nothing changes the answer nearby.
    #[schemars(with = "Option<f64>")]
    pub norm: f64,
    /// The largest difference along any direction, over the gradient's norm; of three steps the one
    /// that agrees best counts, so that a kink beside the image is no error. NaN (in JSON, null)
    /// where outputs or gradient are not finite, or the gradient is 0.
    #[schemars(with = "Option<f64>")]
    pub relative_difference: f64,
}

/// Beside the gradient's own direction, as far as there is time.
const RANDOM_DIRECTIONS: usize = 4;

/// After this long no further direction is begun: a report is not worth minutes.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

impl GradientCheck {
    /// Whether gradient and differences agree to three digits.
    pub fn agrees(&self) -> bool {
        self.relative_difference < 1e-3
    }

    /// Compares them at an image.
    pub(super) fn at(network: &Network<f32>, image: &[f32], random: &mut Stream) -> GradientCheck {
        let begun = Instant::now();
        let network = network.cast::<f64>();
        let mut evaluator = Evaluator::new(&network);
        let image: Vec<f64> = image.iter().map(|&value| f64::from(value)).collect();
        evaluator.input(1).copy_from_slice(&image);
        let outputs = evaluator.forward();
        let mut order: Vec<usize> = (0..outputs.len()).collect();
        order.sort_by(|&a, &b| outputs[b].total_cmp(&outputs[a]));
        let mut by_outputs = vec![0.0; outputs.len()];
        by_outputs[order[0]] = 1.0;
        if let Some(&second) = order.get(1) {
            by_outputs[second] = -1.0;
        }
        let gradient = evaluator.backward(&by_outputs).to_vec();
        let norm = length(&gradient);
        let mut directions = vec![gradient.clone()];
        for _ in 0..RANDOM_DIRECTIONS {
            directions.push((0..image.len()).map(|_| random.normal()).collect());
        }
        let mut margin = |step: f64, direction: &[f64]| {
            let moved = image.iter().zip(direction).map(|(x, d)| x + step * d);
            for (place, moved) in evaluator.input(1).iter_mut().zip(moved) {
                *place = moved;
            }
            let outputs = evaluator.forward();
            (outputs.iter().zip(&by_outputs))
                .map(|(output, by)| output * by)
                .sum::<f64>()
        };
        let mut worst = 0.0f64;
        for direction in &mut directions {
            let size = length(direction);
            direction.iter_mut().for_each(|d| *d /= size);
            let expected: f64 = (gradient.iter().zip(&*direction)).map(|(g, d)| g * d).sum();
            let differences = [1e-4, 1e-5, 1e-6].map(|step| {
                let slope = (margin(step, direction) - margin(-step, direction)) / (2.0 * step);
                (slope - expected).abs() / norm
            });
            // NaN is never the best of them; if all are, it is the worst of all.
            let best = differences.into_iter().fold(f64::NAN, f64::min);
            worst = if best.is_nan() {
                f64::NAN
            } else {
                worst.max(best)
            };
            if worst.is_nan() || begun.elapsed() > LONG_ENOUGH {
                break;
            }
        }
        GradientCheck {
            norm,
            relative_difference: worst,
        }
    }
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use blindspot_net::{Graph, Op, Operand, ops};

    use super::*;

    fn check(op: ops::Unary) -> GradientCheck {
        let mut graph = Graph::new("x", &[3]).unwrap();
        let weight = graph.weight("w", &[3, 2]).unwrap();
        let hidden = graph.node("f", Op::Unary(op), &[Operand::Value(graph.input())], "h");
        let operands = [Operand::Value(hidden.unwrap()), Operand::Weight(weight)];
        let gemm = Op::Gemm(ops::Gemm { trans_b: false });
        graph.node("y", gemm, &operands, "y").unwrap();
        let weights = vec![vec![1.0, -1.0, 0.5, 2.0, -0.25, 1.0]];
        let network = Network::new(graph, weights).unwrap();
        let mut random = Stream::new(1, "test", 0);
        GradientCheck::at(&network, &[0.5, 0.25, 0.75], &mut random)
    }

    #[test]
    fn a_smooth_function_agrees() {
        let found = check(ops::Unary::Tanh);
        assert!(found.agrees() && found.norm > 0.1, "{found:?}");
    }

    #[test]
    fn a_function_without_slope_has_a_gradient_of_zero() {
        let found = check(ops::Unary::Sign);
        assert!(found.norm == 0.0 && !found.agrees(), "{found:?}");
    }
}
