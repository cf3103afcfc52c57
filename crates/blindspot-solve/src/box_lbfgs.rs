//! L-BFGS-B: R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, SIAM J. Sci. Comput. 16 (1995).

use std::ops::ControlFlow;

use thiserror::Error;

use crate::cauchy::{Boxed, Cauchy};
use crate::compact::Compact;
use crate::driver::driver;
use crate::line_search::{LineSearch, Next};
use crate::real::{Real, dot, largest, least, vectorised};
use crate::status::{LbfgsOptions, Progress, Reason, Status};
use crate::subspace::Subspace;

/// The longest step, in directions, where no bound ends it before.
const MAX_STEP: f64 = 1e10;

/// The most pairs that are kept.
const MAX_HISTORY: usize = 256;

/// Why there is no such box, or no start in it.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum BoxError {
    /// Slices that belong together differ in length.
    #[error(
        "the start has {x0} values, the lower bounds {lower} and the upper bounds {upper}: \
         give as many of each"
    )]
    Lengths {
        /// Values of the start.
        x0: usize,
        /// Lower bounds.
        lower: usize,
        /// Upper bounds.
        upper: usize,
    },
    /// A pair of bounds with no finite number between.
    #[error(
        "variable {variable} has the bounds {lower} and {upper}: the lower one must not be above \
         the upper one, and a finite number must lie between"
    )]
    Bounds {
        /// Its index.
        variable: usize,
        /// Its lower bound.
        lower: f64,
        /// Its upper bound.
        upper: f64,
    },
    /// A start that is not a finite number, even after it is moved into the box.
    #[error("variable {variable} starts at {value}: give a finite number")]
    Start {
        /// Its index.
        variable: usize,
        /// Its value.
        value: f64,
    },
    /// More history than there is room for, or none.
    #[error("a history of {0} pairs: give 1 to {MAX_HISTORY} (10 is usual)")]
    History(usize),
}

/// Minimises a smooth function over a box, asking for one evaluation at a time.
///
/// Made for thousands of problems of some hundred variables at once, each its own solver: after
/// [`new`](Self::new) nothing is allocated any more, and a solver's bits depend on nothing but
/// what it is told. It holds `2 * history + 6` vectors of `T` and some ten of `f64`.
///
/// Each iteration finds the generalised Cauchy point, minimises the quadratic model over the
/// variables that are free there (J. L. Morales, J. Nocedal, ACM TOMS 38 (2011)), and searches
/// along the line to that point by the strong Wolfe conditions. Every point asked for lies in the
/// box. Where the function is not finite, the search turns back. Where it finds no lower value,
/// the history is dropped and the projected steepest descent is tried before the solver gives up.
///
/// ```
/// use blindspot_solve::{BoxLbfgs, LbfgsOptions, Status};
///
/// // (x - 3)^2 + (y - x)^2 for x in [0, 1] and y >= 0.
/// let options = LbfgsOptions { history: 10, ..LbfgsOptions::default() };
/// let (lower, upper) = ([0.0, 0.0], [1.0, f32::INFINITY]);
/// let mut solver = BoxLbfgs::new(&[0.5, 7.0], &lower, &upper, options)?;
/// let reason = loop {
///     let [x, y] = *solver.point() else { unreachable!() };
///     let value = (x - 3.0).powi(2) + (y - x).powi(2);
///     let gradient = [2.0 * (x - 3.0) - 2.0 * (y - x), 2.0 * (y - x)];
///     if let Status::Done(reason) = solver.tell(value.into(), &gradient) {
///         break reason;
///     }
/// };
/// assert!(reason.converged());
/// assert_eq!(solver.iterate()[0], 1.0);
/// assert!((solver.iterate()[1] - 1.0).abs() < 1e-4);
/// # Ok::<(), blindspot_solve::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BoxLbfgs<T> {
    options: LbfgsOptions,
    lower: Vec<T>,
    upper: Vec<T>,
    /// Every variable has two finite bounds.
    bounded: bool,
    iterate: Vec<T>,
    gradient: Vec<T>,
    model: Compact<T>,
    cauchy: Cauchy,
    subspace: Subspace,
    /// The end of the line at step 1.
    target: Vec<f64>,
    direction: Vec<f64>,
    /// The step at which each variable meets its bound.
    reach: Vec<f64>,
    search: Option<LineSearch>,
    point: Vec<T>,
    progress: Progress,
}

