//! Gradients against finite differences, and images against their neighbours in the batch.

use blindspot_net::{Evaluator, Network, Op, Real};
use proptest::prelude::*;

use crate::case::{Case, numbers};
use crate::cases;

/// What a batch gives: its outputs, and the gradients of their weighted sum by images and weights.
#[derive(Debug, PartialEq, Clone)]
struct Answer<T> {
    outputs: Vec<T>,
    by_images: Vec<T>,
    by_weights: Vec<Vec<T>>,
}

/// One batch after the other; the gradients by weights are added up.
fn run<T: Real>(network: &Network<T>, images: &[T], factors: &[T], batch: usize) -> Answer<T> {
    let mut evaluator = Evaluator::new(network);
    let mut answer = Answer {
        outputs: Vec::new(),
        by_images: Vec::new(),
        by_weights: network
            .weights()
            .iter()
            .map(|w| vec![T::zero(); w.len()])
            .collect(),
    };
    let (input, output) = (network.input_len(), network.output_len());
    for (images, factors) in images
        .chunks(batch * input)
        .zip(factors.chunks(batch * output))
    {
        evaluator
            .input(images.len() / input)
            .copy_from_slice(images);
        answer.outputs.extend_from_slice(evaluator.forward());
        let gradient = evaluator.backward_both(factors, &mut answer.by_weights);
        answer.by_images.extend_from_slice(gradient);
        // The same from each alone, and again.
        assert_eq!(evaluator.backward(factors).len(), images.len());
    }
    answer
}

/// The weighted sum of outputs.
fn loss(network: &Network<f64>, images: &[f64], factors: &[f64]) -> f64 {
    let mut evaluator = Evaluator::new(network);
    evaluator
        .input(images.len() / network.input_len())
        .copy_from_slice(images);
    evaluator
        .forward()
        .iter()
        .zip(factors)
        .map(|(y, factor)| y * factor)
        .sum()
}

fn near(difference: f64, gradient: f64) -> bool {
    (difference - gradient).abs() < 1e-6 * (1.0 + gradient.abs())
}

fn check(case: &Case, n: usize) -> Result<(), TestCaseError> {
    const STEP: f64 = 1e-5;
    // For a point that has a kink within the first step, or the end of where an arc sine is defined near it.
    const SMALL_STEP: f64 = 1e-7;
    let (mut network, mut images) = case.build(n).expect("checked when it was drawn");
    let factors = numbers(n * network.output_len(), (-1, 1), !case.seed);
    let whole = run(&network, &images, &factors, n);

    for i in 0..images.len() {
        let at = images[i];
        let mut value = |x| {
            images[i] = x;
            loss(&network, &images, &factors)
        };
        let mut slope = |step: f64| (value(at + step) - value(at - step)) / (2.0 * step);
        let (difference, nearer) = (slope(STEP), slope(SMALL_STEP));
        images[i] = at;
        let gradient = whole.by_images[i];
        prop_assert!(
            near(difference, gradient) || near(nearer, gradient),
            "image {i}: {difference} {nearer} {gradient}"
        );
    }
    let weights: Vec<f64> = network.weights().concat();
    for (i, &gradient) in whole.by_weights.concat().iter().enumerate() {
        let mut value = |offset: f64| {
            let mut moved = weights.clone();
            moved[i] += offset;
            network.set_weights(moved);
            loss(&network, &images, &factors)
        };
        let mut slope = |step: f64| (value(step) - value(-step)) / (2.0 * step);
        let (difference, nearer) = (slope(STEP), slope(SMALL_STEP));
        prop_assert!(
            near(difference, gradient) || near(nearer, gradient),
            "weight {i}: {difference} {nearer} {gradient}"
        );
    }
    network.set_weights(weights);

    // To the bit, in both number types.
    let alone = run(&network, &images, &factors, 1);
    same(case, &alone, &whole)?;
    let narrow = network.cast::<f32>();
    let [images, factors] =
        [images, factors].map(|x| x.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let whole_narrow = run(&narrow, &images, &factors, n);
    same(case, &run(&narrow, &images, &factors, 1), &whole_narrow)?;
    for (narrow, wide) in whole_narrow.outputs.iter().zip(&whole.outputs) {
        prop_assert!(
            (f64::from(*narrow) - wide).abs() < 2e-5 * (1.0 + wide.abs()),
            "{narrow} {wide}"
        );
    }
    Ok(())
}

fn same<T: Real>(case: &Case, alone: &Answer<T>, whole: &Answer<T>) -> Result<(), TestCaseError> {
    prop_assert_eq!(&alone.outputs, &whole.outputs);
    prop_assert_eq!(&alone.by_images, &whole.by_images);
    // A matrix product's sum over the whole batch runs in an order of its own; two uses of a weight
    // are added up by the batch.
    if !matches!(case.op, Op::Gemm(_)) && !case.twice {
        prop_assert_eq!(&alone.by_weights, &whole.by_weights);
    }
    Ok(())
}

macro_rules! gradients {
    ($($operator:ident)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(100))]
            $(
                #[test]
                fn $operator(case in cases::$operator(), n in 1usize..5) {
                    check(&case, n)?;
                }
            )*
        }
    };
}

gradients! {
    unary binary choose gemm matmul softmax normalize reduce topk reshape transpose concat slice gather pad dropout conv
    local pool lrn
}
