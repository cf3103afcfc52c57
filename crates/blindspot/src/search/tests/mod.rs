//! What must hold of every example, whatever was asked for.

mod optimal;
mod rounded;

use std::sync::Arc;

use blindspot_data::ImageSet;
use blindspot_model::InputBox;
use blindspot_model::inputs::{InMemory, Inputs};
use blindspot_net::{Evaluator, Network, argmax};
use blindspot_paper::train::Recipe;
use blindspot_run::monitor::Unwatched;
use blindspot_run::random::Stream;

use super::*;
use crate::testing::network;

fn options(target: Target) -> SearchOptions {
    SearchOptions {
        target,
        seed: 3,
        ..SearchOptions::default()
    }
}

fn run(network: &Network<f32>, set: &ImageSet, count: usize, target: Target) -> Vec<Example> {
    let indices: Vec<usize> = (0..count).collect();
    let labels = set.labels().unwrap();
    search(network, set, labels, &indices, &options(target), &Unwatched).unwrap()
}

#[test]
fn a_budget_is_kept() {
    let Some((network, set)) = network("FC100-100-10", 1_000, 40) else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let labels = set.labels().unwrap();
    for method in [Method::Sqp, Method::Lbfgs] {
        let options = SearchOptions {
            method,
            max_evaluations: Some(5),
            ..options(Target::Random)
        };
        let all: Vec<usize> = (0..50).collect();
        let examples = search(&network, &set, labels, &all, &options, &Unwatched).unwrap();
        assert!(examples.iter().all(|example| example.evaluations <= 5));
        assert!(examples.iter().any(|example| example.evaluations == 5));
    }
}

#[test]
fn every_example_is_in_the_box_and_answers_as_asked() {
    let Some((network, set)) = network("FC100-100-10", 2_000, 60) else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let mut evaluator = Evaluator::new(&network);
    for target in [
        Target::Random,
        Target::Nearest,
        Target::All,
        Target::Untargeted,
    ] {
        let examples = run(&network, &set, 60, target);
        assert_eq!(examples.len(), 60);
        for example in &examples {
            assert!(example.success, "{target} {}", example.index);
            assert!(example.adversarial.iter().all(|x| (0.0..=1.0).contains(x)));
            evaluator.input(1).copy_from_slice(&example.adversarial);
            let answer = argmax(evaluator.forward());
            assert_eq!(
                (answer, example.prediction),
                (example.prediction, example.target)
            );
            assert_ne!(answer, example.label);
            let mut original = vec![0.0; 784];
            set.read_image(example.position, &mut original).unwrap();
            assert_eq!(example.l2, norm(&original, &example.adversarial));
        }
    }
    // Images of the target class are left out.
    let fixed = run(&network, &set, 60, Target::Class(3));
    assert!(fixed.len() < 60 && fixed.iter().all(|example| example.label != 3));
    assert!(fixed.iter().all(|example| example.success));
    // The best of all targets is no larger than that of any one of them.
    let all = run(&network, &set, 60, Target::All);
    for other in [Target::Random, Target::Nearest] {
        for (all, one) in all.iter().zip(run(&network, &set, 60, other)) {
            // Either can end at a local minimum.
            assert!(
                all.l2 <= 1.2 * one.l2,
                "{}: {} {}",
                all.index,
                all.l2,
                one.l2
            );
        }
    }
}

