//! The generalised Cauchy point: the first minimum of the quadratic model along the path that the
//! steepest descent takes when it is bent into the box. R. H. Byrd, P. Lu, J. Nocedal, C. Zhu,
//! SIAM J. Sci. Comput. 16 (1995), algorithm CP.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::compact::Compact;
use crate::real::{Real, dot, least, vectorised};

/// An iterate in its box, with the gradient there.
#[derive(Clone, Copy)]
pub(crate) struct Boxed<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) g: &'a [T],
    pub(crate) lower: &'a [T],
    pub(crate) upper: &'a [T],
}

impl<T: Real> Boxed<'_, T> {
    /// For each variable, the t where x + t * direction meets its bound; infinity where it
    /// doesn't.
    pub(crate) fn reach(&self, direction: &[f64], out: &mut [f64]) {
        let n = out.len();
        let (x, lower, upper) = (&self.x[..n], &self.lower[..n], &self.upper[..n]);
        let direction = &direction[..n];
        vectorised(
            #[inline(always)]
            move || {
                for i in 0..n {
                    // Both bounds are read: a choice of what to read is no vector code.
                    let (d, x): (f64, f64) = (direction[i], x[i].into());
                    let (l, u): (f64, f64) = (lower[i].into(), upper[i].into());
                    let t = (if d > 0.0 { u } else { l } - x) / d;
                    out[i] = if d == 0.0 { f64::INFINITY } else { t.abs() };
                }
            },
        );
    }
}

/// Where the path of a variable meets its bound.
#[derive(Clone, Copy, Debug)]
struct Break {
    t: f64,
    variable: u32,
}

impl PartialEq for Break {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Break {}

impl PartialOrd for Break {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Break {
    fn cmp(&self, other: &Self) -> Ordering {
        self.t
            .total_cmp(&other.t)
            .then(self.variable.cmp(&other.variable))
    }
}

/// The point, and the room to find it.
#[derive(Clone, Debug)]
pub(crate) struct Cauchy {
    /// The point.
    pub(crate) point: Vec<f64>,
    /// Variables that are not at a bound there.
    pub(crate) free: Vec<bool>,
    /// W' (point - x)
    pub(crate) c: Vec<f64>,
    direction: Vec<f64>,
    /// Where each variable meets its bound.
    reach: Vec<f64>,
    /// The same in order, made where the path comes that far.
    breaks: BinaryHeap<Reverse<Break>>,
    /// W' direction
    p: Vec<f64>,
    row: Vec<f64>,
    solved: Vec<f64>,
}

impl Cauchy {
    pub(crate) fn new(n: usize, capacity: usize) -> Self {
        let narrow = || vec![0.0; 2 * capacity];
        Cauchy {
            point: vec![0.0; n],
            free: vec![true; n],
            c: narrow(),
            direction: vec![0.0; n],
            reach: vec![0.0; n],
            breaks: BinaryHeap::with_capacity(n),
            p: narrow(),
            row: narrow(),
            solved: narrow(),
        }
    }

