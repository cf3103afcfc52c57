//! What must hold of every certificate.

mod activations;
mod deadline;
mod lowered;
mod networks;
mod norms;
mod refined;
mod relu_branching;
mod rounding;
mod soundness;
mod trained;

use blindspot::search::{Method, SearchOptions, Target, search};
use blindspot_data::{DataSpec, ErrorKind, ImageSet, Locations, Silent};
use blindspot_model::inputs::{InMemory, Inputs as _};
use blindspot_model::{InputBox, Model};
use blindspot_net::ops::{Binary, Concat, Conv, Gemm, Pool, PoolKind, Reshape, Unary, Window};
use blindspot_net::{Evaluator, Network, Op, argmax};
use blindspot_paper::train::Recipe;
use blindspot_run::monitor::Unwatched;
use blindspot_run::random::Stream;
use blindspot_testing::Stack;
use networks::networks;

use super::*;

/// Where no unit ever stops, a network with a skip connection is linear, and its certificate must
/// be the exact minimum.
#[test]
fn a_skip_connection_around_units_that_are_always_open_changes_nothing() {
    let stack = Stack::new(&[20], 60);
    let image = stack.top;
    let stack = stack.dense(20, 20).activation(Unary::Relu).dense(20, 20);
    let stack = stack.with(Op::Binary(Binary::Add), image).dense(20, 4);
    let (graph, mut weights) = (stack.graph, stack.weights);
    // The first layer's biases open its units, the second layer's take that off again.
    weights[1].fill(6.0);
    for j in 0..20 {
        weights[3][j] = -6.0 * (0..20).map(|i| weights[2][20 * i + j]).sum::<f32>();
    }
    let network = Network::new(graph, weights).unwrap();
    let (images, labels) = images(&network, 12, 60);
    let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
    let certifier = certifier.arithmetic(Arithmetic::Exact);
    let all: Vec<usize> = (0..12).collect();
    let found = certifier
        .certify_inputs(&images, &labels, &all, &Unwatched)
        .unwrap();
    let exact = network.cast::<f64>();
    let mut evaluator = Evaluator::new(&exact);
    let mut seen = 0;
    for certificate in found {
        let image = &images.values()[certificate.position * 20..][..20];
        let nearest = nearest_of_linear(&mut evaluator, image, certificate.label);
        let ratio = certificate.radius / nearest;
        let known = nearest.is_finite();
        assert!(!known || ratio <= 1.0 && ratio > 0.994, "{ratio}");
        seen += usize::from(known);
    }
    assert!(seen > 6, "{seen}");
}

fn options(target: Target, method: Method) -> SearchOptions {
    let mut options = SearchOptions::default();
    (options.target, options.method) = (target, method);
    options
}

/// The distance of the nearest other class of a linear network.
fn nearest_of_linear(evaluator: &mut Evaluator<'_, f64>, image: &[f32], label: usize) -> f64 {
    let wide: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
    evaluator.input(1).copy_from_slice(&wide);
    let logits = evaluator.forward().to_vec();
    let mut nearest = f64::INFINITY;
    for other in (0..logits.len()).filter(|&other| other != label) {
        let mut output = vec![0.0; logits.len()];
        (output[label], output[other]) = (1.0, -1.0);
        let gradient = evaluator.backward(&output).to_vec();
        let margin = logits[label] - logits[other];
        nearest = nearest.min(exact_distance(&gradient, margin, image));
    }
    nearest
}

/// Images with values at the ends of the range and between, and what the network answers.
fn images(network: &Network<f32>, count: usize, seed: usize) -> (InMemory, Vec<usize>) {
    let mut stream = Stream::new(11, "images of a test", seed);
    let length = network.input_len();
    let values: Vec<f32> = (0..count * length)
        .map(|_| (stream.uniform() * 2.0 - 0.5).clamp(0.0, 1.0) as f32)
        .collect();
    let exact = network.cast::<f64>();
    let mut evaluator = Evaluator::new(&exact);
    let input = evaluator.input(count);
    for (place, &value) in input.iter_mut().zip(&values) {
        *place = f64::from(value);
    }
    let labels = evaluator
        .forward()
        .chunks_exact(network.output_len())
        .map(argmax);
    let labels = labels.collect();
    (InMemory::new(values, length), labels)
}

