//! What must hold of operators that are made of others for their bounds.

use blindspot_net::ops::{Normalize, Softmax};
use blindspot_net::{ExactNetwork, Precision};

use super::*;
use crate::certify::activation::{ActivationErrors, ActivationLayer};
use crate::certify::arithmetic::Rounding;
use crate::certify::curve::{Curve, Function};
use crate::certify::interval::Intervals;
use crate::certify::lowered::Lowered;

/// The functions that are not defined everywhere, over intervals where they are: lines on their sides, that touch
/// in the middle.
#[test]
fn lines_of_steep_functions_stay_on_their_side() {
    let unary = [Unary::Exp, Unary::Log, Unary::Sqrt, Unary::Reciprocal].map(Function::Unary);
    let others = [
        Function::InverseRoot,
        Function::ReciprocalAbove { least: 1.0 },
        Function::MinusLogAbove { least: 1.0 },
    ];
    for function in unary.into_iter().chain(others) {
        let curve = Curve::of(function).unwrap();
        let mut touched = 0;
        for seed in 0..2_000 {
            let mut stream = Stream::new(41, "intervals of a test", seed);
            let scale = [1e-6, 0.1, 3.0, 100.0][seed % 4];
            let mut low = match function {
                Function::Unary(Unary::Exp) => 4.0 * stream.normal(),
                _ => (3.0 * stream.normal()).exp(),
            };
            let mut high = low + scale * stream.uniform();
            if function == Function::Unary(Unary::Reciprocal) && seed % 3 == 0 {
                (low, high) = (-high, -low);
            }
            let bounds = curve.linear_bounds(low, high);
            let [least, most] = curve.range(low, high);
            for i in 0..=100 {
                let x = low + (high - low) * f64::from(i) / 100.0;
                let y = curve.value(x);
                let at = |line: crate::certify::relaxation::Line| line.slope * x + line.intercept;
                let (below, above) = (at(bounds.lower), at(bounds.upper));
                assert!(
                    below <= y && y <= above,
                    "{function:?} [{low}, {high}] {x}: {below} {y} {above}"
                );
                assert!(least <= y && y <= most, "{function:?} [{low}, {high}] {x}");
                // In the middle of a piece that is bent one way, one of the lines touches.
                if i == 50 && curve.piece(low) == curve.piece(high) {
                    let gap = (y - below).min(above - y);
                    // The point of a given slope is found up to a part of all slopes.
                    let slope = |x: f64| curve.value_and_slope(curve.piece(x), x).1.abs();
                    let slopes = 1e-9 * (slope(low) + slope(high)) * (high - low);
                    let slack = 3.0 * curve.slack(low, high) + slopes;
                    assert!(gap <= slack, "{function:?} [{low}, {high}]: {gap} {slack}");
                    touched += 1;
                }
            }
        }
        assert!(touched > 500, "{function:?}: {touched}");
    }
    // Where a function is not defined there is no line.
    for (function, low, high) in [
        (Unary::Log, 0.0, 1.0),
        (Unary::Sqrt, -1e-9, 1.0),
        (Unary::Reciprocal, -1.0, 1.0),
        (Unary::Reciprocal, 0.0, 1.0),
        (Unary::Reciprocal, -1.0, 0.0),
        (Unary::Log, f64::NAN, 1.0),
    ] {
        let bounds = Curve::of_unary(function).unwrap().linear_bounds(low, high);
        assert!(!bounds.lower.intercept.is_finite() && !bounds.upper.intercept.is_finite());
    }
}

/// The operators' own kernels in single precision, and other orders of their sums.
#[test]
fn computed_softmaxes_are_within_the_errors_allowed() {
    for seed in 0..300 {
        let mut stream = Stream::new(42, "numbers of a test", seed);
        let count = 2 + stream.below(40);
        let scale = [0.1, 3.0, 60.0][seed % 3];
        let numbers: Vec<f32> = (0..count)
            .map(|_| (scale * stream.normal()) as f32)
            .collect();
        for log in [false, true] {
            let softmax = Op::Softmax(Softmax { axis: 0, log });
            let single = Stack::new(&[count], 0).add(softmax, &[], 1.0).network();
            let exact = single.cast::<f64>();
            let mut evaluator = Evaluator::new(&exact);
            for (place, &x) in evaluator.input(1).iter_mut().zip(&numbers) {
                *place = x.into();
            }
            let wanted = evaluator.forward().to_vec();
            let mut evaluator = Evaluator::new(&single);
            evaluator.input(1).copy_from_slice(&numbers);
            let mut forms = vec![evaluator.forward().to_vec()];
            let most = numbers.iter().copied().fold(f32::MIN, f32::max);
            let powers: Vec<f32> = numbers.iter().map(|x| (x - most).exp()).collect();
            for sum in [
                powers.iter().sum::<f32>(),
                powers.iter().rev().fold(0.0, |sum, x| sum + x),
            ] {
                let form = powers.iter().zip(&numbers).map(|(power, x)| {
                    if log {
                        (x - most) - sum.ln()
                    } else {
                        power / sum
                    }
                });
                forms.push(form.collect());
            }
            for form in forms {
                for (own, wanted) in form.iter().zip(&wanted) {
                    let size = if log { wanted.abs() } else { 0.0 };
                    let allowed = Rounding::SINGLE.of_softmax_inside(count, size);
                    let off = (f64::from(*own) - wanted).abs();
                    assert!(
                        off <= allowed,
                        "{seed} {log} {count}: {own} {wanted} {off:e} {allowed:e}"
                    );
                }
            }
        }
    }
    assert!(Rounding::of(Precision::Brain).of_softmax_inside(10, 0.0) > 1e-2);
}

