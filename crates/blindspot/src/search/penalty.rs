//! The paper's search (section 4.1): box-constrained L-BFGS on `c |r|^2 + loss(x + r, l)`, and a
//! line search on c for the smallest change that makes the network answer l.

use std::sync::Arc;

use blindspot_solve::{BoxLbfgs, LbfgsOptions, Status};

use super::SearchOptions;
use super::batch::{Effort, Search};
use super::change::{Best, SAFETY, along, norm, size};
use super::goal::Goal;
use super::method::Start;
use super::ranges::Room;

/// Values of c that are tried at most.
const MAX_SOLVES: u32 = 14;
/// The line search ends when the largest c that succeeds and the smallest that fails are this
/// close: along the ray to the change found, its norm is then exact to the second order.
const BRACKET: f64 = 1.15;
/// Evaluations along the ray at the end.
const RAY: u32 = 5;

/// How each minimisation ends.
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
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// At the image itself.
    Start,
    /// Minimising for one c.
    Solve,
    /// Between the image and a change that succeeds, `part` of the way: `below` and `above` are a
    /// part that fails and one that succeeds, with their margins.
    Ray {
        below: (f64, f64),
        above: (f64, f64),
        part: f64,
        left: u32,
    },
    /// The smallest change is known.
    Over,
}

/// The search for one image and one goal.
pub(super) struct Penalty {
    original: Vec<f32>,
    goal: Goal,
    room: Arc<Room>,
    shrinks: bool,
    limit: u64,
    solver: BoxLbfgs<f32>,
    phase: Phase,
    c: f64,
    /// The largest c that succeeded, the smallest that failed.
    succeeded: Option<f64>,
    failed: Option<f64>,
    solves: u32,
    best: Best,
    /// At the point told last.
    loss: f64,
    margin: f64,
    feasible: bool,
    /// Whether the solver's iterate succeeds.
    iterate_feasible: bool,
    margin_at_start: f64,
    /// Where the next evaluation is, unless the solver says it.
    point: Vec<f32>,
    /// The end of the ray.
    end: Vec<f32>,
    gradient: Vec<f32>,
    effort: Effort,
}

impl Penalty {
    /// The search from an image for its goal; `spare` gives its memory, where the room is the same.
    pub(super) fn new(start: &Start<'_>, options: &SearchOptions, spare: Option<Penalty>) -> Self {
        let Start {
            original,
            goal,
            limit,
            ref room,
        } = *start;
        let spare = spare.filter(|spare| Arc::ptr_eq(&spare.room, room));
        let mut search = spare.unwrap_or_else(|| {
            let n = original.len();
            let solver = BoxLbfgs::new(original, &room.lower, &room.upper, tolerances())
                .expect("the ranges were checked with the images");
            Penalty {
                original: Vec::new(),
                goal,
                room: Arc::clone(room),
                shrinks: options.shrink,
                limit,
                solver,
                phase: Phase::Start,
                c: 0.0,
                succeeded: None,
                failed: None,
                solves: 0,
                best: Best::default(),
                loss: 0.0,
                margin: 0.0,
                feasible: false,
                iterate_feasible: false,
                margin_at_start: 0.0,
                point: Vec::new(),
                end: Vec::new(),
                gradient: vec![0.0; n],
                effort: Effort::default(),
            }
        });
        search.original.clear();
        search.original.extend_from_slice(original);
        search.point.clear();
        search.point.extend_from_slice(original);
        search.goal = goal;
        search.limit = limit;
        search.phase = Phase::Start;
        (search.succeeded, search.failed) = (None, None);
        search.solves = 0;
        search.effort = Effort::default();
        search.best.clear();
        search
            .solver
            .restart(original)
            .expect("the images have one size");
        search
    }

    /// Tells the solver the value at its point; `true` when it has ended.
    fn tell(&mut self, gradient: &[f32]) -> bool {
        self.effort.gradient += 1;
        let square = norm(&self.original, self.solver.point()).powi(2);
        let scale = (2.0 * self.c) as f32;
        let changed = self.solver.point().iter().zip(&self.original);
        for ((place, gradient), (x, original)) in
            self.gradient.iter_mut().zip(gradient).zip(changed)
        {
            *place = gradient + scale * (x - original);
        }
        let status = self
            .solver
            .tell(self.c * square + self.loss, &self.gradient);
        if status != Status::Evaluate {
            self.iterate_feasible = self.feasible;
        }
        matches!(status, Status::Done(_))
    }

