//! The paper's search (section 4.1): box-constrained L-BFGS on `c |delta|^2 + loss(x + delta, l)`,
//! and a line search on c for the smallest perturbation with which the classifier answers l.

use std::sync::Arc;

use blindspot_solve::{BoxLbfgs, LbfgsOptions, Status};

use super::batch::Search;
use super::bounds::FeasibleBox;
use super::objective::Objective;
use super::perturbation::{Best, norm};
use super::ray::RaySearch;
use super::task::{Effort, Task};
use super::{Method, SearchOptions};

/// Values of c that are tried at most.
const MAX_SOLVES: u32 = 14;
/// The line search ends when the ratio of the smallest c that fails and the largest that succeeds
/// is below this: along the ray to the perturbation found, its norm is then exact to the second
/// order.
const BRACKET: f64 = 1.15;
/// Evaluations along the ray at the end.
const RAY_EVALUATIONS: u32 = 5;
/// Relative length of the bracket at which the search along the ray ends.
const RAY_WIDTH: f64 = 1e-4;
/// How far points of the ray are moved from the expected crossing towards the end that succeeds.
const TOWARDS_SUCCESS: f64 = 0.05;

/// The spread that outputs are given in a search that is free of their scale: about that of a
/// trained network's.
const USUAL_SPREAD: f64 = 8.0;

/// When each minimisation ends.
fn tolerances() -> LbfgsOptions {
    LbfgsOptions {
        history: 8,
        max_iterations: 60,
        max_evaluations: 80,
        gradient_tolerance: 1e-4,
        relative_decrease: 1e-4,
        patience: 1,
    }
}

/// Where a search stands.
#[derive(Debug)]
enum Phase {
    /// At the original.
    Start,
    /// Minimising for one c.
    Solve,
    /// Between the original and the best point.
    Ray(RaySearch),
    /// The smallest perturbation is known.
    Done,
}

/// The search for one image and one objective.
pub(super) struct Penalty {
    original: Vec<f32>,
    objective: Objective,
    lead: f64,
    feasible_box: Arc<FeasibleBox>,
    shrinks: bool,
    /// Whether nothing may depend on the scale of the outputs, as in a search that falls back on
    /// this one; the paper's own follows the cross entropy of the outputs as they are.
    scale_free: bool,
    max_evaluations: u64,
    /// Over images divided by `length`.
    solver: BoxLbfgs<f32>,
    /// The solver's unit of length, so that its steps don't depend on the scale of the inputs.
    length: f64,
    phase: Phase,
    /// A point to minimise from, in place of the original.
    start: Option<Vec<f32>>,
    line_search: LineSearch,
    best: Best,
    /// What outputs are divided by in the loss: their spread at the original, if that is below 1;
    /// a fraction of it where the search is free of their scale. The cross entropy of smaller
    /// outputs is nearly flat.
    temperature: f64,
    /// What the function told to the solver is multiplied by, so that its tolerance doesn't end the
    /// minimisation of a flat one. A power of two, which changes nothing else.
    unit: f64,
    /// Of the point evaluated last.
    loss: f64,
    margin: f64,
    success: bool,
    /// Whether the solver's iterate succeeds.
    iterate_succeeds: bool,
    margin_at_start: f64,
    /// The next point to evaluate.
    point: Vec<f32>,
    gradient: Vec<f32>,
    effort: Effort,
}

/// The line search on c.
#[derive(Debug, Default)]
struct LineSearch {
    c: f64,
    /// The largest c that succeeded.
    succeeded: Option<f64>,
    /// The smallest c that failed.
    failed: Option<f64>,
    solves: u32,
}

impl LineSearch {
    /// Takes how the minimisation with the current c has ended; false where the line search is
    /// over. `found` tells whether any point has succeeded so far.
    fn advance(&mut self, succeeded: bool, found: bool) -> bool {
        self.solves += 1;
        if succeeded {
            self.succeeded = Some(self.c);
        } else {
            self.failed = Some(self.c);
        }
        self.c = match (self.succeeded, self.failed) {
            (Some(low), Some(high)) if high / low < BRACKET => return false,
            (Some(low), Some(high)) => (low * high).sqrt(),
            (Some(low), None) => 2.0 * low,
            // The last one is the loss alone.
            (None, Some(_)) if self.solves + 1 == MAX_SOLVES => 0.0,
            (None, Some(high)) => high / 4.0,
            (None, None) => unreachable!("one of them was set above"),
        };
        self.solves < MAX_SOLVES && !(self.c == 0.0 && found)
    }
}

