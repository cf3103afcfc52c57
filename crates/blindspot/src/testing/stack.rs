//! Small networks with random weights, layer on layer.

use blindspot_net::ops::{Gemm, Unary};
use blindspot_net::{Graph, Network, Op, Operand};

use crate::run::random::Stream;

/// Layers stacked on each other, with random weights.
pub(crate) struct Stack {
    pub(crate) graph: Graph,
    pub(crate) weights: Vec<Vec<f32>>,
    pub(crate) top: Operand,
    pub(crate) stream: Stream,
}

impl Stack {
    pub(crate) fn new(input: &[usize], seed: usize) -> Stack {
        let graph = Graph::new("image", input).unwrap();
        let top = Operand::Value(graph.input());
        let stream = Stream::new(9, "networks of a test", seed);
        Stack {
            graph,
            weights: Vec::new(),
            top,
            stream,
        }
    }

    pub(crate) fn add(self, op: Op, weights: &[&[usize]], gain: f64) -> Stack {
        let top = self.top;
        self.node(op, vec![top], weights, gain)
    }

    /// The top together with another value.
    pub(crate) fn with(self, op: Op, other: Operand) -> Stack {
        let top = self.top;
        self.node(op, vec![top, other], &[], 1.0)
    }

    pub(crate) fn node(
        mut self,
        op: Op,
        mut operands: Vec<Operand>,
        weights: &[&[usize]],
        gain: f64,
    ) -> Stack {
        for (i, shape) in weights.iter().enumerate() {
            let name = format!("w{}", self.weights.len());
            let id = self.graph.weight(&name, shape).unwrap();
            operands.push(Operand::Weight(id));
            let count: usize = shape.iter().product();
            // Biases are small, so that no unit is dead.
            let scale = if i == 0 { gain } else { 0.3 };
            let numbers = (0..count).map(|_| (self.stream.normal() * scale) as f32);
            self.weights.push(numbers.collect());
        }
        let name = format!("v{}", self.graph.values().len());
        let value = self.graph.node(&name, op, &operands, &name).unwrap();
        self.top = Operand::Value(value);
        self
    }

    pub(crate) fn dense(self, inputs: usize, outputs: usize) -> Stack {
        let gain = (2.0 / inputs as f64).sqrt();
        let op = Op::Gemm(Gemm { trans_b: false });
        self.add(op, &[&[inputs, outputs], &[outputs]], gain)
    }

    pub(crate) fn activation(self, unary: Unary) -> Stack {
        self.add(Op::Unary(unary), &[], 1.0)
    }

    pub(crate) fn network(self) -> Network<f32> {
        Network::new(self.graph, self.weights).unwrap()
    }
}