#[test]
fn nothing_inside_the_certified_ball_changes_the_label() {
    for (n, network) in networks().iter().enumerate() {
        let (images, labels) = images(network, 12, n);
        let certifier = Certifier::for_network(network, InputBox::default()).unwrap();
        assert_eq!(
            (certifier.without_linear(), certifier.without_lipschitz()),
            (None, None)
        );
        let all: Vec<usize> = (0..12).collect();
        let found = certifier
            .certify_inputs(&images, &labels, &all, &Unwatched)
            .unwrap();
        assert!(found.iter().all(|certificate| certificate.radius > 0.0));
        hold_against_attempts(network, &images, &found, n);
    }
}

/// At random, and towards each other by the gradient, on the ball's edge: no attempt changes a
/// label.
fn hold_against_attempts(
    network: &Network<f32>,
    images: &InMemory,
    certificates: &[Certificate],
    n: usize,
) {
    let exact = network.cast::<f64>();
    let mut evaluator = Evaluator::new(&exact);
    let length = network.input_len();
    let mut moved = 0;
    for certificate in certificates {
        let image = &images.values()[certificate.position * length..][..length];
        let mut stream = Stream::new(13, "attempts of a test", certificate.index);
        for attempt in 0..300 {
            let mut at: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
            // At random, then towards each other by the gradient, on the ball's edge.
            for step in 0..if attempt < 200 { 1 } else { 12 } {
                let mut direction: Vec<f64> = if attempt < 200 {
                    (0..length).map(|_| stream.normal()).collect()
                } else {
                    let classes = network.output_len();
                    let other = (certificate.label + 1 + attempt % (classes - 1)) % classes;
                    let mut output = vec![0.0; classes];
                    (output[other], output[certificate.label]) = (1.0, -1.0);
                    evaluator.input(1).copy_from_slice(&at);
                    evaluator.forward();
                    evaluator.backward(&output).to_vec()
                };
                // Values that can't move that way help nothing.
                for (d, &x) in direction.iter_mut().zip(image) {
                    if (x == 0.0 && *d < 0.0) || (x == 1.0 && *d > 0.0) {
                        *d = 0.0;
                    }
                }
                let size = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
                let far = certificate.radius * if step % 2 == 0 { 1.0 } else { 0.8 };
                for ((at, d), &x) in at.iter_mut().zip(&direction).zip(image) {
                    let x = f64::from(x);
                    // Clamping moves it nearer, never farther.
                    *at = (x + d * far / size.max(1e-300)).clamp(0.0, 1.0);
                }
                evaluator.input(1).copy_from_slice(&at);
                let answer = argmax(evaluator.forward());
                assert_eq!(answer, certificate.label, "network {n}: {certificate:?}");
                moved += 1;
            }
        }
    }
    assert!(moved > 1000 * certificates.len());
}

#[test]
fn no_search_finds_a_change_smaller_than_the_certificate() {
    for (n, network) in networks().iter().enumerate() {
        let (images, labels) = images(network, 40, 100 + n);
        let certifier = Certifier::for_network(network, InputBox::default()).unwrap();
        let all: Vec<usize> = (0..40).collect();
        let found = certifier
            .certify_inputs(&images, &labels, &all, &Unwatched)
            .unwrap();
        let mut ratios = Vec::new();
        for method in [Method::Sqp, Method::Lbfgs] {
            let options = options(Target::All, method);
            let examples = search(network, &images, &labels, &all, &options, &Unwatched).unwrap();
            for (example, certificate) in examples.iter().zip(&found) {
                assert_eq!(example.index, certificate.index);
                if example.success && !example.already_misclassified {
                    assert!(
                        example.l2 >= certificate.radius,
                        "network {n}, {method}: {} {certificate:?}",
                        example.l2
                    );
                    ratios.push(certificate.radius / example.l2);
                }
            }
        }
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        println!(
            "network {n}: {mean:.3} of the smallest change found, {}",
            ratios.len()
        );
        assert!(ratios.len() > 20 && mean > 0.15, "network {n}: {mean}");
    }
}

