//! The search against exact answers, and what must hold of every example.

use std::sync::OnceLock;

use blindspot_data::{DataSpec, ImageSet, Locations, Silent};
use blindspot_net::{Evaluator, Network, argmax};

use super::halfspace::nearest_beyond;
use super::*;
use crate::monitor::Unwatched;
use crate::train::{Recipe, train};

/// MNIST's training images, where the machine has them.
fn mnist() -> Option<&'static ImageSet> {
    static SET: OnceLock<Option<ImageSet>> = OnceLock::new();
    let load = || {
        let locations = Locations::offline(vec![blindspot_testing::data_dir()?]);
        "mnist:train"
            .parse::<DataSpec>()
            .ok()?
            .load(&locations, &mut Silent)
            .ok()
    };
    SET.get_or_init(load).as_ref()
}

/// A network trained for a while on the first images.
fn network(name: &str, images: usize, iterations: usize) -> Option<(Network<f32>, ImageSet)> {
    let set = mnist()?.first(images);
    let mut recipe = Recipe::named(name).unwrap();
    recipe.iterations = iterations;
    let labels = set.labels().unwrap();
    let trained = train(&recipe, &set, labels, "", 1, None, &Unwatched).unwrap();
    Some((trained.network, set))
}

fn options(target: Target) -> SearchOptions {
    SearchOptions {
        target,
        seed: 3,
        bounds: InputBox::default(),
        method: Method::Sqp,
        shrink: true,
        max_evaluations: None,
    }
}

fn run(network: &Network<f32>, set: &ImageSet, count: usize, target: Target) -> Vec<Example> {
    let indices: Vec<usize> = (0..count).collect();
    let labels = set.labels().unwrap();
    search(network, set, labels, &indices, &options(target), &Unwatched).unwrap()
}

/// The L2 norm of the smallest change of an image that makes a linear network wrong: for each
/// rival class a hyperplane, the nearest of them; and the distance in which the least lead that
/// counts is gained, times 4.
fn exact(network: &Network<f32>, image: &[f32], label: usize) -> (f64, f64) {
    let classes = network.output_len();
    let mut evaluator = Evaluator::new(network);
    evaluator.input(1).copy_from_slice(image);
    let logits = evaluator.forward().to_vec();
    let rivals = (0..classes).filter(|&rival| rival != label);
    let norms = rivals.map(|rival| {
        let mut direction = vec![0.0; classes];
        (direction[rival], direction[label]) = (1.0, -1.0);
        let normal = evaluator.backward(&direction).to_vec();
        let offset = f64::from(logits[label]) - f64::from(logits[rival]);
        let mut change = vec![0.0; image.len()];
        let size = logits
            .iter()
            .fold(1.0f32, |size, logit| size.max(logit.abs()));
        // Pixels at the edge of the box don't help, but a quarter of the gradient mostly does.
        let gained = 4.0 * change::SAFETY * f64::from(size) / norm(&change, &normal);
        match nearest_beyond(image, &normal, offset, InputBox::default(), &mut change) {
            true => (norm(&vec![0.0; image.len()], &change), 4.0 * gained),
            false => (f64::INFINITY, 0.0),
        }
    });
    norms.fold((f64::INFINITY, 0.0), |a, b| if b.0 < a.0 { b } else { a })
}

/// The mean ratio of the norms found, target `all`, to the exact ones; and how many changes exceed
/// the exact one by more than 1e-4 of it and what `f32` logits can tell.
fn against_exact(name: &str, method: Method) -> Option<(f64, usize)> {
    let (network, set) = network(name, 60_000, 1_000)?;
    let options = SearchOptions {
        method,
        ..options(Target::All)
    };
    let indices: Vec<usize> = (0..1_000).collect();
    let labels = set.labels().unwrap();
    let (mut ratios, mut inexact) = (Vec::new(), 0);
    for example in search(&network, &set, labels, &indices, &options, &Unwatched).unwrap() {
        assert!(example.success, "{name} {}", example.index);
        if !example.already_wrong() {
            let mut image = vec![0.0; 784];
            set.write_image(example.index, &mut image);
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
        let residuals = ours.iter().filter(|example| example.kkt > 0.05).count();
        assert!(
            residuals <= 10,
            "{target}: {residuals} of 200 are not locally smallest"
        );
    }
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
            assert_eq!((answer, example.after), (example.after, example.target));
            assert_ne!(answer, example.label);
            let mut original = vec![0.0; 784];
            set.write_image(example.index, &mut original);
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
    let random = options(Target::Random);
    assert!(error(&[], &[0, 0], random).contains("at least one"));
    assert!(error(&[0], &[7, 0], random).contains("label 7"));
    assert!(error(&[0], &[0, 0], options(Target::Class(3))).contains("target 3"));
    assert!(error(&[1], &[0, 0], random).contains("image 1 has the value 2"));
    let bounds = InputBox {
        lower: 1.0,
        upper: 0.0,
    };
    assert!(error(&[0], &[0, 0], SearchOptions { bounds, ..random }).contains("no box"));
    let wide = InMemory::new(vec![0.0; 5], 5);
    let error = search(&network, &wide, &[0], &[0], &random, &Unwatched).unwrap_err();
    assert!(error.to_string().contains("takes 4 values"));
}
