//! The search in Linf, L1 and L0 against exact answers, and what must hold of it in every norm.

use std::sync::Arc;

use blindspot::inputs::{InMemory, Inputs};
use blindspot::model::InputBox;
use blindspot::run::monitor::Unwatched;
use blindspot::run::random::Stream;
use blindspot::search::{
    Bounds, Criterion, Example, Grouping, Method, Norm, SearchOptions, Target, eight_bit, search,
};
use blindspot_net::ops::{Reshape, Unary};
use blindspot_net::{Evaluator, Network, Op};
use blindspot_testing::{HIGHS, Stack, python, run_python, skip};

/// Images of uniform noise with the answers of the network for labels.
fn noise(network: &Network<f32>, count: usize) -> (InMemory, Vec<usize>) {
    let mut stream = Stream::new(3, "images", 0);
    let length = network.input_len();
    let values = (0..count * length).map(|_| stream.uniform() as f32);
    let images = InMemory::new(values.collect(), length);
    let labels = blindspot::model::classify::predictions(network, &images).unwrap();
    (images, labels)
}

fn run(
    network: &Network<f32>,
    (images, labels): &(InMemory, Vec<usize>),
    options: &SearchOptions,
) -> Vec<Example> {
    let all: Vec<usize> = (0..images.len()).collect();
    search(network, images, labels, &all, options, &Unwatched).unwrap()
}

fn image(images: &InMemory, position: usize) -> &[f32] {
    let length = images.input_len();
    &images.values()[position * length..][..length]
}

/// One linear layer.
fn linear(length: usize, classes: usize, seed: usize) -> Network<f32> {
    Stack::new(&[length], seed).dense(length, classes).network()
}

/// ReLUs between two layers, on images of three channels.
fn rectified(seed: usize) -> Network<f32> {
    let shape = [3, 6, 6];
    let flat = Reshape { shape: vec![108] };
    Stack::new(&shape, seed)
        .add(Op::Reshape(flat), &[], 1.0)
        .dense(108, 30)
        .activation(Unary::Relu)
        .dense(30, 6)
        .network()
}

/// Rows of the linear map: the outputs' gradients, at any input; then the outputs at 0.
fn rows(network: &Network<f32>) -> (Vec<Vec<f32>>, Vec<f32>) {
    let mut evaluator = Evaluator::new(network);
    evaluator.input(1).fill(0.0);
    let offsets = evaluator.forward().to_vec();
    let row = |class: usize| {
        let mut direction = vec![0.0; offsets.len()];
        direction[class] = 1.0;
        evaluator.backward(&direction).to_vec()
    };
    ((0..offsets.len()).map(row).collect(), offsets)
}

type Problem = (String, Vec<Vec<f64>>, Vec<f64>, Vec<f64>, Vec<f64>);

fn highs(problems: &[Problem]) -> Vec<f64> {
    let input = serde_json::to_vec(problems).unwrap();
    let output = run_python(HIGHS, [""; 0], input).unwrap();
    serde_json::from_str(&output).unwrap()
}

