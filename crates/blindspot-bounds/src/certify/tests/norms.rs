//! What must hold of certificates in Linf, L1 and L0.

use std::time::Duration;

use blindspot_model::{Grouping, Norm};
use blindspot_testing::{HIGHS, python, run_python, skip};

use super::*;

const NORMS: [Norm; 3] = [Norm::Linf, Norm::L1, Norm::L0];

fn certified(
    certifier: &Certifier,
    images: &InMemory,
    labels: &[usize],
    count: usize,
) -> Vec<Certificate> {
    let all: Vec<usize> = (0..count).collect();
    let found = certifier.certify_inputs(images, labels, &all, &Unwatched);
    found.unwrap()
}

/// Of each image and other class the margin's gradient, the margin, and the ends of the box.
type Margin = (Vec<f64>, f64, Vec<f64>, Vec<f64>);

fn margins(evaluator: &mut Evaluator<'_, f64>, image: &[f32], label: usize) -> Vec<Margin> {
    let wide: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
    evaluator.input(1).copy_from_slice(&wide);
    let logits = evaluator.forward().to_vec();
    let others = (0..logits.len()).filter(|&other| other != label);
    others
        .map(|other| {
            let mut output = vec![0.0; logits.len()];
            (output[label], output[other]) = (1.0, -1.0);
            let gradient = evaluator.backward(&output).to_vec();
            let ends = [0.0, 1.0].map(|end| wide.iter().map(|x| end - x).collect());
            let [lower, upper] = ends;
            (gradient, logits[label] - logits[other], lower, upper)
        })
        .collect()
}

