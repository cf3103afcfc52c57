//! Parts of a graph, and graphs put together.

use std::collections::{HashMap, HashSet};

use super::{Graph, GraphError, Node, Operand, ValueId, WeightId};

impl Graph {
    /// The part of the graph below and including `value`, which becomes its output, and the
    /// weights that are left, as positions in [`Graph::weights`].
    pub fn up_to(&self, value: ValueId) -> (Graph, Vec<WeightId>) {
        let mut needed = vec![false; self.values.len()];
        needed[value.0] = true;
        for node in self.nodes.iter().rev() {
            if needed[node.output.0] {
                for operand in &node.inputs {
                    if let Operand::Value(id) = operand {
                        needed[id.0] = true;
                    }
                }
            }
        }
        let nodes = self.nodes.iter().filter(|node| needed[node.output.0]);
        self.part(ValueId(0), nodes)
            .expect("what a value needs is closed under its own operands")
    }

    /// The part of the graph above `value`, which becomes its input, and the weights that are
    /// left, as positions in [`Graph::weights`].
    ///
    /// # Errors
    /// [`GraphError::Cut`] where another path leads from the input past the value,
    /// [`GraphError::Nothing`] where it is the output.
    pub fn above(&self, value: ValueId) -> Result<(Graph, Vec<WeightId>), GraphError> {
        if value == self.output() && !self.nodes.is_empty() {
            return Err(GraphError::Nothing(self.values[value.0].name.clone()));
        }
        // What the output needs once the value is given.
        let mut needed = vec![false; self.values.len()];
        needed[self.output().0] = true;
        for node in self.nodes.iter().rev() {
            if needed[node.output.0] && node.output != value {
                for operand in &node.inputs {
                    if let Operand::Value(id) = operand {
                        needed[id.0] = true;
                    }
                }
            }
        }
        let nodes = self
            .nodes
            .iter()
            .filter(|node| needed[node.output.0] && node.output != value);
        self.part(value, nodes)
    }

    /// This graph after `first`, whose output becomes this graph's input, in the coarser of their formats. The weights are those of
    /// `first`, then this graph's. Names of `first` that this graph has too get `before/` in front.
    ///
    /// # Errors
    /// [`GraphError::Join`] where the shapes differ.
    pub fn after(&self, first: &Graph) -> Result<Graph, GraphError> {
        let (gives, takes) = (first.value(first.output()), self.value(self.input()));
        if gives.shape != takes.shape {
            return Err(GraphError::Join {
                gives: gives.shape.clone(),
                takes: takes.shape.clone(),
            });
        }
        let mut joined = first.clone();
        let own = self.values[1..].iter().map(|value| &value.name);
        let own: HashSet<&String> = own.chain(self.weights.iter().map(|w| &w.name)).collect();
        let values = joined.values.iter_mut().map(|value| &mut value.name);
        let weights = joined.weights.iter_mut().map(|weight| &mut weight.name);
        for name in values.chain(weights) {
            while own.contains(name) {
                name.insert_str(0, "before/");
            }
        }
        let between = joined.output();
        joined.set_precision(between, gives.precision.max(takes.precision));
        joined.values.extend_from_slice(&self.values[1..]);
        joined.weights.extend_from_slice(&self.weights);
        let value = |id: ValueId| match id.0 {
            0 => first.output(),
            later => ValueId(first.values.len() + later - 1),
        };
        joined.nodes.extend(self.nodes.iter().map(|node| {
            Node {
                inputs: node
                    .inputs
                    .iter()
                    .map(|&operand| match operand {
                        Operand::Value(id) => Operand::Value(value(id)),
                        Operand::Weight(id) => {
                            Operand::Weight(WeightId(first.weights.len() + id.0))
                        }
                    })
                    .collect(),
                output: value(node.output),
                ..node.clone()
            }
        }));
        Ok(joined)
    }

    fn part<'a>(
        &'a self,
        input: ValueId,
        nodes: impl Iterator<Item = &'a Node>,
    ) -> Result<(Graph, Vec<WeightId>), GraphError> {
        let mut part = Graph {
            values: vec![self.values[input.0].clone()],
            weights: Vec::new(),
            nodes: Vec::new(),
            names: HashSet::new(),
        };
        let mut values = HashMap::from([(input, ValueId(0))]);
        let mut weights: HashMap<WeightId, WeightId> = HashMap::new();
        let mut kept = Vec::new();
        for node in nodes {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for &operand in &node.inputs {
                inputs.push(match operand {
                    Operand::Value(id) => {
                        Operand::Value(*values.get(&id).ok_or_else(|| GraphError::Cut {
                            name: self.values[input.0].name.clone(),
                            node: node.name.clone(),
                            uses: self.values[id.0].name.clone(),
                        })?)
                    }
                    Operand::Weight(id) => {
                        Operand::Weight(*weights.entry(id).or_insert_with(|| {
                            part.weights.push(self.weights[id.0].clone());
                            kept.push(id);
                            WeightId(part.weights.len() - 1)
                        }))
                    }
                });
            }
            part.values.push(self.values[node.output.0].clone());
            let output = ValueId(part.values.len() - 1);
            values.insert(node.output, output);
            part.nodes.push(Node {
                inputs,
                output,
                ..node.clone()
            });
        }
        let values = part.values.iter().map(|value| value.name.clone());
        let weights = part.weights.iter().map(|weight| weight.name.clone());
        part.names = values.chain(weights).collect();
        Ok((part, kept))
    }
}