#[test]
fn on_linear_networks_the_search_ends_at_the_linear_programs_optimum() {
    const CLASSES: usize = 7;
    if let Err(why) = python() {
        skip!("{why}");
    }
    let (mut problems, mut found) = (Vec::new(), Vec::new());
    for seed in 0..4 {
        let network = linear(40, CLASSES, seed);
        let (gradients, _) = rows(&network);
        let images = noise(&network, 10);
        let mut evaluator = Evaluator::new(&network);
        for norm in [Norm::Linf, Norm::L1] {
            for target in [Target::Untargeted, Target::Random] {
                let options = SearchOptions::default().target(target).norm(norm);
                for example in run(&network, &images, &options) {
                    assert!(example.success, "{seed} {norm} {target}");
                    let original = image(&images.0, example.position);
                    evaluator.input(1).copy_from_slice(original);
                    let outputs = evaluator.forward().to_vec();
                    let ends = |end: f64| original.iter().map(move |&x| end - f64::from(x));
                    let mut add = |pairs: &[(usize, usize)], lead: f64| {
                        let normal = |&(up, down): &(usize, usize)| {
                            let values = gradients[up].iter().zip(&gradients[down]);
                            values.map(|(a, b)| f64::from(*a) - f64::from(*b)).collect()
                        };
                        let offset = |&(up, down): &(usize, usize)| {
                            f64::from(outputs[down]) - f64::from(outputs[up]) + lead
                        };
                        problems.push((
                            norm.to_string(),
                            pairs.iter().map(normal).collect(),
                            pairs.iter().map(offset).collect(),
                            ends(0.0).collect(),
                            ends(1.0).collect(),
                        ));
                    };
                    // Of a margin of 0, and of one that is asked for to outlast rounding.
                    for lead in [0.0, 4.0 * example.noise] {
                        let others = |own: usize| (0..CLASSES).filter(move |&class| class != own);
                        if target == Target::Untargeted {
                            let label = example.label;
                            others(label).for_each(|class| add(&[(class, label)], lead));
                        } else {
                            let class = example.target;
                            let pairs: Vec<_> = others(class).map(|o| (class, o)).collect();
                            add(&pairs, lead);
                        }
                    }
                    let count = match target {
                        Target::Untargeted => CLASSES - 1,
                        _ => 1,
                    };
                    found.push((example.norm(norm), example.kkt_residual, count));
                }
            }
        }
    }
    let mut exact = highs(&problems).into_iter();
    for (norm, residual, count) in found {
        let mut least = || exact.by_ref().take(count).fold(f64::INFINITY, f64::min);
        let (least, with_lead) = (least(), least());
        assert!(norm >= (1.0 - 1e-6) * least, "{norm} {least}");
        assert!(norm <= (1.0 + 1e-4) * with_lead, "{norm} {with_lead}");
        assert!(residual < 1e-4, "{residual}");
    }
}

/// The fewest pixels, of so many channels, with which any class takes the label's place on a linear
/// network: all subsets, each at its best ends.
fn fewest(
    network: &Network<f32>,
    original: &[f32],
    (label, channels): (usize, usize),
) -> Option<usize> {
    let (gradients, offsets) = rows(network);
    let pixels = original.len() / channels;
    let output = |class: usize| {
        let terms = gradients[class].iter().zip(original);
        f64::from(offsets[class]) + terms.map(|(&g, &x)| f64::from(g * x)).sum::<f64>()
    };
    let mut least = None;
    for class in (0..offsets.len()).filter(|&class| class != label) {
        let gain = |pixel: usize| -> f64 {
            let places = (pixel..original.len()).step_by(pixels);
            let best = places.map(|i| {
                let slope = f64::from(gradients[class][i] - gradients[label][i]);
                let x = f64::from(original[i]);
                (slope * (1.0 - x)).max(-slope * x)
            });
            best.sum()
        };
        let gains: Vec<f64> = (0..pixels).map(gain).collect();
        for subset in 0u32..1 << pixels {
            let chosen = (0..pixels).filter(|pixel| subset >> pixel & 1 == 1);
            let margin = output(class) - output(label) + chosen.map(|p| gains[p]).sum::<f64>();
            let count = subset.count_ones() as usize;
            if margin > 1e-5 && least.is_none_or(|least| count < least) {
                least = Some(count);
            }
        }
    }
    least
}

#[test]
fn on_linear_networks_no_subset_of_inputs_or_pixels_is_smaller() {
    let mut sizes = [0; 16];
    for seed in 0..8 {
        for (grouping, shape, channels) in [
            (Grouping::Value, vec![12], 1),
            (Grouping::Pixel, vec![3, 2, 6], 3),
        ] {
            let length: usize = shape.iter().product();
            let stack = Stack::new(&shape, seed);
            let flat = Reshape {
                shape: vec![length],
            };
            let stack = stack.add(Op::Reshape(flat), &[], 1.0);
            let network = stack.dense(length, 4).network();
            let images = noise(&network, 8);
            let options = SearchOptions::default()
                .target(Target::Untargeted)
                .norm(Norm::L0)
                .grouping(grouping);
            for example in run(&network, &images, &options) {
                let original = image(&images.0, example.position);
                let least = fewest(&network, original, (example.label, channels));
                assert_eq!(example.success, least.is_some());
                let Some(least) = least else { continue };
                assert_eq!(example.l0, least as f64, "{seed} {grouping}");
                assert_eq!(example.kkt_residual, 0.0);
                sizes[least] += 1;
            }
        }
    }
    assert!(sizes[2..].iter().sum::<i32>() > 20, "{sizes:?}");
}

