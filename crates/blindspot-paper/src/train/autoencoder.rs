//! The loss of the sparse autoencoder below AE400-10 (section 2).

use blindspot_net::Network;

use super::dense::{Layer, dense};
use super::objective::{LossValue, Objective, add_decay, set_weights};
use super::parallel::Lanes;
use super::recipe::Sparsity;
use blindspot::inputs::{InputError, Inputs, read_batch};
use blindspot::run::communicator::Communicator;

/// Mean over the images of half the squared error of the reconstruction, plus the sparsity penalty
/// `weight * sum over the units of KL(activity || mean activation of the unit)`, plus decay.
///
/// The mean activation is that over the whole set, so an evaluation takes two passes.
pub(super) struct AutoencoderLoss<'a> {
    encoder: Network<f32>,
    decoder: Network<f32>,
    inputs: &'a dyn Inputs,
    sparsity: Sparsity,
    lanes: Lanes<'a>,
}

impl<'a> AutoencoderLoss<'a> {
    pub(super) fn new(
        inputs: &'a dyn Inputs,
        units: usize,
        sparsity: Sparsity,
        seed: u64,
        ranks: &'a dyn Communicator,
    ) -> Self {
        let values = inputs.input_len();
        let layer = |units, output: &str| Layer {
            units,
            output: output.into(),
            sigmoid: true,
        };
        let encoder = dense(values, &[layer(units, "hidden1")], true, seed, "encoder");
        let decoder = dense(
            units,
            &[layer(values, "reconstruction")],
            true,
            seed,
            "decoder",
        );
        AutoencoderLoss {
            encoder,
            decoder,
            inputs,
            sparsity,
            lanes: Lanes::over(ranks),
        }
    }

    /// All weights: those of the encoder, then those of the decoder.
    pub(super) fn weights(&self) -> Vec<f64> {
        let both = self.encoder.weights().iter().chain(self.decoder.weights());
        both.flatten().map(|&weight| f64::from(weight)).collect()
    }
}

impl Objective for AutoencoderLoss<'_> {
    fn evaluate(&mut self, weights: &[f64], gradient: &mut [f64]) -> Result<LossValue, InputError> {
        let (of_encoder, of_decoder) = weights.split_at(self.encoder.parameters());
        set_weights(&mut self.encoder, of_encoder);
        set_weights(&mut self.decoder, of_decoder);
        let (inputs, sparsity) = (self.inputs, self.sparsity);
        let (networks, units) = ([&self.encoder, &self.decoder], self.encoder.output_len());
        let count = inputs.len();

        self.lanes
            .run(networks, count, &[], units, |range, [encoder, _], sum| {
                read_batch(inputs, range.clone(), encoder.input(range.len()))?;
                for row in encoder.forward().chunks_exact(units) {
                    for (sum, &activation) in sum.sums.iter_mut().zip(row) {
                        *sum += f64::from(activation);
                    }
                }
                Ok::<(), InputError>(())
            })?;
        let mean = |unit| {
            let sum: f64 = self
                .lanes
                .partials()
                .iter()
                .map(|partial| partial.sums[unit])
                .sum();
            // A unit that is off, or on, for every image to the last bit has no finite penalty.
            (sum / count as f64).clamp(1e-9, 1.0 - 1e-9)
        };
        let means: Vec<f64> = (0..units).map(mean).collect();
        let rho = sparsity.activity;
        let penalty: f64 = means
            .iter()
            .map(|q| rho * (rho / q).ln() + (1.0 - rho) * ((1.0 - rho) / (1.0 - q)).ln())
            .sum();
        // The derivative of the penalty by each image's activation, times the number of images.
        let pull: Vec<f32> = means
            .iter()
            .map(|q| (sparsity.weight * ((1.0 - rho) / (1.0 - q) - rho / q)) as f32)
            .collect();

        let of_both = self.encoder.weights().iter().chain(self.decoder.weights());
        let lengths: Vec<usize> = of_both.map(Vec::len).collect();
        let encoder_tensors = self.encoder.weights().len();
        self.lanes.run(
            networks,
            count,
            &lengths,
            0,
            |range, [encoder, decoder], sum| {
                let n = range.len();
                read_batch(inputs, range, encoder.input(n))?;
                decoder.input(n).copy_from_slice(encoder.forward());
                let mut error = decoder.forward().to_vec();
                let original = encoder.value(encoder.network().graph().input());
                let length = original.len() / n;
                for (error, original) in error
                    .chunks_exact_mut(length)
                    .zip(original.chunks_exact(length))
                {
                    let mut square = 0.0;
                    for (error, original) in error.iter_mut().zip(original) {
                        *error -= original;
                        square += f64::from(*error * *error);
                    }
                    sum.loss += 0.5 * square;
                }
                let (of_encoder, of_decoder) = sum.gradient.split_at_mut(encoder_tensors);
                let mut by_activation = decoder.backward_both(&error, of_decoder).to_vec();
                for row in by_activation.chunks_exact_mut(units) {
                    for (gradient, pull) in row.iter_mut().zip(&pull) {
                        *gradient += pull;
                    }
                }
                encoder.backward_weights(&by_activation, of_encoder);
                Ok::<(), InputError>(())
            },
        )?;
        self.lanes.gradient(1.0 / count as f64, gradient);
        let squares: f64 = self
            .lanes
            .partials()
            .iter()
            .map(|partial| partial.loss)
            .sum();
        let half = sparsity.decay / 2.0;
        let decay = [half, 0.0, half, 0.0];
        let decay = add_decay(&decay, &lengths, weights, gradient);
        let loss = squares / count as f64 + sparsity.weight * penalty + decay;
        Ok(LossValue { loss, error: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot::inputs::InMemory;
    use blindspot::run::communicator::SingleProcess;
    use blindspot::run::random::Stream;

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let mut stream = Stream::new(1, "images", 0);
        let values = (0..40 * 6)
            .map(|_| stream.normal().abs().min(1.0) as f32)
            .collect();
        let inputs = InMemory::new(values, 6);
        let sparsity = Sparsity {
            activity: 0.1,
            weight: 0.5,
            decay: 0.01,
            iterations: 1,
        };
        let mut loss = AutoencoderLoss::new(&inputs, 4, sparsity, 3, &SingleProcess);
        let mut weights = loss.weights();
        let mut gradient = vec![0.0; weights.len()];
        let mut ignored = gradient.clone();
        loss.evaluate(&weights, &mut gradient).unwrap();
        for i in 0..weights.len() {
            // Weights are rounded to f32 before use, so the step must be far above that.
            let (at, step) = (weights[i], 0.01);
            let mut value = |offset: f64| {
                weights[i] = at + offset;
                loss.evaluate(&weights, &mut ignored).unwrap().loss
            };
            let third = (value(2.0 * step) - value(-2.0 * step)) / (4.0 * step);
            let first = (value(step) - value(-step)) / (2.0 * step);
            let expected = (4.0 * first - third) / 3.0;
            weights[i] = at;
            assert!(
                (gradient[i] - expected).abs() < 2e-4,
                "{i}: {} {expected}",
                gradient[i]
            );
        }
    }
}
