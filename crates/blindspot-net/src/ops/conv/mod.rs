//! Convolutions.
//!
//! Where each output channel sees one input channel (depthwise, and images of one channel), the sums
//! run directly over shifted planes ([`direct`]); all others are matrix products over the columns of
//! the windows ([`columns`]).

mod columns;
mod direct;
mod rows;

use super::window::Plane;
use super::{Gradient, Input, Kernel, Window};
use crate::ops::OperandShape;
use crate::real::Real;

/// A convolution over one or two axes, as in ONNX (no flip). Operands: a value [C, positions...],
/// a weight `[F, C / groups, kernel...]`, and a weight `[F]` if there is a bias; the padding is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Where the windows stand.
    pub window: Window,
    /// Channels are cut into so many groups; a group of outputs sees its group of inputs only.
    pub groups: usize,
}

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    plane: Plane,
    groups: usize,
    /// Input channels of a group.
    channels: usize,
    /// Output channels of a group.
    features: usize,
}

impl Conv {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let (value, weight, bias) = match *inputs {
            [OperandShape::Value(value), OperandShape::Weight(weight)] => (value, weight, None),
            [
                OperandShape::Value(value),
                OperandShape::Weight(weight),
                OperandShape::Weight(bias),
            ] => (value, weight, Some(bias)),
            _ => {
                return Err(format!(
                    "takes a value, a weight and perhaps a bias, not {inputs:?}"
                ));
            }
        };
        let ([channels, positions @ ..], [features, seen, kernel @ ..]) = (value, weight) else {
            return Err(format!(
                "takes a value [channels, positions...] and a weight [features, channels, \
                 kernel...], not {value:?} and {weight:?}"
            ));
        };
        if kernel != self.window.kernel {
            let window = &self.window.kernel;
            return Err(format!(
                "a weight of shape {weight:?} does not fit a window of {window:?}"
            ));
        }
        let groups = self.groups;
        if groups == 0
            || !features.is_multiple_of(groups)
            || seen.checked_mul(groups) != Some(*channels)
        {
            return Err(format!(
                "a weight of shape {weight:?} in {groups} groups does not fit {channels} channels"
            ));
        }
        if let Some(bias) = bias.filter(|&bias| bias != [*features]) {
            return Err(format!(
                "a bias of shape {bias:?} does not fit {features} features"
            ));
        }
        let mut shape = self.window.outputs(positions, false)?;
        shape.insert(0, *features);
        Ok(shape)
    }

    /// The sizes for operands of these shapes.
    fn sizes(&self, value: &[usize], weight: &[usize]) -> Sizes {
        Sizes {
            plane: self.window.plane(&value[1..], false),
            groups: self.groups,
            channels: weight[1],
            features: weight[0] / self.groups,
        }
    }

    /// The most numbers of memory that either direction needs for operands of these shapes.
    pub(super) fn scratch(&self, value: &[usize], weight: &[usize]) -> u64 {
        let sizes = self.sizes(value, weight);
        match sizes.channels {
            1 => direct::scratch(&sizes),
            _ => columns::scratch(&sizes),
        }
    }
}

impl<T: Real> Kernel<T> for Conv {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], scratch: &mut Vec<T>) {
        let sizes = self.sizes(inputs[0].shape, inputs[1].shape);
        let (x, weight) = (inputs[0].data, inputs[1].data);
        let bias = inputs.get(2).map(|bias| bias.data);
        match sizes.channels {
            1 => direct::forward(&sizes, x, weight, bias, output, scratch),
            _ => columns::forward(&sizes, x, weight, bias, output, scratch),
        }
    }

    fn backward(
        &self,
        _n: usize,
        inputs: &[Input<'_, T>],
        _output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        scratch: &mut Vec<T>,
    ) {
        let sizes = self.sizes(inputs[0].shape, inputs[1].shape);
        let (x, weight, dy) = (inputs[0].data, inputs[1].data, output_gradient);
        if let Some(gradient) = &mut gradients[0] {
            match sizes.channels {
                1 => direct::by_value(&sizes, weight, dy, gradient, scratch),
                _ => columns::by_value(&sizes, weight, dy, gradient, scratch),
            }
        }
        if let Some(gradient) = &mut gradients[1] {
            gradient.begin_sum();
            match sizes.channels {
                1 => direct::by_weight(&sizes, x, dy, gradient.data, scratch),
                _ => columns::by_weight(&sizes, x, dy, gradient.data, scratch),
            }
        }
        if let Some(Some(gradient)) = gradients.get_mut(2) {
            gradient.begin_sum();
            let features = gradient.data.len();
            for (i, plane) in dy.chunks_exact(sizes.plane.output_len()).enumerate() {
                gradient.data[i % features] += plane.iter().copied().sum();
            }
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}

/// Cuts memory into parts of the lengths asked for.
fn parts<T: Real, const N: usize>(scratch: &mut Vec<T>, lengths: [usize; N]) -> [&mut [T]; N] {
    let total = lengths.iter().sum();
    if scratch.len() < total {
        scratch.resize(total, T::zero());
    }
    let mut rest = &mut scratch[..];
    lengths.map(|length| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(length);
        rest = after;
        part
    })
}
