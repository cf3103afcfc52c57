//! Where a study's inputs come from: images, or activations computed from them.

use blindspot_data::{DataError, ErrorKind, ImageSet};
use blindspot_net::Real;

/// A set of inputs of a network, read one at a time so that none need be held as floats.
///
/// An input has two numbers: its *position* in the set that is worked on, from 0, and its *index* in
/// the data set that this set was chosen from. Files and messages name inputs by their index.
pub trait Inputs: Sync {
    /// Number of inputs.
    fn len(&self) -> usize;

    /// Values of an input.
    fn input_len(&self) -> usize;

    /// Reads the input at `position` into `out`, which is [`input_len`](Inputs::input_len) long.
    ///
    /// # Errors
    /// [`InputError`] where it can't be read from where it is kept.
    ///
    /// # Panics
    /// Where `position` is not below [`len`](Inputs::len).
    fn read(&self, position: usize, out: &mut [f32]) -> Result<(), InputError>;

    /// The index in the data set of the input at `position`: the position itself, unless this is a
    /// choice from a larger set.
    fn index(&self, position: usize) -> usize {
        position
    }

    /// Whether there are no inputs.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why an input can't be read: its file, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InputError(String);

impl InputError {
    /// [`ErrorKind::Data`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Data
    }
}

impl InputError {
    /// An error with this message, which should name the file and the reason.
    pub fn new(message: impl Into<String>) -> InputError {
        InputError(message.into())
    }
}

impl From<DataError> for InputError {
    fn from(error: DataError) -> InputError {
        InputError(error.to_string())
    }
}

impl Inputs for ImageSet {
    fn len(&self) -> usize {
        ImageSet::len(self)
    }

    fn input_len(&self) -> usize {
        self.image_len()
    }

    fn read(&self, position: usize, out: &mut [f32]) -> Result<(), InputError> {
        Ok(self.read_image(position, out)?)
    }

    fn index(&self, position: usize) -> usize {
        self.indices()[position]
    }
}

/// Inputs held in memory, one after the other.
#[derive(Debug, Clone)]
pub struct InMemory {
    values: Vec<f32>,
    input_len: usize,
}

impl InMemory {
    /// Inputs of `input_len` values each.
    ///
    /// # Panics
    /// Where the number of values is not a multiple of `input_len`.
    pub fn new(values: Vec<f32>, input_len: usize) -> Self {
        assert!(
            input_len > 0 && values.len().is_multiple_of(input_len),
            "whole inputs"
        );
        InMemory { values, input_len }
    }

    /// All the values, input after input, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// All the values, input after input.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of the input at `position`.
    ///
    /// # Panics
    /// Where there is no such input.
    pub fn input(&self, position: usize) -> &[f32] {
        &self.values[position * self.input_len..][..self.input_len]
    }
}

impl Inputs for InMemory {
    fn len(&self) -> usize {
        self.values.len() / self.input_len
    }

    fn input_len(&self) -> usize {
        self.input_len
    }

    fn read(&self, position: usize, out: &mut [f32]) -> Result<(), InputError> {
        out.copy_from_slice(self.input(position));
        Ok(())
    }
}

/// Reads the inputs at `positions` one after the other into `out`, in any number type.
///
/// # Errors
/// [`InputError`] of the first that can't be read.
pub fn read_batch<T: Real>(
    inputs: &(impl Inputs + ?Sized),
    positions: impl Iterator<Item = usize>,
    out: &mut [T],
) -> Result<(), InputError> {
    let mut row = vec![0.0f32; inputs.input_len()];
    for (position, place) in positions.zip(out.chunks_exact_mut(row.len())) {
        inputs.read(position, &mut row)?;
        for (place, &value) in place.iter_mut().zip(&row) {
            *place = T::of(f64::from(value));
        }
    }
    Ok(())
}
