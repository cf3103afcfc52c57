//! What must hold of refined certificates.

use std::time::{Duration, Instant};

use super::*;
use crate::certify::affine::AffineLayers;
use crate::certify::arithmetic::Rounding;
use crate::certify::curvature::CurvatureBound;
use crate::certify::first_layer::FirstLayer;
use crate::certify::lowered::Lowered;
use crate::certify::outcome::Outcome;
use crate::certify::perturbation_box::PerturbationBox;
use crate::certify::propagation::BoundPropagation;
use crate::certify::slabs::SlabBranching;

/// Fully connected networks of one and two layers of units.
fn smooth(inputs: usize, unary: Unary, layers: usize, seed: usize) -> Network<f32> {
    let mut stack = Stack::new(&[inputs], 50 + seed);
    let mut below = inputs;
    for width in [14, 10].into_iter().take(layers) {
        // Steep enough for the images to have other classes near.
        let gain = 4.0 / (below as f64).sqrt();
        let op = Op::Gemm(Gemm { trans_b: false });
        stack = stack.add(op, &[&[below, width], &[width]], gain);
        stack = stack.activation(unary);
        below = width;
    }
    stack.dense(below, 4).network()
}

pub(super) fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Points of the ball and the box: at random inside and at the edge, and where the bound is low.
#[test]
fn no_point_of_the_ball_has_a_margin_below_its_quadratic_bound() {
    let mut tightest = f64::INFINITY;
    for (seed, unary) in [Unary::Sigmoid, Unary::Tanh].into_iter().enumerate() {
        for depth in [1, 2] {
            let network = smooth(20, unary, depth, seed);
            let layers = AffineLayers::new(
                &Lowered::new(&(&network).into()).unwrap(),
                1.0,
                &Rounding::SINGLE,
            )
            .unwrap();
            let first = FirstLayer::new(&layers.affine[0]);
            let curvature = CurvatureBound::new(&layers).unwrap();
            let mut propagation = BoundPropagation::new(&layers, &first);
            let (images, labels) = images(&network, 6, seed);
            let exact = network.cast::<f64>();
            let mut evaluator = Evaluator::new(&exact);
            for (image, &label) in images.values().chunks_exact(20).zip(&labels) {
                let domain = PerturbationBox::new(image, 0.0, 1.0);
                let mut stream = Stream::new(15, "points of a test", seed);
                for radius in [0.05, 0.3, 1.0] {
                    let relaxed = propagation.relax(&domain, radius).unwrap();
                    let expansion = curvature.expand(&domain, radius, &relaxed);
                    let other = (label + 1) % 4;
                    let quadratic = curvature.margin(&expansion, label, other);
                    let axes = curvature.axes(&quadratic).unwrap();
                    let least = SlabBranching::new(&quadratic, &axes, &domain, radius).margin();
                    assert!(curvature.quick_margin(&quadratic, &domain, radius) <= least + 1e-9);
                    for attempt in 0..200 {
                        let axis = &axes.rows.row(attempt % axes.eigenvalues.len());
                        let mixed = stream.normal();
                        let d: Vec<f64> = (0..20)
                            .map(|i| match attempt % 3 {
                                0 => stream.normal(),
                                1 => mixed * axis[i] - quadratic.gradient[i],
                                _ => 0.2 * stream.normal() - quadratic.gradient[i],
                            })
                            .collect();
                        let size = d.iter().map(|d| d * d).sum::<f64>().sqrt();
                        let far = if attempt % 2 == 0 {
                            1.0
                        } else {
                            stream.uniform()
                        };
                        let moved: Vec<f64> = d
                            .iter()
                            .zip(image)
                            .map(|(d, &x)| {
                                let x = f64::from(x);
                                (x + far * radius * d / size).clamp(0.0, 1.0) - x
                            })
                            .collect();
                        let input = evaluator.input(1);
                        for ((place, &x), d) in input.iter_mut().zip(image).zip(&moved) {
                            *place = f64::from(x) + d;
                        }
                        let logits = evaluator.forward();
                        let margin = logits[label] - logits[other];
                        let slope = quadratic.gradient.iter().zip(&moved);
                        let along = axes.eigenvalues.iter().enumerate().map(|(i, value)| {
                            let row = axes.rows.row(i).iter().zip(&moved);
                            value * row.map(|(p, d)| p * d).sum::<f64>().powi(2)
                        });
                        let below = quadratic.margin + slope.map(|(a, d)| a * d).sum::<f64>()
                            - 0.5 * along.sum::<f64>();
                        assert!(
                            margin >= below - 1e-12,
                            "{unary:?} {depth}: {margin} {below}"
                        );
                        assert!(below >= least - 1e-12, "{unary:?} {depth}: {below} {least}");
                        tightest = tightest.min(margin - below);
                    }
                }
            }
        }
    }
    assert!(tightest < 1e-3, "{tightest}");
}

