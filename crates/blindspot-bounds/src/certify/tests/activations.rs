//! What must hold of the bounds of networks of every activation.

use blindspot_model::Norm;
use blindspot_net::Operand;
use blindspot_net::ops::{MatMul, Normalize, Reduce, ReduceKind, Softmax, Transpose};

use super::norms::corner;
use super::*;
use crate::certify::affine::AffineLayers;
use crate::certify::arithmetic::Rounding;
use crate::certify::curve;
use crate::certify::first_layer::FirstLayer;
use crate::certify::lowered::Lowered;
use crate::certify::perturbation_box::PerturbationBox;
use crate::certify::propagation::BoundPropagation;

const INPUTS: usize = 12;
const NORMS: [Norm; 3] = [Norm::L2, Norm::Linf, Norm::L1];

/// A layer of units: functions of one number, or of two.
#[derive(Debug, Clone, Copy)]
enum Units {
    Unary(Unary),
    /// With a weight for each number, the value first or second.
    Weighted(Binary, bool),
    /// Of each number and the one that a layer of its own gives.
    Both(Binary),
    /// The largest of each three.
    LargestOfThree,
    Squares,
    /// A number times a gate that ends in this function.
    Gated(Unary),
    /// Of each three numbers the scalar products with each other three.
    ScalarProducts,
    /// The Softmax of each three numbers, along the last axis or the first.
    Softmax {
        last: bool,
        log: bool,
    },
    /// Numbers brought to variance 1, and mean 0 if so.
    Normalized {
        centred: bool,
    },
    /// Numbers brought to mean 0 and variance 1 by the operators that files write it out in.
    NormalizedByParts,
    /// Each number over one that is above 0.
    Quotients,
    /// Attention of rows of three numbers to each other.
    Attention,
}

fn kinds() -> Vec<Units> {
    let unary = curve::tests::functions().into_iter().map(Units::Unary);
    let mut all: Vec<Units> = unary.collect();
    all.push(Units::Weighted(Binary::PRelu, true));
    all.extend([true, false].map(|first| Units::Weighted(Binary::Min, first)));
    all.extend([true, false].map(|first| Units::Weighted(Binary::Max, first)));
    all.extend([Binary::Max, Binary::Mul].map(Units::Both));
    all.extend(GATES.map(|(gate, _)| Units::Gated(gate)));
    all.extend([Units::LargestOfThree, Units::Squares, Units::ScalarProducts]);
    let softmaxes = [(true, false), (false, false), (true, true)];
    all.extend(softmaxes.map(|(last, log)| Units::Softmax { last, log }));
    all.extend([true, false].map(|centred| Units::Normalized { centred }));
    all.extend([Units::NormalizedByParts, Units::Quotients, Units::Attention]);
    all.push(Units::Unary(Unary::Exp));
    all
}

/// `depth` layers of such units, with weights `gain` times as large as usual.
fn network(units: Units, depth: usize, gain: f32, seed: usize) -> Network<f32> {
    let mut stack = Stack::new(&[INPUTS], 900 + seed);
    let mut below = INPUTS;
    for width in [12, 9].into_iter().take(depth) {
        stack = stack.dense(below, width);
        below = width;
        stack = match units {
            Units::Unary(unary) => stack.activation(unary),
            Units::Weighted(op, value_first) => {
                let top = stack.top;
                let weighted = stack.node(Op::Binary(op), vec![top], &[&[width]], 0.5);
                if value_first {
                    weighted
                } else {
                    swapped(weighted, op)
                }
            }
            Units::Both(op) => {
                let first = stack.top;
                stack.dense(width, width).with(Op::Binary(op), first)
            }
            Units::Gated(gate) => {
                let number = stack.top;
                gated(stack, gate).with(Op::Binary(Binary::Mul), number)
            }
            Units::Squares => {
                let first = stack.top;
                stack.with(Op::Binary(Binary::Mul), first)
            }
            Units::ScalarProducts => {
                let count = width / 3;
                let permutation = vec![1, 0];
                let rows = stack.add(shape(&[count, 3]), &[], 1.0);
                let first = rows.top;
                let columns = rows.add(Op::Transpose(Transpose { permutation }), &[], 1.0);
                let second = columns.top;
                below = count * count;
                let products = columns.node(Op::MatMul(MatMul), vec![first, second], &[], 1.0);
                products.add(shape(&[below]), &[], 1.0)
            }
            Units::Softmax { last, log } => {
                let rows = stack.add(shape(&[width / 3, 3]), &[], 1.0);
                let axis = usize::from(last);
                let softmax = rows.add(Op::Softmax(Softmax { axis, log }), &[], 1.0);
                softmax.add(shape(&[width]), &[], 1.0)
            }
            Units::Normalized { centred } => {
                let normalize = Normalize {
                    axis: 0,
                    epsilon: 1e-5,
                    centred,
                };
                stack.add(Op::Normalize(normalize), &[], 1.0)
            }
            Units::NormalizedByParts => normalized_by_parts(stack),
            Units::Quotients => {
                let first = stack.top;
                let softplus = stack.dense(width, width).activation(Unary::Softplus);
                let mut divisors = softplus.add(Op::Binary(Binary::Add), &[&[1]], 1.0);
                *divisors.weights.last_mut().unwrap() = vec![0.25];
                let second = divisors.top;
                divisors.node(Op::Binary(Binary::Div), vec![first, second], &[], 1.0)
            }
            Units::Attention => {
                let count = width / 3;
                let rows = stack.add(shape(&[count, 3]), &[], 1.0);
                let values = rows.top;
                let permutation = vec![1, 0];
                let keys = rows.add(Op::Transpose(Transpose { permutation }), &[], 1.0);
                let second = keys.top;
                let scores = keys.node(Op::MatMul(MatMul), vec![values, second], &[], 1.0);
                let softmax = Softmax {
                    axis: 1,
                    log: false,
                };
                let weights = scores.add(Op::Softmax(softmax), &[], 1.0);
                let weighted = weights.with(Op::MatMul(MatMul), values);
                weighted.add(shape(&[width]), &[], 1.0)
            }
            Units::LargestOfThree => {
                let rows = Op::Reshape(Reshape {
                    shape: vec![3, width / 3],
                });
                below = width / 3;
                let largest = Op::Reduce(Reduce {
                    kind: ReduceKind::Max,
                    axes: vec![0],
                    keep_axes: false,
                });
                stack.add(rows, &[], 1.0).add(largest, &[], 1.0)
            }
        };
    }
    let mut stack = stack.dense(below, 4);
    for weight in &mut stack.weights {
        weight.iter_mut().for_each(|w| *w *= gain);
    }
    stack.network()
}