    pub(crate) fn find<T: Real>(&mut self, at: Boxed<T>, model: &mut Compact<T>) {
        self.set_out(at);
        at.reach(&self.direction, &mut self.reach);
        let width = model.width();
        let theta = model.theta();
        let (p, c) = (&mut self.p[..width], &mut self.c[..width]);
        let (row, solved) = (&mut self.row[..width], &mut self.solved[..width]);
        c.fill(0.0);

        // The model's slope and curvature along the current piece of the path.
        let mut slope = -dot(&self.direction, &self.direction);
        if slope == 0.0 {
            return;
        }
        let mut curvature = -theta * slope;
        let floor = T::EPSILON * curvature;
        model.project(&self.direction, p);
        solved.copy_from_slice(p);
        model.apply_middle(solved);
        curvature = (curvature - sum_of_products(p, solved)).max(floor);

        let mut t = 0.0;
        let mut ahead = -slope / curvature;
        let first = least(&self.reach);
        if first <= ahead && first < f64::INFINITY {
            self.breaks = ordered(std::mem::take(&mut self.breaks), &self.reach);
        } else {
            self.breaks.clear();
        }
        while let Some(&Reverse(next)) = self.breaks.peek() {
            let piece = next.t - t;
            if ahead < piece {
                break;
            }
            self.breaks.pop();
            t = next.t;
            let i = next.variable as usize;
            let d = std::mem::take(&mut self.direction[i]);
            let bound = if d > 0.0 { at.upper[i] } else { at.lower[i] };
            self.point[i] = bound.into();
            self.free[i] = false;
            let moved = bound.into() - at.x[i].into();

            for (c, p) in c.iter_mut().zip(&*p) {
                *c += piece * p;
            }
            model.row(i, row);
            solved.copy_from_slice(row);
            model.apply_middle(solved);
            slope += piece * curvature + d * d - theta * d * moved + d * sum_of_products(c, solved);
            curvature += -theta * d * d + 2.0 * d * sum_of_products(p, solved)
                - d * d * sum_of_products(row, solved);
            curvature = curvature.max(floor);
            for (p, row) in p.iter_mut().zip(&*row) {
                *p -= d * row;
            }
            let ended = self.breaks.is_empty() && self.direction.iter().all(|&d| d == 0.0);
            ahead = if ended { 0.0 } else { -slope / curvature };
        }
        if ahead > 0.0 {
            t += ahead;
            for (c, p) in c.iter_mut().zip(&*p) {
                *c += ahead * p;
            }
        }
        self.advance(at, t);
    }

    /// Moves the variables that have not met a bound.
    fn advance<T: Real>(&mut self, at: Boxed<T>, t: f64) {
        let n = at.x.len();
        let (lower, upper) = (&at.lower[..n], &at.upper[..n]);
        let (point, direction) = (&mut self.point[..n], &self.direction[..n]);
        vectorised(
            #[inline(always)]
            move || {
                for i in 0..n {
                    // Within rounding, so that no variable passes its bound before its break.
                    let x = point[i] + t * direction[i];
                    let inside = x.max(lower[i].into()).min(upper[i].into());
                    point[i] = if direction[i] == 0.0 {
                        point[i]
                    } else {
                        inside
                    };
                }
            },
        );
    }

    /// Sets the point, the free variables and the direction for t = 0.
    fn set_out<T: Real>(&mut self, at: Boxed<T>) {
        let n = at.x.len();
        let (x, g, lower, upper) = (at.x, &at.g[..n], &at.lower[..n], &at.upper[..n]);
        let (point, direction) = (&mut self.point[..n], &mut self.direction[..n]);
        let free = &mut self.free[..n];
        vectorised(
            #[inline(always)]
            move || {
                for i in 0..n {
                    let (x, d, l, u): (f64, f64, f64, f64) =
                        (x[i].into(), -g[i].into(), lower[i].into(), upper[i].into());
                    let fixed = (l == u) | ((x <= l) & (d <= 0.0)) | ((x >= u) & (d >= 0.0));
                    point[i] = x;
                    free[i] = !fixed;
                    direction[i] = if fixed { 0.0 } else { d };
                }
            },
        );
    }
}

/// The finite ones of `reach`, in the room that `breaks` has.
fn ordered(breaks: BinaryHeap<Reverse<Break>>, reach: &[f64]) -> BinaryHeap<Reverse<Break>> {
    let mut breaks = breaks.into_vec();
    breaks.clear();
    let finite = reach.iter().enumerate().filter(|(_, t)| t.is_finite());
    breaks.extend(finite.map(|(i, &t)| {
        Reverse(Break {
            t,
            variable: i as u32,
        })
    }));
    BinaryHeap::from(breaks)
}

fn sum_of_products(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const N: usize = 5;

    fn vector() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1.0..1.0f64, N)
    }

