//! Where inputs may move: one box for all values, or limits for each value.

use std::sync::Arc;

use blindspot_model::InputBox;
use blindspot_net::vectorised;

/// Limits of each input value: its valid range, and how far it may move from the original. Each
/// list has one number for each value of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// The smallest valid value; may be -infinity.
    pub lower: Vec<f32>,
    /// The largest valid value; may be infinity.
    pub upper: Vec<f32>,
    /// The largest absolute perturbation: 0 where a value must not change, may be infinity.
    pub max_perturbation: Vec<f32>,
}

/// Why bounds are invalid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BoundsError {
    /// The bounds are for inputs of another length.
    #[error("{what} has {found} numbers, an input of the network {expected}; give one for each")]
    Length {
        /// `lower`, `upper` or `change`.
        what: &'static str,
        /// Numbers given.
        found: usize,
        /// Values of an input.
        expected: usize,
    },
    /// The range of a value is empty.
    #[error(
        "input value {position} has the range [{lower}, {upper}]; give a lower and a higher number"
    )]
    Empty {
        /// Position of the value in the input.
        position: usize,
        /// Lower end of its range.
        lower: f32,
        /// Upper end of its range.
        upper: f32,
    },
    /// The largest perturbation of a value is negative or NaN.
    #[error(
        "input value {position} may change by {max_perturbation}; give 0 (must not change) or a \
         positive number"
    )]
    MaxPerturbation {
        /// Position of the value in the input.
        position: usize,
        /// The number given.
        max_perturbation: f32,
    },
}

impl Bounds {
    /// The same box for each of `length` values.
    pub fn within(input_box: InputBox, length: usize) -> Bounds {
        Bounds {
            lower: vec![input_box.lower; length],
            upper: vec![input_box.upper; length],
            max_perturbation: vec![f32::INFINITY; length],
        }
    }

    /// Checks that these are bounds of an input of `length` values.
    ///
    /// # Errors
    /// [`BoundsError`] where a list has another length, a range is empty, or a largest
    /// perturbation is negative or NaN.
    pub fn check(&self, length: usize) -> Result<(), BoundsError> {
        let lists = [
            ("lower", &self.lower),
            ("upper", &self.upper),
            ("change", &self.max_perturbation),
        ];
        for (what, list) in lists {
            if list.len() != length {
                return Err(BoundsError::Length {
                    what,
                    found: list.len(),
                    expected: length,
                });
            }
        }
        for position in 0..length {
            let (lower, upper) = (self.lower[position], self.upper[position]);
            if !(lower <= upper && lower < f32::INFINITY && upper > f32::NEG_INFINITY) {
                return Err(BoundsError::Empty {
                    position,
                    lower,
                    upper,
                });
            }
            let max_perturbation = self.max_perturbation[position];
            if max_perturbation.is_nan() || max_perturbation < 0.0 {
                return Err(BoundsError::MaxPerturbation {
                    position,
                    max_perturbation,
                });
            }
        }
        Ok(())
    }

    /// The first value of an input that lies outside of its range, and that range.
    pub(super) fn outside(&self, input: &[f32]) -> Option<(usize, InputBox)> {
        let range = |i: usize| InputBox {
            lower: self.lower[i],
            upper: self.upper[i],
        };
        (0..input.len())
            .map(|i| (i, range(i)))
            .find(|&(i, range)| !(range.lower..=range.upper).contains(&input[i]))
    }
}

/// Where one input may move: its bounds, cut to the largest perturbation around the original.
#[derive(Debug, PartialEq)]
pub(super) struct FeasibleBox {
    pub(super) lower: Vec<f32>,
    pub(super) upper: Vec<f32>,
    /// The width of the widest range.
    pub(super) widest: f64,
}

impl FeasibleBox {
    pub(super) fn new(lower: Vec<f32>, upper: Vec<f32>) -> FeasibleBox {
        let ranges = upper.iter().zip(&lower);
        let widest = ranges.fold(0.0, |widest, (upper, lower)| {
            f64::max(widest, f64::from(upper - lower))
        });
        FeasibleBox {
            lower,
            upper,
            widest,
        }
    }

    /// The same box for each of `length` values.
    #[cfg(test)]
    pub(super) fn within(input_box: InputBox, length: usize) -> FeasibleBox {
        FeasibleBox::new(vec![input_box.lower; length], vec![input_box.upper; length])
    }

