//! The fast gradient sign method (Goodfellow, Shlens and Szegedy, "Explaining and harnessing
//! adversarial examples", 2015), with a search for the smallest step.

use super::super::iterate::Iterate;
use super::{AttackMethod, Bracket};

/// Options of [`Fgsm`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FgsmOptions {
    /// The first step tried: the perturbation of every value, in units of the widest range of
    /// values; 0.01.
    pub first_step: f64,
    /// Steps tried; 18.
    pub rounds: usize,
}

impl Default for FgsmOptions {
    fn default() -> Self {
        FgsmOptions {
            first_step: 0.01,
            rounds: 18,
        }
    }
}

impl FgsmOptions {
    /// Sets the first step tried, in units of the widest range of values.
    #[must_use]
    pub fn first_step(mut self, first_step: f64) -> Self {
        self.first_step = first_step;
        self
    }

    /// Sets the number of steps tried.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }
}

/// The fast gradient sign method with the smallest step that succeeds.
#[derive(Debug)]
pub struct Fgsm {
    signs: Vec<f32>,
    step: Bracket,
}

impl Fgsm {
    /// The attack with these options.
    pub fn new(options: FgsmOptions) -> Self {
        Fgsm {
            signs: Vec::new(),
            step: Bracket::new(options.first_step, options.rounds),
        }
    }
}

impl Default for Fgsm {
    fn default() -> Self {
        Fgsm::new(FgsmOptions::default())
    }
}

impl AttackMethod for Fgsm {
    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
        if self.signs.is_empty() {
            // Downhill; a gradient of 0 moves nothing.
            let sign = |&g: &f32| if g == 0.0 { 0.0 } else { -g.signum() };
            self.signs = iterate.gradient.iter().map(sign).collect();
        } else if !self.step.next(iterate.success) {
            return false;
        }
        let size = (self.step.size * iterate.unit()) as f32;
        let values = iterate.original.iter().zip(&self.signs);
        for (point, (&x, sign)) in point.iter_mut().zip(values) {
            *point = x + size * sign;
        }
        iterate.clip(point);
        true
    }
}
