//! Layers of a network: its values by their ONNX names, and how their numbers are units.

use blindspot_net::{Network, Op, Operand, Real, ValueId};

use super::UnitsError;

/// A named value of a network whose numbers are units, or channels of units at several positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub(super) id: ValueId,
    /// Its ONNX name.
    pub name: String,
    /// How many units it has: channels, where it has positions.
    pub units: usize,
    /// How many positions along each spatial axis; empty where each unit is one number.
    pub positions: Vec<usize>,
    /// The ONNX operator that gives it; `Input` of the network's input.
    pub operator: &'static str,
}

impl Layer {
    /// The layer of this name.
    ///
    /// # Errors
    /// [`UnitsError::Unknown`] with the names there are, [`UnitsError::Axes`] where its numbers are
    /// neither units nor channels.
    pub fn find<T: Real>(network: &Network<T>, name: &str) -> Result<Layer, UnitsError> {
        let Ok(id) = network.graph().find(name) else {
            let known: Vec<String> = Layer::all(network)
                .into_iter()
                .map(|layer| layer.name)
                .collect();
            let likeness = |known: &String| strsim::jaro_winkler(known, name);
            let likely = known
                .iter()
                .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
                .cloned();
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

    /// Every layer that an operator gives, the lowest first.
    pub fn all<T: Real>(network: &Network<T>) -> Vec<Layer> {
        let nodes = network.graph().nodes().iter();
        nodes
            .filter_map(|node| Layer::of(network, node.output))
            .collect()
    }

    fn of<T: Real>(network: &Network<T>, id: ValueId) -> Option<Layer> {
        let graph = network.graph();
        let value = graph.value(id);
        let (&units, positions) = value.shape.split_first()?;
        let maker = graph.nodes().iter().find(|node| node.output == id);
        (positions.len() <= 2).then(|| Layer {
            id,
            name: value.name.clone(),
            units,
            positions: positions.to_vec(),
            operator: maker.map_or("Input", |node| node.op.name()),
        })
    }

    /// The last features: what the classifier at the network's end sees; `None` where that is the
    /// input.
    pub fn last_features<T: Real>(network: &Network<T>) -> Option<Layer> {
        Layer::of(network, network.graph().output())?.below(network)
    }

    /// The layer below: what the nearest operator with weights under this layer sees. None where
    /// that is the network's input, or there is none.
    pub fn below<T: Real>(&self, network: &Network<T>) -> Option<Layer> {
        let graph = network.graph();
        let mut id = self.id;
        loop {
            let node = graph.nodes().iter().find(|node| node.output == id)?;
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
