//! Which pixels a perturbation changes, what changing each gains to first order, and the moves from
//! one set of pixels to another.

use super::super::bounds::FeasibleBox;

/// Pixels of each side that single exchanges are chosen from.
const SINGLES: usize = 8;
/// Where a range is open, a value goes this many times as far as the linearised margin asks for.
const OPEN: f64 = 2.0;

/// The values of one image by pixels: value i is of pixel `i % pixels`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixels<'a> {
    pub(super) original: &'a [f32],
    pub(super) feasible_box: &'a FeasibleBox,
    pub(super) pixels: usize,
}

/// A pixel with what it gains.
pub(super) type Gain = (f64, usize);

/// What becomes of a set of pixels: one is put back, if any, and another is set to its best ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Move {
    pub(super) out: Option<usize>,
    pub(super) into: usize,
    pub(super) gain: f64,
}

impl Pixels<'_> {
    /// The places of a pixel's values.
    fn places(self, pixel: usize) -> impl Iterator<Item = usize> {
        (pixel..self.original.len()).step_by(self.pixels)
    }

    /// The end of a value's range that its slope points to; `missing` is what the margin still lacks.
    fn end(self, i: usize, slope: f32, missing: f64) -> f32 {
        let bounds = self.feasible_box;
        let end = if slope > 0.0 {
            bounds.upper[i]
        } else {
            bounds.lower[i]
        };
        if slope == 0.0 {
            self.original[i]
        } else if end.is_finite() {
            end
        } else {
            let far = OPEN * missing.max(f64::MIN_POSITIVE) / f64::from(slope);
            self.original[i] + far as f32
        }
    }

    fn is_changed(self, point: &[f32], pixel: usize) -> bool {
        self.places(pixel).any(|i| point[i] != self.original[i])
    }

    /// The pixels that a point changes, with what each contributes to the margin, the least first.
    pub(super) fn changed(self, point: &[f32], gradient: &[f32]) -> Vec<Gain> {
        let changed = (0..self.pixels).filter(|&pixel| self.is_changed(point, pixel));
        let contribution = |pixel: usize| {
            let places = self.places(pixel);
            let terms = places.map(|i| {
                f64::from(gradient[i]) * (f64::from(point[i]) - f64::from(self.original[i]))
            });
            (terms.sum(), pixel)
        };
        let mut changed: Vec<Gain> = changed.map(contribution).collect();
        changed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        changed
    }

    /// What a pixel at its best ends contributes.
    fn best(self, pixel: usize, gradient: &[f32], missing: f64) -> f64 {
        let terms = self.places(pixel).map(|i| {
            let moved = f64::from(self.end(i, gradient[i], missing)) - f64::from(self.original[i]);
            f64::from(gradient[i]) * moved
        });
        terms.sum()
    }

    /// All pixels at their best ends that gain anything, the most first.
    pub(super) fn ranked(
        self,
        gradient: &[f32],
        missing: f64,
        wanted: impl Fn(usize) -> bool,
    ) -> Vec<Gain> {
        let pixels = (0..self.pixels).filter(|&pixel| wanted(pixel));
        let gains = pixels.map(|pixel| (self.best(pixel, gradient, missing), pixel));
        let mut gains: Vec<Gain> = gains.filter(|&(gain, _)| gain > 0.0).collect();
        gains.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        gains
    }

    /// How many pixels reach a margin that lacks `missing`, were the classifier linear, the last of
    /// them in part; infinite where all of them don't.
    pub(super) fn distance(self, gradient: &[f32], missing: f64) -> f64 {
        let mut left = missing;
        for (count, (gain, _)) in self
            .ranked(gradient, missing, |_| true)
            .into_iter()
            .enumerate()
        {
            if gain >= left {
                return count as f64 + left / gain;
            }
            left -= gain;
        }
        f64::INFINITY
    }

    /// Sets a pixel to its best ends.
    pub(super) fn set(self, pixel: usize, gradient: &[f32], missing: f64, point: &mut [f32]) {
        for i in self.places(pixel) {
            point[i] = self
                .feasible_box
                .clip_value(i, self.end(i, gradient[i], missing));
        }
    }

    /// Puts a pixel back.
    pub(super) fn put_back(self, pixel: usize, point: &mut [f32]) {
        for i in self.places(pixel) {
            point[i] = self.original[i];
        }
    }

    /// The moves that raise the margin to first order with as many pixels, the most promising first:
    /// changed pixels to better ends, and the least of them exchanged for others, each once. Where
    /// `refused` holds moves, only the best one that is none of them.
    pub(super) fn moves(self, point: &[f32], gradient: &[f32], refused: &[Move]) -> Vec<Move> {
        let changed = self.changed(point, gradient);
        let refreshed = changed.iter().map(|&(contribution, pixel)| Move {
            out: None,
            into: pixel,
            gain: self.best(pixel, gradient, 0.0) - contribution,
        });
        let is_new = |pixel: usize| !self.is_changed(point, pixel);
        let others = self.ranked(gradient, 0.0, is_new);
        let exchange = |&(lost, out): &Gain, &(gained, into): &Gain| Move {
            out: Some(out),
            into,
            gain: gained - lost,
        };
        let pairs: Vec<Move> = if refused.is_empty() {
            changed
                .iter()
                .zip(&others)
                .map(|(out, into)| exchange(out, into))
                .collect()
        } else {
            let outs = changed.iter().take(SINGLES);
            outs.flat_map(|out| {
                others
                    .iter()
                    .take(SINGLES)
                    .map(move |into| exchange(out, into))
            })
            .collect()
        };
        let known = |this: &Move| {
            let mut refused = refused.iter();
            refused.any(|other| (other.out, other.into) == (this.out, this.into))
        };
        let mut moves: Vec<Move> = refreshed.chain(pairs).collect();
        let least = 1e-6
            * moves
                .iter()
                .fold(0.0, |most: f64, this| most.max(this.gain));
        moves.retain(|this| this.gain > least && !known(this));
        moves.sort_by(|a, b| b.gain.total_cmp(&a.gain));
        // A pixel that is put back and set to a better end would be one more than there were: the search would not end.
        let mut moved = vec![false; self.pixels];
        moves.retain(|this| {
            let touched = [Some(this.into), this.out];
            let first = touched.iter().flatten().all(|&pixel| !moved[pixel]);
            if first {
                touched
                    .iter()
                    .flatten()
                    .for_each(|&pixel| moved[pixel] = true);
            }
            first
        });
        if !refused.is_empty() {
            moves.truncate(1);
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use blindspot_model::InputBox;

    use super::*;
    use crate::search::bounds::{Bounds, FeasibleBoxes};

    /// One changed pixel, at the wrong end of its range, and one that would gain more in its place.
    #[test]
    fn no_pixel_is_moved_twice_at_once() {
        let original = [0.5f32; 2];
        let bounds = Arc::new(Bounds::within(InputBox::default(), 2));
        let feasible_box = FeasibleBoxes::new(bounds).around(&original);
        let pixels = Pixels {
            original: &original,
            feasible_box: &feasible_box,
            pixels: 2,
        };
        let (point, gradient) = ([0.0, 0.5], [1.0, 3.0]);
        let moves = pixels.moves(&point, &gradient, &[]);
        assert_eq!(
            moves,
            [Move {
                out: Some(0),
                into: 1,
                gain: 2.0
            }]
        );
    }
}
