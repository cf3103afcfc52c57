//! An untrained network of the same architecture, the control of the study.

use blindspot_net::ops::{Binary, Unary};
use blindspot_net::{Network, Node, Op, Operand, ValueId};

use blindspot_run::random::Stream;

/// An untrained network of the same architecture: the weights of the fully connected and convolutional
/// layers are drawn anew from a normal distribution, with variance 2 / inputs below a rectifier (He et
/// al. 2015) and 1 / inputs elsewhere, and their biases are 0. All other weights (preprocessing,
/// normalisation) stay.
pub fn untrained(network: &Network<f32>, seed: u64) -> Network<f32> {
    let graph = network.graph();
    let mut weights = network.weights().to_vec();
    let is_layer = |node: &Node| matches!(node.op, Op::Conv(_) | Op::Gemm(_) | Op::MatMul(_));
    let layers: Vec<ValueId> = graph
        .nodes()
        .iter()
        .filter(|node| is_layer(node))
        .map(|node| node.output)
        .collect();
    for (index, node) in graph.nodes().iter().enumerate() {
        let held = node
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(place, operand)| match operand {
                Operand::Weight(id) => Some((place, id.index())),
                Operand::Value(_) => None,
            });
        let above_a_layer = node
            .inputs
            .iter()
            .any(|operand| matches!(operand, Operand::Value(id) if layers.contains(id)));
        for (place, id) in held {
            let shape = &graph.weights()[id].shape;
            let inputs = match &node.op {
                // Biases.
                Op::Conv(_) | Op::Gemm(_) if place == 2 => 0,
                Op::Binary(Binary::Add) if above_a_layer => 0,
                Op::Conv(_) => shape[1..].iter().product(),
                Op::Gemm(gemm) => shape[usize::from(gemm.trans_b)],
                Op::MatMul(_) if place == 0 => shape[shape.len() - 1],
                Op::MatMul(_) => shape[shape.len().saturating_sub(2)],
                _ => continue,
            };
            if inputs == 0 {
                weights[id].fill(0.0);
                continue;
            }
            let gain = if is_rectified(network, node.output) {
                2.0
            } else {
                1.0
            };
            let deviation = (gain / inputs as f64).sqrt();
            let mut stream = Stream::new(seed, "untrained weights", index);
            for weight in &mut weights[id] {
                *weight = (deviation * stream.normal()) as f32;
            }
        }
    }
    Network::new(graph.clone(), weights).expect("the weights are as many as before, and finite")
}

/// Whether a value goes into a rectifier, directly or after a bias is added.
fn is_rectified(network: &Network<f32>, value: ValueId) -> bool {
    let nodes = network.graph().nodes().iter();
    let mut users = nodes.filter(|node| node.inputs.contains(&Operand::Value(value)));
    users.any(|node| match &node.op {
        Op::Unary(op) => matches!(
            op,
            Unary::Relu | Unary::LeakyRelu { .. } | Unary::Elu { .. } | Unary::Clip { .. }
        ),
        Op::Binary(Binary::Add) => {
            let bias = node.inputs.iter().any(|o| matches!(o, Operand::Weight(_)));
            bias && is_rectified(network, node.output)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot_paper::architectures::conv;

    #[test]
    fn an_untrained_network_has_new_weights_of_the_right_size() {
        let trained = conv(1);
        let mut biased = trained.clone();
        let ones: Vec<f32> = trained
            .weights()
            .iter()
            .flat_map(|weight| vec![1.0; weight.len()])
            .collect();
        biased.set_weights(ones);
        let network = untrained(&biased, 5);
        // The architecture's own rule for its start is the same.
        for (info, (new, start)) in network
            .graph()
            .weights()
            .iter()
            .zip(network.weights().iter().zip(trained.weights()))
        {
            let square = |weight: &[f32]| {
                weight.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weight.len() as f64
            };
            let (new, start) = (square(new), square(start));
            if info.name.ends_with("bias") {
                assert_eq!(new, 0.0);
            } else {
                assert!(
                    (new / start - 1.0).abs() < 0.2,
                    "{}: {new} {start}",
                    info.name
                );
            }
        }
        assert_eq!(untrained(&trained, 5), network);
        assert_ne!(untrained(&trained, 6), network);
    }
}