impl Penalty {
    /// The search from an original, in the memory of one that has ended.
    pub(super) fn new(task: &Task<'_>, options: &SearchOptions, recycled: Option<Penalty>) -> Self {
        let (original, bounds) = (task.original, &task.feasible_box);
        // The solver holds the box.
        let recycled = recycled.filter(|old| Arc::ptr_eq(&old.feasible_box, bounds));
        let mut search = recycled.unwrap_or_else(|| {
            let length = bounds.unit();
            let [start, lower, upper] =
                [original, &bounds.lower, &bounds.upper].map(|values| divided(values, length));
            let solver = BoxLbfgs::new(&start, &lower, &upper, tolerances())
                .expect("the bounds were checked with the images");
            Penalty {
                original: Vec::new(),
                objective: task.objective,
                lead: task.lead,
                feasible_box: Arc::clone(bounds),
                shrinks: options.shrink,
                scale_free: options.method != Method::Lbfgs,
                max_evaluations: task.max_evaluations,
                solver,
                length,
                phase: Phase::Start,
                start: None,
                line_search: LineSearch::default(),
                best: Best::by(task.measure),
                temperature: 1.0,
                unit: 1.0,
                loss: 0.0,
                margin: 0.0,
                success: false,
                iterate_succeeds: false,
                margin_at_start: 0.0,
                point: Vec::new(),
                gradient: vec![0.0; original.len()],
                effort: Effort::default(),
            }
        });
        search.original.clear();
        search.original.extend_from_slice(original);
        search.point.clear();
        search.point.extend_from_slice(original);
        search.objective = task.objective;
        search.lead = task.lead;
        search.max_evaluations = task.max_evaluations;
        search.phase = Phase::Start;
        search.start = None;
        search.line_search = LineSearch::default();
        search.effort = Effort::default();
        search.best.clear();
        search.start_solver(original);
        search
    }

    /// The search from another point than the original: for the first c, and where that does not
    /// succeed the loss alone.
    pub(super) fn from(
        point: &[f32],
        task: &Task<'_>,
        options: &SearchOptions,
        recycled: Option<Penalty>,
    ) -> Self {
        let mut search = Self::new(task, options, recycled);
        search.start = Some(point.to_vec());
        search.line_search.solves = MAX_SOLVES - 2;
        search
    }

    /// Makes the solver begin at an image.
    fn start_solver(&mut self, image: &[f32]) {
        let start = divided(image, self.length);
        self.solver
            .restart(&start)
            .expect("all images have one length");
        self.place();
    }

    /// Sets the point to the solver's.
    fn place(&mut self) {
        let values = self.point.iter_mut().zip(self.solver.point());
        for (i, (point, &value)) in values.enumerate() {
            *point = self.feasible_box.clip_value(i, self.length as f32 * value);
        }
    }

    /// The loss of the outputs divided by the temperature; writes its gradient by the outputs.
    fn scaled_loss(&self, outputs: &[f32], gradient: &mut [f32]) -> f64 {
        if self.temperature == 1.0 {
            return self.objective.loss(outputs, gradient);
        }
        let factor = (1.0 / self.temperature) as f32;
        let scaled: Vec<f32> = outputs.iter().map(|&output| factor * output).collect();
        let objective = Objective {
            confidence: self.objective.confidence / self.temperature,
            ..self.objective
        };
        let loss = objective.loss(&scaled, gradient);
        gradient.iter_mut().for_each(|value| *value *= factor);
        loss
    }

    /// At the original: chooses the first c and begins to minimise.
    fn begin(&mut self, gradient: &[f32]) -> Phase {
        self.margin_at_start = self.margin;
        // Were the classifier linear and only two classes counted, the perturbation needed would
        // be |margin| / |gradient| long, and this c would balance the two terms at its end.
        let square: f64 = gradient.iter().map(|&g| f64::from(g * g)).sum();
        let square = square * self.length.powi(2);
        let margin = (self.margin / self.temperature).abs().max(1e-6);
        self.line_search.c = (square / (4.0 * margin)).clamp(1e-30, 1e30);
        self.unit = if square > 0.0 {
            (-0.5 * square.log2()).max(0.0).ceil().exp2()
        } else {
            1.0
        };
        if self.success {
            self.best.offer(&self.original, &self.point, self.margin);
            return Phase::Done;
        }
        self.iterate_succeeds = false;
        if let Some(start) = self.start.take() {
            self.start_solver(&start);
            return Phase::Solve;
        }
        self.solve(gradient)
    }

