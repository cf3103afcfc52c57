//! The linear layers of a network, and each of them as a linear operator.

use std::collections::HashMap;

use blindspot_net::ops::{Conv, Window};
use blindspot_net::{
    Evaluator, Graph, Network, Node, Op, Operand, OperandShape, Real, ValueId, WeightId,
};

use super::LayerKind;
use super::dense::Matrix;
use super::lanczos::LinearOperator;

/// A convolution over two axes. A convolution over one axis gets a first axis of length 1.
#[derive(Debug, Clone)]
pub(crate) struct Convolution<'n> {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) groups: usize,
    /// Output channels of each group.
    pub(crate) features: usize,
    /// Input channels of each group.
    pub(crate) channels: usize,
    /// The network's own operator, padding included.
    pub(crate) conv: &'n Conv,
    /// The weight's shape, `[F, C / groups, kernel...]`.
    shape: &'n [usize],
    weight: Vec<f64>,
}

impl<'n> Convolution<'n> {
    pub(crate) fn new<T: Real>(
        conv: &'n Conv,
        shape: &'n [usize],
        weight: &[T],
    ) -> Convolution<'n> {
        let Window {
            kernel,
            strides,
            dilations,
            ..
        } = &conv.window;
        let two = |list: &[usize]| match *list {
            [one] => [1, one],
            [first, second, ..] => [first, second],
            [] => [1, 1],
        };
        Convolution {
            kernel: two(kernel),
            stride: two(strides),
            dilation: two(dilations),
            groups: conv.groups,
            features: shape[0] / conv.groups,
            channels: shape[1],
            conv,
            shape,
            weight: weight.iter().map(|w| w.f64()).collect(),
        }
    }

    /// The weights of one filter: output channel `f` of all, input channel `c` of its group.
    pub(super) fn taps(&self, f: usize, c: usize) -> &[f64] {
        let taps = self.kernel[0] * self.kernel[1];
        let from = (f * self.channels + c) * taps;
        &self.weight[from..from + taps]
    }

    pub(super) fn frobenius(&self) -> f64 {
        self.weight.iter().map(|w| w * w).sum::<f64>().sqrt()
    }

    /// A network of the convolution alone, with its padding and without a bias, on an input of this
    /// shape; None if its windows don't fit.
    pub(crate) fn network(&self, input: &[usize]) -> Option<Network<f64>> {
        let mut graph = Graph::new("x", input).ok()?;
        let weight = graph.weight("w", self.shape).ok()?;
        let operands = [Operand::Value(graph.input()), Operand::Weight(weight)];
        let op = Op::Conv(self.conv.clone());
        graph.node("conv", op, &operands, "y").ok()?;
        Network::new(graph, vec![self.weight.clone()]).ok()
    }
}

/// The matrix of a fully connected layer, outputs by inputs, in the network's own storage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixWeight<'n, T = f32> {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    numbers: &'n [T],
    /// It is stored column after column.
    by_columns: bool,
}

impl<T: Real> MatrixWeight<'_, T> {
    /// The bytes that a copy of the matrix takes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.rows as u64)
            .saturating_mul(self.cols as u64)
            .saturating_mul(size_of::<f64>() as u64)
    }

    /// A copy of the matrix.
    pub(crate) fn dense(&self) -> Matrix {
        let MatrixWeight {
            rows,
            cols,
            numbers,
            by_columns,
        } = *self;
        let at = |i: usize, j: usize| {
            if by_columns {
                j * rows + i
            } else {
                i * cols + j
            }
        };
        let positions = (0..rows).flat_map(|i| (0..cols).map(move |j| at(i, j)));
        Matrix {
            rows,
            cols,
            data: positions.map(|at| numbers[at].f64()).collect(),
        }
    }
}

/// The operator of a linear layer.
#[derive(Debug, Clone)]
pub(crate) enum Linear<'n, T = f32> {
    /// A matrix that is applied to `times` parts of the input, each on its own.
    Matrix {
        matrix: MatrixWeight<'n, T>,
        times: usize,
    },
    Convolution(Convolution<'n>),
}