    /// The next c after a minimisation has ended, or the end of the line search.
    fn next_c(&mut self) {
        self.solves += 1;
        if self.iterate_feasible {
            self.succeeded = Some(self.c);
        } else {
            self.failed = Some(self.c);
        }
        let found = self.best.image().is_some();
        self.c = match (self.succeeded, self.failed) {
            (Some(low), Some(high)) if high / low < BRACKET => return self.shrink(),
            (Some(low), Some(high)) => (low * high).sqrt(),
            (Some(low), None) => 2.0 * low,
            // The last one is the loss alone.
            (None, Some(_)) if self.solves + 1 == MAX_SOLVES => 0.0,
            (None, Some(high)) => high / 4.0,
            (None, None) => unreachable!("one of them was set above"),
        };
        if self.solves >= MAX_SOLVES || self.c == 0.0 && found {
            return self.shrink();
        }
        // From a success, so that one more step of c has little to go.
        if let (false, Some(best)) = (self.iterate_feasible, self.best.image()) {
            self.point.copy_from_slice(best);
        } else {
            self.point.copy_from_slice(self.solver.iterate());
        }
        self.solver
            .restart(&self.point)
            .expect("the images have one size");
    }

    /// Begins to shrink the best change along its ray, if it is to be; else that is the end.
    fn shrink(&mut self) {
        match (self.best.image(), self.best.margin()) {
            (Some(image), Some(margin)) if self.shrinks => {
                self.end.clear();
                self.end.extend_from_slice(image);
                self.place_on_ray((0.0, self.margin_at_start), (1.0, margin), RAY);
            }
            _ => self.phase = Phase::Over,
        }
    }

    /// The next point of the ray: where the margin is expected to be just above 0.
    fn place_on_ray(&mut self, below: (f64, f64), above: (f64, f64), left: u32) {
        let crossing = below.0 - below.1 * (above.0 - below.0) / (above.1 - below.1);
        // A little towards the side that succeeds.
        let part = crossing + 0.05 * (above.0 - crossing);
        along(&self.original, &self.end, part, &self.room, &mut self.point);
        self.phase = Phase::Ray {
            below,
            above,
            part,
            left,
        };
    }
}

impl Search for Penalty {
    fn best(&self) -> Option<&[f32]> {
        self.best.image()
    }

    fn effort(&self) -> Effort {
        self.effort
    }

    fn point(&self) -> &[f32] {
        match self.phase {
            Phase::Solve => self.solver.point(),
            _ => &self.point,
        }
    }

    fn take_logits(&mut self, logits: &[f32], gradient: &mut [f32]) {
        self.effort.forward += 1;
        self.loss = self.goal.loss(logits, gradient);
        self.margin = self.goal.margin(logits);
        self.feasible = self.margin > SAFETY * size(logits);
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        match self.phase {
            Phase::Start => {
                self.margin_at_start = self.margin;
                // Where the network is linear and only two classes count, the change needed is
                // |margin| / |gradient| long, and this c balances the two terms at its end.
                let square: f64 = gradient.iter().map(|&g| f64::from(g * g)).sum();
                self.c = (square / (4.0 * self.margin.abs().max(1e-6))).clamp(1e-6, 1e6);
                if self.feasible {
                    self.best.offer(&self.original, &self.point, self.margin);
                    self.phase = Phase::Over;
                    return false;
                }
                self.iterate_feasible = false;
                self.phase = Phase::Solve;
                if self.tell(gradient) {
                    self.next_c();
                }
            }
            Phase::Solve => {
                if self.feasible {
                    self.best
                        .offer(&self.original, self.solver.point(), self.margin);
                }
                if self.tell(gradient) {
                    self.next_c();
                }
            }
            Phase::Ray {
                below,
                above,
                part,
                left,
            } => {
                let here = (part, self.margin);
                let (below, above) = if self.feasible {
                    (below, here)
                } else {
                    (here, above)
                };
                if self.feasible {
                    self.best.offer(&self.original, &self.point, self.margin);
                }
                if left == 1 || above.0 - below.0 < 1e-4 {
                    self.phase = Phase::Over;
                } else {
                    self.place_on_ray(below, above, left - 1);
                }
            }
            Phase::Over => {}
        }
        if self.effort.forward >= self.limit {
            self.phase = Phase::Over;
        }
        !matches!(self.phase, Phase::Over)
    }
}
