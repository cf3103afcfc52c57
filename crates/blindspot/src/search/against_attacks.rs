//! What any attack finds, the default search finds, whatever the scale of the outputs.

use blindspot_model::inputs::{InMemory, Inputs};
use blindspot_net::Network;
use blindspot_net::Op;
use blindspot_net::ops::{Conv, Reduce, ReduceKind, Reshape, Unary, Window};
use blindspot_run::monitor::Unwatched;
use blindspot_run::random::Stream;
use blindspot_testing::Stack;

use super::*;

const CLASSES: usize = 6;
const IMAGE: [usize; 3] = [3, 8, 8];

/// Two convolutions with ReLUs and a linear layer on what they leave, or on its spatial means, of
/// which all outputs are multiplied by `gain`.
fn convolutional(seed: usize, averaged: bool, gain: f32) -> Network<f32> {
    let convolution = || {
        Op::Conv(Conv {
            window: Window {
                strides: vec![2, 2],
                before: vec![1, 1],
                after: vec![1, 1],
                ..Window::dense(&[3, 3])
            },
            groups: 1,
        })
    };
    let stack = Stack::new(&IMAGE, seed)
        .add(convolution(), &[&[8, 3, 3, 3][..], &[8]], 0.2)
        .activation(Unary::Relu)
        .add(convolution(), &[&[12, 8, 3, 3][..], &[12]], 0.15)
        .activation(Unary::Relu);
    let (stack, features) = if averaged {
        let mean = Op::Reduce(Reduce {
            kind: ReduceKind::Mean,
            axes: vec![1, 2],
            keep_axes: false,
        });
        (stack.add(mean, &[], 1.0), 12)
    } else {
        let flat = Op::Reshape(Reshape { shape: vec![48] });
        (stack.add(flat, &[], 1.0), 48)
    };
    let mut network = stack.dense(features, CLASSES).network();
    let layers = network.weights().len();
    let scaled: Vec<f32> = network
        .weights()
        .iter()
        .enumerate()
        .flat_map(|(layer, weights)| {
            let factor = if layer + 2 < layers { 1.0 } else { gain };
            weights.iter().map(move |weight| factor * weight)
        })
        .collect();
    network.set_weights(scaled);
    network
}

/// Smooth images (pixels in blocks of 2x2), and what the network answers to them as their labels.
fn images(network: &Network<f32>, count: usize) -> (InMemory, Vec<usize>) {
    let [channels, height, width] = IMAGE;
    let mut values = Vec::new();
    for image in 0..count {
        let mut stream = Stream::new(11, "smooth images", image);
        let blocks: Vec<f32> = (0..channels * 16)
            .map(|_| stream.uniform() as f32)
            .collect();
        for i in 0..channels * height * width {
            let (channel, y, x) = (i / (height * width), i / width % height, i % width);
            values.push(blocks[channel * 16 + y / 2 * 4 + x / 2]);
        }
    }
    let images = InMemory::new(values, channels * height * width);
    let labels = blindspot_model::classify::predictions(network, &images).unwrap();
    (images, labels)
}

fn examples(
    network: &Network<f32>,
    (images, labels): &(InMemory, Vec<usize>),
    method: Method,
    target: Target,
) -> Vec<Example> {
    let options = SearchOptions {
        target,
        method,
        ..SearchOptions::default()
    };
    let all: Vec<usize> = (0..images.len()).collect();
    search(network, images, labels, &all, &options, &Unwatched).unwrap()
}

/// The mean norm of each list over the images that both succeed on, and how many only the second
/// one succeeds on.
fn compare(ours: &[Example], theirs: &[Example]) -> (f64, f64, usize) {
    let (mut sums, mut both, mut missed) = ([0.0; 2], 0, 0);
    for (ours, theirs) in ours.iter().zip(theirs) {
        if ours.success && theirs.success {
            sums[0] += ours.l2;
            sums[1] += theirs.l2;
            both += 1;
        }
        missed += usize::from(theirs.success && !ours.success);
    }
    assert!(both > 0, "nothing to compare");
    (sums[0] / both as f64, sums[1] / both as f64, missed)
}

#[test]
fn a_target_class_that_carlini_and_wagner_reach_is_reached_as_near() {
    for seed in 0..4 {
        let network = convolutional(seed, seed % 2 == 0, 1.0);
        let images = images(&network, 12);
        let ours = examples(&network, &images, Method::Sqp, Target::Random);
        let theirs = examples(&network, &images, Method::CarliniWagner, Target::Random);
        let (our_mean, their_mean, missed) = compare(&ours, &theirs);
        assert_eq!(missed, 0, "network {seed}");
        assert!(
            our_mean <= 1.01 * their_mean,
            "{seed}: {our_mean} {their_mean}"
        );
        let evaluations = ours.iter().map(|example| example.evaluations).sum::<u64>();
        assert!(evaluations <= 300 * ours.len() as u64, "{evaluations}");
    }
}

#[test]
fn a_wrong_answer_that_any_attack_finds_is_found() {
    let attacks = [Method::Fgsm, Method::Pgd, Method::DeepFool, Method::Ddn];
    for seed in 0..6 {
        let network = convolutional(seed, seed % 2 == 0, 0.01);
        let images = images(&network, 12);
        let ours = examples(&network, &images, Method::Sqp, Target::Untargeted);
        for method in attacks {
            let theirs = examples(&network, &images, method, Target::Untargeted);
            let (our_mean, their_mean, missed) = compare(&ours, &theirs);
            assert_eq!(missed, 0, "network {seed}, {method}");
            assert!(
                our_mean <= 1.01 * their_mean,
                "{method}: {our_mean} {their_mean}"
            );
        }
    }
}

#[test]
fn the_scale_of_the_outputs_changes_nothing() {
    for target in [Target::Untargeted, Target::Random] {
        let base = convolutional(1, true, 1.0);
        let images = images(&base, 8);
        let expected = examples(&base, &images, Method::Sqp, target);
        // Powers of two leave every rounding as it is.
        for gain in [f32::powi(2.0, -20), f32::powi(2.0, 20)] {
            let scaled = convolutional(1, true, gain);
            let found = examples(&scaled, &images, Method::Sqp, target);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.success, expected.success);
                assert_eq!(found.l2, expected.l2, "{target} {gain}");
                assert_eq!(found.adversarial, expected.adversarial);
            }
        }
    }
}

#[test]
fn the_papers_search_succeeds_on_small_outputs_too() {
    let network = convolutional(2, true, 1e-3);
    let images = images(&network, 8);
    let ours = examples(&network, &images, Method::Lbfgs, Target::Untargeted);
    let theirs = examples(&network, &images, Method::DeepFool, Target::Untargeted);
    let (_, _, missed) = compare(&ours, &theirs);
    assert_eq!(missed, 0);
}
