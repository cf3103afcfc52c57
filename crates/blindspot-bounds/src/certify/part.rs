//! Parts of a network as networks of their own.

use std::collections::HashMap;

use blindspot_net::ops::{Binary, Concat, Reshape, Slice, SliceAxis};
use blindspot_net::{Graph, Network, Node, Op, Operand, ValueId, WeightId};

/// A part of a network: the nodes from the values `live`, side by side, to the values `targets`.
pub(super) struct Part<'a> {
    pub(super) graph: &'a Graph,
    pub(super) live: &'a [ValueId],
    pub(super) nodes: &'a [&'a Node],
    pub(super) targets: &'a [ValueId],
}

impl Part<'_> {
    /// The part as a network, with each operator replaced by `op`, its weights by `numbers`, and a
    /// `floor` added to what each gives.
    pub(super) fn network(
        &self,
        op: impl Fn(&Op) -> Op,
        numbers: impl Fn(&Op, WeightId) -> Vec<f64>,
        floor: f64,
    ) -> Result<Network<f64>, Box<dyn std::error::Error>> {
        let Part {
            graph: whole,
            live,
            nodes,
            targets,
        } = *self;
        let length = |id: &ValueId| whole.value(*id).len();
        let shape = match live {
            [id] => whole.value(*id).shape.clone(),
            _ => vec![live.iter().map(length).sum()],
        };
        let mut graph = Graph::new("live values", &shape)?;
        let mut weights = Vec::new();
        let mut operands: HashMap<ValueId, Operand> = HashMap::new();
        let input = Operand::Value(graph.input());
        let mut start = 0;
        for (i, &id) in live.iter().enumerate() {
            let mut operand = input;
            if live.len() > 1 {
                let axis = SliceAxis {
                    axis: 0,
                    start,
                    step: 1,
                    length: length(&id),
                };
                let slice = Op::Slice(Slice { axes: vec![axis] });
                let name = format!("slice of live value {i}");
                operand = Operand::Value(graph.node(&name, slice, &[operand], &name)?);
                let shape = whole.value(id).shape.clone();
                let name = format!("live value {i}");
                let shaped = Op::Reshape(Reshape { shape });
                operand = Operand::Value(graph.node(&name, shaped, &[operand], &name)?);
            }
            operands.insert(id, operand);
            start += length(&id);
        }
        for node in nodes {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for input in &node.inputs {
                inputs.push(match input {
                    Operand::Value(id) => *operands.get(id).ok_or("a value is missing")?,
                    Operand::Weight(id) => {
                        let info = &whole.weights()[id.index()];
                        // A weight that two nodes share is kept twice.
                        let name = format!("{} {}", info.name, weights.len());
                        weights.push(numbers(&node.op, *id));
                        Operand::Weight(graph.weight(&name, &info.shape)?)
                    }
                });
            }
            let name = format!("{} of the layer", whole.value(node.output).name);
            let mut made = graph.node(&name, op(&node.op), &inputs, &name)?;
            if floor > 0.0 {
                let name = format!("floor of {name}");
                let least = Operand::Weight(graph.weight(&format!("{name}: size"), &[])?);
                weights.push(vec![floor]);
                let add = Op::Binary(Binary::Add);
                made = graph.node(&name, add, &[Operand::Value(made), least], &name)?;
            }
            operands.insert(node.output, Operand::Value(made));
        }
        if let ([target], Some(last)) = (targets, nodes.last())
            && last.output == *target
        {
            return Ok(Network::new(graph, weights)?);
        }
        let mut outputs = Vec::with_capacity(targets.len());
        for (i, id) in targets.iter().enumerate() {
            let operand = *operands.get(id).ok_or("a value is missing")?;
            // Also for a live value itself, so that the output is the graph's last node.
            let shape = match targets.len() {
                1 => whole.value(*id).shape.clone(),
                _ => vec![length(id)],
            };
            let name = format!("output {i}");
            let flat = Op::Reshape(Reshape { shape });
            outputs.push(Operand::Value(graph.node(
                &name,
                flat,
                &[operand],
                &name,
            )?));
        }
        if outputs.len() > 1 {
            let join = Op::Concat(Concat { axis: 0 });
            graph.node("outputs", join, &outputs, "outputs")?;
        }
        Ok(Network::new(graph, weights)?)
    }
}
