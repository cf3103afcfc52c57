//! Where an input may move: a range for each of its values.

use std::sync::Arc;

use super::change::InputBox;

/// Which values of an input may change, and how far: a number for each value.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// The smallest value allowed; may be -infinity.
    pub lower: Vec<f32>,
    /// The largest value allowed; may be infinity.
    pub upper: Vec<f32>,
    /// How far a value may move from the original: 0 where it must not change, may be infinity.
    pub max_perturbation: Vec<f32>,
}

/// The range of one input value is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BoundsError {
    /// Numbers for another input.
    #[error("{what} has {found} numbers, an input of the network {expected}; give one for each")]
    Length {
        /// `lower`, `upper` or `change`.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// No value lies between the two.
    #[error(
        "input value {position} has the range [{lower}, {upper}]; give a lower and a higher number"
    )]
    Empty {
        /// Which value.
        position: usize,
        /// Its lower end.
        lower: f32,
        /// Its upper end.
        upper: f32,
    },
    /// A change below 0, or NaN.
    #[error(
        "input value {position} may change by {change}; give 0 (must not change) or a positive \
         number"
    )]
    Change {
        /// Which value.
        position: usize,
        /// The number given.
        change: f32,
    },
}

impl Bounds {
    /// The same box for each of `length` values.
    pub fn within(bounds: InputBox, length: usize) -> Bounds {
        Bounds {
            lower: vec![bounds.lower; length],
            upper: vec![bounds.upper; length],
            max_perturbation: vec![f32::INFINITY; length],
        }
    }

    /// Finds out whether these are ranges of an input of `length` values.
    ///
    /// # Errors
    /// [`BoundsError`] where they are not.
    pub fn check(&self, length: usize) -> Result<(), BoundsError> {
        let arrays = [
            ("lower", &self.lower),
            ("upper", &self.upper),
            ("change", &self.max_perturbation),
        ];
        for (what, array) in arrays {
            if array.len() != length {
                return Err(BoundsError::Length {
                    what,
                    found: array.len(),
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
            let change = self.max_perturbation[position];
            if change.is_nan() || change < 0.0 {
                return Err(BoundsError::Change { position, change });
            }
        }
        Ok(())
    }

    /// A value of an input outside of its range, if there is one.
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

/// Where one input may move.
#[derive(Debug, PartialEq)]
pub(super) struct Room {
    pub(super) lower: Vec<f32>,
    pub(super) upper: Vec<f32>,
}

impl Room {
    /// The same box for each of `length` values.
    #[cfg(test)]
    pub(super) fn within(bounds: InputBox, length: usize) -> Room {
        Room {
            lower: vec![bounds.lower; length],
            upper: vec![bounds.upper; length],
        }
    }

    /// The largest distance within a range.
    pub(super) fn widest(&self) -> f64 {
        let ranges = self.upper.iter().zip(&self.lower);
        ranges.fold(0.0, |widest, (upper, lower)| {
            widest.max(f64::from(upper - lower))
        })
    }

    /// The value that lies in the range at a position and is nearest.
    #[inline(always)]
    pub(super) fn inside(&self, position: usize, value: f32) -> f32 {
        value.max(self.lower[position]).min(self.upper[position])
    }
}

/// The rooms of all inputs: one for all where no change is limited.
pub(super) struct Rooms<'a> {
    ranges: &'a Bounds,
    shared: Option<Arc<Room>>,
}

impl<'a> Rooms<'a> {
    pub(super) fn new(ranges: &'a Bounds) -> Self {
        let free = ranges
            .max_perturbation
            .iter()
            .all(|change| change.is_infinite());
        let shared = || Room {
            lower: ranges.lower.clone(),
            upper: ranges.upper.clone(),
        };
        Rooms {
            ranges,
            shared: free.then(|| Arc::new(shared())),
        }
    }

    /// That of one input.
    pub(super) fn of(&self, original: &[f32]) -> Arc<Room> {
        if let Some(shared) = &self.shared {
            return Arc::clone(shared);
        }
        let Bounds {
            lower,
            upper,
            max_perturbation: change,
        } = self.ranges;
        let values = original.iter().zip(change);
        let below = values.clone().zip(lower);
        let above = values.zip(upper);
        Arc::new(Room {
            lower: below.map(|((x, change), l)| l.max(x - change)).collect(),
            upper: above.map(|((x, change), u)| u.min(x + change)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_moves_as_far_as_box_and_change_let_it() {
        let mut ranges = Bounds::within(InputBox::default(), 3);
        assert_eq!(Rooms::new(&ranges).of(&[0.5; 3]).upper, [1.0; 3]);
        ranges.max_perturbation = vec![0.0, 0.25, f32::INFINITY];
        let room = Rooms::new(&ranges).of(&[0.5, 0.125, 0.5]);
        assert_eq!(room.lower, [0.5, 0.0, 0.0]);
        assert_eq!(room.upper, [0.5, 0.375, 1.0]);
    }

    #[test]
    fn what_is_no_range_is_said() {
        let good = Bounds::within(InputBox::default(), 2);
        assert_eq!(good.check(2), Ok(()));
        let error = |ranges: Bounds| ranges.check(2).unwrap_err().to_string();
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
