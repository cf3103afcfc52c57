//! Classifiers with one output, for two classes.

use blindspot_net::{ExactNetwork, Graph, Network, Op, Operand, Real, ValueId, ops};

use super::Answer;

/// What the one output of a network is; the network with 0 for class 0 and its logit for class 1,
/// so that the margin is the logit; and, if it gives a probability, the network with 0 and how far
/// that is above 1/2.
pub(super) fn two_classes(network: Network<f32>) -> (Answer, Network<f32>, Option<Network<f32>>) {
    match before_sigmoid(&network) {
        Some(logit) => {
            let logit = beside_zero(network.up_to(logit), 0.0);
            let own_end = beside_zero(network, 0.5);
            (Answer::OneProbability, logit, Some(own_end))
        }
        None => (Answer::OneLogit, beside_zero(network, 0.0), None),
    }
}

/// What a network gives to the Sigmoid that it ends in, perhaps under another shape.
pub(super) fn before_sigmoid<T: Real>(network: &Network<T>) -> Option<ValueId> {
    let mut nodes = network.graph().nodes().iter().rev();
    let end = nodes.find(|node| !matches!(node.op, Op::Reshape(_)))?;
    match (&end.op, end.inputs[0]) {
        (Op::Unary(ops::Unary::Sigmoid), Operand::Value(logit)) => Some(logit),
        _ => None,
    }
}

/// The network with the file's own numbers as one of two classes, as users see its one output: with
/// the Sigmoid that it may end in.
pub(super) fn two_classes_exact(exact: ExactNetwork) -> ExactNetwork {
    let threshold = before_sigmoid(exact.network()).map_or(0.0, |_| 0.5);
    beside_zero_exact(exact, threshold)
}

/// The network with the file's own numbers as one of two classes, the margin its logit: without the
/// Sigmoid that it may end in.
pub(super) fn logit_exact(exact: ExactNetwork) -> ExactNetwork {
    let exact = match before_sigmoid(exact.network()) {
        Some(logit) => exact.up_to(logit),
        None => exact,
    };
    beside_zero_exact(exact, 0.0)
}

/// 0, and the one output of a network less a threshold.
fn beside_zero_exact(exact: ExactNetwork, threshold: f64) -> ExactNetwork {
    let graph = exact.network().graph();
    let above = above_one(&graph.value(graph.output()).shape, threshold);
    let above = ExactNetwork::from(above);
    above.after(exact).expect("one number is given and taken")
}

/// 0, and the one output of a network less a threshold.
fn beside_zero(network: Network<f32>, threshold: f32) -> Network<f32> {
    let shape = &network.graph().value(network.graph().output()).shape;
    let above = above_one(shape, threshold);
    above.after(network).expect("one number is given and taken")
}

/// 0, and one number of this shape less a threshold.
fn above_one<T: Real>(shape: &[usize], threshold: T) -> Network<T> {
    let above = |shape: &[usize]| {
        let mut graph = Graph::new("one output", shape)?;
        let flat = Op::Reshape(ops::Reshape { shape: vec![1] });
        let flat = graph.node("one row", flat, &[Operand::Value(graph.input())], "one row")?;
        let weight = graph.weight("two classes.weight", &[1, 2])?;
        let bias = graph.weight("two classes.bias", &[2])?;
        let operands = [
            Operand::Value(flat),
            Operand::Weight(weight),
            Operand::Weight(bias),
        ];
        let both = Op::Gemm(ops::Gemm { trans_b: false });
        graph.node("two classes", both, &operands, "two classes")?;
        Ok::<_, blindspot_net::GraphError>(graph)
    };
    let above = above(shape).expect("one number becomes two");
    let (zero, one) = (T::zero(), T::one());
    let weights = vec![vec![zero, one], vec![zero, -threshold]];
    Network::new(above, weights).expect("the weights fit and are finite")
}

#[cfg(test)]
mod tests {
    use blindspot_net::{Evaluator, argmax};

    use super::*;

    /// x0 - x1, and a Sigmoid of it if asked for, in a shape of its own.
    fn network(sigmoid: bool) -> Network<f32> {
        let mut graph = Graph::new("x", &[2]).unwrap();
        let weight = graph.weight("w", &[2, 1]).unwrap();
        let operands = [Operand::Value(graph.input()), Operand::Weight(weight)];
        let gemm = Op::Gemm(ops::Gemm { trans_b: false });
        let mut last = graph.node("z", gemm, &operands, "z").unwrap();
        if sigmoid {
            let sigmoid = Op::Unary(ops::Unary::Sigmoid);
            last = graph
                .node("p", sigmoid, &[Operand::Value(last)], "p")
                .unwrap();
            let flat = Op::Reshape(ops::Reshape { shape: vec![] });
            graph.node("y", flat, &[Operand::Value(last)], "y").unwrap();
        }
        Network::new(graph, vec![vec![1.0, -1.0]]).unwrap()
    }

    fn outputs(network: &Network<f32>, image: [f32; 2]) -> Vec<f32> {
        let mut evaluator = Evaluator::new(network);
        evaluator.input(1).copy_from_slice(&image);
        evaluator.forward().to_vec()
    }

    #[test]
    fn the_logit_with_the_files_own_numbers_is_exact() {
        // A third is no number of single precision.
        for sigmoid in [false, true] {
            let mut exact = network(sigmoid).cast::<f64>();
            exact.set_weights([1.0 / 3.0, -1.0]);
            let two = logit_exact(ExactNetwork::from(exact));
            let mut evaluator = Evaluator::new(two.network());
            evaluator.input(1).copy_from_slice(&[0.75, 0.5]);
            let outputs = evaluator.forward();
            assert_eq!(outputs[0], 0.0);
            assert!(
                (outputs[1] - (0.75 / 3.0 - 0.5)).abs() < 1e-15,
                "{outputs:?}"
            );
        }
    }

    #[test]
    fn the_margin_of_two_classes_is_the_logit() {
        for (sigmoid, expected) in [(false, Answer::OneLogit), (true, Answer::OneProbability)] {
            let (answer, both, own_end) = two_classes(network(sigmoid));
            assert_eq!((answer, own_end.is_some()), (expected, sigmoid));
            for (image, class) in [([0.75, 0.25], 1), ([0.25, 0.75], 0)] {
                let logits = outputs(&both, image);
                assert_eq!(logits, [0.0, image[0] - image[1]]);
                assert_eq!(argmax(&logits), class);
                if let Some(own_end) = &own_end {
                    assert_eq!(argmax(&outputs(own_end, image)), class);
                }
            }
        }
    }
}