#[test]
fn on_linear_networks_certificates_are_the_linear_programs_optimum() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let (mut problems, mut found) = (Vec::new(), Vec::new());
    for seed in 0..2 {
        let network = Stack::new(&[50], 20 + seed).dense(50, 5).network();
        let (images, labels) = images(&network, 20, seed);
        let exact = network.cast::<f64>();
        let mut evaluator = Evaluator::new(&exact);
        for norm in [Norm::Linf, Norm::L1] {
            let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
            let certifier = certifier.arithmetic(Arithmetic::Exact).norm(norm);
            for certificate in certified(&certifier, &images, &labels, 20) {
                let image = &images.values()[certificate.position * 50..][..50];
                for (gradient, margin, lower, upper) in
                    margins(&mut evaluator, image, certificate.label)
                {
                    let falling: Vec<f64> = gradient.iter().map(|g| -g).collect();
                    problems.push((norm.to_string(), [falling], [margin], lower, upper));
                }
                assert!(certificate.lipschitz.unwrap() <= certificate.radius);
                found.push(certificate.radius);
            }
        }
    }
    let input = serde_json::to_vec(&problems).unwrap();
    let output = run_python(HIGHS, [""; 0], input).unwrap();
    let least: Vec<f64> = serde_json::from_str(&output).unwrap();
    let mut seen = 0;
    for (radius, least) in found.iter().zip(least.chunks_exact(4)) {
        let least = least.iter().copied().fold(f64::INFINITY, f64::min);
        if least < 1e300 {
            let ratio = radius / least;
            assert!(
                ratio <= 1.0 + 1e-8 && ratio > 1.0 - 1e-6,
                "{radius} {least}"
            );
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

/// In L0 the optimum changes the values that lower the margin the most.
#[test]
fn on_linear_networks_a_certificate_is_the_least_number_of_changes() {
    let (mut seen, mut of_pixels) = (0, 0);
    for seed in 0..4 {
        let network = Stack::new(&[2, 5, 5], 20 + seed);
        let flat = Op::Reshape(Reshape { shape: vec![50] });
        let network = network.add(flat, &[], 1.0).dense(50, 5).network();
        let (images, labels) = images(&network, 20, seed);
        let exact = network.cast::<f64>();
        let mut evaluator = Evaluator::new(&exact);
        let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
        let certifier = certifier.arithmetic(Arithmetic::Exact).norm(Norm::L0);
        let by_value = certified(&certifier, &images, &labels, 20);
        let certifier = certifier.grouping(Grouping::Pixel);
        let by_pixel = certified(&certifier, &images, &labels, 20);
        for (by_value, by_pixel) in by_value.iter().zip(by_pixel) {
            let image = &images.values()[by_value.position * 50..][..50];
            let margins = margins(&mut evaluator, image, by_value.label);
            let least = |channels: usize| {
                let needed = margins.iter().map(|(gradient, margin, lower, upper)| {
                    let mut gains = vec![0.0; 50 / channels];
                    for (i, g) in gradient.iter().enumerate() {
                        let far = if *g > 0.0 { -lower[i] } else { upper[i] };
                        gains[i % (50 / channels)] += g.abs() * far;
                    }
                    gains.sort_by(|a: &f64, b| b.total_cmp(a));
                    let mut left = *margin;
                    let fits = gains.iter().take_while(|gain| {
                        left -= **gain;
                        left > 0.0
                    });
                    fits.count() as f64 + 1.0
                });
                needed.fold(f64::INFINITY, f64::min)
            };
            let (values, pixels) = (least(1), least(2));
            if values <= 50.0 {
                assert_eq!(by_value.radius, values, "{by_value:?}");
                seen += 1;
            }
            assert!(
                by_pixel.radius <= pixels && by_pixel.radius >= 1.0,
                "{by_pixel:?} {pixels}"
            );
            of_pixels += usize::from(by_pixel.radius > 1.0);
        }
    }
    assert!(seen > 50 && of_pixels > 10, "{seen} {of_pixels}");
}

#[test]
fn no_search_in_a_norm_finds_a_change_smaller_than_the_certificate_in_it() {
    for (n, network) in networks().iter().enumerate() {
        let (images, labels) = images(network, 20, 100 + n);
        let all: Vec<usize> = (0..20).collect();
        for norm in NORMS {
            let certifier = Certifier::for_network(network, InputBox::default()).unwrap();
            let certifier = certifier.norm(norm);
            let mut found = certified(&certifier, &images, &labels, 20);
            let soon = std::time::Instant::now() + Duration::from_millis(100);
            certifier
                .refine(&mut found, &images, soon, &Unwatched)
                .unwrap();
            let mut ratios = Vec::new();
            let options = options(Target::All, Method::Sqp).norm(norm);
            let examples = search(network, &images, &labels, &all, &options, &Unwatched).unwrap();
            for (example, certificate) in examples.iter().zip(&found) {
                if example.success && !example.already_misclassified {
                    let norm = example.norm(norm);
                    assert!(norm >= certificate.radius, "{n}: {norm} {certificate:?}");
                    ratios.push(certificate.radius / norm);
                }
            }
            let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
            println!("network {n}, {norm}: {mean:.3}, {}", ratios.len());
            assert!(
                ratios.len() > 10 && mean > 0.05,
                "network {n}, {norm}: {mean}"
            );
        }
    }
}

/// The corners of a ball are where linear functions are the smallest: signs in Linf, few values in
/// L1 and L0.
#[test]
fn nothing_at_the_corners_of_a_certified_ball_changes_the_label() {
    let mut moved = 0;
    for (n, network) in networks().iter().enumerate() {
        let (images, labels) = images(network, 6, n);
        let exact = network.cast::<f64>();
        let mut evaluator = Evaluator::new(&exact);
        let (length, classes) = (network.input_len(), network.output_len());
        for norm in NORMS {
            let certifier = Certifier::for_network(network, InputBox::default()).unwrap();
            for certificate in certified(&certifier.norm(norm), &images, &labels, 6) {
                let image = &images.values()[certificate.position * length..][..length];
                let mut stream = Stream::new(23, "corners of a test", certificate.index);
                for attempt in 0..200 {
                    let other = (certificate.label + 1 + attempt % (classes - 1)) % classes;
                    let mut output = vec![0.0; classes];
                    (output[other], output[certificate.label]) = (1.0, -1.0);
                    let input = evaluator.input(1).iter_mut().zip(image);
                    input.for_each(|(place, &x)| *place = f64::from(x));
                    evaluator.forward();
                    let noise = 0.5 * (attempt / 20) as f64;
                    let gradient = evaluator.backward(&output).to_vec();
                    let size = gradient.iter().map(|g| g.abs()).sum::<f64>() / length as f64;
                    let slopes: Vec<f64> = gradient
                        .iter()
                        .map(|g| g + noise * size * stream.normal())
                        .collect();
                    let at = corner(norm, &slopes, image, certificate.radius);
                    evaluator.input(1).copy_from_slice(&at);
                    let answer = argmax(evaluator.forward());
                    assert_eq!(
                        answer, certificate.label,
                        "network {n}, {norm}: {certificate:?}"
                    );
                    moved += 1;
                }
            }
        }
    }
    assert!(moved > 20_000, "{moved}");
}

/// The point of the ball and the box at which a linear function rises the most.
pub(super) fn corner(norm: Norm, slopes: &[f64], image: &[f32], radius: f64) -> Vec<f64> {
    let mut at: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
    let end = |i: usize| if slopes[i] > 0.0 { 1.0 } else { 0.0 };
    let mut order: Vec<usize> = (0..at.len()).collect();
    let gain = |i: &usize| match norm {
        Norm::L0 => slopes[*i].abs() * (end(*i) - f64::from(image[*i])).abs(),
        _ => slopes[*i].abs(),
    };
    order.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    // Just inside.
    let mut left = radius * (1.0 - 1e-12);
    for (rank, i) in order.into_iter().enumerate() {
        let far = (end(i) - at[i]).abs();
        let step = match norm {
            Norm::L0 if ((rank + 1) as f64) < radius => far,
            Norm::L0 => 0.0,
            _ => far.min(left),
        };
        at[i] += step.copysign(slopes[i]);
        if norm == Norm::L1 {
            left -= step;
        }
    }
    at
}