/// The L2 norm of the smallest change in the box by which a linear function falls to 0: along
/// -gradient, cut to the box, until it does.
fn exact_distance(gradient: &[f64], value: f64, image: &[f32]) -> f64 {
    let point = |step: f64| -> Vec<f64> {
        let moved = gradient.iter().zip(image).map(|(g, &x)| {
            let x = f64::from(x);
            (x - step * g).clamp(0.0, 1.0) - x
        });
        moved.collect()
    };
    let left = |d: &[f64]| value + gradient.iter().zip(d).map(|(g, d)| g * d).sum::<f64>();
    let (mut low, mut high) = (0.0, 1e6);
    if left(&point(high)) > 0.0 {
        return f64::INFINITY;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if left(&point(middle)) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    point(high).iter().map(|d| d * d).sum::<f64>().sqrt()
}

#[test]
fn on_linear_networks_the_certificate_is_the_exact_minimum() {
    for seed in 0..4 {
        let network = Stack::new(&[50], 20 + seed).dense(50, 5).network();
        let (images, labels) = images(&network, 20, seed);
        let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
        let certifier = certifier.arithmetic(Arithmetic::Exact);
        let all: Vec<usize> = (0..20).collect();
        let found = certifier
            .certify_inputs(&images, &labels, &all, &Unwatched)
            .unwrap();
        let exact = network.cast::<f64>();
        let mut evaluator = Evaluator::new(&exact);
        for certificate in found {
            let image = &images.values()[certificate.position * 50..][..50];
            let nearest = nearest_of_linear(&mut evaluator, image, certificate.label);
            let ratio = certificate.radius / nearest;
            assert!(
                ratio <= 1.0 && ratio > 1.0 - 1e-8,
                "{ratio} {certificate:?} {nearest}"
            );
            assert!(certificate.lipschitz.unwrap() <= certificate.radius);
        }
    }
}

#[test]
fn certificates_of_a_trained_network_are_a_good_part_of_the_smallest_change() {
    let Some(folder) = blindspot_testing::data_dir() else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let spec: DataSpec = "mnist:train".parse().unwrap();
    let set = spec.load(&Locations::offline(vec![folder]), &mut Silent);
    let set = set.unwrap().first(3_000);
    let labels = set.labels().unwrap();
    let recipe = Recipe::named("FC100-100-10").unwrap();
    let trained = recipe.with_iterations(60).train(&set, labels, 1);
    let network = trained.unwrap().network;
    let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
    let all: Vec<usize> = (0..60).collect();
    let found = certifier
        .certify_inputs(&set, labels, &all, &Unwatched)
        .unwrap();
    let options = options(Target::Untargeted, Method::Sqp);
    let examples = search(&network, &set, labels, &all, &options, &Unwatched).unwrap();
    let (mut certified, mut smallest, mut product) = (0.0, 0.0, 0.0);
    for (example, certificate) in examples.iter().zip(&found) {
        assert!(example.l2 >= certificate.radius, "{certificate:?}");
        assert!(certificate.lipschitz.unwrap() <= certificate.radius);
        certified += certificate.radius;
        smallest += example.l2;
        product += certificate.lipschitz.unwrap();
    }
    println!(
        "{:.3}, by the product {:.3}",
        certified / smallest,
        product / smallest
    );
    assert!(certified > 0.38 * smallest, "{certified} {smallest}");
}

#[test]
fn images_that_are_wrong_or_outside_have_no_distance_and_others_say_what_is_wrong() {
    let network = &networks()[0];
    let (images, labels) = images(network, 3, 0);
    let certifier = Certifier::for_network(network, InputBox::default()).unwrap();
    let wrong: Vec<usize> = labels.iter().map(|label| (label + 1) % 4).collect();
    let found = certifier
        .certify_inputs(&images, &wrong, &[0, 1, 2], &Unwatched)
        .unwrap();
    assert!(
        found
            .iter()
            .all(|c| c.radius == 0.0 && c.lipschitz == Some(0.0))
    );
    let inner = InputBox {
        lower: 0.2,
        upper: 0.8,
    };
    let certifier = Certifier::for_network(network, inner).unwrap();
    let found = certifier
        .certify_inputs(&images, &labels, &[0], &Unwatched)
        .unwrap();
    assert_eq!(found[0].radius, 0.0, "the image is not in that box");
    let error = certifier
        .certify_inputs(&images, &[9, 9, 9], &[0], &Unwatched)
        .unwrap_err();
    assert!(error.to_string().contains("label 9"), "{error}");

    let unknown = Stack::new(&[6], 0)
        .dense(6, 6)
        .activation(Unary::Sinh)
        .dense(6, 2)
        .network();
    let error = Certifier::for_network(&unknown, InputBox::default())
        .map(|_| ())
        .unwrap_err();
    assert!(error.to_string().contains("(Sinh)"), "{error}");
}

#[test]
fn the_front_door_certifies_all_images_of_a_set_in_the_models_box() {
    let network = Stack::new(&[2], 30).dense(2, 3).network();
    let pixels = vec![255, 0, 100, 200, 30, 60];
    let unlabelled = ImageSet::new("test", [1, 1, 2], pixels.clone(), None, Vec::new()).unwrap();
    let mut evaluator = Evaluator::new(&network);
    let labels = (0..3).map(|position| {
        let mut image = vec![0.0; 2];
        unlabelled.read(position, &mut image).unwrap();
        evaluator.input(1).copy_from_slice(&image);
        argmax(evaluator.forward())
    });
    let labels: Vec<usize> = labels.collect();
    let known = Some(labels.clone());
    let images = ImageSet::new("test", [1, 1, 2], pixels, known, Vec::new()).unwrap();
    let model = Model::from_network(network.clone()).unwrap();
    let found = Certifier::new(&model).unwrap().certify(&images).unwrap();
    let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
    let expected = certifier.certify_inputs(&images, &labels, &[0, 1, 2], &Unwatched);
    assert_eq!(found, expected.unwrap());
    assert_eq!(
        format!("{:.3}", found[1]),
        format!("{:.3}", found[1].radius)
    );
    let error = certifier.certify(&unlabelled).unwrap_err();
    assert_eq!(
        (error.kind(), error),
        (ErrorKind::Data, CertifyError::NoLabels)
    );
}

#[test]
fn a_time_limit_refines_what_the_first_bounds_certify() {
    let stack = Stack::new(&[2], 31).dense(2, 6).activation(Unary::Relu);
    let network = stack.dense(6, 2).network();
    let (inputs, labels) = images(&network, 4, 71);
    let pixels = inputs.values().iter().map(|&x| (255.0 * x).round() as u8);
    let set = ImageSet::new(
        "test",
        [1, 1, 2],
        pixels.collect(),
        Some(labels),
        Vec::new(),
    )
    .unwrap();
    let model = Model::from_network(network).unwrap();
    let first = Certifier::new(&model).unwrap();
    let limit = std::time::Duration::from_millis(200);
    let refined = Certifier::new(&model).unwrap().time_limit(limit);
    let (before, after) = (first.certify(&set).unwrap(), refined.certify(&set).unwrap());
    let pairs = || before.iter().zip(&after);
    assert!(pairs().all(|(before, after)| after.radius >= before.radius));
    assert!(
        pairs().any(|(before, after)| after.radius > before.radius),
        "{before:?}"
    );
}