/// A variance as the mean square less the square of the mean, where the numbers are far from 0.
#[test]
fn variances_that_cancel_are_within_the_errors_allowed() {
    let mut largest: f64 = 0.0;
    for seed in 0..300 {
        let mut stream = Stream::new(43, "numbers of a test", seed);
        let count = 2 + stream.below(60);
        let offset = [0.0, 10.0, 1000.0][seed % 3];
        let numbers: Vec<f32> = (0..count)
            .map(|_| (offset + stream.normal()) as f32)
            .collect();
        let n = count as f32;
        let mean = numbers.iter().sum::<f32>() / n;
        let cancelled = numbers.iter().map(|x| x * x).sum::<f32>() / n - mean * mean;
        // What the bounds are about: the squares of the numbers less the mean that was computed.
        let centred: Vec<f64> = numbers.iter().map(|x| f64::from(x - mean)).collect();
        let exact = centred.iter().map(|c| c * c).sum::<f64>() / f64::from(n);
        let whole = numbers.iter().map(|&x| f64::from(x));
        let inputs: Intervals = centred
            .iter()
            .copied()
            .chain(whole)
            .map(|x| [x, x])
            .collect();
        let layer = ActivationLayer::Squares {
            squares: (0..count as u32).map(|i| vec![[i, i]]).collect(),
            count,
        };
        let ActivationErrors::OfEach(errors) = layer.errors(&Rounding::SINGLE, &inputs) else {
            panic!("squares round");
        };
        let allowed = errors.iter().sum::<f64>() / f64::from(n);
        let off = (f64::from(cancelled) - exact).abs();
        assert!(
            off <= allowed,
            "{seed}: {cancelled} {exact} {off:e} {allowed:e}"
        );
        largest = largest.max(off / allowed);
    }
    assert!(largest > 1e-3, "{largest}");
}

/// What operators are made of gives the same numbers, where the parts can be computed.
#[test]
fn parts_give_what_the_operators_give() {
    let shapes: [&[usize]; 3] = [&[7], &[3, 4], &[2, 3, 5]];
    for (n, shape) in shapes.into_iter().enumerate() {
        for axis in 0..shape.len() {
            let normalize = Normalize {
                axis,
                epsilon: 1e-3,
                centred: n % 2 == 0,
            };
            for op in [
                Op::Normalize(normalize),
                Op::Softmax(Softmax {
                    axis,
                    log: axis == 1,
                }),
            ] {
                let whole = Stack::new(shape, n).add(op, &[], 1.0).network();
                let exact = ExactNetwork::from(&whole);
                let lowered = Lowered::new(&exact).unwrap();
                let network = lowered.network.network();
                let graph = network.graph();
                // The nodes that stand for functions are computed by these.
                let mut values: std::collections::HashMap<_, Vec<f64>> = Default::default();
                let mut stream = Stream::new(44, "numbers of a test", n);
                let input: Vec<f64> = (0..whole.input_len()).map(|_| stream.normal()).collect();
                values.insert(graph.input(), input.clone());
                for node in graph.nodes() {
                    let found = match lowered.meaning(node.output) {
                        Some(crate::certify::lowered::Meaning::Function(curve)) => {
                            let blindspot_net::Operand::Value(of) = node.inputs[0] else {
                                panic!("of a value");
                            };
                            values[&of].iter().map(|&x| curve.value(x)).collect()
                        }
                        Some(crate::certify::lowered::Meaning::Squares(_)) => {
                            let blindspot_net::Operand::Value(of) = node.inputs[0] else {
                                panic!("of a value");
                            };
                            values[&of].iter().map(|&x| x * x).collect()
                        }
                        None => one_node(network, node, &values),
                    };
                    values.insert(node.output, found);
                }
                let wide = whole.cast::<f64>();
                let mut evaluator = Evaluator::new(&wide);
                evaluator.input(1).copy_from_slice(&input);
                let wanted = evaluator.forward();
                let found = &values[&graph.output()];
                assert_eq!(found.len(), wanted.len());
                for (found, wanted) in found.iter().zip(wanted) {
                    assert!(
                        (found - wanted).abs() < 1e-12 * (1.0 + wanted.abs()),
                        "{shape:?} {axis}"
                    );
                }
            }
        }
    }
}

/// A node alone on known values.
fn one_node(
    network: &Network<f64>,
    node: &blindspot_net::Node,
    values: &std::collections::HashMap<blindspot_net::ValueId, Vec<f64>>,
) -> Vec<f64> {
    use blindspot_net::Operand;
    let whole = network.graph();
    let known = node.inputs.iter().filter_map(|operand| match operand {
        Operand::Value(id) => Some(*id),
        Operand::Weight(_) => None,
    });
    let mut known: Vec<_> = known.collect();
    known.dedup();
    let part = crate::certify::part::Part {
        graph: whole,
        live: &known,
        nodes: &[node],
        targets: &[node.output],
    };
    let numbers = |_: &Op, id: blindspot_net::WeightId| network.weights()[id.index()].clone();
    let alone = part.network(Op::clone, numbers, 0.0).unwrap();
    let mut evaluator = Evaluator::new(&alone);
    let input = known.iter().flat_map(|id| values[id].iter().copied());
    let input: Vec<f64> = input.collect();
    evaluator.input(1).copy_from_slice(&input);
    evaluator.forward().to_vec()
}
