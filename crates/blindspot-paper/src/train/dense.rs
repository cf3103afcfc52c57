//! Fully connected networks at the start of training.

use blindspot::run::random::Stream;
use blindspot_net::{Graph, Network, Op, Operand, ops};

/// One fully connected layer.
pub(super) struct Layer {
    /// The number of its outputs.
    pub(super) units: usize,
    /// The name of the layer's output.
    pub(super) output: String,
    /// Whether a sigmoid follows the linear map.
    pub(super) sigmoid: bool,
}

/// Sigmoid layers named `hidden1`, `hidden2` and so on, and a linear one on top.
pub(super) fn layers(hidden: &[usize], outputs: usize, output: &str) -> Vec<Layer> {
    let hidden = hidden.iter().enumerate().map(|(i, &units)| Layer {
        units,
        output: format!("hidden{}", i + 1),
        sigmoid: true,
    });
    let top = Layer {
        units: outputs,
        output: output.to_owned(),
        sigmoid: false,
    };
    hidden.chain([top]).collect()
}

/// A network of fully connected layers. Weights are normal with standard deviation 1 / sqrt(inputs of the
/// layer), each drawn from a stream of its own that `purpose` names; biases are 0.
pub(super) fn dense(
    inputs: usize,
    layers: &[Layer],
    bias: bool,
    seed: u64,
    purpose: &str,
) -> Network<f32> {
    let build = || {
        let mut graph = Graph::new("image", &[inputs])?;
        let mut weights = Vec::new();
        let (mut value, mut fan_in) = (graph.input(), inputs);
        for (i, layer) in layers.iter().enumerate() {
            let name = format!("dense{}", i + 1);
            let weight = graph.weight(&format!("{name}.weight"), &[fan_in, layer.units])?;
            let mut operands = vec![Operand::Value(value), Operand::Weight(weight)];
            let mut stream = Stream::new(seed, &format!("weights of {purpose}"), i);
            let deviation = 1.0 / (fan_in as f64).sqrt();
            let count = fan_in * layer.units;
            weights.push(
                (0..count)
                    .map(|_| (stream.normal() * deviation) as f32)
                    .collect(),
            );
            if bias {
                let bias = graph.weight(&format!("{name}.bias"), &[layer.units])?;
                operands.push(Operand::Weight(bias));
                weights.push(vec![0.0; layer.units]);
            }
            let gemm = Op::Gemm(ops::Gemm { trans_b: false });
            let linear = if layer.sigmoid {
                format!("{name}.sum")
            } else {
                layer.output.clone()
            };
            value = graph.node(&name, gemm, &operands, &linear)?;
            if layer.sigmoid {
                let sigmoid = Op::Unary(ops::Unary::Sigmoid);
                let operands = [Operand::Value(value)];
                value = graph.node(&layer.output, sigmoid, &operands, &layer.output)?;
            }
            fan_in = layer.units;
        }
        Ok::<_, blindspot_net::GraphError>((graph, weights))
    };
    let (graph, weights) = build().expect("fully connected layers fit each other");
    Network::new(graph, weights).expect("weights have the graph's shapes")
}
