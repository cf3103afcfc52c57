//! Decoupled direction and norm (Rony et al., "Decoupling direction and norm for efficient
//! gradient-based L2 adversarial attacks and defenses", 2019), without its rounding to levels.

use super::super::iterate::{Iterate, cosine};
use super::AttackMethod;

/// Options of [`Ddn`], named as in the paper.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DdnOptions {
    /// Steps; 100.
    pub steps: usize,
    /// The first L2 norm of the perturbation, in units of the widest range of values; 1.
    pub first_norm: f64,
    /// Fraction by which the norm grows and shrinks; 0.05.
    pub gamma: f64,
    /// Length of the first step, in the same units; 1. Half a cosine leads to the last one.
    pub first_step: f64,
    /// Length of the last step, in the same units; 0.01.
    pub last_step: f64,
}

impl Default for DdnOptions {
    fn default() -> Self {
        DdnOptions {
            steps: 100,
            first_norm: 1.0,
            gamma: 0.05,
            first_step: 1.0,
            last_step: 0.01,
        }
    }
}

impl DdnOptions {
    /// Sets the number of steps.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the first L2 norm of the perturbation, in units of the widest range of values.
    #[must_use]
    pub fn first_norm(mut self, first_norm: f64) -> Self {
        self.first_norm = first_norm;
        self
    }

    /// Sets the fraction by which the norm grows and shrinks.
    #[must_use]
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    /// Sets the lengths of the first and of the last step, in units of the widest range of values.
    #[must_use]
    pub fn step_lengths(mut self, first: f64, last: f64) -> Self {
        (self.first_step, self.last_step) = (first, last);
        self
    }
}

/// Decoupled direction and norm.
#[derive(Debug)]
pub struct Ddn {
    options: DdnOptions,
    norm: f64,
    step: usize,
}

impl Ddn {
    /// The attack with these options.
    pub fn new(options: DdnOptions) -> Self {
        Ddn {
            options,
            norm: options.first_norm,
            step: 0,
        }
    }
}

impl Default for Ddn {
    fn default() -> Self {
        Ddn::new(DdnOptions::default())
    }
}

impl AttackMethod for Ddn {
    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
        let DdnOptions {
            steps,
            gamma,
            first_step,
            last_step,
            ..
        } = self.options;
        if self.step == steps {
            return false;
        }
        let length = cosine((first_step, last_step), self.step as f64 / steps as f64);
        if self.step > 0 {
            self.norm *= if iterate.success {
                1.0 - gamma
            } else {
                1.0 + gamma
            };
        }
        self.step += 1;
        let unit = iterate.unit();
        // The search moves what leaves the box back into it.
        iterate.step_on_sphere(length * unit, self.norm * unit, point);
        true
    }
}