const NORMS: [Norm; 3] = [Norm::Linf, Norm::L1, Norm::L0];

#[test]
fn examples_keep_to_their_bounds_and_answer_as_asked_in_every_norm() {
    let network = rectified(2);
    let images = noise(&network, 10);
    let length = images.0.input_len();
    let mut bounds = Bounds::within(InputBox::default(), length);
    for i in 0..length {
        bounds.max_perturbation[i] = [0.0, 0.5, f32::INFINITY][i % 3];
    }
    let bounds = Arc::new(bounds);
    let mut evaluator = Evaluator::new(&network);
    for norm in NORMS {
        for (target, top_k, confidence) in [
            (Target::Untargeted, 1, 0.0),
            (Target::Untargeted, 2, 0.05),
            (Target::Random, 1, 0.0),
            (Target::All, 1, 0.05),
        ] {
            let options = SearchOptions::default()
                .target(target)
                .norm(norm)
                .criterion(Criterion { top_k, confidence })
                .bounds(Arc::clone(&bounds));
            let mut successes = 0;
            for example in run(&network, &images, &options) {
                let original = image(&images.0, example.position);
                for (i, (&x, &y)) in original.iter().zip(&example.adversarial).enumerate() {
                    assert!(
                        (0.0..=1.0).contains(&y) && (y - x).abs() <= bounds.max_perturbation[i]
                    );
                }
                for (named, _) in Norm::NAMES {
                    let measured = named.of(original, &example.adversarial);
                    assert_eq!(example.norm(named), measured);
                }
                if !example.success {
                    continue;
                }
                successes += 1;
                assert!((0.0..=1.0).contains(&example.kkt_residual));
                evaluator.input(1).copy_from_slice(&example.adversarial);
                let outputs: Vec<f64> = evaluator.forward().iter().map(|&o| f64::from(o)).collect();
                assert!(options.reached(example.label, example.target, &outputs));
            }
            assert!(successes >= 5, "{norm} {target}: {successes}");
        }
    }
}

#[test]
fn an_image_has_the_same_bits_alone_and_on_any_number_of_threads_in_every_norm() {
    let network = rectified(1);
    let images = noise(&network, 12);
    for norm in NORMS {
        let options = SearchOptions::default()
            .target(Target::Untargeted)
            .norm(norm);
        let together = run(&network, &images, &options);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            assert_eq!(pool.install(|| run(&network, &images, &options)), together);
        }
        let (set, labels) = &images;
        let alone = search(&network, set, labels, &[7], &options, &Unwatched).unwrap();
        assert_eq!(alone[0], together[7]);
    }
}

#[test]
fn each_norm_is_smallest_where_it_was_asked_for() {
    let network = rectified(3);
    let images = noise(&network, 16);
    let found = Norm::NAMES.map(|(norm, _)| {
        let options = SearchOptions::default()
            .target(Target::Untargeted)
            .norm(norm);
        run(&network, &images, &options)
    });
    let mean = |examples: &[Example], norm| {
        assert!(examples.iter().all(|example| example.success));
        examples
            .iter()
            .map(|example| example.norm(norm))
            .sum::<f64>()
    };
    for (at, (norm, _)) in Norm::NAMES.into_iter().enumerate() {
        let own = mean(&found[at], norm);
        for other in &found {
            assert!(own <= mean(other, norm), "{norm}");
        }
    }
}