impl<T: Real> BoxLbfgs<T> {
    /// A solver over the points with `lower[i] <= x[i] <= upper[i]`. Bounds may be infinite, and
    /// they may be equal. It starts at the point of the box that is nearest to `x0`.
    ///
    /// # Errors
    ///
    /// Slices of different lengths, bounds with no finite number between, a start that is NaN (or
    /// infinite, with no bound to move it to), a history of 0 or above 256.
    pub fn new(
        x0: &[T],
        lower: &[T],
        upper: &[T],
        options: LbfgsOptions,
    ) -> Result<Self, BoxError> {
        let n = x0.len();
        let m = options.history;
        if lower.len() != n || upper.len() != n {
            return Err(BoxError::Lengths {
                x0: n,
                lower: lower.len(),
                upper: upper.len(),
            });
        }
        if !(1..=MAX_HISTORY).contains(&m) {
            return Err(BoxError::History(m));
        }
        for (variable, (&l, &u)) in lower.iter().zip(upper).enumerate() {
            if !(l <= u && l < T::infinity() && u > T::neg_infinity()) {
                return Err(BoxError::Bounds {
                    variable,
                    lower: l.into(),
                    upper: u.into(),
                });
            }
        }
        let mut solver = BoxLbfgs {
            lower: lower.to_vec(),
            upper: upper.to_vec(),
            bounded: lower.iter().chain(upper).all(|bound| bound.is_finite()),
            iterate: vec![T::zero(); n],
            gradient: vec![T::zero(); n],
            model: Compact::new(n, m),
            cauchy: Cauchy::new(n, m),
            subspace: Subspace::new(n, m),
            target: vec![0.0; n],
            direction: vec![0.0; n],
            reach: vec![0.0; n],
            search: None,
            point: vec![T::zero(); n],
            progress: Progress::default(),
            options,
        };
        solver.restart(x0)?;
        Ok(solver)
    }

    /// Starts anew in the same box at the point nearest to `x0`, for whatever function, without
    /// history and with counts of 0: as a new solver would, without allocating.
    ///
    /// # Errors
    ///
    /// A start of another length, or one that is no number: nothing is changed then.
    pub fn restart(&mut self, x0: &[T]) -> Result<(), BoxError> {
        let n = self.lower.len();
        if x0.len() != n {
            return Err(BoxError::Lengths {
                x0: x0.len(),
                lower: n,
                upper: n,
            });
        }
        let inside = |i: usize| x0[i].max(self.lower[i]).min(self.upper[i]);
        // `max` would take NaN for the bound.
        let wrong = |i: &usize| x0[*i].is_nan() || !inside(*i).is_finite();
        if let Some(variable) = (0..n).find(wrong) {
            return Err(BoxError::Start {
                variable,
                value: x0[variable].into(),
            });
        }
        for i in 0..n {
            self.iterate[i] = x0[i].max(self.lower[i]).min(self.upper[i]);
        }
        self.restart_here();
        Ok(())
    }

    /// Starts anew at the iterate, for another function, without history and with counts of 0.
    pub fn restart_here(&mut self) {
        self.point.copy_from_slice(&self.iterate);
        self.gradient.fill(T::zero());
        self.model.clear();
        self.search = None;
        self.progress = Progress::default();
    }

    /// Where to evaluate next, in the box; at the end, the iterate.
    pub fn point(&self) -> &[T] {
        &self.point
    }

    driver!();

    /// The largest component of the projected gradient P(x - g) - x at the iterate: 0 where no
    /// direction into the box descends.
    pub fn projected_gradient_norm(&self) -> f64 {
        let vectors = [&*self.iterate, &*self.gradient, &*self.lower, &*self.upper];
        largest(
            vectors,
            #[inline(always)]
            |[x, g, lower, upper]| {
                let room: f64 = if g < T::zero() { upper - x } else { lower - x }.into();
                let g: f64 = g.into();
                g.abs().min(room.abs())
            },
        )
    }