/// In a corner of the box the minimum of a quadratic bound over two inputs is that of a fine grid.
/// The bound of the whole ball is not above it, and slabs tell on which side of 0 it is.
#[test]
fn slabs_find_the_minimum_of_a_quadratic_bound_in_a_corner() {
    let (mut verified, mut falsified, mut whole) = (0, 0, 0);
    for seed in 0..40 {
        let network = smooth(2, Unary::Tanh, 1, seed);
        let layers = AffineLayers::new(
            &Lowered::new(&(&network).into()).unwrap(),
            1.0,
            &Rounding::SINGLE,
        )
        .unwrap();
        let first = FirstLayer::new(&layers.affine[0]);
        let curvature = CurvatureBound::new(&layers).unwrap();
        let mut propagation = BoundPropagation::new(&layers, &first);
        let (image, radius) = ([0.1f32, 0.05], 0.4);
        let domain = PerturbationBox::new(&image, 0.0, 1.0);
        let relaxed = propagation.relax(&domain, radius).unwrap();
        let expansion = curvature.expand(&domain, radius, &relaxed);
        let mut quadratic = curvature.margin(&expansion, 0, 1);
        let axes = curvature.axes(&quadratic).unwrap();
        let value = |d: [f64; 2]| {
            let along = (0..2).map(|i| {
                let row = axes.rows.row(i);
                axes.eigenvalues[i] * (row[0] * d[0] + row[1] * d[1]).powi(2)
            });
            quadratic.gradient[0] * d[0] + quadratic.gradient[1] * d[1] - 0.5 * along.sum::<f64>()
        };
        let mut fall = 0.0f64;
        for i in 0..=600 {
            for j in 0..=600 {
                let d = [i, j].map(|step| radius * (f64::from(step) / 300.0 - 1.0));
                let d = [
                    d[0].max(-f64::from(image[0])),
                    d[1].max(-f64::from(image[1])),
                ];
                let size = d[0].hypot(d[1]);
                // From outside of the ball to its edge.
                let d = d.map(|d| d * (radius / size.max(radius)));
                fall = fall.min(value(d));
            }
        }
        let margin =
            SlabBranching::new(&quadratic, &axes, &domain, radius).margin() - quadratic.margin;
        assert!(margin <= fall + 1e-9, "{margin} {fall}");
        // A margin that stays above 0 by one part in 100 of what it falls by, and one that doesn't.
        for (part, above) in [(1.01, true), (0.99, false)] {
            quadratic.margin = -part * fall;
            let mut slabs = SlabBranching::new(&quadratic, &axes, &domain, radius);
            whole += usize::from(slabs.margin() > 0.0);
            let mut most = 2_000;
            match slabs.verify(&mut most, &|| false) {
                Outcome::Verified => {
                    assert!(above, "{seed}");
                    verified += 1;
                }
                Outcome::Falsified => {
                    assert!(!above, "{seed}");
                    falsified += 1;
                }
                Outcome::Unknown => {}
            }
        }
    }
    assert!(
        verified > 35 && falsified > 35 && whole < verified,
        "{verified} {falsified} {whole}"
    );
}

