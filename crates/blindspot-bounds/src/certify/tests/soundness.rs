//! Certificates against every method, on networks of the paper's kinds with random weights.

use std::time::{Duration, Instant};

use super::*;

/// A convolutional network like the paper's, smaller.
fn convolutional(seed: usize) -> Network<f32> {
    let convolution = Op::Conv(Conv {
        window: Window::dense(&[5, 5]),
        groups: 1,
    });
    let pool = Op::Pool(Pool {
        kind: PoolKind::Max,
        window: Window {
            strides: vec![2; 2],
            ..Window::dense(&[2, 2])
        },
        ceil: false,
    });
    let flat = Op::Reshape(Reshape { shape: vec![64] });
    Stack::new(&[1, 12, 12], seed)
        .add(convolution, &[&[4, 1, 5, 5], &[4]], 0.3)
        .activation(Unary::Relu)
        .add(pool, &[], 1.0)
        .add(flat, &[], 1.0)
        .dense(64, 16)
        .activation(Unary::Relu)
        .dense(16, 10)
        .network()
}

/// Images of 784 values: softmax, two layers of sigmoid units (100, 200), an autoencoder's one
/// layer.
fn paper_networks() -> Vec<(&'static str, Network<f32>)> {
    let dense = |seed: usize, widths: &[usize]| {
        let mut stack = Stack::new(&[784], 70 + seed);
        let mut below = 784;
        for &width in widths {
            stack = stack.dense(below, width).activation(Unary::Sigmoid);
            below = width;
        }
        stack.dense(below, 10).network()
    };
    vec![
        ("softmax", dense(0, &[])),
        ("FC100-100-10", dense(1, &[100, 100])),
        ("FC200-200-10", dense(2, &[200, 200])),
        ("AE400-10", dense(3, &[400])),
        ("conv", convolutional(74)),
    ]
}

#[test]
fn no_method_finds_a_change_smaller_than_a_refined_certificate() {
    for (n, (name, network)) in paper_networks().into_iter().enumerate() {
        let count = 2;
        let (images, labels) = images(&network, count, 300 + n);
        let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
        let all: Vec<usize> = (0..count).collect();
        let mut certificates = certifier
            .certify_inputs(&images, &labels, &all, &Unwatched)
            .unwrap();
        let soon = Instant::now() + Duration::from_millis(300);
        certifier
            .refine(&mut certificates, &images, soon, &Unwatched)
            .unwrap();
        let mut found = 0;
        for (method, _) in Method::NAMES {
            let options = options(Target::Untargeted, method);
            let examples = search(&network, &images, &labels, &all, &options, &Unwatched).unwrap();
            for (example, certificate) in examples.iter().zip(&certificates) {
                if example.success && !example.already_misclassified {
                    found += 1;
                    assert!(
                        example.l2 >= certificate.radius,
                        "{name}, {method}: {} {certificate:?}",
                        example.l2
                    );
                }
            }
        }
        assert!(found > 4 * count, "{name}: {found}");
        hold_against_attempts(&network, &images, &certificates[..1], n);
    }
}