    fn start(&mut self, value: f64, gradient: &[T]) -> Status {
        if !(value.is_finite() && gradient.iter().all(|g| g.is_finite())) {
            return self.finish(Reason::NotFinite);
        }
        self.gradient.copy_from_slice(gradient);
        let norm = self.projected_gradient_norm();
        match self.progress.start(value, norm, &self.options) {
            Some(reason) => self.finish(reason),
            None => self.descend(),
        }
    }

    fn accept(&mut self, value: f64, gradient: &[T]) -> Status {
        let before = (&*self.iterate, &*self.gradient);
        if !self.model.push(before, (&self.point, gradient)) {
            self.model.clear();
        }
        self.iterate.copy_from_slice(&self.point);
        self.gradient.copy_from_slice(gradient);
        let norm = self.projected_gradient_norm();
        match self.progress.accept(value, norm, &self.options) {
            Some(reason) => self.finish(reason),
            None => match self.descend() {
                Status::Evaluate => Status::Iterated,
                end => end,
            },
        }
    }

    /// After a line search or a model that failed: once more, without history.
    fn retry(&mut self) -> Status {
        if self.model.is_empty() {
            return self.finish(Reason::LineSearch);
        }
        self.model.clear();
        self.descend()
    }

    /// Starts a line search towards the minimum of the model.
    fn descend(&mut self) -> Status {
        let at = Boxed {
            x: &self.iterate,
            g: &self.gradient,
            lower: &self.lower,
            upper: &self.upper,
        };
        self.cauchy.find(at, &mut self.model);
        if !self
            .subspace
            .minimise(at, &self.cauchy, &mut self.model, &mut self.target)
        {
            return self.retry();
        }
        let direction = self
            .direction
            .iter_mut()
            .zip(&self.target)
            .zip(&self.iterate);
        direction.for_each(|((d, &target), &x)| *d = target - x.into());
        let slope = dot(&self.gradient, &self.direction);
        if !(slope < 0.0 && slope.is_finite()) {
            return self.retry();
        }
        let (first, max) = self.steps();
        let noise = self.progress.noise::<T>();
        self.search = Some(LineSearch::new(self.value(), slope, noise, first, max));
        self.place()
    }

    /// The first step and the longest one in the box.
    fn steps(&mut self) -> (f64, f64) {
        let at = Boxed {
            x: &self.iterate,
            g: &self.gradient,
            lower: &self.lower,
            upper: &self.upper,
        };
        at.reach(&self.direction, &mut self.reach);
        if !self.model.is_empty() {
            // The target is in the box, whatever rounding says.
            return (1.0, least(&self.reach).clamp(1.0, MAX_STEP));
        }
        if self.bounded {
            return (1.0, 1.0);
        }
        // Nothing is known of the scale.
        let length = dot(&self.direction, &self.direction).sqrt();
        ((1.0 / length).min(1.0), 1.0)
    }

    /// point = iterate + step * direction
    fn place(&mut self) -> Status {
        let step = self.search.as_ref().map_or(0.0, LineSearch::step);
        let n = self.point.len();
        let (iterate, target, direction) =
            (&self.iterate[..n], &self.target[..n], &self.direction[..n]);
        let (lower, upper, reach) = (&self.lower[..n], &self.upper[..n], &self.reach[..n]);
        let point = &mut self.point[..n];
        vectorised(
            #[inline(always)]
            move || {
                for i in 0..n {
                    let (l, u, d) = (lower[i], upper[i], direction[i]);
                    let (end, along) = (target[i], iterate[i].into() + step * d);
                    let x = T::rounded(if step == 1.0 { end } else { along });
                    // A variable that meets its bound is there to the last bit.
                    let x = if step >= reach[i] {
                        if d > 0.0 { u } else { l }
                    } else {
                        x
                    };
                    point[i] = x.max(l).min(u);
                }
            },
        );
        if self.point == self.iterate {
            // The step is lost in rounding, and no evaluation is needed to see that.
            return self.retry();
        }
        Status::Evaluate
    }
}
