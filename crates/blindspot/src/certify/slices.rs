//! Branch and bound on a lead's parabola: the ball is cut into slices across the axes along which the
//! lead is curved the most, until the lead is certain in every one.
//!
//! In a slice the i-th axis' coordinate p_i d is between alpha and beta. With the largest axes' numbers
//! in C, mu the largest eigenvalue beyond them, and L_i that of an axis,
//!
//! ```text
//! d' M d  <=  sum over C of (L_i - mu) (p_i d)^2  +  d' M~ d,       M~ = sum of min(L_i, mu) p_i p_i'
//! ```
//!
//! with equality. (p_i d)^2 is below its chord over the slice, (alpha + beta) p_i d - alpha beta. And
//! mu |d - b|^2 is no less than (d - b)' M~ (d - b) for any point b, so that, |d| being no more than the
//! radius r,
//!
//! ```text
//! d' M~ d  <=  2 (M~ b) d - b' M~ b + mu (r^2 - 2 b d + |b|^2).
//! ```
//!
//! What is left is linear in d. Its least value in ball and box, with a multiplier for each side of the
//! slice, is a lower bound whatever b and the multipliers are; they are improved a few times.

use blindspot_net::vectorised;

use super::ball::{self, Room, Scratch};
use super::curvature::{Axes, Parabola};
use super::refine::Outcome;

/// A part of the ball: the bounds of the first axes' coordinates, seen from the parabola's centre.
struct Slice {
    sides: Vec<[f64; 2]>,
    /// Those of the planes.
    planes: Vec<f64>,
    /// Above 0 for the upper side, below for the lower one.
    multipliers: Vec<f64>,
    /// The point b.
    base: Vec<f64>,
}

/// A plane that bounds where a parabola holds: the changes d with p d on one side of |c|, for a change c
/// and its direction p.
pub(super) struct Plane {
    direction: Vec<f64>,
    side: f64,
    /// d is beyond it, not before it.
    beyond: bool,
}

impl Plane {
    pub(super) fn at(change: &[f64], beyond: bool) -> Plane {
        let side = change.iter().map(|c| c * c).sum::<f64>().sqrt();
        // A direction is what is stored, whatever its length.
        Plane {
            direction: change.iter().map(|c| c / side).collect(),
            side,
            beyond,
        }
    }
}

/// A lead's parabola with its axes, over one ball.
pub(super) struct Slices<'a> {
    parabola: &'a Parabola,
    axes: &'a Axes,
    room: &'a Room,
    radius: f64,
    /// The change at the parabola's centre, and its coordinates.
    centre: Vec<f64>,
    origin: Vec<f64>,
    /// No change here is farther from the centre.
    reach: f64,
    planes: Vec<Plane>,
    /// Of the largest eigenvalue: more than what the axes are wrong by.
    more: f64,
    scratch: Scratch,
    linear: Vec<f64>,
    point: Vec<f64>,
    /// The coordinates of `point`.
    coordinates: Vec<f64>,
}

/// Times that a bound is improved: of the whole ball, and of a slice, which begins where the larger
/// one that it is cut from ended.
const WHOLE: usize = 8;
const PART: usize = 4;

