//! Branch and bound on a margin's quadratic bound: the ball is cut into slabs across the axes of
//! the largest curvature, until the margin is positive in every slab.
//!
//! In a slab, the coordinate p_i d along the i-th axis is between alpha_i and beta_i. Let C be the
//! set of the largest axes, across which the slab is cut, L_i an axis' eigenvalue, and mu the
//! largest eigenvalue outside C. Then
//!
//! ```text
//! d' M d  <=  sum over C of (L_i - mu) (p_i d)^2  +  d' N d,    N = sum of min(L_i, mu) p_i p_i'
//! ```
//!
//! with equality. (p_i d)^2 is at most its chord over the slab, (alpha + beta) p_i d - alpha beta.
//! And mu |d - b|^2 is at least (d - b)' N (d - b) for any point b, so with |d| at most the radius
//! r,
//!
//! ```text
//! d' N d  <=  2 (N b) d - b' N b + mu (r^2 - 2 b d + |b|^2).
//! ```
//!
//! What is left is linear in d. Its minimum over ball and box, with a multiplier for each side of
//! the slab, is a lower bound for any b and any multipliers; a few iterations improve them.

use blindspot_net::vectorised;

use super::ball::{self, Scratch};
use super::curvature::{CurvatureAxes, QuadraticBound};
use super::outcome::Outcome;
use super::perturbation_box::PerturbationBox;

/// A part of the ball between parallel planes across the first axes.
struct Slab {
    /// For each axis of C the smallest and the largest coordinate, seen from the expansion's
    /// centre.
    sides: Vec<[f64; 2]>,
    /// Multipliers of the half-spaces.
    half_spaces: Vec<f64>,
    /// Multipliers of the sides: positive for the upper side, negative for the lower one.
    multipliers: Vec<f64>,
    /// The point b.
    base: Vec<f64>,
}

/// A half-space of perturbations d: those with p d on one side of |c|, for a perturbation c and its
/// direction p.
pub(super) struct HalfSpace {
    direction: Vec<f64>,
    offset: f64,
    /// The half-space contains the d with p d >= |c|, not those with p d <= |c|.
    beyond: bool,
}

impl HalfSpace {
    /// The half-space on the far side of `perturbation` (`beyond`), or on the side of the image.
    pub(super) fn at(perturbation: &[f64], beyond: bool) -> HalfSpace {
        let offset = perturbation.iter().map(|c| c * c).sum::<f64>().sqrt();
        // The plane is defined by the direction as it is stored, even if its length is not quite 1.
        HalfSpace {
            direction: perturbation.iter().map(|c| c / offset).collect(),
            offset,
            beyond,
        }
    }
}

/// A margin's quadratic bound over one ball, ready to branch on.
pub(super) struct SlabBranching<'a> {
    quadratic: &'a QuadraticBound,
    axes: &'a CurvatureAxes,
    domain: &'a PerturbationBox,
    radius: f64,
    /// The perturbation that the bound is expanded around.
    centre: Vec<f64>,
    /// The centre's coordinates along the axes.
    origin: Vec<f64>,
    /// No perturbation considered is farther from the centre.
    reach: f64,
    half_spaces: Vec<HalfSpace>,
    /// Covers the rounding error of the eigenvalues and axes; added to mu.
    eigenvalue_slack: f64,
    scratch: Scratch,
    /// The coefficients of the linear function that is minimised.
    linear: Vec<f64>,
    /// The perturbation at which the last bound was attained.
    point: Vec<f64>,
    /// The coordinates of `point` along the axes.
    coordinates: Vec<f64>,
}

/// Iterations that improve the bound of the whole ball.
const BALL_ITERATIONS: usize = 8;
/// Iterations that improve a slab's bound, which starts from the multipliers of the slab that it
/// was cut from.
const SLAB_ITERATIONS: usize = 4;

