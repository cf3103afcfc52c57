//! What must hold of certificates refined by branching on ReLUs.

use std::time::{Duration, Instant};

use super::refined::{by_linear_bounds, far, grown};
use super::*;
use crate::certify::activation::ActivationLayer;
use crate::certify::affine::AffineLayers;
use crate::certify::arithmetic::Rounding;
use crate::certify::first_layer::FirstLayer;
use crate::certify::lowered::Lowered;
use crate::certify::outcome::Outcome;
use crate::certify::perturbation_box::PerturbationBox;
use crate::certify::propagation::BoundPropagation;
use crate::certify::relaxation::Activation;
use crate::certify::relu_branching::{ReluBranching, has_relus};
use crate::certify::subproblem::{Phase, Subproblem, Trial, UnstableUnit};

/// Units and classes over images of two values.
fn flat(seed: usize) -> Network<f32> {
    let gain = 3.0;
    let op = || Op::Gemm(Gemm { trans_b: false });
    Stack::new(&[2], 120 + seed)
        .add(op(), &[&[2, 8], &[8]], gain)
        .activation(Unary::Relu)
        .add(op(), &[&[8, 6], &[6]], 0.6)
        .activation(Unary::Relu)
        .dense(6, 3)
        .network()
}

/// The distance of the nearest other answer along rays: in each of many directions as far as the
/// box goes.
fn nearest(network: &Network<f32>, image: &[f32], label: usize) -> f64 {
    const RAYS: usize = 720;
    const STEPS: usize = 400;
    let exact = network.cast::<f64>();
    let mut evaluator = Evaluator::new(&exact);
    let mut nearest = f64::INFINITY;
    for ray in 0..RAYS {
        let (sin, cos) = (std::f64::consts::TAU * ray as f64 / RAYS as f64).sin_cos();
        let at = |far: f64| {
            [
                f64::from(image[0]) + far * cos,
                f64::from(image[1]) + far * sin,
            ]
        };
        let inside = |far: f64| at(far).iter().all(|x| (0.0..=1.0).contains(x));
        let mut other = |far: f64| {
            evaluator.input(1).copy_from_slice(&at(far));
            argmax(evaluator.forward()) != label
        };
        let limit = nearest.min(1.5);
        let steps = (1..=STEPS).map(|step| limit * step as f64 / STEPS as f64);
        let found = steps.take_while(|&far| inside(far)).find(|&far| other(far));
        if let Some(mut high) = found {
            let mut low = high - limit / STEPS as f64;
            for _ in 0..40 {
                let middle = 0.5 * (low + high);
                if other(middle) {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            nearest = nearest.min(high);
        }
    }
    nearest
}

#[test]
fn with_time_the_certificate_is_nearly_the_exact_distance() {
    let (mut seen, mut first, mut last) = (0, 0.0, 0.0);
    for seed in 0..6 {
        let network = flat(seed);
        let (images, labels) = images(&network, 8, 400 + seed);
        let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
        assert!(certifier.refines());
        let all: Vec<usize> = (0..8).collect();
        let before = certifier
            .certify_inputs(&images, &labels, &all, &Unwatched)
            .unwrap();
        let mut after = before.clone();
        certifier
            .refine(&mut after, &images, far(), &Unwatched)
            .unwrap();
        for (before, after) in before.iter().zip(&after) {
            let image = &images.values()[2 * after.position..][..2];
            let nearest = nearest(&network, image, after.label);
            assert!(after.radius >= before.radius);
            if nearest < 1.0 {
                let ratio = after.radius / nearest;
                assert!(ratio <= 1.0 && ratio > 0.98, "{seed}: {after:?} {nearest}");
                first += by_linear_bounds(&certifier, image, after.label) / nearest;
                last += ratio;
                seen += 1;
            }
        }
    }
    println!(
        "{seen}: {} {}",
        first / f64::from(seen),
        last / f64::from(seen)
    );
    assert!(seen > 10 && first < 0.95 * last, "{seen} {first} {last}");
}

/// What each activation takes at an input, and the network's output.
fn walk(layers: &AffineLayers, bounds: &mut BoundPropagation<'_>, input: &[f64]) -> Vec<Vec<f64>> {
    let mut values = input.to_vec();
    let mut taken = Vec::new();
    for layer in 0..layers.affine.len() {
        bounds.apply(layer, 1, &mut values);
        taken.push(values.clone());
        let Some(between) = layers.activations.get(layer) else {
            break;
        };
        let (active, passing) = values.split_at(layers.activated[layer]);
        let mut next: Vec<f64> = match between {
            ActivationLayer::Elementwise(Activation::Relu) => {
                active.iter().map(|z| z.max(0.0)).collect()
            }
            ActivationLayer::Elementwise(Activation::Tanh) => {
                active.iter().map(|z| z.tanh()).collect()
            }
            ActivationLayer::Elementwise(Activation::Sigmoid) => {
                active.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect()
            }
            ActivationLayer::MaxPool(windows) => {
                let most = |window: &Vec<u32>| {
                    let seen = window.iter().map(|&i| active[i as usize]);
                    seen.fold(f64::NEG_INFINITY, f64::max)
                };
                windows.iter().map(most).collect()
            }
            ActivationLayer::Curves(curves) => {
                let pairs = active.iter().zip(curves.iter().cycle());
                pairs.map(|(z, curve)| curve.value(*z)).collect()
            }
            ActivationLayer::Products(sums) | ActivationLayer::Squares { squares: sums, .. } => {
                let product = |&[a, b]: &[u32; 2]| active[a as usize] * active[b as usize];
                let sums = sums.iter();
                sums.map(|pairs| pairs.iter().map(product).sum()).collect()
            }
        };
        next.extend_from_slice(passing);
        values = next;
    }
    taken
}

/// Whatever the parameters, and wherever the ball is cut.
#[test]
fn no_point_of_a_subproblem_has_a_margin_below_its_bound() {
    let (mut parts, mut inside) = (0, 0);
    for (n, network) in networks().iter().enumerate() {
        let layers = AffineLayers::new(
            &Lowered::new(&network.into()).unwrap(),
            1.0,
            &Rounding::SINGLE,
        )
        .unwrap();
        if !has_relus(&layers) {
            continue;
        }
        let first = FirstLayer::new(&layers.affine[0]);
        let (mut propagation, mut exact) = (
            BoundPropagation::new(&layers, &first),
            BoundPropagation::new(&layers, &first),
        );
        let (images, labels) = images(network, 4, 600 + n);
        let (length, classes) = (network.input_len(), network.output_len());
        for (image, &label) in images.values().chunks_exact(length).zip(&labels) {
            let domain = PerturbationBox::new(image, 0.0, 1.0);
            let mut stream = Stream::new(19, "parts of a test", n);
            for radius in [0.05, 0.2, 0.6] {
                let near = |stream: &mut Stream, of: &[f64], far: f64| -> Vec<f64> {
                    let d: Vec<f64> = of.iter().map(|_| stream.normal()).collect();
                    let size = d.iter().map(|d| d * d).sum::<f64>().sqrt();
                    let moved = of.iter().zip(&d).map(|(x, d)| x + far * d / size);
                    moved.map(|x| x.clamp(0.0, 1.0)).collect()
                };
                let place = near(&mut stream, &domain.image, 0.6 * radius);
                let there = walk(&layers, &mut exact, &place);
                let mut branching = ReluBranching::new(&mut propagation, &domain, radius).unwrap();
                let mut subproblem = Subproblem::new(0, vec![0.0; branching.units.len()]);
                for (u, unit) in branching.units.iter().enumerate() {
                    let open = there[unit.layer][unit.at] >= 0.0;
                    (subproblem.phases[u], subproblem.alpha_beta[u]) = if stream.uniform() < 0.6 {
                        (Phase::Unstable, stream.uniform())
                    } else if open {
                        (Phase::Active, stream.normal().abs())
                    } else {
                        (Phase::Inactive, stream.normal().abs())
                    };
                }
                let mut margin = vec![0.0; classes];
                (margin[label], margin[(label + 1) % classes]) = (1.0, -1.0);
                let trials = [Trial::new(&mut subproblem)];
                let bound = branching.bound(margin.clone(), &trials).bounds;
                assert!(bound[0].is_finite());
                parts += 1;
                for _ in 0..60 {
                    let far = 0.4 * radius * stream.uniform();
                    let point = near(&mut stream, &place, far);
                    let taken = walk(&layers, &mut exact, &point);
                    let on_side = |(phase, unit): (&Phase, &UnstableUnit)| {
                        let z = taken[unit.layer][unit.at];
                        match phase {
                            Phase::Unstable => true,
                            Phase::Active => z >= 0.0,
                            Phase::Inactive => z <= 0.0,
                        }
                    };
                    if subproblem.phases.iter().zip(&branching.units).all(on_side) {
                        let output = taken.last().unwrap();
                        let value: f64 = output.iter().zip(&margin).map(|(y, s)| y * s).sum();
                        assert!(value >= bound[0], "network {n}: {value} {}", bound[0]);
                        inside += 1;
                    }
                }
            }
        }
    }
    assert!(parts > 40 && inside > 10 * parts, "{parts} {inside}");
}

#[test]
fn what_is_stopped_is_not_verified() {
    let network = flat(1);
    let layers = AffineLayers::new(
        &Lowered::new(&(&network).into()).unwrap(),
        1.0,
        &Rounding::SINGLE,
    )
    .unwrap();
    let first = FirstLayer::new(&layers.affine[0]);
    let mut propagation = BoundPropagation::new(&layers, &first);
    let (images, labels) = images(&network, 8, 700);
    let mut most = 0;
    for (image, &label) in images.values().chunks_exact(2).zip(&labels) {
        let domain = PerturbationBox::new(image, 0.0, 1.0);
        let mut margins = vec![0.0; 6];
        let others = (0..3).filter(|&class| class != label);
        for (margin, other) in margins.chunks_exact_mut(3).zip(others) {
            (margin[label], margin[other]) = (1.0, -1.0);
        }
        let mut on = |radius: f64, after: usize| {
            let looks = std::cell::Cell::new(0);
            let stop = || looks.replace(looks.get() + 1) >= after;
            let mut branching = ReluBranching::new(&mut propagation, &domain, radius).unwrap();
            let outcome = branching.verify(&margins, 500, |_| false, &stop);
            (outcome, looks.get())
        };
        for i in 1..100 {
            let radius = 0.01 * f64::from(i);
            let (outcome, looks) = on(radius, usize::MAX);
            if outcome != Outcome::Verified {
                break;
            }
            most = most.max(looks);
            // The clock is looked at before each step.
            for after in 0..looks {
                assert_eq!(on(radius, after).0, Outcome::Unknown, "{radius} {after}");
            }
        }
    }
    assert!(most > 5, "{most}");
}

#[test]
fn certificates_of_networks_with_relus_grow_and_hold() {
    let mut refined = 0;
    for (n, network) in networks().iter().enumerate() {
        let certifier = Certifier::for_network(network, InputBox::default()).unwrap();
        let has = |unary: Unary| {
            let mut nodes = network.graph().nodes().iter();
            nodes.any(|node| node.op == Op::Unary(unary))
        };
        if !has(Unary::Relu) {
            continue;
        }
        refined += 1;
        let soon = Instant::now() + Duration::from_secs(2);
        let (growth, _) = grown(network, &certifier, 500 + n, soon);
        // The lines of sigmoid units stay what they are.
        let least = if has(Unary::Sigmoid) { 1.001 } else { 1.2 };
        assert!(growth > least, "network {n}: {growth}");
    }
    assert!(refined > 3);
}

#[test]
fn the_bits_of_branching_do_not_depend_on_threads() {
    let network = flat(9);
    let (images, labels) = images(&network, 6, 409);
    let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let mut found = certifier
                .certify_inputs(&images, &labels, &[0, 1, 2, 3, 4, 5], &Unwatched)
                .unwrap();
            certifier
                .refine(&mut found, &images, far(), &Unwatched)
                .unwrap();
            found
        })
    };
    assert_eq!(on(1), on(3));
}