/// A linear layer of a network.
#[derive(Debug, Clone)]
pub(crate) struct Layer<'n, T = f32> {
    /// The node's name; its output's name if it has none.
    pub(crate) name: String,
    pub(crate) kind: LayerKind,
    /// The value that the layer computes.
    pub(crate) output: ValueId,
    /// The weight's shape.
    pub(crate) shape: &'n [usize],
    /// Its input's shape, if it is known.
    pub(crate) input: Option<Vec<usize>>,
    pub(crate) linear: Linear<'n, T>,
}

/// A node that is linear but can't be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unmeasured {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) why: String,
}

/// The name by which messages call a node: its own, or its output's if it has none.
pub(crate) fn name_of(graph: &Graph, node: &Node) -> String {
    match node.name.as_str() {
        "" => graph.value(node.output).name.clone(),
        name => name.to_owned(),
    }
}

/// The linear layers in their order, and the linear nodes that can't be measured. If another input
/// shape is given, the layers' input shapes are inferred anew from it, as far as that is possible.
pub(crate) fn layers<'n, T: Real>(
    network: &'n Network<T>,
    input: Option<&[usize]>,
) -> (Vec<Layer<'n, T>>, Vec<Unmeasured>) {
    let graph = network.graph();
    let shapes = shapes(graph, input);
    let (mut layers, mut unmeasured) = (Vec::new(), Vec::new());
    for node in graph.nodes() {
        let name = name_of(graph, node);
        let shape_of = |weight: WeightId| graph.weights()[weight.index()].shape.as_slice();
        let numbers = |weight: WeightId| network.weights()[weight.index()].as_slice();
        let kind = node.op.name();
        let mut found = |kind, shape, input: &Operand, linear| {
            let input = match input {
                Operand::Value(id) => shapes.get(id).cloned(),
                Operand::Weight(_) => None,
            };
            layers.push(Layer {
                name: name.clone(),
                kind,
                output: node.output,
                shape,
                input,
                linear,
            });
        };
        match (&node.op, &node.inputs[..]) {
            (Op::Gemm(gemm), [x, Operand::Weight(weight), ..]) => {
                let shape = shape_of(*weight);
                let (rows, cols) = if gemm.trans_b {
                    (shape[0], shape[1])
                } else {
                    (shape[1], shape[0])
                };
                let matrix = MatrixWeight {
                    rows,
                    cols,
                    numbers: numbers(*weight),
                    by_columns: !gemm.trans_b,
                };
                let times = graph.value(node.output).len() / matrix.rows;
                let linear = Linear::Matrix { matrix, times };
                found(LayerKind::Gemm, shape, x, linear);
            }
            (Op::MatMul(_), [Operand::Weight(weight), x]) => {
                let shape = shape_of(*weight);
                let [leading @ .., rows, cols] = shape else {
                    continue;
                };
                if leading.iter().any(|&axis| axis != 1) {
                    unmeasured.push(Unmeasured {
                        name,
                        kind,
                        why: format!("a weight of shape {shape:?} is several matrices"),
                    });
                    continue;
                }
                let matrix = MatrixWeight {
                    rows: *rows,
                    cols: *cols,
                    numbers: numbers(*weight),
                    by_columns: false,
                };
                let times = graph.value(node.output).len() / rows;
                let linear = Linear::Matrix { matrix, times };
                found(LayerKind::MatMul, shape, x, linear);
            }
            (Op::MatMul(_), [_, Operand::Weight(weight)]) => unmeasured.push(Unmeasured {
                name,
                kind,
                why: format!(
                    "a weight of shape {:?} is several matrices",
                    shape_of(*weight)
                ),
            }),
            (Op::MatMul(_), _) => unmeasured.push(Unmeasured {
                name,
                kind,
                why: "it multiplies two values that depend on the image".into(),
            }),
            (Op::Conv(conv), [x, Operand::Weight(weight), ..]) => {
                let shape = shape_of(*weight);
                let convolution = Convolution::new(conv, shape, numbers(*weight));
                let linear = Linear::Convolution(convolution);
                found(LayerKind::Conv, shape, x, linear);
            }
            (Op::Local(_), _) => unmeasured.push(Unmeasured {
                name,
                kind,
                why: "its weights differ from place to place".into(),
            }),
            _ => {}
        }
    }
    (layers, unmeasured)
}