/// The radius around an image that linear bounds alone certify.
pub(super) fn by_linear_bounds(certifier: &Certifier, image: &[f32], label: usize) -> f64 {
    let mut worker = certifier.worker();
    let near = worker.neighbourhood(image, label);
    worker.linear_radius(&near)
}

/// The certificates of 24 images refined until `deadline`, and by which factor their mean is above that of linear
/// bounds, over the images for which a perturbation was found. Checks that certificates only grow, that no
/// perturbation is smaller, and that none within them changes a label.
pub(super) fn grown(
    network: &Network<f32>,
    certifier: &Certifier,
    seed: usize,
    deadline: Instant,
) -> (f64, Vec<Certificate>) {
    assert!(certifier.refines());
    let (images, labels) = images(network, 24, seed);
    let all: Vec<usize> = (0..24).collect();
    let before = certifier
        .certify_inputs(&images, &labels, &all, &Unwatched)
        .unwrap();
    let mut after = before.clone();
    certifier
        .refine(&mut after, &images, Instant::now(), &Unwatched)
        .unwrap();
    assert_eq!(after, before, "no time, no change");
    certifier
        .refine(&mut after, &images, deadline, &Unwatched)
        .unwrap();
    let options = options(Target::All, Method::Sqp);
    let examples = search(network, &images, &labels, &all, &options, &Unwatched).unwrap();
    let (mut sums, mut count) = ([0.0; 3], 0);
    for ((before, after), example) in before.iter().zip(&after).zip(&examples) {
        assert!(after.radius >= before.radius);
        assert_eq!(after.lipschitz, before.lipschitz);
        if example.success && !example.already_misclassified {
            assert!(example.l2 >= after.radius, "{after:?} {}", example.l2);
            let image = images.input(after.position);
            let linear = by_linear_bounds(certifier, image, after.label);
            let parts = [linear, after.radius, example.l2];
            sums.iter_mut()
                .zip(parts)
                .for_each(|(sum, part)| *sum += part);
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
    hold_against_attempts(network, &images, &after[..8], seed);
    let [first, last, found] = sums;
    println!("{seed}: {:.3} to {:.3}", first / found, last / found);
    (last / first, after)
}

#[test]
fn refined_certificates_grow_and_stay_below_every_perturbation_found() {
    for (seed, (unary, layers)) in [(Unary::Sigmoid, 2), (Unary::Tanh, 1), (Unary::Tanh, 2)]
        .into_iter()
        .enumerate()
    {
        let network = smooth(20, unary, layers, 10 + seed);
        let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
        let (growth, after) = grown(&network, &certifier, 200 + seed, far());
        assert!(growth > 1.03, "{unary:?} {layers}: {growth}");
        let (images, labels) = images(&network, 24, 200 + seed);
        let few: Vec<usize> = (0..6).collect();
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        let mut again = certifier
            .certify_inputs(&images, &labels, &few, &Unwatched)
            .unwrap();
        threads
            .install(|| certifier.refine(&mut again, &images, far(), &Unwatched))
            .unwrap();
        assert_eq!(again[..], after[..6], "the same for any number of threads");
    }
}

#[test]
fn networks_of_many_smooth_layers_are_not_refined() {
    let stack = Stack::new(&[20], 90);
    let stack = stack.dense(20, 10).activation(Unary::Sigmoid);
    let stack = stack.dense(10, 10).activation(Unary::Tanh);
    let network = stack
        .dense(10, 10)
        .activation(Unary::Tanh)
        .dense(10, 4)
        .network();
    let (images, labels) = images(&network, 3, 0);
    let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
    assert!(!certifier.refines());
    let before = certifier
        .certify_inputs(&images, &labels, &[0, 1, 2], &Unwatched)
        .unwrap();
    let mut after = before.clone();
    certifier
        .refine(&mut after, &images, far(), &Unwatched)
        .unwrap();
    assert_eq!(before, after);
}