impl<'a> Slices<'a> {
    pub(super) fn new(
        parabola: &'a Parabola,
        axes: &'a Axes,
        room: &'a Room,
        radius: f64,
    ) -> Slices<'a> {
        let (count, length) = (axes.values.len(), room.image.len());
        Slices {
            parabola,
            axes,
            room,
            radius,
            centre: vec![0.0; length],
            origin: vec![0.0; count],
            reach: radius,
            planes: Vec::new(),
            more: 16.0 * (count + length) as f64 * f64::EPSILON * axes.values.iter().sum::<f64>(),
            scratch: Scratch::default(),
            linear: vec![0.0; length],
            point: vec![0.0; length],
            coordinates: vec![0.0; count],
        }
    }

    /// The same for a parabola around the image changed by `centre`: it has to hold on the side of the
    /// `planes` that is meant, all of it no farther than `reach` from there.
    pub(super) fn around(mut self, centre: &[f64], reach: f64, planes: Vec<Plane>) -> Slices<'a> {
        self.origin = self.project(centre);
        self.centre = centre.to_vec();
        (self.reach, self.planes) = (reach, planes);
        self
    }

    /// The change that was reached last: where the bound is the least.
    pub(super) fn point(&self) -> &[f64] {
        &self.point
    }

    /// A lower bound of the lead in the whole ball.
    pub(super) fn lead(&mut self) -> f64 {
        let mut whole = self.whole();
        self.bound(&mut whole, WHOLE)
    }

    /// Whether the lead is above 0 in the whole ball, looking at `most` slices; these are taken off.
    /// It ends, open, when it should `stop`.
    pub(super) fn certain(&mut self, most: &mut usize, stop: &dyn Fn() -> bool) -> Outcome {
        let mut waiting = vec![self.whole()];
        let mut times = WHOLE;
        while let Some(mut slice) = waiting.pop() {
            if *most == 0 || stop() {
                return Outcome::Open;
            }
            *most -= 1;
            if self.bound(&mut slice, times) > 0.0 {
                continue;
            }
            times = PART;
            if self.value() <= 0.0 && self.is_meant() {
                return Outcome::Refuted;
            }
            match self.cut(slice) {
                Some(parts) => waiting.extend(parts),
                None => return Outcome::Open,
            }
        }
        Outcome::Certain
    }

    fn whole(&self) -> Slice {
        Slice {
            sides: Vec::new(),
            planes: vec![0.0; self.planes.len()],
            multipliers: Vec::new(),
            base: self.centre.clone(),
        }
    }

    /// The largest eigenvalue beyond the first `cut`.
    fn beyond(&self, cut: usize) -> f64 {
        self.axes.values.get(cut).copied().unwrap_or(0.0) + self.more
    }

    /// A lower bound of the lead in a slice; the slice's multipliers and its base are improved.
    fn bound(&mut self, slice: &mut Slice, times: usize) -> f64 {
        let mu = self.beyond(slice.sides.len());
        let mut best = f64::NEG_INFINITY;
        let mut at = self.coordinates_of(&slice.base);
        let slope = self.parabola.slope.iter().zip(&self.centre);
        let offset: f64 = slope.map(|(a, c)| a * c).sum();
        for turn in 0..times {
            let base_square: f64 = slice.base.iter().map(|b| b * b).sum();
            let mut constant = -0.5 * mu * (self.radius * self.radius + base_square) - offset;
            // Of the multipliers' parts, for their rounding.
            let mut size = 0.0;
            // Of each axis in the linear function.
            let mut parts = vec![0.0; at.len()];
            for (i, (&value, &y)) in self.axes.values.iter().zip(&at).enumerate() {
                let kept = value.min(mu);
                parts[i] = -kept * y;
                let origin = self.origin[i];
                constant += kept * y * (0.5 * y + origin);
                if let Some(&[from, to]) = slice.sides.get(i) {
                    let (over, gamma) = ((value - mu).max(0.0), slice.multipliers[i]);
                    parts[i] += gamma - 0.5 * over * (from + to);
                    let side = if gamma > 0.0 { to } else { from };
                    constant += 0.5 * over * (from * to + (from + to) * origin);
                    constant -= gamma * (side + origin);
                    size += gamma.abs() * (self.radius + side.abs() + origin.abs());
                }
            }
            self.combine(&parts, mu, &slice.base);
            for (plane, &gamma) in self.planes.iter().zip(&slice.planes) {
                let linear = self.linear.iter_mut().zip(&plane.direction);
                linear.for_each(|(sum, p)| *sum += gamma * p);
                constant -= gamma * plane.side;
                size += gamma.abs() * (self.radius + plane.side);
            }
            let (least, inverse) = ball::least(
                &self.linear,
                self.room,
                self.radius,
                &mut self.scratch,
                &mut self.point,
            );
            let rounding = ball::rounding(at.len() + self.point.len(), size);
            best = best.max(self.parabola.lead + constant + least - rounding);
            let reached = self.coordinates_of(&self.point);
            self.coordinates.copy_from_slice(&reached);
            if best > 0.0 || turn + 1 == times {
                break;
            }
            for (i, &[from, to]) in slice.sides.iter().enumerate() {
                if inverse > 0.0 {
                    let gamma = slice.multipliers[i];
                    let upper = (gamma.max(0.0) + (reached[i] - to) / inverse).max(0.0);
                    let lower = (gamma.min(0.0) + (reached[i] - from) / inverse).min(0.0);
                    slice.multipliers[i] = if upper > 0.0 { upper } else { lower };
                }
            }
            for (plane, gamma) in self.planes.iter().zip(&mut slice.planes) {
                let past = along(&plane.direction, &self.point) - plane.side;
                if inverse > 0.0 {
                    *gamma += past / inverse;
                    *gamma = match plane.beyond {
                        true => gamma.min(0.0),
                        false => gamma.max(0.0),
                    };
                }
            }
            let step = if turn == 0 { 1.0 } else { 0.6 };
            let toward = |from: &mut f64, to: &f64| *from += step * (to - *from);
            let base = slice.base.iter_mut().zip(&self.point);
            base.for_each(|(b, p)| toward(b, p));
            at.iter_mut().zip(&reached).for_each(|(y, t)| toward(y, t));
        }
        best
    }

    /// The parabola's value at the point that was reached last.
    fn value(&self) -> f64 {
        let moved = self.point.iter().zip(&self.centre).map(|(d, c)| d - c);
        let slope = self.parabola.slope.iter().zip(moved);
        let square = self.axes.values.iter().zip(&self.coordinates);
        self.parabola.lead + slope.map(|(a, d)| a * d).sum::<f64>()
            - 0.5 * square.map(|(value, t)| value * t * t).sum::<f64>()
    }

    /// Whether that point is on the side of the planes that is meant.
    fn is_meant(&self) -> bool {
        self.planes.iter().all(|plane| {
            let at = along(&plane.direction, &self.point);
            at == plane.side || (at > plane.side) == plane.beyond
        })
    }

    /// Two slices of one, cut across the axis that costs the most; None where nothing is left to cut.
    fn cut(&self, slice: Slice) -> Option<[Slice; 2]> {
        let count = slice.sides.len();
        // A little more than there is: axes are not of length 1 to the last bit.
        let far = (1.0 + 1e-9) * self.reach;
        let whole = [-far, far];
        let cost = |i: usize| {
            let [from, to] = slice.sides.get(i).copied().unwrap_or(whole);
            self.axes.values[i] * (to - from).powi(2)
        };
        let last = count.min(self.axes.values.len().saturating_sub(1));
        let axis = (0..=last).max_by(|&a, &b| cost(a).total_cmp(&cost(b)))?;
        let Slice {
            mut sides,
            planes,
            mut multipliers,
            base,
        } = slice;
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
            Slice {
                sides,
                planes: planes.clone(),
                multipliers: multipliers.clone(),
                base: base.clone(),
            }
        };
        let parts = [part([from, middle]), part([middle, to])];
        // The one that is taken last is looked at first: where the lead was the least.
        let [below, above] = parts;
        Some(match at > middle {
            true => [below, above],
            false => [above, below],
        })
    }

    /// The coordinates of a point, seen from the centre.
    fn coordinates_of(&self, point: &[f64]) -> Vec<f64> {
        let all = self.project(point).into_iter().zip(&self.origin);
        all.map(|(t, origin)| t - origin).collect()
    }

    /// Along the axes.
    fn project(&self, point: &[f64]) -> Vec<f64> {
        let rows = &self.axes.rows;
        vectorised(
            #[inline(always)]
            || {
                let all = rows.data.chunks_exact(rows.cols);
                all.map(|row| product(row, point)).collect()
            },
        )
    }

    /// The linear function: the lead's slope, parts of the axes, and mu times the base.
    fn combine(&mut self, parts: &[f64], mu: f64, base: &[f64]) {
        let (rows, slope, out) = (&self.axes.rows, &self.parabola.slope, &mut self.linear);
        vectorised(
            #[inline(always)]
            || {
                for ((out, a), b) in out.iter_mut().zip(slope).zip(base) {
                    *out = a + mu * b;
                }
                for (row, &part) in rows.data.chunks_exact(rows.cols).zip(parts) {
                    for (out, p) in out.iter_mut().zip(row) {
                        *out += part * p;
                    }
                }
            },
        );
    }
}

fn along(direction: &[f64], point: &[f64]) -> f64 {
    vectorised(
        #[inline(always)]
        || product(direction, point),
    )
}

/// A scalar product: sixteen sums in a fixed order, which become vector instructions.
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
