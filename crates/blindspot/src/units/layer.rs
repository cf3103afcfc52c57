//! Layers of a network by the names of their ONNX values, and their units.

use blindspot_data::suggest;
use blindspot_net::{Graph, Network, Node, Op, Operand, Real, ValueId};

use super::UnitsError;

/// A layer of a network: a named value whose numbers are units, or channels at several positions. A
/// channel of a convolutional layer counts as one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub(super) id: ValueId,
    /// The name of the ONNX value.
    pub name: String,
    /// Number of units; of channels, if the layer has positions.
    pub units: usize,
    /// Number of positions along each spatial axis; empty if each unit is one number.
    pub positions: Vec<usize>,
    /// The ONNX operator whose output this is; `Input` for the network's input.
    pub operator: &'static str,
}

impl Layer {
    /// The layer of this name: of a value, of the node that gives it, as `spectrum` names it, or of the module that
    /// its weight belongs to, as PyTorch does: `layer1.0.conv1` for the weight `layer1.0.conv1.weight`.
    ///
    /// # Errors
    /// [`UnitsError::Unknown`] if nothing has the name, with the names of all layers.
    /// [`UnitsError::Axes`] if the value has other axes than a layer.
    pub fn find<T: Real>(network: &Network<T>, name: &str) -> Result<Layer, UnitsError> {
        let Some(id) = value_named(network.graph(), name) else {
            let known: Vec<String> = Layer::all(network)
                .into_iter()
                .map(|layer| layer.name)
                .collect();
            let likely = suggest(name, known.iter().map(String::as_str)).map(str::to_owned);
            return Err(UnitsError::Unknown {
                name: name.to_owned(),
                likely,
                known,
            });
        };
        Layer::of(network, id).ok_or_else(|| UnitsError::Axes {
            layer: name.to_owned(),
            shape: network.graph().value(id).shape.clone(),
        })
    }

    /// All layers but the input, from the input to the output.
    pub fn all<T: Real>(network: &Network<T>) -> Vec<Layer> {
        let nodes = network.graph().nodes().iter();
        nodes
            .filter_map(|node| Layer::of(network, node.output))
            .collect()
    }

    /// Units, and positions along each axis.
    pub fn shape(&self) -> Vec<usize> {
        [&[self.units], &self.positions[..]].concat()
    }

    /// A position, counted row by row, along each axis.
    pub(super) fn along(&self, position: usize) -> Vec<usize> {
        let mut left = position;
        let axes = self.positions.iter().rev().map(|&length| {
            let at = left % length;
            left /= length;
            at
        });
        let mut along: Vec<usize> = axes.collect();
        along.reverse();
        along
    }

    fn of<T: Real>(network: &Network<T>, id: ValueId) -> Option<Layer> {
        let graph = network.graph();
        let value = graph.value(id);
        let (&units, positions) = value.shape.split_first()?;
        let maker = graph.giver(id);
        (positions.len() <= 2).then(|| Layer {
            id,
            name: value.name.clone(),
            units,
            positions: positions.to_vec(),
            operator: maker.map_or("Input", |node| node.op.name()),
        })
    }

    /// The last features: the input of the last layer with weights, which is the classifier. None if
    /// that is the network's input.
    pub fn last_features<T: Real>(network: &Network<T>) -> Option<Layer> {
        Layer::of(network, network.graph().output())?.below(network)
    }

    /// The layer below: the input of the nearest operator with weights at or before this layer. None if
    /// that is the network's input, or if there is no such operator.
    pub fn below<T: Real>(&self, network: &Network<T>) -> Option<Layer> {
        let graph = network.graph();
        let mut id = self.id;
        loop {
            let node = graph.giver(id)?;
            let value = |operand: &Operand| match operand {
                Operand::Value(id) => Some(*id),
                Operand::Weight(_) => None,
            };
            let input = node.inputs.iter().find_map(value)?;
            if matches!(node.op, Op::Conv(_) | Op::Gemm(_) | Op::MatMul(_)) {
                let value = graph.value(input);
                return (input != graph.input()).then(|| Layer {
                    id: input,
                    name: value.name.clone(),
                    units: value.shape.first().copied().unwrap_or(1),
                    positions: value.shape.iter().skip(1).copied().collect(),
                    operator: "",
                });
            }
            id = input;
        }
    }
}

/// The value of this name; of the node, or of the module, of this name its output.
fn value_named(graph: &Graph, name: &str) -> Option<ValueId> {
    let weight = format!("{name}.weight");
    let of_module = |node: &Node| {
        node.inputs.iter().any(|operand| match operand {
            Operand::Weight(id) => graph.weights()[id.index()].name == weight,
            Operand::Value(_) => false,
        })
    };
    let output = |is: &dyn Fn(&Node) -> bool| {
        let mut nodes = graph.nodes().iter();
        nodes.find(|node| is(node)).map(|node| node.output)
    };
    let value = graph.find(name).ok();
    value
        .or_else(|| output(&|node| node.name == name && !name.is_empty()))
        .or_else(|| output(&of_module))
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot_net::ops;

    #[test]
    fn a_layer_has_the_names_of_its_value_its_node_and_its_module() {
        let mut graph = Graph::new("image", &[4]).unwrap();
        let gemm = || Op::Gemm(ops::Gemm { trans_b: false });
        let mut last = graph.input();
        for name in ["fc1", "fc2"] {
            let weight = graph.weight(&format!("{name}.weight"), &[4, 4]).unwrap();
            let operands = [Operand::Value(last), Operand::Weight(weight)];
            let value = format!("/{name}/Gemm_output_0");
            last = graph
                .node(&format!("/{name}/Gemm"), gemm(), &operands, &value)
                .unwrap();
        }
        let network = Network::new(graph, vec![vec![1.0f32; 16]; 2]).unwrap();
        for name in ["/fc1/Gemm_output_0", "/fc1/Gemm", "fc1"] {
            let layer = Layer::find(&network, name).unwrap();
            assert_eq!(layer.name, "/fc1/Gemm_output_0", "{name}");
        }
        let unknown = Layer::find(&network, "fc").unwrap_err();
        assert!(matches!(unknown, UnitsError::Unknown { .. }), "{unknown}");
    }
}
