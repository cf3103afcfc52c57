//! How fast this machine trains.

use std::time::Instant;

use super::plan::Plan;
use super::tica::Tica;
use super::tile_memory::Memory;
use crate::train::{Adam, TrainError};
use blindspot::run::communicator::SingleProcess;
use blindspot::run::random::Stream;

/// Seconds for an image in a training step of all stages, measured on a few steps with random numbers.
///
/// # Errors
/// [`TrainError::Options`] where a plan does not fit images of a shape (channels, height, width).
pub fn seconds_an_image(plan: &Plan, shape: [usize; 3]) -> Result<f64, TrainError> {
    let sizes = plan.sizes(shape)?;
    let mut total = 0.0;
    for (i, size) in sizes.iter().enumerate() {
        size.check(i + 1)?;
        let tica = Tica::new(plan, i, size, &SingleProcess);
        let input_len: usize = size.input.iter().product();
        let mut stream = Stream::new(0, "numbers to time", i);
        let mut numbers = |count: usize| -> Vec<f32> {
            let number = || (stream.uniform() - 0.5) as f32;
            std::iter::repeat_with(number).take(count).collect()
        };
        let inputs = numbers(plan.batch * input_len);
        let mut adam = Adam::new(vec![numbers(tica.weight_len()), numbers(tica.weight_len())]);
        let mut gradient = vec![vec![0.0f32; tica.weight_len()]; 2];
        let mut memory = Memory::default();
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let start = Instant::now();
            let weights = [&adam.weights[0][..], &adam.weights[1]];
            let [encode, decode] = &mut gradient[..] else {
                unreachable!("two weights")
            };
            tica.evaluate(&inputs, weights, Some([encode, decode]), &mut memory);
            adam.step(&gradient, 1.0 / plan.batch as f64, &[], 0.0);
            best = best.min(start.elapsed().as_secs_f64());
        }
        total += best / plan.batch as f64;
    }
    Ok(total)
}
