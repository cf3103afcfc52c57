//! What must hold of certificates refined by splitting ReLUs.

use std::time::{Duration, Instant};

use super::refined::far;
use super::*;

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

/// The distance of the nearest other answer, by looking along rays: in each of many directions as far as
/// the box goes.
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
fn with_time_the_certificate_is_the_exact_distance() {
    let (mut seen, mut first, mut last) = (0, 0.0, 0.0);
    for seed in 0..6 {
        let network = flat(seed);
        let (images, labels) = images(&network, 8, 400 + seed);
        let certifier = Certifier::new(&network, InputBox::default()).unwrap();
        assert!(certifier.refines());
        let all: Vec<usize> = (0..8).collect();
        let before = certifier
            .certify(&images, &labels, &all, &Unwatched)
            .unwrap();
        let mut after = before.clone();
        certifier.refine(&mut after, &images, far(), &Unwatched);
        for (before, after) in before.iter().zip(&after) {
            let image = &images.values()[2 * after.index..][..2];
            let nearest = nearest(&network, image, after.label);
            assert!(after.distance >= before.distance);
            if nearest < 1.0 {
                let ratio = after.distance / nearest;
                assert!(ratio <= 1.0 && ratio > 0.98, "{seed}: {after:?} {nearest}");
                first += before.distance / nearest;
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

#[test]
fn certificates_of_networks_with_relus_grow_and_hold() {
    let mut refined = 0;
    for (n, network) in networks().iter().enumerate() {
        let certifier = Certifier::new(network, InputBox::default()).unwrap();
        let has = |unary: Unary| {
            let mut nodes = network.graph().nodes().iter();
            nodes.any(|node| node.op == Op::Unary(unary))
        };
        if !has(Unary::Relu) {
            continue;
        }
        refined += 1;
        assert!(certifier.refines());
        let (images, labels) = images(network, 24, 500 + n);
        let all: Vec<usize> = (0..24).collect();
        let before = certifier
            .certify(&images, &labels, &all, &Unwatched)
            .unwrap();
        let mut after = before.clone();
        let soon = Instant::now() + Duration::from_secs(2);
        certifier.refine(&mut after, &images, soon, &Unwatched);
        let mut stopped = before.clone();
        certifier.refine(&mut stopped, &images, Instant::now(), &Unwatched);
        assert_eq!(stopped, before, "no time, no change");
        let options = SearchOptions {
            target: Target::All,
            ..SearchOptions::default()
        };
        let examples = search(network, &images, &labels, &all, &options, &Unwatched).unwrap();
        let (mut sums, mut count) = ([0.0; 3], 0);
        for ((before, after), example) in before.iter().zip(&after).zip(&examples) {
            assert!(after.distance >= before.distance);
            if example.success && !example.already_wrong() {
                assert!(example.l2 >= after.distance, "{after:?} {}", example.l2);
                let parts = [before.distance, after.distance, example.l2];
                sums.iter_mut()
                    .zip(parts)
                    .for_each(|(sum, part)| *sum += part);
                count += 1;
            }
        }
        let [first, last, found] = sums;
        println!("network {n}: {:.3} to {:.3}", first / found, last / found);
        // The lines of sigmoid units stay what they are.
        let growth = if has(Unary::Sigmoid) { 1.001 } else { 1.2 };
        assert!(
            count > 10 && last > growth * first,
            "network {n}: {first} {last}"
        );
        hold_against_attempts(network, &images, &after[..8], n);
    }
    assert!(refined > 3);
}

#[test]
fn the_bits_of_split_balls_do_not_depend_on_threads() {
    let network = flat(9);
    let (images, labels) = images(&network, 6, 409);
    let certifier = Certifier::new(&network, InputBox::default()).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let mut found = certifier
                .certify(&images, &labels, &[0, 1, 2, 3, 4, 5], &Unwatched)
                .unwrap();
            certifier.refine(&mut found, &images, far(), &Unwatched);
            found
        })
    };
    assert_eq!(on(1), on(3));
}
