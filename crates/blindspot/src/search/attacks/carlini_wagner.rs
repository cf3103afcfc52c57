//! The L2 attack of Carlini and Wagner, "Towards evaluating the robustness of neural networks",
//! 2017: Adam on |delta|^2 + c max(-margin, 0), the box by a change of variables, bisection on c.

use super::super::iterate::Iterate;
use super::super::objective::Objective;
use super::AttackMethod;

/// Values are moved from the ends of their range by this fraction of it, so that the change of
/// variables has a gradient there.
const SMOOTH: f64 = 0.999_999;
/// Looks at each minimisation's progress: it ends early where the loss has fallen by less than
/// 1e-4 of it since the last.
const LOOKS: usize = 10;

/// Options of [`CarliniWagner`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CarliniWagnerOptions {
    /// Values of c that are tried; 9.
    pub solves: usize,
    /// Steps for each c at most; 1,000.
    pub steps: usize,
    /// Adam's step size; 0.01.
    pub rate: f64,
    /// The first c; 0.001.
    pub first_c: f64,
}

impl Default for CarliniWagnerOptions {
    fn default() -> Self {
        CarliniWagnerOptions {
            solves: 9,
            steps: 1_000,
            rate: 0.01,
            first_c: 1e-3,
        }
    }
}

impl CarliniWagnerOptions {
    /// Sets the number of values of c that are tried.
    #[must_use]
    pub fn solves(mut self, solves: usize) -> Self {
        self.solves = solves;
        self
    }

    /// Sets the number of steps for each c.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets Adam's step size.
    #[must_use]
    pub fn rate(mut self, rate: f64) -> Self {
        self.rate = rate;
        self
    }

    /// Sets the first c.
    #[must_use]
    pub fn first_c(mut self, first_c: f64) -> Self {
        self.first_c = first_c;
        self
    }
}

/// The L2 attack of Carlini and Wagner.
#[derive(Debug)]
pub struct CarliniWagner {
    options: CarliniWagnerOptions,
    solve: usize,
    step: usize,
    c: f64,
    /// The largest c that failed, the smallest that succeeded.
    fails: f64,
    succeeds: Option<f64>,
    /// Whether any step for this c succeeded.
    reached: bool,
    /// The change of variables: value = middle + half * tanh(w); value = w where a range is open.
    variables: Vec<f64>,
    first_moment: Vec<f64>,
    second_moment: Vec<f64>,
    least_loss: f64,
    /// The smallest loss at the last look.
    loss_at_look: f64,
}

impl Default for CarliniWagner {
    fn default() -> Self {
        CarliniWagner::new(CarliniWagnerOptions::default())
    }
}

impl AttackMethod for CarliniWagner {
    fn output_gradient(&mut self, objective: Objective, outputs: &[f32], gradient: &mut [f32]) {
        gradient.fill(0.0);
        let (up, down) = objective.binding_pair(outputs);
        if objective.margin(outputs) < 0.0 {
            (gradient[up], gradient[down]) = (-1.0, 1.0);
        }
    }

    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
        if self.variables.is_empty() {
            self.begin(iterate);
        } else {
            self.reached |= iterate.success;
            let square: f64 = point
                .iter()
                .zip(iterate.original)
                .map(|(&p, &x)| (f64::from(p) - f64::from(x)).powi(2))
                .sum();
            let loss = square + self.c * (-iterate.margin).max(0.0);
            self.least_loss = self.least_loss.min(loss);
            self.descend(iterate, point);
            self.step += 1;
            if self.step == self.options.steps || self.is_stuck() {
                if !self.next_c() {
                    return false;
                }
                self.begin(iterate);
            }
        }
        for (i, (point, &w)) in point.iter_mut().zip(&self.variables).enumerate() {
            let value = match middle_and_half(iterate, i) {
                Some((middle, half)) => middle + half * w.tanh(),
                None => w,
            };
            *point = iterate.clip_value(i, value as f32);
        }
        true
    }
}

/// Middle and half width of the range at a position; `None` where it is open.
fn middle_and_half(iterate: &Iterate<'_>, i: usize) -> Option<(f64, f64)> {
    let [low, high] = [iterate.lower(i), iterate.upper(i)].map(f64::from);
    let half = 0.5 * (high - low);
    half.is_finite().then_some((0.5 * (low + high), half))
}

impl CarliniWagner {
    /// The attack with these options.
    pub fn new(options: CarliniWagnerOptions) -> Self {
        CarliniWagner {
            options,
            solve: 0,
            step: 0,
            c: options.first_c,
            fails: 0.0,
            succeeds: None,
            reached: false,
            variables: Vec::new(),
            first_moment: Vec::new(),
            second_moment: Vec::new(),
            least_loss: f64::INFINITY,
            loss_at_look: f64::INFINITY,
        }
    }

    /// Begins to minimise for one c, at the original.
    fn begin(&mut self, iterate: &Iterate<'_>) {
        let variable = |(i, &x): (usize, &f32)| match middle_and_half(iterate, i) {
            Some((middle, half)) if half > 0.0 => (SMOOTH * (f64::from(x) - middle) / half).atanh(),
            Some(_) => 0.0,
            None => f64::from(x),
        };
        self.variables = iterate.original.iter().enumerate().map(variable).collect();
        self.first_moment = vec![0.0; self.variables.len()];
        self.second_moment = vec![0.0; self.variables.len()];
        self.step = 0;
        self.reached = false;
        (self.loss_at_look, self.least_loss) = (f64::INFINITY, f64::INFINITY);
    }

    /// A step of Adam.
    fn descend(&mut self, iterate: &Iterate<'_>, point: &[f32]) {
        let [b1, b2] = [0.9f64, 0.999];
        let count = self.step as i32 + 1;
        let (c1, c2) = (1.0 - b1.powi(count), 1.0 - b2.powi(count));
        for i in 0..self.variables.len() {
            let w = self.variables[i];
            let slope = match middle_and_half(iterate, i) {
                Some((_, half)) => half * (1.0 - w.tanh().powi(2)),
                None => 1.0,
            };
            let delta = f64::from(point[i]) - f64::from(iterate.original[i]);
            let g = slope * (2.0 * delta + self.c * f64::from(iterate.gradient[i]));
            let (m, v) = (&mut self.first_moment[i], &mut self.second_moment[i]);
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            self.variables[i] = w - self.options.rate * (*m / c1) / ((*v / c2).sqrt() + 1e-8);
        }
    }

    /// Looks, now and then, whether the loss has stopped to fall.
    fn is_stuck(&mut self) -> bool {
        let look = (self.options.steps / LOOKS).max(1);
        if !self.step.is_multiple_of(look) {
            return false;
        }
        let stuck = self.least_loss > 0.9999 * self.loss_at_look;
        self.loss_at_look = self.least_loss;
        stuck
    }

    /// Goes on to the next c; false after the last one.
    fn next_c(&mut self) -> bool {
        if self.reached {
            self.succeeds = Some(self.c);
        } else {
            self.fails = self.c;
        }
        self.c = match self.succeeds {
            Some(succeeds) => 0.5 * (self.fails + succeeds),
            None => 10.0 * self.c,
        };
        self.solve += 1;
        self.solve < self.options.solves
    }
}
