//! Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2014).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use blindspot::run::communicator::{Communicator, gather};

/// Decay of the mean gradient.
const BETA1: f64 = 0.9;
/// Decay of the mean square.
const BETA2: f64 = 0.999;
/// Keeps a step finite where the gradient has always been 0.
const EPSILON: f32 = 1e-8;
/// Weights that a thread works on at once.
const BLOCK: usize = 1 << 14;

/// Weights, and the moving means of their gradients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Adam {
    pub(crate) weights: Vec<Vec<f32>>,
    means: Vec<Vec<f32>>,
    squares: Vec<Vec<f32>>,
    steps: u64,
}

/// The size of a step: half a cosine from `initial` down to 0, as `fraction`, the fraction of the training
/// that has passed, goes from 0 to 1.
pub(crate) fn cosine(initial: f64, fraction: f64) -> f64 {
    initial * 0.5 * (1.0 + (std::f64::consts::PI * fraction).cos())
}

impl Adam {
    /// No step has been made from these weights.
    pub(crate) fn new(weights: Vec<Vec<f32>>) -> Adam {
        let zeros: Vec<Vec<f32>> = weights.iter().map(|w| vec![0.0; w.len()]).collect();
        Adam {
            means: zeros.clone(),
            squares: zeros,
            weights,
            steps: 0,
        }
    }

    /// Whether all that it has is of tensors as long as these.
    pub(crate) fn is_of(&self, tensors: &[Vec<f32>]) -> bool {
        let lengths = |tensors: &[Vec<f32>]| tensors.iter().map(Vec::len).collect::<Vec<_>>();
        let own = [&self.weights, &self.means, &self.squares];
        own.into_iter().all(|own| lengths(own) == lengths(tensors))
    }

    /// Some of the weights, with what belongs to them: of each tensor the numbers in a range.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Adam {
        let of = |tensors: &[Vec<f32>]| -> Vec<Vec<f32>> {
            let parts = tensors.iter().map(|tensor| tensor[range.clone()].to_vec());
            parts.collect()
        };
        Adam {
            weights: of(&self.weights),
            means: of(&self.means),
            squares: of(&self.squares),
            steps: self.steps,
        }
    }

    /// All weights on the root, where each of the ranks has a [`part`](Adam::part), in their order.
    pub(crate) fn gathered(&self, ranks: &dyn Communicator) -> Option<Adam> {
        let whole = |tensors: &[Vec<f32>]| -> Vec<Vec<f32>> {
            let whole = tensors.iter().map(|tensor| {
                let parts = gather(ranks, bytemuck::cast_slice(tensor).to_vec());
                let mut whole = Vec::new();
                for part in parts {
                    whole.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&part));
                }
                whole
            });
            whole.collect()
        };
        let whole = Adam {
            weights: whole(&self.weights),
            means: whole(&self.means),
            squares: whole(&self.squares),
            steps: self.steps,
        };
        ranks.is_root().then_some(whole)
    }

    /// How many steps were made.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// A step of size `rate` against the gradient times `scale`, plus that of `decay[i]` times the
    /// sum of squares of weight i (none where `decay` is shorter).
    pub(crate) fn step(&mut self, gradient: &[Vec<f32>], scale: f64, decay: &[f64], rate: f64) {
        self.steps += 1;
        let correct = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let root = correct(BETA2).sqrt();
        let rate = (rate * root / correct(BETA1)) as f32;
        let epsilon = EPSILON * root as f32;
        let (scale, beta1, beta2) = (scale as f32, BETA1 as f32, BETA2 as f32);
        let tensors = self.weights.iter_mut().zip(&mut self.means);
        let tensors = tensors.zip(&mut self.squares).zip(gradient).enumerate();
        for (i, (((weights, means), squares), gradient)) in tensors {
            let pull = 2.0 * decay.get(i).copied().unwrap_or(0.0) as f32;
            weights
                .par_chunks_mut(BLOCK)
                .zip(means.par_chunks_mut(BLOCK))
                .zip(squares.par_chunks_mut(BLOCK))
                .zip(gradient.par_chunks(BLOCK))
                .for_each(|(((weights, means), squares), gradient)| {
                    let values = weights.iter_mut().zip(means).zip(squares).zip(gradient);
                    for (((weight, mean), square), &gradient) in values {
                        let gradient = scale * gradient + pull * *weight;
                        *mean += (1.0 - beta1) * (gradient - *mean);
                        *square += (1.0 - beta2) * (gradient * gradient - *square);
                        *weight -= rate * *mean / (square.sqrt() + epsilon);
                    }
                });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published algorithm, word for word, in f64.
    #[test]
    fn steps_are_those_of_the_paper() {
        let start = [0.5f64, -2.0, 1.0];
        let gradient = |t: usize, w: &[f64; 3]| [w[0] * w[0] * 3.0, w[1] + t as f64, 0.1];
        let decay = 0.25;
        let mut adam = Adam::new(vec![start.map(|w| w as f32).to_vec()]);
        let (mut theta, mut m, mut v) = (start, [0.0; 3], [0.0; 3]);
        for t in 1..=40 {
            let half = gradient(t, &theta).map(|g| (g / 2.0) as f32).to_vec();
            adam.step(&[half], 2.0, &[decay], 0.01);
            for i in 0..3 {
                let g = gradient(t, &theta)[i] + 2.0 * decay * theta[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
            }
            for i in 0..3 {
                let m_hat = m[i] / (1.0 - 0.9f64.powi(t as i32));
                let v_hat = v[i] / (1.0 - 0.999f64.powi(t as i32));
                theta[i] -= 0.01 * m_hat / (v_hat.sqrt() + 1e-8);
            }
            for (found, expected) in adam.weights[0].iter().zip(theta) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-4,
                    "{t}: {found} {expected}"
                );
            }
        }
        assert_eq!(adam.steps(), 40);
    }
}
