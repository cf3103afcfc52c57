//! L-BFGS: D. C. Liu, J. Nocedal, Mathematical Programming 45 (1989).

use std::collections::VecDeque;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::driver::driver;
use crate::line_search::{LineSearch, Next};
use crate::parallel::{axpy, dot};
use crate::real::{Real, max_norm};
use crate::status::{LbfgsOptions, Progress, Reason, Status};

/// The longest step, in directions.
const MAX_STEP: f64 = 1e10;

/// A step, and how the gradient changed over it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair<T> {
    step: Vec<T>,
    change: Vec<T>,
    /// step · change
    curvature: f64,
    /// change · change
    square: f64,
}

/// Minimises a smooth function of many variables, asking for one evaluation at a time.
///
/// The caller evaluates the function and its gradient at [`point`](Self::point), and
/// [tells](Self::tell) them. Between any two evaluations the solver can be stored (by serde) and
/// restored: it goes on with the same bits. Vectors are spread over rayon's threads, with sums in
/// an order that doesn't depend on them.
///
/// Steps satisfy the strong Wolfe conditions. Where the function is not finite, the search turns
/// back. Where it finds no lower value, the history is dropped and the steepest descent is tried
/// before the solver gives up.
///
/// ```
/// use blindspot_solve::{Lbfgs, LbfgsOptions, Status};
///
/// let mut solver = Lbfgs::new(vec![5.0f64, -3.0], LbfgsOptions::default());
/// let reason = loop {
///     let x = solver.point();
///     let value = (x[0] - 1.0).powi(2) + 10.0 * (x[1] - 2.0).powi(2);
///     let gradient = [2.0 * (x[0] - 1.0), 20.0 * (x[1] - 2.0)];
///     if let Status::Done(reason) = solver.tell(value, &gradient) {
///         break reason;
///     }
/// };
/// assert!(reason.converged());
/// assert!((solver.iterate()[1] - 2.0).abs() < 1e-5);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lbfgs<T = f64> {
    options: LbfgsOptions,
    iterate: Vec<T>,
    gradient: Vec<T>,
    /// The newest last.
    history: VecDeque<Pair<T>>,
    direction: Vec<f64>,
    search: Option<LineSearch>,
    point: Vec<T>,
    progress: Progress,
}

impl<T: Real> Lbfgs<T> {
    /// A solver that starts at `x0`. It comes to hold `2 * history + 4` vectors of its length.
    pub fn new(x0: Vec<T>, options: LbfgsOptions) -> Self {
        let n = x0.len();
        Lbfgs {
            options,
            point: x0.clone(),
            iterate: x0,
            gradient: vec![T::zero(); n],
            history: VecDeque::new(),
            direction: vec![0.0; n],
            search: None,
            progress: Progress::default(),
        }
    }

    /// Whether a solver that was restored is one of so many variables in all that it has.
    pub fn is_of(&self, variables: usize) -> bool {
        let pairs = self.history.iter();
        let pairs = pairs.flat_map(|pair| [pair.step.len(), pair.change.len()]);
        let own = [
            self.iterate.len(),
            self.gradient.len(),
            self.direction.len(),
            self.point.len(),
        ];
        own.into_iter()
            .chain(pairs)
            .all(|length| length == variables)
    }

    /// Where to evaluate next; at the end, the iterate.
    pub fn point(&self) -> &[T] {
        &self.point
    }

    driver!();

    /// The largest absolute component of the gradient at the iterate.
    pub fn gradient_norm(&self) -> f64 {
        max_norm(&self.gradient)
    }

    fn start(&mut self, value: f64, gradient: &[T]) -> Status {
        if !(value.is_finite() && max_norm(gradient).is_finite()) {
            return self.finish(Reason::NotFinite);
        }
        self.gradient.copy_from_slice(gradient);
        match self
            .progress
            .start(value, max_norm(gradient), &self.options)
        {
            Some(reason) => self.finish(reason),
            None => self.descend(),
        }
    }

    fn accept(&mut self, value: f64, gradient: &[T]) -> Status {
        self.remember(gradient);
        self.iterate.copy_from_slice(&self.point);
        self.gradient.copy_from_slice(gradient);
        match self
            .progress
            .accept(value, max_norm(gradient), &self.options)
        {
            Some(reason) => self.finish(reason),
            None => match self.descend() {
                Status::Evaluate => Status::Iterated,
                end => end,
            },
        }
    }

    /// After a line search that failed: once more, along the steepest descent.
    fn retry(&mut self) -> Status {
        if self.history.is_empty() {
            return self.finish(Reason::LineSearch);
        }
        self.history.clear();
        self.descend()
    }

    /// Takes the step from the iterate to the point into the history, unless its curvature is
    /// lost in rounding.
    fn remember(&mut self, gradient: &[T]) {
        // The oldest pair's vectors serve the newest.
        let full = self.history.len() >= self.options.history.max(1);
        let mut pair = if full { self.history.pop_front() } else { None }.unwrap_or_else(|| Pair {
            step: vec![T::zero(); gradient.len()],
            change: vec![T::zero(); gradient.len()],
            curvature: 0.0,
            square: 0.0,
        });
        for i in 0..gradient.len() {
            pair.step[i] = self.point[i] - self.iterate[i];
            pair.change[i] = gradient[i] - self.gradient[i];
        }
        pair.curvature = dot(&pair.step, &pair.change);
        pair.square = dot(&pair.change, &pair.change);
        let expected = -dot(&pair.step, &self.gradient);
        if pair.curvature > T::EPSILON * expected && pair.square.is_finite() {
            self.history.push_back(pair);
        }
    }

    /// Starts a line search along -H g.
    fn descend(&mut self) -> Status {
        self.set_direction();
        let slope = dot(&self.gradient, &self.direction);
        if !(slope < 0.0 && slope.is_finite()) {
            return self.retry();
        }
        let steepest = self.history.is_empty();
        let first = if steepest { 1.0 / (-slope).sqrt() } else { 1.0 };
        let noise = self.progress.noise::<T>();
        self.search = Some(LineSearch::new(self.value(), slope, noise, first, MAX_STEP));
        self.place()
    }

    /// direction = -H gradient, by the two-loop recursion.
    fn set_direction(&mut self) {
        let direction = &mut self.direction;
        for (d, &g) in direction.iter_mut().zip(&self.gradient) {
            *d = -g.into();
        }
        let mut weights = Vec::with_capacity(self.history.len());
        for pair in self.history.iter().rev() {
            let weight = dot(&pair.step, direction) / pair.curvature;
            axpy(-weight, &pair.change, direction);
            weights.push(weight);
        }
        if let Some(newest) = self.history.back() {
            let scale = newest.curvature / newest.square;
            direction.iter_mut().for_each(|d| *d *= scale);
        }
        for (pair, weight) in self.history.iter().zip(weights.iter().rev()) {
            let back = dot(&pair.change, direction) / pair.curvature;
            axpy(weight - back, &pair.step, direction);
        }
    }

    /// point = iterate + step * direction
    fn place(&mut self) -> Status {
        let step = self.search.as_ref().map_or(0.0, LineSearch::step);
        for i in 0..self.point.len() {
            self.point[i] = T::rounded(self.iterate[i].into() + step * self.direction[i]);
        }
        if self.point == self.iterate {
            // The step is lost in rounding, and no evaluation is needed to see that.
            return self.retry();
        }
        Status::Evaluate
    }
}
