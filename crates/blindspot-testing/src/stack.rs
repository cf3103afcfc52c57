//! Small networks with random weights, layer on layer.

use blindspot_net::ops::{Gemm, Unary};
use blindspot_net::{Graph, Network, Op, Operand};
use blindspot_run::random::Stream;

/// Layers stacked on each other, with random weights that a seed fixes.
///
/// Methods panic where a layer does not fit the one below it.
pub struct Stack {
    /// The graph so far.
    pub graph: Graph,
    /// The values of its weights, in their order.
    pub weights: Vec<Vec<f32>>,
    /// What the last node computes.
    pub top: Operand,
    /// Where the next weights come from.
    pub stream: Stream,
}

impl Stack {
    /// Only an input, of this shape.
    pub fn new(input: &[usize], seed: usize) -> Stack {
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

    /// A node over the top, with weights of these shapes: the first normally distributed with the
    /// deviation `gain`, the others 0.3.
    pub fn add(self, op: Op, weights: &[&[usize]], gain: f64) -> Stack {
        let top = self.top;
        self.node(op, vec![top], weights, gain)
    }

    /// The top together with another value.
    pub fn with(self, op: Op, other: Operand) -> Stack {
        let top = self.top;
        self.node(op, vec![top, other], &[], 1.0)
    }

    /// As [`add`](Stack::add), over any operands.
    pub fn node(
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

    /// A fully connected layer.
    pub fn dense(self, inputs: usize, outputs: usize) -> Stack {
        let gain = (2.0 / inputs as f64).sqrt();
        let op = Op::Gemm(Gemm { trans_b: false });
        self.add(op, &[&[inputs, outputs], &[outputs]], gain)
    }

    /// A function of every value.
    pub fn activation(self, unary: Unary) -> Stack {
        self.add(Op::Unary(unary), &[], 1.0)
    }

    /// The network whose output is the top.
    pub fn network(self) -> Network<f32> {
        Network::new(self.graph, self.weights).unwrap()
    }
}