    /// Tells the solver the value at its point; goes on to the next c when it has ended.
    fn solve(&mut self, gradient: &[f32]) -> Phase {
        self.effort.gradients += 1;
        let (c, unit) = (self.line_search.c, self.unit);
        let square = (norm(&self.original, &self.point) / self.length).powi(2);
        let scale = (2.0 * c / self.length) as f32;
        let length = self.length as f32;
        let values = self.point.iter().zip(&self.original);
        for ((place, gradient), (x, original)) in self.gradient.iter_mut().zip(gradient).zip(values)
        {
            *place = unit as f32 * (length * gradient + scale * (x - original));
        }
        let value = unit * (c * square + self.loss);
        let status = self.solver.tell(value, &self.gradient);
        if status != Status::Evaluate {
            self.iterate_succeeds = self.success;
        }
        if matches!(status, Status::Done(_)) {
            self.next_c()
        } else {
            self.place();
            Phase::Solve
        }
    }

    /// Minimises for the next c, or ends the line search.
    fn next_c(&mut self) -> Phase {
        let found = self.best.image().is_some();
        if !self.line_search.advance(self.iterate_succeeds, found) {
            return self.shrink();
        }
        // From a success, so that one more step of c has little to go.
        if let (false, Some(best)) = (self.iterate_succeeds, self.best.image()) {
            let best = best.to_vec();
            self.start_solver(&best);
        } else {
            self.solver.restart_here();
            self.place();
        }
        Phase::Solve
    }

    /// Begins to shrink the best perturbation along its ray, if it is to be; else that is the end.
    fn shrink(&mut self) -> Phase {
        match (self.best.image(), self.best.margin()) {
            (Some(image), Some(margin)) if self.shrinks => {
                let start = self.margin_at_start;
                self.place_on_ray(RaySearch::new(image, start, margin, RAY_EVALUATIONS))
            }
            _ => Phase::Done,
        }
    }

    /// The next point of the ray: where the margin is expected to be just above 0.
    fn place_on_ray(&mut self, mut ray: RaySearch) -> Phase {
        let crossing = ray.crossing(0.0);
        let fraction = crossing + TOWARDS_SUCCESS * (ray.succeeds().fraction - crossing);
        ray.place(
            fraction,
            &self.original,
            &self.feasible_box,
            &mut self.point,
        );
        Phase::Ray(ray)
    }

    fn follow_ray(&mut self, mut ray: RaySearch) -> Phase {
        ray.take(self.margin, self.success);
        if self.success {
            self.best.offer(&self.original, &self.point, self.margin);
        }
        if ray.evaluations_left() == 0 || ray.width() < RAY_WIDTH {
            Phase::Done
        } else {
            self.place_on_ray(ray)
        }
    }
}

/// An image in another unit of length.
fn divided(values: &[f32], length: f64) -> Vec<f32> {
    values.iter().map(|value| value / length as f32).collect()
}

/// The difference of the largest output and the smallest.
fn spread(outputs: &[f32]) -> f64 {
    let (least, most) = outputs.iter().fold(
        (f32::INFINITY, f32::NEG_INFINITY),
        |(least, most), &output| (least.min(output), most.max(output)),
    );
    f64::from(most) - f64::from(least)
}

impl Search for Penalty {
    fn best(&self) -> Option<&[f32]> {
        self.best.image()
    }

    fn effort(&self) -> Effort {
        self.effort
    }

    fn point(&self) -> &[f32] {
        &self.point
    }

    fn take_outputs(&mut self, outputs: &[f32], gradient: &mut [f32]) {
        self.effort.evaluations += 1;
        if self.effort.evaluations == 1 {
            let spread = spread(outputs);
            self.temperature = match spread {
                0.0 => 1.0,
                _ if self.scale_free => spread / USUAL_SPREAD,
                _ => spread.min(1.0),
            };
        }
        self.loss = self.scaled_loss(outputs, gradient);
        self.margin = self.objective.margin(outputs);
        self.success = self.margin > self.lead;
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Start => self.begin(gradient),
            Phase::Solve => {
                if self.success {
                    self.best.offer(&self.original, &self.point, self.margin);
                }
                self.solve(gradient)
            }
            Phase::Ray(ray) => self.follow_ray(ray),
            Phase::Done => Phase::Done,
        };
        if self.effort.evaluations >= self.max_evaluations {
            self.phase = Phase::Done;
        }
        !matches!(self.phase, Phase::Done)
    }
}
