//! What must hold of refined certificates.

use std::time::{Duration, Instant};

use super::*;
use crate::certify::ball::Room;
use crate::certify::bounds::{Bounds, First};
use crate::certify::chain::Chain;
use crate::certify::curvature::Curved;
use crate::certify::refine::Outcome;
use crate::certify::slices::Slices;

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

/// Points of the ball and the box: at random inside and at the edge, and where the parabola is low.
#[test]
fn no_point_of_the_ball_has_a_lead_below_its_parabola() {
    let mut tightest = f64::INFINITY;
    for (seed, unary) in [Unary::Sigmoid, Unary::Tanh].into_iter().enumerate() {
        for layers in [1, 2] {
            let network = smooth(20, unary, layers, seed);
            let chain = Chain::new(&network, 1.0).unwrap();
            let first = First::new(&chain.segments[0]);
            let curved = Curved::new(&chain).unwrap();
            let mut bounds = Bounds::new(&chain, &first);
            let (images, labels) = images(&network, 6, seed);
            let exact = network.cast::<f64>();
            let mut evaluator = Evaluator::new(&exact);
            for (image, &label) in images.values().chunks_exact(20).zip(&labels) {
                let room = Room::new(image, 0.0, 1.0);
                let mut stream = Stream::new(15, "points of a test", seed);
                for radius in [0.05, 0.3, 1.0] {
                    let ranges = bounds.ranges(&room, radius).unwrap();
                    let centre = curved.centre(&room, radius, &ranges);
                    let rival = (label + 1) % 4;
                    let parabola = curved.parabola(&centre, label, rival);
                    let axes = curved.axes(&parabola).unwrap();
                    let least = Slices::new(&parabola, &axes, &room, radius).lead();
                    assert!(curved.coarse(&parabola, &room, radius) <= least + 1e-9);
                    for attempt in 0..200 {
                        let axis = &axes.rows.row(attempt % axes.values.len());
                        let mixed = stream.normal();
                        let d: Vec<f64> = (0..20)
                            .map(|i| match attempt % 3 {
                                0 => stream.normal(),
                                1 => mixed * axis[i] - parabola.slope[i],
                                _ => 0.2 * stream.normal() - parabola.slope[i],
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
                        let lead = logits[label] - logits[rival];
                        let slope = parabola.slope.iter().zip(&moved);
                        let along = axes.values.iter().enumerate().map(|(i, value)| {
                            let row = axes.rows.row(i).iter().zip(&moved);
                            value * row.map(|(p, d)| p * d).sum::<f64>().powi(2)
                        });
                        let below = parabola.lead + slope.map(|(a, d)| a * d).sum::<f64>()
                            - 0.5 * along.sum::<f64>();
                        assert!(lead >= below - 1e-12, "{unary:?} {layers}: {lead} {below}");
                        assert!(
                            below >= least - 1e-12,
                            "{unary:?} {layers}: {below} {least}"
                        );
                        tightest = tightest.min(lead - below);
                    }
                }
            }
        }
    }
    assert!(tightest < 1e-3, "{tightest}");
}

/// In a corner of the box the least value of a parabola over two inputs is that of a fine grid. The
/// bound of the whole ball is not above it, and slices tell on which side of 0 it is.
#[test]
fn slices_find_the_least_value_of_a_parabola_in_a_corner() {
    let (mut certain, mut refuted, mut whole) = (0, 0, 0);
    for seed in 0..40 {
        let network = smooth(2, Unary::Tanh, 1, seed);
        let chain = Chain::new(&network, 1.0).unwrap();
        let first = First::new(&chain.segments[0]);
        let curved = Curved::new(&chain).unwrap();
        let mut bounds = Bounds::new(&chain, &first);
        let (image, radius) = ([0.1f32, 0.05], 0.4);
        let room = Room::new(&image, 0.0, 1.0);
        let ranges = bounds.ranges(&room, radius).unwrap();
        let centre = curved.centre(&room, radius, &ranges);
        let mut parabola = curved.parabola(&centre, 0, 1);
        let axes = curved.axes(&parabola).unwrap();
        let value = |d: [f64; 2]| {
            let along = (0..2).map(|i| {
                let row = axes.rows.row(i);
                axes.values[i] * (row[0] * d[0] + row[1] * d[1]).powi(2)
            });
            parabola.slope[0] * d[0] + parabola.slope[1] * d[1] - 0.5 * along.sum::<f64>()
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
        let lead = Slices::new(&parabola, &axes, &room, radius).lead() - parabola.lead;
        assert!(lead <= fall + 1e-9, "{lead} {fall}");
        // A lead that stays above 0 by one part in 100 of what it falls by, and one that doesn't.
        for (part, above) in [(1.01, true), (0.99, false)] {
            parabola.lead = -part * fall;
            let mut slices = Slices::new(&parabola, &axes, &room, radius);
            whole += usize::from(slices.lead() > 0.0);
            let mut most = 2_000;
            match slices.certain(&mut most, &|| false) {
                Outcome::Certain => {
                    assert!(above, "{seed}");
                    certain += 1;
                }
                Outcome::Refuted => {
                    assert!(!above, "{seed}");
                    refuted += 1;
                }
                Outcome::Open => {}
            }
        }
    }
    assert!(
        certain > 35 && refuted > 35 && whole < certain,
        "{certain} {refuted} {whole}"
    );
}

/// The certificates of 24 images as they are at `deadline`, and how much larger they are in the mean than
/// without time, over those images for which a change was found. They only grow, no change is smaller, and
/// nothing within them alters a label.
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
        .certify(&images, &labels, &all, &Unwatched)
        .unwrap();
    let mut after = before.clone();
    certifier
        .refine(&mut after, &images, Instant::now(), &Unwatched)
        .unwrap();
    assert_eq!(after, before, "no time, no change");
    certifier
        .refine(&mut after, &images, deadline, &Unwatched)
        .unwrap();
    let options = SearchOptions {
        target: Target::All,
        ..SearchOptions::default()
    };
    let examples = search(network, &images, &labels, &all, &options, &Unwatched).unwrap();
    let (mut sums, mut count) = ([0.0; 3], 0);
    for ((before, after), example) in before.iter().zip(&after).zip(&examples) {
        assert!(after.distance >= before.distance);
        assert_eq!(after.lipschitz, before.lipschitz);
        if example.success && !example.already_misclassified {
            assert!(example.l2 >= after.distance, "{after:?} {}", example.l2);
            let parts = [before.distance, after.distance, example.l2];
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
fn refined_certificates_grow_and_stay_below_every_change_found() {
    for (seed, (unary, layers)) in [(Unary::Sigmoid, 2), (Unary::Tanh, 1), (Unary::Tanh, 2)]
        .into_iter()
        .enumerate()
    {
        let network = smooth(20, unary, layers, 10 + seed);
        let certifier = Certifier::new(&network, InputBox::default()).unwrap();
        let (growth, after) = grown(&network, &certifier, 200 + seed, far());
        assert!(growth > 1.03, "{unary:?} {layers}: {growth}");
        let (images, labels) = images(&network, 24, 200 + seed);
        let few: Vec<usize> = (0..6).collect();
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        let mut again = certifier
            .certify(&images, &labels, &few, &Unwatched)
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
    let certifier = Certifier::new(&network, InputBox::default()).unwrap();
    assert!(!certifier.refines());
    let before = certifier
        .certify(&images, &labels, &[0, 1, 2], &Unwatched)
        .unwrap();
    let mut after = before.clone();
    certifier
        .refine(&mut after, &images, far(), &Unwatched)
        .unwrap();
    assert_eq!(before, after);
}