impl<'a> SlabBranching<'a> {
    pub(super) fn new(
        quadratic: &'a QuadraticBound,
        axes: &'a CurvatureAxes,
        domain: &'a PerturbationBox,
        radius: f64,
    ) -> SlabBranching<'a> {
        let (count, length) = (axes.eigenvalues.len(), domain.image.len());
        let trace = axes.eigenvalues.iter().sum::<f64>();
        SlabBranching {
            quadratic,
            axes,
            domain,
            radius,
            centre: vec![0.0; length],
            origin: vec![0.0; count],
            reach: radius,
            half_spaces: Vec::new(),
            eigenvalue_slack: 16.0 * (count + length) as f64 * f64::EPSILON * trace,
            scratch: Scratch::default(),
            linear: vec![0.0; length],
            point: vec![0.0; length],
            coordinates: vec![0.0; count],
        }
    }

    /// Restricts the ball to the intersection of `half_spaces`, for a quadratic bound that is
    /// expanded around the perturbation `centre`. No point of the intersection is farther than
    /// `reach` from the centre.
    pub(super) fn around(
        mut self,
        centre: &[f64],
        reach: f64,
        half_spaces: Vec<HalfSpace>,
    ) -> SlabBranching<'a> {
        self.origin = self.project(centre);
        self.centre = centre.to_vec();
        (self.reach, self.half_spaces) = (reach, half_spaces);
        self
    }

    /// The perturbation at which the last bound was attained.
    pub(super) fn point(&self) -> &[f64] {
        &self.point
    }

    /// A lower bound of the margin in the whole ball.
    pub(super) fn margin(&mut self) -> f64 {
        let mut whole = self.whole();
        self.bound(&mut whole, BALL_ITERATIONS)
    }

    /// Whether the margin is above 0 in the whole ball. Each slab that is bounded is taken off
    /// `budget`; the outcome is unknown once that is 0 or it should `stop`.
    pub(super) fn verify(&mut self, budget: &mut usize, stop: &dyn Fn() -> bool) -> Outcome {
        let mut waiting = vec![self.whole()];
        let mut iterations = BALL_ITERATIONS;
        while let Some(mut slab) = waiting.pop() {
            if *budget == 0 || stop() {
                return Outcome::Unknown;
            }
            *budget -= 1;
            if self.bound(&mut slab, iterations) > 0.0 {
                continue;
            }
            iterations = SLAB_ITERATIONS;
            if self.value_at_point() <= 0.0 && self.point_is_inside() {
                return Outcome::Falsified;
            }
            match self.branch(slab) {
                Some(halves) => waiting.extend(halves),
                None => return Outcome::Unknown,
            }
        }
        Outcome::Verified
    }

    fn whole(&self) -> Slab {
        Slab {
            sides: Vec::new(),
            half_spaces: vec![0.0; self.half_spaces.len()],
            multipliers: Vec::new(),
            base: self.centre.clone(),
        }
    }

    /// mu, the largest eigenvalue beyond the first `count`, with its slack.
    fn eigenvalue_beyond(&self, count: usize) -> f64 {
        self.axes.eigenvalues.get(count).copied().unwrap_or(0.0) + self.eigenvalue_slack
    }

    /// A lower bound of the margin in a slab; improves the slab's multipliers and base.
    fn bound(&mut self, slab: &mut Slab, iterations: usize) -> f64 {
        let mu = self.eigenvalue_beyond(slab.sides.len());
        let mut best = f64::NEG_INFINITY;
        let mut at = self.coordinates_of(&slab.base);
        let gradient = self.quadratic.gradient.iter().zip(&self.centre);
        let offset: f64 = gradient.map(|(a, c)| a * c).sum();
        for iteration in 0..iterations {
            let (mut constant, mut size) = self.linearise(slab, mu, &at, offset);
            for (plane, &gamma) in self.half_spaces.iter().zip(&slab.half_spaces) {
                let linear = self.linear.iter_mut().zip(&plane.direction);
                linear.for_each(|(sum, p)| *sum += gamma * p);
                constant -= gamma * plane.offset;
                size += gamma.abs() * (self.radius + plane.offset);
            }
            let least = ball::min_change(
                &self.linear,
                self.domain,
                self.radius,
                &mut self.scratch,
                &mut self.point,
            );
            let rounding = ball::rounding(at.len() + self.point.len(), size);
            best = best.max(self.quadratic.margin + constant + least.value - rounding);
            let reached = self.coordinates_of(&self.point);
            self.coordinates.copy_from_slice(&reached);
            if best > 0.0 || iteration + 1 == iterations {
                break;
            }
            if least.inverse > 0.0 {
                self.improve_multipliers(slab, least.inverse);
            }
            let step = if iteration == 0 { 1.0 } else { 0.6 };
            let toward = |from: &mut f64, to: &f64| *from += step * (to - *from);
            let base = slab.base.iter_mut().zip(&self.point);
            base.for_each(|(b, p)| toward(b, p));
            at.iter_mut().zip(&reached).for_each(|(y, t)| toward(y, t));
        }
        best
    }

    /// Sets the linear function that bounds the quadratic one in a slab, without the half-spaces.
    /// Returns its constant, and the size of the multipliers' terms, by which their rounding is
    /// measured. `at` are the base's coordinates, `offset` is the gradient times the centre.
    fn linearise(&mut self, slab: &Slab, mu: f64, at: &[f64], offset: f64) -> (f64, f64) {
        let base_square: f64 = slab.base.iter().map(|b| b * b).sum();
        let mut constant = -0.5 * mu * (self.radius * self.radius + base_square) - offset;
        let mut size = 0.0;
        // The coefficient of each axis in the linear function.
        let mut along = vec![0.0; at.len()];
        for (i, (&value, &y)) in self.axes.eigenvalues.iter().zip(at).enumerate() {
            let kept = value.min(mu);
            along[i] = -kept * y;
            let origin = self.origin[i];
            constant += kept * y * (0.5 * y + origin);
            if let Some(&[from, to]) = slab.sides.get(i) {
                let (over, gamma) = ((value - mu).max(0.0), slab.multipliers[i]);
                along[i] += gamma - 0.5 * over * (from + to);
                let side = if gamma > 0.0 { to } else { from };
                constant += 0.5 * over * (from * to + (from + to) * origin);
                constant -= gamma * (side + origin);
                size += gamma.abs() * (self.radius + side.abs() + origin.abs());
            }
        }
        self.combine(&along, mu, &slab.base);
        (constant, size)
    }

    /// Moves the multipliers by how far the point that was reached last violates each side, over
    /// `inverse`, which is how far a point moves for a unit of a coefficient.
    fn improve_multipliers(&self, slab: &mut Slab, inverse: f64) {
        for (i, &[from, to]) in slab.sides.iter().enumerate() {
            let gamma = slab.multipliers[i];
            let upper = (gamma.max(0.0) + (self.coordinates[i] - to) / inverse).max(0.0);
            let lower = (gamma.min(0.0) + (self.coordinates[i] - from) / inverse).min(0.0);
            slab.multipliers[i] = if upper > 0.0 { upper } else { lower };
        }
        for (plane, gamma) in self.half_spaces.iter().zip(&mut slab.half_spaces) {
            let past = dot(&plane.direction, &self.point) - plane.offset;
            *gamma += past / inverse;
            *gamma = if plane.beyond {
                gamma.min(0.0)
            } else {
                gamma.max(0.0)
            };
        }
    }

    /// The quadratic bound's value at the point that was reached last.
    fn value_at_point(&self) -> f64 {
        let moved = self.point.iter().zip(&self.centre).map(|(d, c)| d - c);
        let gradient = self.quadratic.gradient.iter().zip(moved);
        let square = self.axes.eigenvalues.iter().zip(&self.coordinates);
        self.quadratic.margin + gradient.map(|(a, d)| a * d).sum::<f64>()
            - 0.5 * square.map(|(value, t)| value * t * t).sum::<f64>()
    }

    /// Whether the point that was reached last is in all half-spaces.
    fn point_is_inside(&self) -> bool {
        self.half_spaces.iter().all(|plane| {
            let at = dot(&plane.direction, &self.point);
            at == plane.offset || (at > plane.offset) == plane.beyond
        })
    }

    /// Cuts a slab in two across the axis that loosens the bound the most; None if nothing is left
    /// to cut.
    fn branch(&self, slab: Slab) -> Option<[Slab; 2]> {
        let count = slab.sides.len();
        // Slightly wider than the ball: the axes' lengths are not exactly 1.
        let far = (1.0 + 1e-9) * self.reach;
        let whole = [-far, far];
        let cost = |i: usize| {
            let [from, to] = slab.sides.get(i).copied().unwrap_or(whole);
            self.axes.eigenvalues[i] * (to - from).powi(2)
        };
        let last = count.min(self.axes.eigenvalues.len().saturating_sub(1));
        let axis = (0..=last).max_by(|&a, &b| cost(a).total_cmp(&cost(b)))?;
        let Slab {
            mut sides,
            half_spaces,
            mut multipliers,
            base,
        } = slab;
        if axis == count {
            sides.push(whole);
            multipliers.push(0.0);
        }
        let [from, to] = sides[axis];
        let width = to - from;
        if width.partial_cmp(&(1e-6 * self.radius)) != Some(std::cmp::Ordering::Greater) {
            return None;
        }
        let at = self.coordinates[axis];
        let middle = at.clamp(from + 0.3 * width, to - 0.3 * width);
        let part = |side: [f64; 2]| {
            let mut sides = sides.clone();
            sides[axis] = side;
            Slab {
                sides,
                half_spaces: half_spaces.clone(),
                multipliers: multipliers.clone(),
                base: base.clone(),
            }
        };
        let (below, above) = (part([from, middle]), part([middle, to]));
        // The last one is looked at first: the one where the margin was the least.
        Some(if at > middle {
            [below, above]
        } else {
            [above, below]
        })
    }

    /// A point's coordinates along the axes, seen from the centre.
    fn coordinates_of(&self, point: &[f64]) -> Vec<f64> {
        let all = self.project(point).into_iter().zip(&self.origin);
        all.map(|(t, origin)| t - origin).collect()
    }

    /// A point's coordinates along the axes.
    fn project(&self, point: &[f64]) -> Vec<f64> {
        let rows = &self.axes.rows;
        vectorised(
            #[inline(always)]
            move || {
                let all = rows.data.chunks_exact(rows.cols);
                all.map(|row| product(row, point)).collect()
            },
        )
    }

    /// Sets the linear function to the gradient, plus each axis times its coefficient `along`, plus
    /// mu times the base.
    fn combine(&mut self, along: &[f64], mu: f64, base: &[f64]) {
        let rows = &self.axes.rows;
        let (gradient, out) = (&self.quadratic.gradient, &mut self.linear);
        vectorised(
            #[inline(always)]
            move || {
                for ((out, a), b) in out.iter_mut().zip(gradient).zip(base) {
                    *out = a + mu * b;
                }
                for (row, &part) in rows.data.chunks_exact(rows.cols).zip(along) {
                    for (out, p) in out.iter_mut().zip(row) {
                        *out += part * p;
                    }
                }
            },
        );
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    vectorised(
        #[inline(always)]
        move || product(a, b),
    )
}

/// A scalar product as sixteen sums in a fixed order, which become vector instructions.
#[inline(always)]
fn product(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 16];
    let (mut x, mut y) = (a.chunks_exact(16), b.chunks_exact(16));
    for (x, y) in x.by_ref().zip(y.by_ref()) {
        for lane in 0..16 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let rest = x.remainder().iter().zip(y.remainder());
    lanes.iter().sum::<f64>() + rest.map(|(x, y)| x * y).sum::<f64>()
}
