//! The L2 attack of Carlini and Wagner, "Towards evaluating the robustness of neural networks",
//! 2017: Adam on |r|^2 + c max(-lead, 0), the box by a change of variables, bisection on c.

use super::super::goal::Goal;
use super::super::here::Here;
use super::Rule;

const SOLVES: usize = 9;
const STEPS: usize = 1_000;
const RATE: f64 = 0.01;
const FIRST_C: f64 = 1e-3;
/// A minimisation ends early where it has gained less than 1e-4 over this many steps.
const PATIENCE: usize = STEPS / 10;
/// The image's own values are moved into the middle of their range by so much, so that the change
/// of variables has a gradient there.
const SMOOTH: f64 = 0.999_999;

pub(super) struct CarliniWagner {
    solve: usize,
    step: usize,
    c: f64,
    fails: f64,
    succeeds: Option<f64>,
    /// Whether any step of this solve succeeded.
    reached: bool,
    /// The change of variables: value = middle + half * tanh(w); value = w where a range is open.
    variables: Vec<f64>,
    first_moment: Vec<f64>,
    second_moment: Vec<f64>,
    /// The smallest loss at the last look.
    looked: f64,
    least: f64,
}

impl Default for CarliniWagner {
    fn default() -> Self {
        CarliniWagner {
            solve: 0,
            step: 0,
            c: FIRST_C,
            fails: 0.0,
            succeeds: None,
            reached: false,
            variables: Vec::new(),
            first_moment: Vec::new(),
            second_moment: Vec::new(),
            looked: f64::INFINITY,
            least: f64::INFINITY,
        }
    }
}

impl Rule for CarliniWagner {
    fn ask(&mut self, goal: Goal, logits: &[f32], gradient: &mut [f32]) {
        gradient.fill(0.0);
        let (up, down) = goal.weakest(logits);
        if goal.margin(logits) < 0.0 {
            (gradient[up], gradient[down]) = (-1.0, 1.0);
        }
    }

    fn step(&mut self, here: &Here<'_>, point: &mut [f32]) -> bool {
        if self.variables.is_empty() {
            self.begin(here);
        } else {
            self.reached |= here.feasible;
            let square: f64 = point
                .iter()
                .zip(here.original)
                .map(|(&p, &x)| (f64::from(p) - f64::from(x)).powi(2))
                .sum();
            self.least = self.least.min(square + self.c * (-here.margin).max(0.0));
            self.descend(here, point);
            self.step += 1;
            let stuck = self.step.is_multiple_of(PATIENCE) && {
                let stuck = self.least > 0.9999 * self.looked;
                self.looked = self.least;
                stuck
            };
            if self.step == STEPS || stuck {
                if !self.next_c() {
                    return false;
                }
                self.begin(here);
            }
        }
        for (i, (point, &w)) in point.iter_mut().zip(&self.variables).enumerate() {
            let value = match middle_and_half(here, i) {
                Some((middle, half)) => middle + half * w.tanh(),
                None => w,
            };
            *point = here.room.inside(i, value as f32);
        }
        true
    }
}

fn middle_and_half(here: &Here<'_>, i: usize) -> Option<(f64, f64)> {
    let [low, high] = [here.room.lower[i], here.room.upper[i]].map(f64::from);
    let half = 0.5 * (high - low);
    half.is_finite().then_some((0.5 * (low + high), half))
}

impl CarliniWagner {
    /// To the image itself.
    fn begin(&mut self, here: &Here<'_>) {
        let variable = |(i, &x): (usize, &f32)| match middle_and_half(here, i) {
            Some((middle, half)) if half > 0.0 => (SMOOTH * (f64::from(x) - middle) / half).atanh(),
            Some(_) => 0.0,
            None => f64::from(x),
        };
        self.variables = here.original.iter().enumerate().map(variable).collect();
        self.first_moment = vec![0.0; self.variables.len()];
        self.second_moment = vec![0.0; self.variables.len()];
        self.step = 0;
        self.reached = false;
        (self.looked, self.least) = (f64::INFINITY, f64::INFINITY);
    }

    /// A step of Adam.
    fn descend(&mut self, here: &Here<'_>, point: &[f32]) {
        let [b1, b2] = [0.9f64, 0.999];
        let count = self.step as i32 + 1;
        let (c1, c2) = (1.0 - b1.powi(count), 1.0 - b2.powi(count));
        for i in 0..self.variables.len() {
            let w = self.variables[i];
            let slope = match middle_and_half(here, i) {
                Some((_, half)) => half * (1.0 - w.tanh().powi(2)),
                None => 1.0,
            };
            let change = f64::from(point[i]) - f64::from(here.original[i]);
            let g = slope * (2.0 * change + self.c * f64::from(here.gradient[i]));
            let (m, v) = (&mut self.first_moment[i], &mut self.second_moment[i]);
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            self.variables[i] = w - RATE * (*m / c1) / ((*v / c2).sqrt() + 1e-8);
        }
    }

    /// Goes on to the next c; false after the last one.
    fn next_c(&mut self) -> bool {
        match self.reached {
            true => self.succeeds = Some(self.c),
            false => self.fails = self.c,
        }
        self.c = match self.succeeds {
            Some(succeeds) => 0.5 * (self.fails + succeeds),
            None => 10.0 * self.c,
        };
        self.solve += 1;
        self.solve < SOLVES
    }
}
