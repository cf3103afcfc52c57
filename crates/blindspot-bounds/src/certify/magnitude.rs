//! The size of an affine layer's terms: what its rounding errors are measured by.
//!
//! A layer without its signs, with the magnitudes of its weights for them, gives for bounds of its
//! inputs' absolute values the sum of the absolute values of all terms of each output.

use blindspot_net::ops::{Binary, Dropout, Pad, PadMode, Unary};
use blindspot_net::{Evaluator, ExactNetwork, Network, Op, WeightId};

use super::arithmetic::Rounding;

/// An affine operator without its signs: with the magnitudes of its weights it gives the sum of the
/// absolute values of its terms.
pub(super) fn without_signs(op: &Op) -> Op {
    match op {
        Op::Binary(Binary::Sub) => Op::Binary(Binary::Add),
        // The weights are replaced by their reciprocals.
        Op::Binary(Binary::Div) => Op::Binary(Binary::Mul),
        Op::Unary(Unary::Neg) => Op::Dropout(Dropout { ratio: 0.0 }),
        Op::Pad(pad) => Op::Pad(Pad {
            mode: match pad.mode {
                PadMode::Constant(number) => PadMode::Constant(number.abs()),
                mode => mode,
            },
            ..pad.clone()
        }),
        op => op.clone(),
    }
}

/// The numbers of a weight of an operator without its signs.
pub(super) fn of_weight(exact: &ExactNetwork, op: &Op, weight: WeightId) -> Vec<f64> {
    let numbers = &exact.network().weights()[weight.index()];
    let sizes = exact.magnitudes(weight.index());
    // What a runtime rounds to 0 counts as the least that it does not.
    let least = |size: f64| {
        if size > 0.0 {
            size.max(Rounding::SINGLE.floor())
        } else {
            0.0
        }
    };
    let pairs = numbers.iter().zip(&*sizes);
    match op {
        // The relative error of a divisor is that of the quotient, while it is small.
        Op::Binary(Binary::Div) => pairs
            .map(|(w, size)| match size / w.abs() {
                relative if relative < 1e4 => 1.01 * relative / w.abs(),
                _ => f64::MAX,
            })
            .collect(),
        _ => pairs.map(|(_, &size)| least(size)).collect(),
    }
}

/// More than the rounding of an evaluation of magnitudes itself.
pub(super) const OUTWARD: f64 = 1.0 + 1e-6;

/// Bounds the sums of the absolute values of all terms of a layer's outputs.
pub(super) struct MagnitudeEvaluator<'a> {
    evaluator: Option<Evaluator<'a, f64>>,
}

impl<'a> MagnitudeEvaluator<'a> {
    pub(super) fn new(positive: Option<&'a Network<f64>>) -> MagnitudeEvaluator<'a> {
        let evaluator = positive.map(|network| {
            let values = network.graph().nodes().iter().map(|node| node.output);
            Evaluator::new(network).keeping(&values.collect::<Vec<_>>())
        });
        MagnitudeEvaluator { evaluator }
    }

    /// The sums for inputs whose absolute values are at most `largest`; infinite if a number on the
    /// way may overflow in `rounding`'s arithmetic.
    pub(super) fn at(&mut self, largest: &[f64], rounding: Option<&Rounding>) -> Vec<f64> {
        let Some(evaluator) = &mut self.evaluator else {
            return largest.to_vec();
        };
        evaluator.input(1).copy_from_slice(largest);
        let outputs = evaluator.forward().iter();
        let outputs: Vec<f64> = outputs.map(|sum| OUTWARD * sum).collect();
        let overflows = rounding.is_some_and(|rounding| {
            let nodes = evaluator.network().graph().nodes().iter();
            let mut values = nodes.flat_map(|node| evaluator.value(node.output));
            values.any(|&size| rounding.overflows(size))
        });
        if overflows {
            return vec![f64::INFINITY; outputs.len()];
        }
        outputs
    }
}