fn shape(shape: &[usize]) -> Op {
    Op::Reshape(Reshape {
        shape: shape.to_vec(),
    })
}

/// Layer normalisation as files write it out.
fn normalized_by_parts(stack: Stack) -> Stack {
    let mean = || {
        Op::Reduce(Reduce {
            kind: ReduceKind::Mean,
            axes: vec![0],
            keep_axes: true,
        })
    };
    let whole = stack.top;
    let stack = stack.add(mean(), &[], 1.0);
    let middle = stack.top;
    let stack = stack.node(Op::Binary(Binary::Sub), vec![whole, middle], &[], 1.0);
    let centred = stack.top;
    let stack = stack
        .with(Op::Binary(Binary::Mul), centred)
        .add(mean(), &[], 1.0);
    let mut stack = stack.add(Op::Binary(Binary::Add), &[&[1]], 1.0);
    *stack.weights.last_mut().unwrap() = vec![1e-5];
    let stack = stack.activation(Unary::Sqrt);
    let deviation = stack.top;
    stack.node(Op::Binary(Binary::Div), vec![centred, deviation], &[], 1.0)
}

/// Gates with the functions that they make of a number.
const GATES: [(Unary, Unary); 4] = [
    (Unary::Sigmoid, Unary::Swish { alpha: 1.0 }),
    (Unary::Tanh, Unary::Mish),
    (Unary::Erf, Unary::Gelu { tanh: false }),
    (HARD, Unary::HardSwish),
];

const HARD: Unary = Unary::HardSigmoid {
    alpha: 1.0 / 6.0,
    beta: 0.5,
};

/// The gate that ends in a function, as files have them.
fn gated(stack: Stack, gate: Unary) -> Stack {
    let number = |stack: Stack, op: Binary, number: f32| {
        let top = stack.top;
        let mut stack = stack.node(Op::Binary(op), vec![top], &[&[]], 1.0);
        *stack.weights.last_mut().unwrap() = vec![number];
        stack
    };
    match gate {
        Unary::Tanh => stack.activation(Unary::Softplus).activation(gate),
        Unary::Erf => {
            let scaled = number(stack, Binary::Div, std::f32::consts::SQRT_2);
            number(scaled.activation(gate), Binary::Add, 1.0)
        }
        _ => stack.activation(gate),
    }
}

/// One more node with the weight as the first operand.
fn swapped(mut stack: Stack, op: Binary) -> Stack {
    let name = format!("first {}", stack.weights.len());
    let id = stack.graph.weight(&name, &[1]).unwrap();
    stack.weights.push(vec![0.25]);
    let operands = [Operand::Weight(id), stack.top];
    let name = format!("swapped {}", stack.weights.len());
    let value = stack.graph.node(&name, Op::Binary(op), &operands, &name);
    stack.top = Operand::Value(value.unwrap());
    stack
}

