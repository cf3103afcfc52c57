//! The baselines against closed forms, and on each kind of network.

use blindspot_model::InputBox;
use blindspot_model::inputs::{InMemory, Inputs};
use blindspot_net::Network;
use blindspot_paper::architectures::conv;
use blindspot_paper::train::Recipe;
use blindspot_run::monitor::Unwatched;
use blindspot_run::random::Stream;

use super::super::{Example, Method, SearchOptions, Target, norm, search};

const BASELINES: [Method; 5] = [
    Method::Fgsm,
    Method::Pgd,
    Method::DeepFool,
    Method::CarliniWagner,
    Method::Ddn,
];

/// Random images, and what the network answers to them as their labels.
fn images(network: &Network<f32>, count: usize) -> (InMemory, Vec<usize>) {
    let length = network.input_len();
    let mut stream = Stream::new(5, "images", 0);
    let values = (0..count * length).map(|_| stream.below(256) as f32 / 255.0);
    let images = InMemory::new(values.collect(), length);
    let labels = blindspot_model::classify::predictions(network, &images).unwrap();
    (images, labels)
}

fn run(
    network: &Network<f32>,
    (images, labels): &(InMemory, Vec<usize>),
    method: Method,
    target: Target,
    bounds: InputBox,
) -> Vec<Example> {
    let options = SearchOptions {
        target,
        method,
        input_box: bounds,
        ..SearchOptions::default()
    };
    let all: Vec<usize> = (0..images.len()).collect();
    search(network, images, labels, &all, &options, &Unwatched).unwrap()
}

/// With the box far away, the smallest change of a linear network has a closed form in each norm:
/// the least lead over the dual norm of its gradient.
#[test]
fn on_a_linear_network_they_end_near_the_closed_form() {
    let network = Recipe::named("softmax1").unwrap().start(30, 4, 2);
    let images = images(&network, 20);
    let bounds = InputBox {
        lower: -4.0,
        upper: 4.0,
    };
    let weights = &network.weights()[0];
    for method in BASELINES {
        let examples = run(&network, &images, method, Target::Untargeted, bounds);
        for example in &examples {
            let mut image = vec![0.0; 30];
            images.0.read(example.position, &mut image).unwrap();
            let distances =
                (0..4)
                    .filter(|&runner_up| runner_up != example.label)
                    .map(|runner_up| {
                        let normal: Vec<f64> = (0..30)
                            .map(|i| {
                                f64::from(
                                    weights[4 * i + example.label] - weights[4 * i + runner_up],
                                )
                            })
                            .collect();
                        let lead: f64 = normal
                            .iter()
                            .zip(&image)
                            .map(|(w, &x)| w * f64::from(x))
                            .sum();
                        lead / normal.iter().map(|w| w * w).sum::<f64>().sqrt()
                    });
            let exact = distances.fold(f64::INFINITY, f64::min);
            let most = match method {
                // Its steps have one length in every value, and a fixed direction.
                Method::Fgsm => 20.0,
                Method::DeepFool => 1.03,
                // The first two follow the cross entropy, which mixes the runner_ups; the last one moves coarsely
                // in so wide a box.
                Method::Pgd | Method::Ddn | Method::CarliniWagner => 1.5,
                _ => unreachable!("our own searches are no baselines"),
            };
            assert!(example.success, "{method} {}", example.index);
            let ratio = example.l2 / exact;
            assert!(
                (0.999..most).contains(&ratio),
                "{method} {}: {ratio}",
                example.index
            );
            if method == Method::Fgsm {
                let sizes = example
                    .adversarial
                    .iter()
                    .zip(&image)
                    .map(|(a, b)| (a - b).abs());
                let size = (example.l2 / 30f64.sqrt()) as f32;
                assert!(
                    sizes
                        .into_iter()
                        .all(|found| (found - size).abs() < 1e-3 * size)
                );
            }
        }
    }
}

#[test]
fn they_stay_in_the_box_count_what_they_ask_and_keep_their_budget_on_each_network() {
    let networks = [
        Recipe::named("softmax2").unwrap().start(60, 5, 1),
        Recipe::named("FC100-100-10").unwrap().start(60, 10, 1),
        conv(3),
    ];
    for network in &networks {
        let images = images(network, 3);
        for method in BASELINES {
            for target in [Target::Untargeted, Target::Random] {
                let examples = run(network, &images, method, target, InputBox::default());
                let sqp = run(network, &images, Method::Sqp, target, InputBox::default());
                for (example, sqp) in examples.iter().zip(&sqp) {
                    assert!(example.adversarial.iter().all(|x| (0.0..=1.0).contains(x)));
                    assert!(example.evaluations > 1 && example.gradients > 0);
                    assert!(example.gradients <= example.evaluations);
                    let mut original = vec![0.0; network.input_len()];
                    images.0.read(example.position, &mut original).unwrap();
                    assert_eq!(example.l2, norm(&original, &example.adversarial));
                    // One step of the gradient's sign, or along one boundary, can miss.
                    let sure = !matches!(method, Method::Fgsm | Method::DeepFool);
                    assert!(
                        example.success || !sure || !sqp.success,
                        "{method} {target}"
                    );
                    // Untrained convolutions have many local minima, and each search its own.
                    if example.success && sqp.success && network.input_shape().len() == 1 {
                        assert!(
                            sqp.l2 <= 1.001 * example.l2,
                            "{method} {target} {} {} {}",
                            sqp.l2,
                            example.l2,
                            network.input_len()
                        );
                    }
                }
            }
            let options = SearchOptions {
                target: Target::Random,
                method,
                max_evaluations: Some(4),
                ..SearchOptions::default()
            };
            let few = search(network, &images.0, &images.1, &[0], &options, &Unwatched).unwrap();
            assert!(few[0].evaluations <= 4);
        }
    }
}
