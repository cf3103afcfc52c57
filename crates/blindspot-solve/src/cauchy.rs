//! The generalised Cauchy point: the first minimum of the quadratic model along the path that the
//! steepest descent takes when it is bent into the box. R. H. Byrd, P. Lu, J. Nocedal, C. Zhu,
//! SIAM J. Sci. Comput. 16 (1995), algorithm CP.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::compact::Compact;
use crate::real::{Real, dot};

/// An iterate in its box, with the gradient there.
#[derive(Clone, Copy)]
pub(crate) struct Boxed<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) g: &'a [T],
    pub(crate) lower: &'a [T],
    pub(crate) upper: &'a [T],
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
            breaks: BinaryHeap::with_capacity(n),
            p: narrow(),
            row: narrow(),
            solved: narrow(),
        }
    }

    pub(crate) fn find<T: Real>(&mut self, at: Boxed<T>, model: &mut Compact<T>) {
        let unbounded = self.set_out(at);
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
        let least = T::EPSILON * curvature;
        model.project(&self.direction, p);
        solved.copy_from_slice(p);
        model.apply_middle(solved);
        curvature = (curvature - sum_of_products(p, solved)).max(least);

        let mut t = 0.0;
        let mut ahead = -slope / curvature;
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
            curvature = curvature.max(least);
            for (p, row) in p.iter_mut().zip(&*row) {
                *p -= d * row;
            }
            ahead = if self.breaks.is_empty() && !unbounded {
                0.0
            } else {
                -slope / curvature
            };
        }
        if ahead > 0.0 {
            t += ahead;
            for (c, p) in c.iter_mut().zip(&*p) {
                *c += ahead * p;
            }
        }
        for i in 0..at.x.len() {
            if self.direction[i] != 0.0 {
                // Within rounding, so that no variable passes its bound before its break.
                let x = at.x[i].into() + t * self.direction[i];
                self.point[i] = x.max(at.lower[i].into()).min(at.upper[i].into());
            }
        }
    }

    /// Sets the point, the free variables, the direction and the breaks for t = 0. Returns whether
    /// a variable moves without meeting a bound.
    fn set_out<T: Real>(&mut self, at: Boxed<T>) -> bool {
        let mut breaks = std::mem::take(&mut self.breaks).into_vec();
        breaks.clear();
        let mut unbounded = false;
        for i in 0..at.x.len() {
            let x: f64 = at.x[i].into();
            let d: f64 = -at.g[i].into();
            let (lower, upper): (f64, f64) = (at.lower[i].into(), at.upper[i].into());
            let fixed = lower == upper || (x <= lower && d <= 0.0) || (x >= upper && d >= 0.0);
            self.point[i] = x;
            self.free[i] = !fixed;
            self.direction[i] = if fixed { 0.0 } else { d };
            if !fixed && d != 0.0 {
                let room = if d > 0.0 { upper - x } else { lower - x };
                if room.is_finite() {
                    breaks.push(Reverse(Break {
                        t: room / d,
                        variable: i as u32,
                    }));
                } else {
                    unbounded = true;
                }
            }
        }
        self.breaks = BinaryHeap::from(breaks);
        unbounded
    }
}

fn sum_of_products(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}