/// The smallest margin found at corners of a ball, one gradient step after another, and at random.
fn least_margin(
    evaluator: &mut Evaluator<'_, f64>,
    image: &[f32],
    label: usize,
    (norm, radius): (Norm, f64),
    stream: &mut Stream,
) -> f64 {
    let classes = evaluator.network().output_len();
    let start: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
    let mut least = f64::INFINITY;
    for attempt in 0..12 {
        let other = (label + 1 + attempt % (classes - 1)) % classes;
        let mut at = start.clone();
        for step in 0..4 {
            evaluator.input(1).copy_from_slice(&at);
            let logits = evaluator.forward();
            let others = (0..classes).filter(|&class| class != label);
            let margins = others.map(|class| logits[label] - logits[class]);
            least = margins.fold(least, f64::min);
            let mut output = vec![0.0; classes];
            (output[other], output[label]) = (1.0, -1.0);
            let noise = if attempt < 3 || step > 0 { 0.0 } else { 1.0 };
            let gradient = evaluator.backward(&output);
            let slopes = gradient.iter().zip(&start).map(|(g, &x)| {
                let slope = g + noise * stream.normal();
                // Values that can't move that way help nothing.
                if (x == 0.0 && slope < 0.0) || (x == 1.0 && slope > 0.0) {
                    0.0
                } else {
                    slope
                }
            });
            let slopes: Vec<f64> = slopes.collect();
            let moved: Vec<f64> = if norm == Norm::L2 {
                // Slopes of saturated units have squares that underflow.
                let largest = slopes.iter().fold(1e-300, |most: f64, s| most.max(s.abs()));
                let parts: Vec<f64> = slopes.iter().map(|s| s / largest).collect();
                let size = parts.iter().map(|s| s * s).sum::<f64>().sqrt();
                let far = radius * (1.0 - 1e-12) / size.max(1.0);
                let steps = start.iter().zip(&parts);
                steps.map(|(x, s)| x + far * s).collect()
            } else {
                corner(norm, &slopes, image, radius)
            };
            // Clamping moves it nearer, never farther.
            at = moved.iter().map(|x| x.clamp(0.0, 1.0)).collect();
        }
    }
    least
}

/// In balls of all sizes, for weights of all sizes: no margin found is below its bound, and in small
/// balls the bound is near the least margin.
#[test]
fn no_margin_is_below_its_linear_bound_or_its_bound_by_intervals() {
    let (mut seen, mut intervals_hold) = (0, 0);
    let (mut small, mut near, mut near_by_intervals) = (0, 0, 0);
    for (n, units) in kinds().into_iter().enumerate() {
        for (depth, gain) in [(1, 1.0), (2, 1.0), (2, 6.0), (1, 1e3), (2, 1e-3)] {
            let network = network(units, depth, gain, n);
            let exact: blindspot_net::ExactNetwork = (&network).into();
            let layers =
                AffineLayers::new(&Lowered::new(&exact).unwrap(), 1.0, &Rounding::SINGLE).unwrap();
            let mut first = FirstLayer::new(&layers.affine[0]);
            let (images, labels) = images(&network, 4, n);
            let wide = network.cast::<f64>();
            let mut evaluator = Evaluator::new(&wide);
            for norm in NORMS {
                first.set_norm(&layers.affine[0], norm);
                let mut propagation = BoundPropagation::new(&layers, &first);
                let cases = images.values().chunks_exact(INPUTS).zip(&labels);
                for (image, &label) in cases {
                    let domain = PerturbationBox::new(image, 0.0, 1.0).in_norm(norm);
                    let mut stream = Stream::new(33, "points of a test", n);
                    let at_image =
                        least_margin(&mut evaluator, image, label, (norm, 0.0), &mut stream);
                    for radius in [1e-6, 1e-3, 0.05, 0.5, 20.0] {
                        let ball = (norm, radius);
                        let least = least_margin(&mut evaluator, image, label, ball, &mut stream);
                        let bound = propagation.margin(&domain, label, radius);
                        let loose = propagation.interval_margin(&domain, label, radius);
                        let known =
                            format!("{units:?} {depth} {gain} {ball:?}: {least} {bound} {loose}");
                        assert!(bound <= least && loose <= least, "{known}");
                        // Kinks are in the way of few of the smallest balls.
                        let fell = at_image - least;
                        if radius == 1e-6 && depth == 1 && gain == 1.0 {
                            small += 1;
                            near += usize::from(least - bound <= 0.05 * fell + 1e-9);
                            near_by_intervals += usize::from(least - loose <= 30.0 * fell + 1e-9);
                        }
                        seen += 1;
                        intervals_hold += usize::from(loose > 0.0);
                    }
                }
            }
        }
    }
    assert!(
        seen > 5_000 && intervals_hold > seen / 10,
        "{seen} {intervals_hold}"
    );
    let most = small - small / 10;
    assert!(
        near >= most && near_by_intervals >= most,
        "{small} {near} {near_by_intervals}"
    );
}