#[test]
fn an_image_has_the_same_bits_alone_and_in_a_set_on_one_thread_and_on_three() {
    let Some((network, set)) = network("FC100-100-10", 1_000, 40) else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let together = run(&network, &set, 150, Target::Random);
    let labels = set.labels().unwrap();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        assert_eq!(
            pool.install(|| run(&network, &set, 150, Target::Random)),
            together
        );
    }
    for index in [0, 77, 149] {
        let options = options(Target::Random);
        let alone = search(&network, &set, labels, &[index], &options, &Unwatched).unwrap();
        assert_eq!(alone[0], together[index]);
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let recipe = Recipe::named("softmax1").unwrap();
    let network = recipe.start(4, 3, 0);
    let images = InMemory::new(vec![0.5, 0.5, 0.5, 0.5, 0.0, 2.0, 0.0, 0.0], 4);
    let error = |indices: &[usize], labels: &[usize], options: SearchOptions| {
        search(&network, &images, labels, indices, &options, &Unwatched)
            .unwrap_err()
            .to_string()
    };
    let random = || options(Target::Random);
    assert!(error(&[], &[0, 0], random()).contains("at least one"));
    assert!(error(&[0], &[7, 0], random()).contains("label 7"));
    assert!(error(&[0], &[0, 0], options(Target::Class(3))).contains("target 3"));
    let all_of_target = error(&[0, 1], &[2, 2], options(Target::Class(2)));
    assert!(
        all_of_target.contains("all images are of class 2"),
        "{all_of_target}"
    );
    assert!(error(&[1], &[0, 0], random()).contains("image 1 has the value 2"));
    let with = |change: fn(&mut SearchOptions)| {
        let mut options = random();
        change(&mut options);
        error(&[0], &[0, 0], options)
    };
    let none = with(|options| options.input_box.lower = 1.0);
    assert!(none.contains("invalid box"), "{none}");
    assert!(with(|options| options.criterion.top_k = 2).contains("without a target class"));
    assert!(with(|options| options.criterion.top_k = 3).contains("takes 1 to 2"));
    assert!(with(|options| options.criterion.confidence = -1.0).contains("confidence of -1"));
    assert!(with(|options| options.time_limit = Some(f64::NAN)).contains("positive number"));
    let short = Bounds::within(InputBox::default(), 3);
    let options = SearchOptions {
        bounds: Some(Arc::new(short)),
        ..random()
    };
    assert!(error(&[0], &[0, 0], options).contains("lower has 3 numbers"));
    let wide = InMemory::new(vec![0.0; 5], 5);
    let error = search(&network, &wide, &[0], &[0], &random(), &Unwatched).unwrap_err();
    assert!(error.to_string().contains("takes 4 values"));
}

/// The k-th smallest exact distance to the runner_ups' hyperplanes: no change that puts k classes
/// before the label is smaller. The change that does it may be larger.
#[test]
fn criteria_are_met_by_the_networks_own_answer_and_cost_more_the_more_they_ask() {
    let Some((network, set)) = network("FC100-100-10", 2_000, 60) else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let labels = set.labels().unwrap();
    let indices: Vec<usize> = (0..40).collect();
    let exact = network.cast::<f64>();
    let mut evaluator = Evaluator::new(&exact);
    for method in [Method::Sqp, Method::Lbfgs] {
        for target in [Target::Untargeted, Target::Random] {
            let mut least = 0.0;
            for (top_k, confidence) in [(1, 0.0), (1, 1.0), (3, 0.0), (3, 0.5)] {
                if top_k > 1 && target == Target::Random {
                    continue;
                }
                let options = SearchOptions {
                    method,
                    criterion: Criterion { top_k, confidence },
                    ..options(target)
                };
                let found = search(&network, &set, labels, &indices, &options, &Unwatched).unwrap();
                assert_eq!(found.len(), 40);
                for example in &found {
                    let context =
                        format!("{method} {target} {top_k} {confidence} {}", example.index);
                    assert!(example.success, "{context}");
                    if example.already_misclassified {
                        continue;
                    }
                    let input = evaluator.input(1);
                    for (place, &value) in input.iter_mut().zip(&example.adversarial) {
                        *place = f64::from(value);
                    }
                    let logits = evaluator.forward().to_vec();
                    let before = |class: usize| {
                        let own = logits[class] + confidence;
                        logits.iter().filter(|&&logit| logit > own).count()
                    };
                    match target {
                        Target::Untargeted => assert!(before(example.label) >= top_k, "{context}"),
                        _ => {
                            let lead = |&(class, logit): &(usize, &f64)| {
                                class == example.target
                                    || logits[example.target] > logit + confidence
                            };
                            assert!(
                                logits.iter().enumerate().all(|pair| lead(&pair)),
                                "{context}"
                            );
                        }
                    }
                    assert!(example.gradients > 0 && example.gradients <= example.evaluations);
                }
                if method == Method::Sqp {
                    println!(
                        "ZZ {target} {confidence} {:?}",
                        found
                            .iter()
                            .map(|e| ((e.l2 * 1e3).round() / 1e3, e.gradients))
                            .collect::<Vec<_>>()
                    );
                }
                let mean = found.iter().map(|example| example.l2).sum::<f64>();
                assert!(
                    mean > least,
                    "{method} {target} {top_k} {confidence}: {mean} {least}"
                );
                if top_k == 1 || confidence == 0.0 {
                    least = if top_k == 1 {
                        mean.min(if least == 0.0 { mean } else { least })
                    } else {
                        mean
                    };
                }
            }
        }
    }
}