#[test]
fn a_budget_is_kept_in_every_norm() {
    let network = rectified(0);
    let images = noise(&network, 8);
    for norm in NORMS {
        let (mut before, mut most_fooled) = (f64::INFINITY, 0);
        for budget in [1, 30, 100, 300] {
            let options = SearchOptions::default()
                .target(Target::Untargeted)
                .norm(norm)
                .max_evaluations(budget);
            let found = run(&network, &images, &options);
            // Verification may stretch what was found; the searches keep to their budgets.
            assert!(
                found
                    .iter()
                    .all(|example| example.evaluations <= budget + 20)
            );
            let fooled = found.iter().filter(|example| example.success).count();
            let sum: f64 = found.iter().map(|example| example.norm(norm)).sum();
            assert!(fooled >= most_fooled, "{norm} {budget}");
            if fooled == 8 {
                assert!(sum <= 1.0001 * before, "{norm} {budget}: {sum} {before}");
                before = sum;
            }
            most_fooled = fooled;
        }
        assert!(before.is_finite(), "{norm}: {most_fooled} fooled");
    }
}

#[test]
fn images_of_8_bits_succeed_in_every_norm() {
    let network = rectified(2);
    let (set, labels) = noise(&network, 8);
    // Originals that are levels themselves.
    let values = set.values().iter().map(|x| (x * 255.0).round() / 255.0);
    let set = InMemory::new(values.collect(), set.input_len());
    for norm in NORMS {
        let options = SearchOptions::default()
            .target(Target::Untargeted)
            .norm(norm);
        let found = run(&network, &(set.clone(), labels.clone()), &options);
        let eight = eight_bit(&network, &options, &found, set.values(), &Unwatched).unwrap();
        for (example, eight) in found.iter().zip(&eight) {
            assert!(example.success && eight.success, "{norm}");
            let image: Vec<f32> = eight.values().collect();
            let size = norm.of(self::image(&set, example.position), &image);
            let allowed = match norm {
                Norm::Linf => 1.5 * example.linf + 2.0 / 255.0,
                Norm::L1 => 1.5 * example.l1 + 2.0 / 255.0,
                _ => example.l0,
            };
            assert!(size <= allowed, "{norm}: {size} {allowed}");
        }
    }
}

#[test]
fn a_method_is_refused_in_a_norm_that_it_does_not_make_small() {
    let network = linear(4, 3, 0);
    let (set, labels) = noise(&network, 1);
    let options = SearchOptions::default()
        .method(Method::CarliniWagner)
        .norm(Norm::Linf);
    let error = search(&network, &set, &labels, &[0], &options, &Unwatched).unwrap_err();
    let why = "the method cw searches for perturbations that are small in L2, not Linf";
    assert!(error.to_string().contains(why), "{error}");
}

/// Robust accuracy at that norm is the same, for less; what is farther keeps its bits.
#[test]
fn a_search_may_end_where_a_norm_is_enough() {
    let network = rectified(7);
    let images = noise(&network, 40);
    let mut ended = 0;
    for (norm, _) in Norm::NAMES {
        let options = SearchOptions::default()
            .target(Target::Untargeted)
            .norm(norm);
        let whole = run(&network, &images, &options);
        let mut norms: Vec<f64> = whole.iter().map(|example| example.norm(norm)).collect();
        norms.sort_by(f64::total_cmp);
        let enough = 1.2 * norms[20];
        let short = run(&network, &images, &options.enough(enough));
        let evaluations =
            |examples: &[Example]| examples.iter().map(|e| e.evaluations).sum::<u64>();
        assert!(evaluations(&short) < evaluations(&whole), "{norm}");
        for (whole, short) in whole.iter().zip(&short) {
            let pair = [whole.norm(norm), short.norm(norm)];
            assert!(short.success && pair[0] <= pair[1], "{norm} {pair:?}");
            if pair[0] > enough {
                assert_eq!(whole, short, "{norm}");
            } else {
                // What rounding asks for beyond the boundary moves an example by far less.
                assert!(pair[1] <= enough * (1.0 + 1e-4), "{norm} {pair:?} {enough}");
                ended += usize::from(pair[0] < pair[1]);
            }
        }
    }
    assert!(ended > 5, "{ended}");
}