/// Certificates as they are given, in the arithmetic of runtimes, against gradient steps and searches.
#[test]
fn no_change_smaller_than_a_certificate_is_found() {
    let mut ratios = Vec::new();
    for (n, units) in kinds().into_iter().enumerate() {
        // Exponentials of exponentials overflow in single precision.
        let depth = if matches!(units, Units::Unary(Unary::Exp)) {
            1
        } else {
            2
        };
        let network = network(units, depth, 1.0, 50 + n);
        let (images, labels) = images(&network, 5, 50 + n);
        let wide = network.cast::<f64>();
        let mut evaluator = Evaluator::new(&wide);
        let all: Vec<usize> = (0..5).collect();
        for norm in NORMS {
            let certifier = Certifier::for_network(&network, InputBox::default())
                .unwrap()
                .norm(norm);
            assert_eq!(certifier.without_linear(), None, "{units:?}");
            let found = certifier
                .certify_inputs(&images, &labels, &all, &Unwatched)
                .unwrap();
            let options = options(Target::Untargeted, Method::Sqp).norm(norm);
            let examples = search(&network, &images, &labels, &all, &options, &Unwatched);
            let examples = examples.unwrap_or_else(|error| panic!("{units:?} {norm}: {error}"));
            for (certificate, example) in found.iter().zip(&examples) {
                let image = &images.values()[certificate.position * INPUTS..][..INPUTS];
                let ball = (norm, certificate.radius);
                let mut stream = Stream::new(34, "points of a test", n);
                let label = certificate.label;
                let least = least_margin(&mut evaluator, image, label, ball, &mut stream);
                assert!(
                    least > 0.0 || ball.1 == 0.0,
                    "{units:?} {norm}: {certificate:?}"
                );
                if example.success && !example.already_misclassified {
                    let smallest = example.norm(norm);
                    assert!(
                        smallest >= certificate.radius,
                        "{units:?} {norm}: {certificate:?} {smallest}"
                    );
                    ratios.push(certificate.radius / smallest);
                }
            }
        }
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    println!("{mean:.3} of the smallest change found, {}", ratios.len());
    assert!(ratios.len() > 200 && mean > 0.3, "{mean} {}", ratios.len());
}

/// A runtime may compute with another number of single precision than the file's double one.
#[test]
fn what_a_runtime_may_compute_is_within_the_errors_allowed() {
    let functions = curve::tests::functions();
    for (function, curve) in functions.into_iter().zip(curve::tests::curves()) {
        let single = Stack::new(&[1], 0).activation(function).network();
        let mut evaluator = Evaluator::new(&single);
        for i in -400..=400 {
            let x = (f64::from(i) * 0.0713) as f32;
            evaluator.input(1)[0] = x;
            let computed = f64::from(evaluator.forward()[0]);
            let exact = curve.value(f64::from(x));
            let error = curve.error(&Rounding::SINGLE, f64::from(x), f64::from(x));
            assert!(
                (computed - exact).abs() <= error,
                "{function:?} {x}: {computed} {exact} {error:e}"
            );
        }
    }
}

/// Several operators have the certificates of the one that they make, but for the rounding of a square
/// root.
#[test]
fn a_gate_written_out_is_bounded_as_one_function() {
    for (n, (gate, whole)) in GATES.into_iter().enumerate() {
        let written_out = network(Units::Gated(gate), 2, 1.0, 80 + n);
        let mut whole = network(Units::Unary(whole), 2, 1.0, 80 + n);
        let mut weights = written_out.weights().to_vec();
        // Those of the layers, without the gates' own.
        weights.retain(|weight| weight.len() > 1);
        if gate == Unary::Erf {
            // GELU is half as large as the number times 1 + erf.
            for layer in [2, 4] {
                weights[layer].iter_mut().for_each(|w| *w *= 2.0);
            }
        }
        whole.set_weights(weights.concat());
        let (images, labels) = images(&whole, 8, 80 + n);
        let all: Vec<usize> = (0..8).collect();
        let [written_out, whole] = [written_out, whole].map(|network| {
            let certifier = Certifier::for_network(&network, InputBox::default()).unwrap();
            let certifier = certifier.arithmetic(Arithmetic::Exact);
            let layers = certifier.layers().unwrap();
            assert_eq!(layers.activations.len(), 2, "{gate:?}");
            let found = certifier.certify_inputs(&images, &labels, &all, &Unwatched);
            found.unwrap()
        });
        for (a, b) in written_out.iter().zip(&whole) {
            let ratio = a.radius / b.radius;
            assert!((ratio - 1.0).abs() < 1e-4, "{gate:?}: {a:?} {b:?}");
        }
    }
}