    /// What lengths are measured in where nothing else tells the scale of the inputs: the width of
    /// the widest range; 1 where that is 0 or open.
    pub(super) fn unit(&self) -> f64 {
        if self.widest > 0.0 && self.widest.is_finite() {
            self.widest
        } else {
            1.0
        }
    }

    /// How much a number with this gradient changes through the whole box at most, were it linear.
    pub(super) fn linear_change(&self, gradient: &[f32]) -> f64 {
        let ranges = self.lower.iter().zip(&self.upper).zip(gradient);
        let changes = ranges.map(|((&lower, &upper), &slope)| {
            (f64::from(upper) - f64::from(lower)) * f64::from(slope).abs()
        });
        changes.sum()
    }

    /// Moves each value of a point to the nearest feasible one.
    pub(super) fn clip(&self, point: &mut [f32]) {
        vectorised(
            #[inline(always)]
            move || {
                let ranges = self.lower.iter().zip(&self.upper);
                for (value, (&lower, &upper)) in point.iter_mut().zip(ranges) {
                    *value = value.max(lower).min(upper);
                }
            },
        );
    }

    /// The feasible value at a position that is nearest to `value`.
    #[inline(always)]
    pub(super) fn clip_value(&self, position: usize, value: f32) -> f32 {
        value.max(self.lower[position]).min(self.upper[position])
    }
}

/// The feasible boxes of all inputs: one shared by all where no perturbation is limited.
#[derive(Clone)]
pub(super) struct FeasibleBoxes {
    bounds: Arc<Bounds>,
    shared: Option<Arc<FeasibleBox>>,
}

impl FeasibleBoxes {
    pub(super) fn new(bounds: Arc<Bounds>) -> Self {
        let free = bounds.max_perturbation.iter().all(|max| max.is_infinite());
        let shared =
            free.then(|| Arc::new(FeasibleBox::new(bounds.lower.clone(), bounds.upper.clone())));
        FeasibleBoxes { bounds, shared }
    }

    /// The bounds that all inputs have in common.
    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The feasible box of one input.
    pub(super) fn around(&self, original: &[f32]) -> Arc<FeasibleBox> {
        if let Some(shared) = &self.shared {
            return Arc::clone(shared);
        }
        let Bounds {
            lower,
            upper,
            max_perturbation,
        } = &*self.bounds;
        let values = original.iter().zip(max_perturbation);
        let below = values.clone().zip(lower);
        let above = values.zip(upper);
        Arc::new(FeasibleBox::new(
            below.map(|((x, max), l)| l.max(x - max)).collect(),
            above.map(|((x, max), u)| u.min(x + max)).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_moves_as_far_as_its_box_and_the_largest_perturbation_let_it() {
        let boxes = |bounds: &Bounds| FeasibleBoxes::new(Arc::new(bounds.clone()));
        let mut bounds = Bounds::within(InputBox::default(), 3);
        assert_eq!(boxes(&bounds).around(&[0.5; 3]).upper, [1.0; 3]);
        bounds.max_perturbation = vec![0.0, 0.25, f32::INFINITY];
        let feasible_box = boxes(&bounds).around(&[0.5, 0.125, 0.5]);
        assert_eq!(feasible_box.lower, [0.5, 0.0, 0.0]);
        assert_eq!(feasible_box.upper, [0.5, 0.375, 1.0]);
    }

    #[test]
    fn invalid_bounds_are_refused_with_their_reason() {
        let good = Bounds::within(InputBox::default(), 2);
        assert_eq!(good.check(2), Ok(()));
        let error = |bounds: Bounds| bounds.check(2).unwrap_err().to_string();
        let mut short = good.clone();
        short.upper.pop();
        assert!(error(short).contains("upper has 1 numbers"));
        let mut empty = good.clone();
        empty.lower[1] = 2.0;
        assert!(error(empty).contains("input value 1 has the range [2, 1]"));
        let mut nan = good.clone();
        nan.upper[0] = f32::NAN;
        assert!(error(nan).contains("input value 0"));
        let mut negative = good;
        negative.max_perturbation[1] = -0.5;
        assert!(error(negative).contains("may change by -0.5"));
    }
}
