//! Where the time of a network goes.

use std::time::{Duration, Instant};

use blindspot_net::{Evaluator, Graph, Network, Node, Op, Operand, OperandShape, peak_gflops};
use schemars::JsonSchema;
use serde::Serialize;

/// How long runs go on, and how many there are at least.
const LONG_ENOUGH: Duration = Duration::from_secs(2);
const LEAST_RUNS: u32 = 3;

/// How long each operator of a network takes for one image on one thread, forward and backward to the
/// input, and how that compares with what the processor can do. Its names are those of the JSON that it
/// becomes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Profile {
    /// Runs that the times are means of, after one that is not counted.
    pub runs: u32,
    /// Billions of operations in single precision that one core computes in a second at most, measured.
    pub peak_gflops: f64,
    /// All nodes together.
    pub total: Cost,
    /// The nodes of each kind together, those that take longest first.
    pub kinds: Vec<KindProfile>,
    /// Each node, in the order in which they run.
    pub nodes: Vec<NodeProfile>,
}

/// What the nodes of one kind take.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct KindProfile {
    /// The operator; of a convolution with its window and, where it is one, `depthwise`.
    pub kind: String,
    /// How many nodes are of this kind.
    pub nodes: usize,
    /// What they take together.
    #[serde(flatten)]
    pub cost: Cost,
}

/// What one node takes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct NodeProfile {
    /// Its name in the file.
    pub name: String,
    /// What kind of operator it is, as in the sums over kinds.
    pub kind: String,
    /// The shape of its output for one image.
    pub output: Vec<usize>,
    /// What it takes.
    #[serde(flatten)]
    pub cost: Cost,
}

/// What nodes take for one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Cost {
    /// Milliseconds forward.
    pub forward_ms: f64,
    /// Milliseconds backward, to the gradient by the operands that depend on the image.
    pub backward_ms: f64,
    /// Billions of operations of matrix products and convolutions, in both directions together, a
    /// multiply-add counted as two; 0 of all other operators.
    pub gflop: f64,
    /// Millions of bytes that operands, output and their gradients have, in both directions together,
    /// each counted once a direction.
    pub megabytes: f64,
}

impl Cost {
    /// Milliseconds in both directions together.
    pub fn milliseconds(&self) -> f64 {
        self.forward_ms + self.backward_ms
    }

    /// Billions of operations a second; 0 where there are none.
    pub fn gflops(&self) -> f64 {
        match self.milliseconds() {
            0.0 => 0.0,
            milliseconds => 1e3 * self.gflop / milliseconds,
        }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.forward_ms += other.forward_ms;
        self.backward_ms += other.backward_ms;
        self.gflop += other.gflop;
        self.megabytes += other.megabytes;
    }
}

impl Profile {
    /// Runs a network on one image, of the shape [`Network::input_shape`], for some two seconds.
    ///
    /// # Panics
    /// Where the image is not as long as the input.
    pub fn of(network: &Network<f32>, image: &[f32]) -> Profile {
        Profile::within(network, image, LONG_ENOUGH)
    }

    fn within(network: &Network<f32>, image: &[f32], time: Duration) -> Profile {
        let ones = vec![1.0; network.output_len()];
        let run = |evaluator: &mut Evaluator<'_, f32>| {
            evaluator.input(1).copy_from_slice(image);
            evaluator.forward();
            evaluator.backward(&ones);
        };
        // The first run makes the buffers.
        let mut evaluator = Evaluator::new(network);
        run(&mut evaluator);
        let mut evaluator = Evaluator::with_buffers(network, evaluator.into_buffers()).timing();
        let (begun, mut runs) = (Instant::now(), 0);
        while runs < LEAST_RUNS || begun.elapsed() < time {
            run(&mut evaluator);
            runs += 1;
        }
        let graph = network.graph();
        let mean = |time: Duration| 1e3 * time.as_secs_f64() / f64::from(runs);
        let nodes = graph.nodes().iter().zip(evaluator.node_times());
        let nodes: Vec<NodeProfile> = nodes
            .map(|(node, time)| NodeProfile {
                name: node.name.clone(),
                kind: kind(graph, node),
                output: graph.value(node.output).shape.clone(),
                cost: Cost {
                    forward_ms: mean(time.forward),
                    backward_ms: mean(time.backward),
                    ..work(graph, node)
                },
            })
            .collect();
        let mut total = Cost::default();
        let mut kinds: Vec<KindProfile> = Vec::new();
        for node in &nodes {
            total += node.cost;
            let place = kinds.iter().position(|known| known.kind == node.kind);
            let place = place.unwrap_or_else(|| {
                kinds.push(KindProfile {
                    kind: node.kind.clone(),
                    nodes: 0,
                    cost: Cost::default(),
                });
                kinds.len() - 1
            });
            kinds[place].nodes += 1;
            kinds[place].cost += node.cost;
        }
        let time = |kind: &KindProfile| kind.cost.milliseconds();
        kinds.sort_by(|a, b| time(b).total_cmp(&time(a)));
        Profile {
            runs,
            peak_gflops: peak_gflops(),
            total,
            kinds,
            nodes,
        }
    }
}

