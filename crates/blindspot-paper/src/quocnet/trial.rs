//! One pass through a network of any size, up to the paper's billion weights.

use std::time::Instant;

use blindspot_net::Evaluator;
use blindspot_net::ops::tiles::LANES;
use serde::Serialize;

use super::architecture::Builder;
use super::plan::{Plan, Size};
use crate::train::TrainError;
use blindspot::run::random::Stream;

/// How far images are moved to see the slope, in one number of an image.
const STEP: f32 = 2e-3;

/// How one pass went: random images through random filters, and the gradient of a random weighted sum
/// of the features back to both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Positions of each stage, down and across.
    pub grids: Vec<[usize; 2]>,
    /// Weights of all filters.
    pub weights: u64,
    /// Images that went through together.
    pub images: usize,
    /// Seconds to make the filters.
    pub making_seconds: f64,
    /// Seconds of the images' way forward.
    pub forward_seconds: f64,
    /// Seconds of the gradient with respect to images and weights.
    pub gradient_seconds: f64,
    /// The most memory that the process has had, in bytes; None where the system does not tell.
    pub peak_bytes: Option<u64>,
    /// The slope of the sum along a random direction of the images, as the gradient has it.
    pub slope: f64,
    /// That slope as the difference of two more passes has it.
    pub slope_by_differences: f64,
}

/// Runs 16 images of a shape (channels, height, width) through a network of a size, without its
/// whitening, on one thread; it takes at most `memory` bytes.
///
/// # Errors
/// [`TrainError::Options`] where a field does not fit or the memory is not enough.
pub fn trial(plan: &Plan, shape: [usize; 3], memory: u64, seed: u64) -> Result<Trial, TrainError> {
    let sizes = plan.sizes(shape)?;
    let needed = bytes(&sizes);
    if needed > memory {
        let gib = |bytes: u64| bytes as f64 / f64::from(1u32 << 30);
        return Err(TrainError::Options(format!(
            "this size takes {:.1} GiB, which is more than the {:.1} that it may take; choose smaller \
             fields or images, fewer maps, or allow more memory",
            gib(needed),
            gib(memory)
        )));
    }
    let start = Instant::now();
    let mut builder = Builder::new(&shape)?;
    for (i, (stage, size)) in plan.stages.iter().zip(&sizes).enumerate() {
        size.check(i + 1)?;
        // Evenly spread numbers of variance 1 / field.
        let scale = (12.0 / size.field_len as f64).sqrt();
        let count = size.weights() as usize;
        let weights = random(count, scale, &mut Stream::new(seed, "filters to try", i));
        builder.stage(
            &format!("stage{}", i + 1),
            *stage,
            size,
            weights,
            plan.normalise,
        )?;
    }
    let network = builder.into_network();
    let making_seconds = start.elapsed().as_secs_f64();

    let numbers = |what: &str, count: usize| random(count, 1.0, &mut Stream::new(seed, what, 0));
    let images: Vec<f32> = numbers("images to try", LANES * network.input_len());
    let images: Vec<f32> = images.into_iter().map(|x| x + 0.5).collect();
    let direction = numbers("direction to try", images.len());
    let by_output = numbers("gradient to try", LANES * network.output_len());
    let mut evaluator = Evaluator::new(&network);
    let value = |evaluator: &mut Evaluator<'_, f32>, moved: f32| {
        let places = evaluator.input(LANES).iter_mut();
        for ((place, x), d) in places.zip(&images).zip(&direction) {
            *place = moved.mul_add(*d, *x);
        }
        dot(evaluator.forward(), &by_output)
    };
    let after = value(&mut evaluator, STEP);
    let before = value(&mut evaluator, -STEP);
    let start = Instant::now();
    value(&mut evaluator, 0.0);
    let forward_seconds = start.elapsed().as_secs_f64();
    let lengths = network.weights().iter().map(Vec::len);
    let mut by_weights: Vec<Vec<f32>> = lengths.map(|length| vec![0.0; length]).collect();
    let start = Instant::now();
    let by_images = evaluator.backward_both(&by_output, &mut by_weights);
    let gradient_seconds = start.elapsed().as_secs_f64();
    Ok(Trial {
        grids: sizes.iter().map(|size| size.grid).collect(),
        weights: sizes.iter().map(Size::weights).sum(),
        images: LANES,
        making_seconds,
        forward_seconds,
        gradient_seconds,
        peak_bytes: peak_bytes(),
        slope: dot(by_images, &direction),
        slope_by_differences: (after - before) / f64::from(2.0 * STEP),
    })
}

/// Memory that a pass takes: the filters and the gradient by them, the places that their fields see, and
/// for each image the values of a stage, those of its normalisation, and the gradients by them.
fn bytes(sizes: &[Size]) -> u64 {
    const VALUES: u64 = 24;
    let sum = |count: &dyn Fn(&Size) -> u64| {
        sizes
            .iter()
            .fold(0u64, |sum, size| sum.saturating_add(count(size)))
    };
    let product = |[maps, down, across]: [usize; 3]| {
        (maps as u64)
            .saturating_mul(down as u64)
            .saturating_mul(across as u64)
    };
    let values = sum(&|size| {
        let [down, across] = size.grid;
        let of_stage = product(size.input).saturating_add(product([size.maps, down, across]));
        of_stage.saturating_mul(VALUES * LANES as u64)
    });
    let weights = sum(&Size::weights).saturating_mul(8);
    weights
        .saturating_add(sum(&Size::places).saturating_mul(8))
        .saturating_add(values)
}

/// Evenly spread numbers around 0, so far from the smallest to the largest.
fn random(count: usize, spread: f64, stream: &mut Stream) -> Vec<f32> {
    let number = || ((stream.uniform() - 0.5) * spread) as f32;
    std::iter::repeat_with(number).take(count).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

/// The most memory that this process has had, as Linux tells it.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_tried_and_its_gradient_is_that_of_differences() {
        let plan = Plan::quick();
        let trial = trial(&plan, [3, 20, 24], 1 << 30, 0).unwrap();
        assert_eq!(trial.grids, [[8, 10], [6, 8], [5, 7]]);
        assert_eq!(trial.weights, 4 * (80 * 108 + 48 * 16 + 35 * 16));
        let apart = (trial.slope - trial.slope_by_differences).abs();
        assert!(apart < 0.02 * trial.slope.abs(), "{trial:?}");
    }

    #[test]
    fn the_papers_size_fits_where_it_should_and_a_larger_one_is_refused_before_anything_is_made() {
        let needed = |side| bytes(&Plan::paper().sizes([3, side, side]).unwrap());
        // Filters and their gradient in single precision, and an index for each place.
        let parts = 8 * 1_216_858_464 + 8 * (183 * 183 * 972 + (162 * 162 + 141 * 141) * 2592);
        assert!(
            (parts..(16 << 30)).contains(&needed(200)),
            "{}",
            needed(200)
        );
        let why = trial(&Plan::paper(), [3, 4096, 4096], 16 << 30, 0).unwrap_err();
        assert!(why.to_string().contains("allow more memory"), "{why}");
    }
}