/// The shape of each value; if another input shape is given, only of the values that can be
/// inferred from it.
fn shapes(graph: &Graph, input: Option<&[usize]>) -> HashMap<ValueId, Vec<usize>> {
    let own = || graph.value(graph.input()).shape.clone();
    let input = input.map_or_else(own, <[usize]>::to_vec);
    let mut shapes = HashMap::from([(graph.input(), input)]);
    for node in graph.nodes() {
        let operands = node.inputs.iter().map(|operand| match operand {
            Operand::Value(id) => Some(OperandShape::Value(shapes.get(id)?)),
            Operand::Weight(id) => Some(OperandShape::Weight(&graph.weights()[id.index()].shape)),
        });
        let operands: Option<Vec<OperandShape<'_>>> = operands.collect();
        if let Some(shape) = operands.and_then(|operands| node.op.infer(&operands).ok()) {
            shapes.insert(node.output, shape);
        }
    }
    shapes
}

/// A network of one linear layer without a bias, as a linear operator.
pub(crate) struct NetworkOperator<'n> {
    evaluator: Evaluator<'n, f64>,
}

impl<'n> NetworkOperator<'n> {
    pub(crate) fn new(network: &'n Network<f64>) -> NetworkOperator<'n> {
        let mut evaluator = Evaluator::new(network);
        evaluator.input(1).fill(0.0);
        // The backward pass needs a forward pass before it.
        evaluator.forward();
        NetworkOperator { evaluator }
    }

    /// The operator's matrix.
    pub(crate) fn matrix(&mut self) -> Matrix {
        let (cols, rows) = (self.cols(), self.rows());
        let mut matrix = Matrix {
            rows,
            cols,
            data: vec![0.0; rows * cols],
        };
        const BATCH: usize = 64;
        for from in (0..cols).step_by(BATCH) {
            let count = BATCH.min(cols - from);
            let units = self.evaluator.input(count);
            units.fill(0.0);
            for i in 0..count {
                units[i * cols + from + i] = 1.0;
            }
            let columns = self.evaluator.forward();
            for (i, column) in columns.chunks_exact(rows).enumerate() {
                for (row, &value) in column.iter().enumerate() {
                    matrix.data[row * cols + from + i] = value;
                }
            }
        }
        self.evaluator.input(1).fill(0.0);
        self.evaluator.forward();
        matrix
    }
}

impl LinearOperator for NetworkOperator<'_> {
    fn cols(&self) -> usize {
        self.evaluator.network().input_len()
    }

    fn rows(&self) -> usize {
        self.evaluator.network().output_len()
    }

    fn apply(&mut self, x: &[f64], out: &mut [f64]) {
        self.evaluator.input(1).copy_from_slice(x);
        out.copy_from_slice(self.evaluator.forward());
    }

    fn adjoint(&mut self, y: &[f64], out: &mut [f64]) {
        out.copy_from_slice(self.evaluator.backward(y));
    }
}

impl LinearOperator for &Matrix {
    fn cols(&self) -> usize {
        self.cols
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn apply(&mut self, x: &[f64], out: &mut [f64]) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.row(i).iter().zip(x).map(|(a, x)| a * x).sum();
        }
    }

    fn adjoint(&mut self, y: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for (i, &y) in y.iter().enumerate() {
            out.iter_mut()
                .zip(self.row(i))
                .for_each(|(out, a)| *out += a * y);
        }
    }
}