/// What a node is called among others of its kind.
fn kind(graph: &Graph, node: &Node) -> String {
    let Op::Conv(conv) = &node.op else {
        return node.op.name().to_owned();
    };
    let window: Vec<String> = conv.window.kernel.iter().map(usize::to_string).collect();
    let channels = match node.inputs.get(1) {
        Some(&Operand::Weight(id)) => graph.weights()[id.index()].shape[1],
        _ => 0,
    };
    let depthwise = if conv.groups > 1 && channels == 1 {
        "depthwise "
    } else {
        ""
    };
    format!("{} {depthwise}{}", node.op.name(), window.join("x"))
}

/// The operations and bytes of a node, without its times.
fn work(graph: &Graph, node: &Node) -> Cost {
    let output = &graph.value(node.output).shape;
    let shape = |operand: &Operand| match *operand {
        Operand::Value(id) => OperandShape::Value(&graph.value(id).shape),
        Operand::Weight(id) => OperandShape::Weight(&graph.weights()[id.index()].shape),
    };
    let shapes: Vec<OperandShape<'_>> = node.inputs.iter().map(shape).collect();
    let depends = node.inputs.iter();
    let directions = 1 + depends
        .filter(|operand| matches!(operand, Operand::Value(_)))
        .count();
    let numbers = |shape: &[usize]| shape.iter().product::<usize>();
    let operands = node.inputs.iter().map(|operand| match *operand {
        Operand::Value(id) => numbers(&graph.value(id).shape),
        Operand::Weight(id) => numbers(&graph.weights()[id.index()].shape),
    });
    let moved = numbers(output) + operands.sum::<usize>();
    Cost {
        gflop: 2e-9 * directions as f64 * node.op.multiply_adds(&shapes, output),
        megabytes: 2e-6 * (size_of::<f32>() * moved) as f64,
        ..Cost::default()
    }
}

#[cfg(test)]
mod tests {
    use blindspot_net::ops::{Conv, Gemm, Reshape, Unary, Window};

    use super::*;

    /// A depthwise convolution over [2, 4, 4], and a dense layer on what it gives.
    fn network() -> Network<f32> {
        let mut graph = Graph::new("x", &[2, 4, 4]).unwrap();
        let filters = graph.weight("filters", &[2, 1, 3, 3]).unwrap();
        let weights = graph.weight("weights", &[8, 3]).unwrap();
        let window = Window {
            kernel: vec![3, 3],
            strides: vec![1, 1],
            dilations: vec![1, 1],
            before: vec![0, 0],
            after: vec![0, 0],
        };
        let conv = Op::Conv(Conv { window, groups: 2 });
        let operands = [Operand::Value(graph.input()), Operand::Weight(filters)];
        let maps = graph.node("conv", conv, &operands, "maps").unwrap();
        let relu = Op::Unary(Unary::Relu);
        let maps = graph
            .node("relu", relu, &[Operand::Value(maps)], "relu")
            .unwrap();
        let shape = vec![8];
        let flat = Op::Reshape(Reshape { shape });
        let flat = graph
            .node("flat", flat, &[Operand::Value(maps)], "flat")
            .unwrap();
        let gemm = Op::Gemm(Gemm { trans_b: false });
        let operands = [Operand::Value(flat), Operand::Weight(weights)];
        graph.node("dense", gemm, &operands, "logits").unwrap();
        Network::new(graph, vec![vec![0.5; 18], vec![0.25; 24]]).unwrap()
    }

    #[test]
    fn operations_and_bytes_are_those_of_the_shapes() {
        let profile = Profile::within(&network(), &[0.5; 32], Duration::ZERO);
        let kinds: Vec<&str> = profile.nodes.iter().map(|node| &*node.kind).collect();
        assert_eq!(kinds, ["Conv depthwise 3x3", "Relu", "Reshape", "Gemm"]);
        // Both directions, a multiply-add as two: 8 outputs of 9 terms, 3 of 8.
        let gflop = profile.nodes.iter().map(|node| node.cost.gflop);
        let gflop: Vec<f64> = gflop.map(|gflop| (1e9 * gflop).round()).collect();
        assert_eq!(gflop, [288.0, 0.0, 0.0, 96.0]);
        // Both directions, four bytes a number: 32, 18 and 8 numbers; 8, 24 and 3.
        let bytes = [0, 3].map(|node| (1e6 * profile.nodes[node].cost.megabytes).round());
        assert_eq!(bytes, [464.0, 280.0]);
    }

    #[test]
    fn kinds_and_total_are_sums_of_nodes() {
        let profile = Profile::within(&network(), &[0.5; 32], Duration::ZERO);
        assert!(profile.runs >= LEAST_RUNS && profile.peak_gflops > 0.0);
        let sum = |costs: &mut dyn Iterator<Item = Cost>| -> f64 {
            costs.map(|cost| cost.milliseconds()).sum()
        };
        let nodes = sum(&mut profile.nodes.iter().map(|node| node.cost));
        let kinds = sum(&mut profile.kinds.iter().map(|kind| kind.cost));
        let total = profile.total.milliseconds();
        assert!(nodes > 0.0 && (nodes - total).abs() < 1e-9 && (kinds - total).abs() < 1e-9);
        assert_eq!(
            profile.kinds.iter().map(|kind| kind.nodes).sum::<usize>(),
            4
        );
        let mut times = profile.kinds.windows(2);
        assert!(times.all(|two| two[0].cost.milliseconds() >= two[1].cost.milliseconds()));
    }
}
