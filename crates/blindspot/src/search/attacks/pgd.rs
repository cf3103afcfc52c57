//! Projected gradient descent in an L2 ball (Madry et al., "Towards deep learning models resistant
//! to adversarial attacks", 2018), with a search for the smallest ball.

use super::super::iterate::Iterate;
use super::super::vectors::length;
use super::{AttackMethod, Bracket};

/// Options of [`Pgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PgdOptions {
    /// L2 radius of the first ball, in units of the widest range of values; 1.
    pub first_radius: f64,
    /// Balls tried; 12.
    pub rounds: usize,
    /// Steps in each ball at most; 40.
    pub steps: usize,
    /// Length of a step, in units of radius / steps; 2.5, as in the reference.
    pub relative_step: f64,
}

impl Default for PgdOptions {
    fn default() -> Self {
        PgdOptions {
            first_radius: 1.0,
            rounds: 12,
            steps: 40,
            relative_step: 2.5,
        }
    }
}

impl PgdOptions {
    /// Sets the L2 radius of the first ball, in units of the widest range of values.
    #[must_use]
    pub fn first_radius(mut self, first_radius: f64) -> Self {
        self.first_radius = first_radius;
        self
    }

    /// Sets the number of balls tried.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Sets the number of steps in each ball.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the length of a step, in units of radius / steps.
    #[must_use]
    pub fn relative_step(mut self, relative_step: f64) -> Self {
        self.relative_step = relative_step;
        self
    }
}

/// Projected gradient descent in the smallest L2 ball in which it succeeds.
#[derive(Debug)]
pub struct Pgd {
    options: PgdOptions,
    ball: Bracket,
    step: usize,
}

impl Pgd {
    /// The attack with these options.
    pub fn new(options: PgdOptions) -> Self {
        Pgd {
            options,
            ball: Bracket::new(options.first_radius, options.rounds),
            step: 0,
        }
    }
}

impl Default for Pgd {
    fn default() -> Self {
        Pgd::new(PgdOptions::default())
    }
}

impl AttackMethod for Pgd {
    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
        let PgdOptions {
            steps,
            relative_step,
            ..
        } = self.options;
        if iterate.success || self.step == steps {
            if !self.ball.next(iterate.success) {
                return false;
            }
            self.step = 0;
            if iterate.success {
                // Within a smaller ball it begins at the image again; in a larger one it goes on.
                point.copy_from_slice(iterate.original);
                return true;
            }
        }
        self.step += 1;
        let radius = self.ball.size * iterate.unit();
        let slope = length(iterate.gradient).max(f64::MIN_POSITIVE);
        let factor = (relative_step * radius / steps as f64 / slope) as f32;
        let mut delta: Vec<f32> = point
            .iter()
            .zip(iterate.original)
            .zip(iterate.gradient)
            .map(|((&point, &x), &g)| point - factor * g - x)
            .collect();
        let beyond = length(&delta) / radius;
        if beyond > 1.0 {
            let scale = (1.0 / beyond) as f32;
            delta.iter_mut().for_each(|delta| *delta *= scale);
        }
        for (point, (&x, delta)) in point.iter_mut().zip(iterate.original.iter().zip(&delta)) {
            *point = x + delta;
        }
        iterate.clip(point);
        true
    }
}