#[test]
fn values_move_as_far_as_their_ranges_let_them() {
    let Some((network, set)) = network("FC100-100-10", 2_000, 60) else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let labels = set.labels().unwrap();
    let indices: Vec<usize> = (0..40).collect();
    let mut ranges = Bounds::within(InputBox::default(), 784);
    for position in 0..784 {
        // A third must not change, a third by little, some up to 0.75 of the box.
        ranges.max_perturbation[position] = [0.0, 0.25, f32::INFINITY][position % 3];
        ranges.upper[position] = if position % 5 == 0 { 1.5 } else { 1.0 };
    }
    let ranges = Arc::new(ranges);
    let mut sums = Vec::new();
    for method in [Method::Sqp, Method::Lbfgs] {
        let options = SearchOptions {
            method,
            bounds: Some(Arc::clone(&ranges)),
            ..options(Target::Untargeted)
        };
        let found = search(&network, &set, labels, &indices, &options, &Unwatched).unwrap();
        let mut original = vec![0.0; 784];
        for example in &found {
            assert!(example.success, "{method} {}", example.index);
            set.read(example.position, &mut original).unwrap();
            for (i, (&x, &to)) in original.iter().zip(&example.adversarial).enumerate() {
                let most = ranges.max_perturbation[i];
                assert!(to >= (x - most).max(0.0) && to <= (x + most).min(ranges.upper[i]));
            }
        }
        // Where many values meet their ranges, few searches end short of a local minimum.
        let short = found
            .iter()
            .filter(|example| example.kkt_residual > 0.15)
            .count();
        assert!(short <= 2, "{method}: {short} of 40");
        sums.push(found.iter().map(|example| example.l2).sum::<f64>());
    }
    assert!(sums[0] < 1.001 * sums[1], "{sums:?}");
}

#[test]
fn blocks_are_the_whole_and_time_that_is_over_ends_the_search() {
    let recipe = Recipe::named("softmax1").unwrap();
    let network = recipe.start(4, 3, 0);
    let count = MAX_BLOCK + 100;
    let mut stream = Stream::new(1, "blocks", 0);
    let values = (0..4 * count)
        .map(|_| stream.below(256) as f32 / 255.0)
        .collect();
    let images = InMemory::new(values, 4);
    let labels: Vec<usize> = (0..count).map(|i| i % 3).collect();
    let indices: Vec<usize> = (0..count).rev().collect();
    let mut blocks = Vec::new();
    let random = options(Target::Random);
    search_in_blocks(
        &network,
        &images,
        &labels,
        &indices,
        &random,
        &Unwatched,
        |block| {
            for (example, original) in block.examples.iter().zip(block.originals.chunks(4)) {
                let mut image = [0.0; 4];
                images.read(example.position, &mut image).unwrap();
                assert_eq!(image, original);
            }
            blocks.push(block.examples);
            Ok::<(), SearchError>(())
        },
    )
    .unwrap();
    // How large blocks are depends on time, what is found does not.
    assert!(blocks.len() > 1 && blocks.iter().all(|block| block.len() <= MAX_BLOCK));
    let mut all = blocks.concat();
    all.sort_by_key(|example| std::cmp::Reverse(example.position));
    assert_eq!(all.len(), count);
    let few: Vec<usize> = indices[MAX_BLOCK..].to_vec();
    let alone = search(&network, &images, &labels, &few, &random, &Unwatched).unwrap();
    assert_eq!(alone, all[MAX_BLOCK..]);
    let hasty = SearchOptions {
        time_limit: Some(1e-9),
        ..random
    };
    let found = search(&network, &images, &labels, &indices, &hasty, &Unwatched).unwrap();
    assert!(found.iter().all(|example| example.already_misclassified));
}

#[test]
fn too_many_classes_are_refused_with_their_number() {
    let options = SearchOptions::default();
    let refused = |classes: usize| options.check_labels(classes, &[0]).is_err();
    assert!(!refused(1 << 20) && refused((1 << 20) + 1) && refused(1));
}