    /// The model's change of value from x to x + v.
    fn change(model: &mut Compact<f64>, g: &[f64], v: &[f64]) -> f64 {
        let mut narrow = vec![0.0; model.width()];
        model.project(v, &mut narrow);
        let mut solved = narrow.clone();
        model.apply_middle(&mut solved);
        let curvature = model.theta() * dot(v, v) - sum_of_products(&narrow, &solved);
        dot(g, v) + curvature / 2.0
    }

    proptest! {
        #[test]
        fn the_first_minimum_along_the_bent_path_is_found(
            steps in prop::collection::vec(vector(), 0..4),
            (x, g) in (vector(), vector()),
            (below, above) in (vector(), vector()),
            open in prop::collection::vec(any::<bool>(), N),
        ) {
            let mut model = Compact::new(N, 3);
            for step in &steps {
                prop_assume!(dot(step, step) > 0.01);
                let change = |i: usize| (i + 1) as f64 * step[i] + 0.5 * step.iter().sum::<f64>();
                let down: Vec<f64> = step.iter().map(|s| -s).collect();
                let after: Vec<f64> = (0..N).map(|i| down[i] + change(i)).collect();
                prop_assert!(model.push((&[0.0; N], &down), (step, &after)));
            }
            let bound = |sign: f64, room: &[f64]| -> Vec<f64> {
                let far = |i: usize| if open[i] { f64::INFINITY } else { 0.5 * room[i].abs() };
                (0..N).map(|i| x[i] + sign * far(i)).collect()
            };
            let (lower, upper) = (bound(-1.0, &below), bound(1.0, &above));
            let at = Boxed { x: &x, g: &g, lower: &lower, upper: &upper };
            let path = |t: f64| -> Vec<f64> {
                (0..N).map(|i| (x[i] - t * g[i]).clamp(lower[i], upper[i]) - x[i]).collect()
            };
            // Between two breaks the model is a parabola, known by three of its values.
            let bound_ahead = |i: usize| if g[i] > 0.0 { lower[i] } else { upper[i] };
            let mut breaks: Vec<f64> = (0..N)
                .filter(|&i| g[i] != 0.0)
                .map(|i| (x[i] - bound_ahead(i)) / g[i])
                .filter(|t| t.is_finite())
                .collect();
            breaks.sort_by(f64::total_cmp);
            breaks.push(f64::INFINITY);
            let mut value = |t: f64| change(&mut model, &g, &path(t));
            let mut t = 0.0;
            for next in breaks {
                let half = 0.5 * (next - t).min(1.0);
                if half < 1e-9 {
                    continue;
                }
                let (a, b, c) = (value(t), value(t + half), value(t + 2.0 * half));
                let slope = (4.0 * b - 3.0 * a - c) / (2.0 * half);
                let ahead = -slope / ((a - 2.0 * b + c) / (half * half));
                // Where every variable is at a bound, the slope is rounding.
                if slope >= -1e-12 {
                    break;
                }
                if ahead <= next - t {
                    t += ahead;
                    break;
                }
                t = next;
            }
            let lowest = value(t);

            let mut cauchy = Cauchy::new(N, 3);
            cauchy.find(at, &mut model);
            let moved: Vec<f64> = (0..N).map(|i| cauchy.point[i] - x[i]).collect();
            let found = change(&mut model, &g, &moved);
            prop_assert!((found - lowest).abs() < 1e-8, "{found} {lowest}");

            let t = (0..N).filter(|&i| g[i] != 0.0).map(|i| -moved[i] / g[i]).fold(0.0, f64::max);
            for (on, moved) in path(t).iter().zip(&moved) {
                prop_assert!((on - moved).abs() < 1e-9, "{on} {moved}");
            }
            let mut c = vec![0.0; model.width()];
            model.project(&moved, &mut c);
            for (kept, c) in cauchy.c.iter().zip(&c) {
                prop_assert!((kept - c).abs() < 1e-8, "{kept} {c}");
            }
            for i in 0..N {
                let at_bound = cauchy.point[i] == lower[i] || cauchy.point[i] == upper[i];
                prop_assert!(cauchy.free[i] || at_bound);
            }
        }
    }
}
