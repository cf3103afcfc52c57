//! Local response normalisation.

use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::{Real, vectorised};

/// x / (bias + alpha / size * sum of squares over `size` neighbouring channels)^beta, channels being
/// the first axis (Krizhevsky et al. 2012, section 3.3, in ONNX's scaling of alpha).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lrn {
    /// How many channels, the own one in the middle.
    pub size: usize,
    /// The weight of the mean square.
    pub alpha: f64,
    /// The exponent.
    pub beta: f64,
    /// k of the paper.
    pub bias: f64,
}

impl Lrn {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = only_value(inputs)?;
        if self.size == 0 || shape.is_empty() {
            return Err("takes a value [channels, ...] and a size of at least 1".to_owned());
        }
        if !(self.bias > 0.0 && self.alpha >= 0.0 && self.beta.is_finite()) {
            return Err("its bias must be above 0 and its alpha at least 0".to_owned());
        }
        Ok(shape.to_vec())
    }

    /// The channels around one, those below the first and above the last left out. The window
    /// leads back to itself: j is around i where i is around j, if the size is odd.
    fn around(&self, channel: usize, channels: usize) -> std::ops::Range<usize> {
        let (below, above) = ((self.size - 1) / 2, self.size / 2);
        channel.saturating_sub(below)..channels.min(channel + above + 1)
    }

    /// bias + alpha / size * sum of squares, for every number of an image.
    #[inline(always)]
    fn scales<T: Real>(&self, x: &[T], channels: usize, out: &mut [T]) {
        let plane = x.len() / channels;
        let weight = T::of(self.alpha / self.size as f64);
        for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
            out.fill(T::of(self.bias));
            for other in self.around(channel, channels) {
                for (out, &x) in out.iter_mut().zip(&x[other * plane..][..plane]) {
                    *out = (weight * x).mul_add(x, *out);
                }
            }
        }
    }
}

/// x^-beta for x above 0; the usual exponent by square roots, which become vector instructions.
#[inline(always)]
fn power<T: Real>(x: T, beta: f64) -> T {
    if beta == 0.75 {
        let root = x.sqrt();
        (root * root.sqrt()).recip()
    } else {
        x.powf(T::of(-beta))
    }
}

impl<T: Real> Kernel<T> for Lrn {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], scratch: &mut Vec<T>) {
        let (channels, length) = (inputs[0].shape[0], output.len() / n.max(1));
        scratch.resize(length.max(scratch.len()), T::zero());
        let scale = &mut scratch[..length];
        let images = inputs[0].data.chunks_exact(length);
        for (x, out) in images.zip(output.chunks_exact_mut(length)) {
            vectorised(
                #[inline(always)]
                || {
                    let beta = self.beta;
                    self.scales(x, channels, scale);
                    for ((out, &x), &scale) in out.iter_mut().zip(x).zip(scale.iter()) {
                        *out = x * power(scale, beta);
                    }
                },
            );
        }
    }

    fn backward(
        &self,
        n: usize,
        inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        scratch: &mut Vec<T>,
    ) {
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        let (channels, length) = (inputs[0].shape[0], output.len() / n.max(1));
        let plane = length / channels;
        scratch.resize((2 * length).max(scratch.len()), T::zero());
        let (scale, share) = scratch[..2 * length].split_at_mut(length);
        let factor = T::of(2.0 * self.beta * self.alpha / self.size as f64);
        let images = inputs[0].data.chunks_exact(length);
        let images = images.zip(output.chunks_exact(length));
        let images = images.zip(output_gradient.chunks_exact(length));
        for (((x, y), dy), dx) in images.zip(gradient.data.chunks_exact_mut(length)) {
            vectorised(
                #[inline(always)]
                || {
                    let (beta, factor) = (self.beta, factor);
                    self.scales(x, channels, scale);
                    let numbers = share.iter_mut().zip(&mut *scale).zip(dy).zip(y);
                    for (((share, scale), &dy), &y) in numbers {
                        *share = factor * dy * y / *scale;
                        *scale = dy * power(*scale, beta);
                    }
                    // What a number takes from the outputs whose window it is in.
                    for channel in 0..channels {
                        let own = channel * plane..(channel + 1) * plane;
                        let direct = &mut scale[own.clone()];
                        for other in 0..channels {
                            if !self.around(other, channels).contains(&channel) {
                                continue;
                            }
                            let share = &share[other * plane..][..plane];
                            for ((sum, &x), &share) in
                                direct.iter_mut().zip(&x[own.clone()]).zip(share)
                            {
                                *sum = (-x).mul_add(share, *sum);
                            }
                        }
                    }
                    let mut place = Gradient {
                        data: dx,
                        accumulate: gradient.accumulate,
                    };
                    place.put(
                        #[inline(always)]
                        |i| scale[i],
                    );
                },
            );
        }
    }

    fn needs_no_output(&self) -> bool {
        false
    }
}
