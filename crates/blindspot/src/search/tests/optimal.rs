//! Norms against exact answers, the paper's search and published attacks.

use blindspot_model::InputBox;
use blindspot_net::{Evaluator, Network};
use blindspot_run::monitor::Unwatched;

use super::super::halfspace::nearest_beyond;
use super::super::*;
use super::options;
use crate::testing::network;

/// The L2 norm of the smallest change of an image that makes a linear network wrong: for each
/// runner-up a hyperplane, the nearest of them; and the distance in which the least lead that
/// counts is gained, times 4.
fn exact(network: &Network<f32>, image: &[f32], label: usize) -> (f64, f64) {
    let classes = network.output_len();
    let mut evaluator = Evaluator::new(network);
    evaluator.input(1).copy_from_slice(image);
    let logits = evaluator.forward().to_vec();
    let runner_ups = (0..classes).filter(|&runner_up| runner_up != label);
    let norms = runner_ups.map(|runner_up| {
        let mut direction = vec![0.0; classes];
        (direction[runner_up], direction[label]) = (1.0, -1.0);
        let normal = evaluator.backward(&direction).to_vec();
        let offset = f64::from(logits[label]) - f64::from(logits[runner_up]);
        let mut change = vec![0.0; image.len()];
        let size = logits
            .iter()
            .fold(1.0f32, |size, logit| size.max(logit.abs()));
        // Pixels at the edge of the box don't help, but a quarter of the gradient mostly does.
        let gained = 8e-6 * f64::from(size) / norm(&change, &normal);
        if nearest_beyond(image, &normal, offset, InputBox::default(), &mut change) {
            (norm(&vec![0.0; image.len()], &change), 4.0 * gained)
        } else {
            (f64::INFINITY, 0.0)
        }
    });
    norms.fold((f64::INFINITY, 0.0), |a, b| if b.0 < a.0 { b } else { a })
}

/// The mean ratio of the norms found, target `all`, to the exact ones; and how many changes exceed
/// the exact one by more than 1e-4 of it and what `f32` logits can tell.
fn against_exact(name: &str, method: Method) -> Option<(f64, usize)> {
    let (network, set) = network(name, 10_000, 300)?;
    let options = SearchOptions {
        method,
        ..options(Target::All)
    };
    let indices: Vec<usize> = (0..1_000).collect();
    let labels = set.labels().unwrap();
    let (mut ratios, mut inexact) = (Vec::new(), 0);
    for example in search(&network, &set, labels, &indices, &options, &Unwatched).unwrap() {
        assert!(example.success, "{name} {}", example.index);
        if !example.already_misclassified {
            let mut image = vec![0.0; 784];
            set.read_image(example.position, &mut image).unwrap();
            let (exact, resolution) = exact(&network, &image, example.label);
            let ratio = example.l2 / exact;
            assert!(ratio > 1.0 - 1e-4, "{name} {}: {ratio}", example.index);
            inexact += usize::from(example.l2 - exact > 1e-4 * exact + resolution);
            ratios.push(ratio);
        }
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let beyond = ratios.iter().filter(|&&ratio| ratio > 1.0 + 1e-4).count();
    println!("{name}, {method}: {mean:.6} of the exact L2 norm on average; beyond 1e-4: {beyond}");
    Some((mean, inexact))
}

#[test]
fn on_linear_networks_the_search_ends_at_the_exact_answer() {
    for name in ["softmax1", "softmax2", "softmax3"] {
        let Some((mean, inexact)) = against_exact(name, Method::Sqp) else {
            blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
        };
        assert!(
            mean < 1.0 + 1e-4 && inexact == 0,
            "{name}: {mean} {inexact}"
        );
    }
}

#[test]
fn on_linear_networks_the_papers_search_ends_near_the_exact_answer() {
    for (name, most) in [("softmax1", 1.02), ("softmax2", 1.02), ("softmax3", 1.25)] {
        let Some((mean, _)) = against_exact(name, Method::Lbfgs) else {
            blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
        };
        assert!(mean < most, "{name}: {mean}");
    }
}

#[test]
fn the_search_finds_smaller_changes_than_the_papers_and_ends_where_no_neighbour_is_nearer() {
    let Some((network, set)) = network("FC100-100-10", 5_000, 150) else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let labels = set.labels().unwrap();
    let indices: Vec<usize> = (0..200).collect();
    for target in [Target::Random, Target::All, Target::Untargeted] {
        let of = |method| {
            let options = SearchOptions {
                method,
                ..options(target)
            };
            search(&network, &set, labels, &indices, &options, &Unwatched).unwrap()
        };
        let (ours, papers) = (of(Method::Sqp), of(Method::Lbfgs));
        let mean = |examples: &[Example]| examples.iter().map(|e| e.l2).sum::<f64>() / 200.0;
        println!("{target}: {:.4} {:.4}", mean(&ours), mean(&papers));
        assert!(mean(&ours) < 1.001 * mean(&papers), "{target}");
        let residuals = ours
            .iter()
            .filter(|example| example.kkt_residual > 0.05)
            .count();
        assert!(
            residuals <= 10,
            "{target}: {residuals} of 200 are not locally smallest"
        );
    }
}

/// ReLUs and max pooling: against a published attack that also leaves the label for any class.
#[test]
fn where_the_boundary_has_kinks_changes_are_smaller_than_a_published_attacks() {
    let Some((network, set)) = network("conv", 600, 4) else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let labels = set.labels().unwrap();
    let indices: Vec<usize> = (0..24).collect();
    for (target, at_most) in [(Target::Untargeted, 0.99), (Target::Random, 1.0)] {
        let mean = |method| {
            let options = SearchOptions {
                method,
                ..options(target)
            };
            let found = search(&network, &set, labels, &indices, &options, &Unwatched).unwrap();
            assert!(found.iter().all(|example| example.success));
            found.iter().map(|example| example.l2).sum::<f64>() / 24.0
        };
        let (ours, published) = (mean(Method::Sqp), mean(Method::Ddn));
        assert!(ours < at_most * published, "{target}: {ours}, {published}");
    }
}
