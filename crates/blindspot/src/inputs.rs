//! Where a study's inputs come from: images, or activations computed from them.

use blindspot_data::ImageSet;
use blindspot_net::Real;

/// A set of inputs of a network, read one at a time so that none need be held as floats.
pub trait Inputs: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// How many values each has.
    fn input_len(&self) -> usize;

    /// Writes input `index` into `out`, which is [`input_len`](Inputs::input_len) long.
    ///
    /// # Panics
    /// Where `index` is not below [`len`](Inputs::len).
    fn write(&self, index: usize, out: &mut [f32]);

    /// True where there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inputs for ImageSet {
    fn len(&self) -> usize {
        ImageSet::len(self)
    }

    fn input_len(&self) -> usize {
        self.image_len()
    }

    fn write(&self, index: usize, out: &mut [f32]) {
        self.write_image(index, out);
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
}

impl Inputs for InMemory {
    fn len(&self) -> usize {
        self.values.len() / self.input_len
    }

    fn input_len(&self) -> usize {
        self.input_len
    }

    fn write(&self, index: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.values[index * self.input_len..(index + 1) * self.input_len]);
    }
}

/// Writes inputs `indices` one after the other into `out`, in any number type.
pub fn write_batch<T: Real>(
    inputs: &(impl Inputs + ?Sized),
    indices: impl Iterator<Item = usize>,
    out: &mut [T],
) {
    let mut row = vec![0.0f32; inputs.input_len()];
    for (index, place) in indices.zip(out.chunks_exact_mut(row.len())) {
        inputs.write(index, &mut row);
        for (place, &value) in place.iter_mut().zip(&row) {
            *place = T::of(f64::from(value));
        }
    }
}
