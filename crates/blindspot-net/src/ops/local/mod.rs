//! Local filtering: every position has its own weights.

pub mod tiles;

use super::{Gradient, Input, Kernel};
use crate::ops::OperandShape;
use crate::real::Real;
use tiles::{LANES, Lane, correlate, filter, scatter, tile, untile};

/// Which numbers of a value each position sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Numbers that a position sees.
    length: usize,
    /// Where these are in the value read row after row: those of the first position, then those of
    /// the next.
    places: Vec<usize>,
}

impl Fields {
    /// Fields of `length` numbers each, by their places; a place may come twice.
    ///
    /// # Errors
    /// Where the places are no whole number of fields.
    pub fn new(length: usize, places: Vec<usize>) -> Result<Fields, String> {
        if length == 0 || places.is_empty() || !places.len().is_multiple_of(length) {
            let count = places.len();
            return Err(format!("{count} places make no fields of {length}"));
        }
        Ok(Fields { length, places })
    }

    /// Square windows of `side` x `side` positions over all channels of a value [channels, height,
    /// width], `stride` apart: row after row, each with its channels, rows and columns in that
    /// order. Gives how many there are down and across, too.
    ///
    /// # Errors
    /// Where not even one fits.
    pub fn windows(
        shape: [usize; 3],
        side: usize,
        stride: usize,
    ) -> Result<(Fields, [usize; 2]), String> {
        let [channels, height, width] = shape;
        if side == 0 || stride == 0 || channels == 0 || side > height || side > width {
            return Err(format!(
                "a field of {side}x{side} in steps of {stride} does not fit {height}x{width} \
                 positions"
            ));
        }
        let counts = [height, width].map(|size| (size - side) / stride + 1);
        let mut places = Vec::with_capacity(counts[0] * counts[1] * channels * side * side);
        for (top, left) in (0..counts[0]).flat_map(|y| (0..counts[1]).map(move |x| (y, x))) {
            for channel in 0..channels {
                for y in 0..side {
                    let start = (channel * height + top * stride + y) * width + left * stride;
                    places.extend(start..start + side);
                }
            }
        }
        let length = channels * side * side;
        Ok((Fields { length, places }, counts))
    }

    /// How many positions there are.
    pub fn count(&self) -> usize {
        self.places.len() / self.length
    }

    /// How many numbers each sees.
    pub fn field_len(&self) -> usize {
        self.length
    }

    /// All places, those of the first position first.
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// The places of each position.
    pub fn each(&self) -> std::slice::ChunksExact<'_, usize> {
        self.places.chunks_exact(self.length)
    }
}

/// Local filtering: at each position the numbers of its field times a matrix of its own. A
/// convolution whose weights are not shared between positions (Le et al. 2012). Operands: a value,
/// a weight [positions, field, maps]. Gives [positions, maps].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// What each position sees.
    pub fields: Fields,
}

/// Images that are worked on before the next position's weights are read: their tiles stay in the
/// cache.
const GROUP: usize = 4 * LANES;

impl Local {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let [OperandShape::Value(value), OperandShape::Weight(weight)] = inputs else {
            return Err(format!("takes a value and a weight, not {inputs:?}"));
        };
        let (count, field) = (self.fields.count(), self.fields.length);
        let &[positions, length, maps] = *weight else {
            return Err(format!(
                "the weight must have three axes, not shape {weight:?}"
            ));
        };
        if [positions, length] != [count, field] {
            return Err(format!(
                "a weight of shape {weight:?} does not fit {count} fields of {field}"
            ));
        }
        let len: usize = value.iter().product();
        if let Some(place) = self.fields.places.iter().find(|&&place| place >= len) {
            return Err(format!("a value of shape {value:?} has no place {place}"));
        }
        Ok(vec![count, maps])
    }
}

/// The lengths of one image's part of the value and of the output, and the number of maps.
fn lengths<T>(inputs: &[Input<'_, T>]) -> [usize; 3] {
    let (value, weight) = (inputs[0].shape, inputs[1].shape);
    [value.iter().product(), weight[0] * weight[2], weight[2]]
}

/// Memory for so many tiles of the first and of the second length.
fn memory<T: Real>(scratch: &mut Vec<T>, tiles: usize, lengths: [usize; 2]) -> [&mut [Lane<T>]; 2] {
    let total = LANES * tiles * (lengths[0] + lengths[1]);
    if scratch.len() < total {
        scratch.resize(total, T::zero());
    }
    let (lanes, _) = scratch[..total].as_chunks_mut();
    lanes.split_at_mut(tiles * lengths[0]).into()
}

impl<T: Real> Kernel<T> for Local {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], scratch: &mut Vec<T>) {
        let [from, to, maps] = lengths(inputs);
        let [x, y] = memory(scratch, n.min(GROUP).div_ceil(LANES), [from, to]);
        let images = inputs[0].data.chunks(GROUP * from);
        for (images, output) in images.zip(output.chunks_mut(GROUP * to)) {
            let tiles = (images.len() / from).div_ceil(LANES);
            tile(images, from, &mut x[..tiles * from]);
            let weights = inputs[1].data.chunks_exact(self.fields.length * maps);
            for (p, (places, weight)) in self.fields.each().zip(weights).enumerate() {
                for t in 0..tiles {
                    let out = &mut y[t * to + p * maps..][..maps];
                    filter(places, weight, &x[t * from..][..from], out);
                }
            }
            untile(&y[..tiles * to], to, output, false);
        }
    }

    fn backward(
        &self,
        n: usize,
        inputs: &[Input<'_, T>],
        _output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        scratch: &mut Vec<T>,
    ) {
        let [from, to, maps] = lengths(inputs);
        let field = self.fields.length * maps;
        let [x, dy] = memory(scratch, n.min(GROUP).div_ceil(LANES), [from, to]);
        let (by_value, by_weight) = gradients.split_at_mut(1);
        let (by_value, by_weight) = (&mut by_value[0], &mut by_weight[0]);
        if let Some(gradient) = by_weight {
            gradient.begin_sum();
        }
        for (group, gradients) in output_gradient.chunks(GROUP * to).enumerate() {
            let images = gradients.len() / to;
            let tiles = images.div_ceil(LANES);
            let of_group = group * GROUP * from..(group * GROUP + images) * from;
            tile(gradients, to, &mut dy[..tiles * to]);
            if let Some(gradient) = by_weight {
                tile(
                    &inputs[0].data[of_group.clone()],
                    from,
                    &mut x[..tiles * from],
                );
                let weights = gradient.data.chunks_exact_mut(field);
                for (p, (places, dw)) in self.fields.each().zip(weights).enumerate() {
                    for t in 0..tiles {
                        let dy = &dy[t * to + p * maps..][..maps];
                        correlate(places, &x[t * from..][..from], dy, dw);
                    }
                }
            }
            if let Some(gradient) = by_value {
                let dx = &mut x[..tiles * from];
                dx.fill([T::zero(); LANES]);
                let weights = inputs[1].data.chunks_exact(field);
                for (p, (places, weight)) in self.fields.each().zip(weights).enumerate() {
                    for t in 0..tiles {
                        let dy = &dy[t * to + p * maps..][..maps];
                        scatter(places, weight, dy, &mut dx[t * from..][..from]);
                    }
                }
                untile(dx, from, &mut gradient.data[of_group], gradient.accumulate);
            }
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
