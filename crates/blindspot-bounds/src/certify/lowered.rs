//! Operators that are made of others for their bounds: Softmax, layer normalisation, quotients of two computed
//! values.
//!
//! - A Softmax is 1 over the sum over j of e^(x_j - x_i) (Shi et al. 2020, section 3.3): differences, exponentials,
//!   sums, and the reciprocals of numbers of 1 and more. There is no product of two bounds in it.
//! - Numbers that are normalised are c / sqrt(v + epsilon), with c the numbers less their mean and v the mean of the
//!   squares of c.
//! - A quotient is a product with a reciprocal.
//!
//! What a runtime rounds differs from what these parts would round. A Softmax's parts count as exact, and all that a
//! runtime's Softmax can be off by counts at its end. A variance may be computed as the mean square less the square of
//! the mean: its error is one of squares of the numbers themselves.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use blindspot_net::ops::{
    Binary, Normalize, Reduce, ReduceKind, Reshape, Softmax, Transpose, Unary,
};
use blindspot_net::{
    ExactNetwork, Graph, GraphError, Network, Node, Op, Operand, ValueId, WeightError,
};

use super::CertifyError;
use super::curve::{Curve, Function, Noise};

/// The most differences of one Softmax.
const MAX_DIFFERENCES: usize = 1 << 22;

/// What a node stands for, beside its operator.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    /// This function of each number of its operand.
    Function(Curve),
    /// The squares of the first operand's numbers: those of the second less a mean of so many.
    Squares(usize),
}

/// A network made of operators that have bounds, as far as there are such.
pub(super) struct Lowered<'n> {
    pub(super) network: Cow<'n, ExactNetwork>,
    meanings: HashMap<ValueId, Meaning>,
    exact: HashSet<ValueId>,
}

impl<'n> Lowered<'n> {
    /// # Errors
    /// [`CertifyError::Cut`] if the network can't be made anew.
    pub(super) fn new(whole: &'n ExactNetwork) -> Result<Lowered<'n>, CertifyError> {
        let graph = whole.network().graph();
        let is_made =
            |node: &Node| matches!(node.op, Op::Softmax(_) | Op::Normalize(_)) || is_quotient(node);
        if !graph.nodes().iter().any(is_made) {
            return Ok(Lowered {
                network: Cow::Borrowed(whole),
                meanings: HashMap::new(),
                exact: HashSet::new(),
            });
        }
        let cut = |error: GraphError| CertifyError::Cut(error.to_string());
        let builder = Builder::new(whole).map_err(cut)?;
        let lowered = builder.run().map_err(cut)?;
        lowered.map_err(|error: WeightError| CertifyError::Cut(error.to_string()))
    }

    /// What the node that gives a value stands for, if not for its operator.
    pub(super) fn meaning(&self, value: ValueId) -> Option<&Meaning> {
        self.meanings.get(&value)
    }

    /// Whether no runtime rounds at the node that gives a value, as none has that node.
    pub(super) fn is_exact(&self, value: ValueId) -> bool {
        self.exact.contains(&value)
    }
}

/// Whether a node divides by a value.
fn is_quotient(node: &Node) -> bool {
    node.op == Op::Binary(Binary::Div) && matches!(node.inputs[..], [_, Operand::Value(_)])
}

/// The network under way.
struct Builder<'n> {
    whole: &'n ExactNetwork,
    graph: Graph,
    weights: Vec<Vec<f64>>,
    magnitudes: Vec<Vec<f64>>,
    /// The values of the whole network in the new graph.
    values: HashMap<ValueId, ValueId>,
    meanings: HashMap<ValueId, Meaning>,
    exact: HashSet<ValueId>,
}

impl<'n> Builder<'n> {
    fn new(whole: &'n ExactNetwork) -> Result<Builder<'n>, GraphError> {
        let old = whole.network().graph();
        let input = old.value(old.input());
        let mut graph = Graph::new(&input.name, &input.shape)?;
        for weight in old.weights() {
            graph.weight(&weight.name, &weight.shape)?;
        }
        let positions = 0..old.weights().len();
        Ok(Builder {
            values: HashMap::from([(old.input(), graph.input())]),
            graph,
            weights: whole.network().weights().to_vec(),
            magnitudes: positions
                .map(|i| whole.magnitudes(i).into_owned())
                .collect(),
            whole,
            meanings: HashMap::new(),
            exact: HashSet::new(),
        })
    }

    fn run(mut self) -> Result<Result<Lowered<'n>, WeightError>, GraphError> {
        let old = self.whole.network().graph();
        for node in old.nodes() {
            let name = &old.value(node.output).name;
            let operands: Vec<Operand> = node
                .inputs
                .iter()
                .map(|operand| match operand {
                    Operand::Value(id) => Operand::Value(self.values[id]),
                    // Weights keep their places.
                    Operand::Weight(id) => Operand::Weight(*id),
                })
                .collect();
            let made = match (&node.op, &operands[..]) {
                (Op::Softmax(softmax), &[Operand::Value(x)]) if self.is_small(x, softmax.axis) => {
                    self.softmax(name, x, *softmax)?
                }
                (Op::Normalize(normalize), &[Operand::Value(x)]) => {
                    self.normalize(name, x, *normalize)?
                }
                (_, &[number, Operand::Value(divisor)]) if is_quotient(node) => {
                    let curve = Curve::of_unary(Unary::Reciprocal)
                        .map(|curve| curve.with_noise(Noise::None));
                    let inverse = self.function(name, "reciprocal", divisor, curve)?;
                    self.graph
                        .node(name, Op::Binary(Binary::Mul), &[number, inverse], name)?
                }
                _ => self
                    .graph
                    .node(&node.name, node.op.clone(), &operands, name)?,
            };
            self.values.insert(node.output, made);
        }
        let Builder {
            graph,
            weights,
            magnitudes,
            meanings,
            exact,
            ..
        } = self;
        let network = Network::new(graph, weights);
        Ok(network
            .and_then(|network| ExactNetwork::new(network, magnitudes))
            .map(|network| Lowered {
                network: Cow::Owned(network),
                meanings,
                exact,
            }))
    }

    fn shape(&self, value: ValueId) -> &[usize] {
        &self.graph.value(value).shape
    }

    fn is_small(&self, value: ValueId, axis: usize) -> bool {
        let shape = self.shape(value);
        let differences = shape.iter().product::<usize>().saturating_mul(shape[axis]);
        differences <= MAX_DIFFERENCES
    }

    /// A part of the operator that gives the value `name`.
    fn part(
        &mut self,
        (name, part): (&str, &str),
        op: Op,
        operands: &[Operand],
    ) -> Result<ValueId, GraphError> {
        let name = format!("{name}: {part}");
        self.graph.node(&name, op, operands, &name)
    }

    /// A part that no runtime has.
    fn exact_part(
        &mut self,
        name: (&str, &str),
        op: Op,
        operands: &[Operand],
    ) -> Result<ValueId, GraphError> {
        let value = self.part(name, op, operands)?;
        self.exact.insert(value);
        Ok(value)
    }

    /// A function of each number of a value; the operator stands for any.
    fn function(
        &mut self,
        name: &str,
        part: &str,
        of: ValueId,
        curve: Option<Curve>,
    ) -> Result<Operand, GraphError> {
        let op = Op::Unary(Unary::Reciprocal);
        let value = self.part((name, part), op, &[Operand::Value(of)])?;
        if let Some(curve) = curve {
            self.meanings.insert(value, Meaning::Function(curve));
        }
        Ok(Operand::Value(value))
    }

    fn softmax(&mut self, name: &str, x: ValueId, softmax: Softmax) -> Result<ValueId, GraphError> {
        let Softmax { axis, log } = softmax;
        let last = self.shape(x).len() - 1;
        // The axis comes last, and goes back in the end.
        let mut permutation: Vec<usize> = (0..=last).collect();
        permutation.swap(axis, last);
        let swap = || {
            Op::Transpose(Transpose {
                permutation: permutation.clone(),
            })
        };
        let x = if axis == last {
            x
        } else {
            self.exact_part((name, "axis last"), swap(), &[Operand::Value(x)])?
        };
        let shape = self.shape(x).to_vec();
        let count = shape[last];
        let beside = |before: usize, after: usize| {
            let axes = shape[..last].iter().copied().chain([before, after]);
            Op::Reshape(Reshape {
                shape: axes.collect(),
            })
        };
        let row = self.exact_part((name, "as rows"), beside(1, count), &[Operand::Value(x)])?;
        let column =
            self.exact_part((name, "as columns"), beside(count, 1), &[Operand::Value(x)])?;
        let operands = [Operand::Value(row), Operand::Value(column)];
        let differences =
            self.exact_part((name, "differences"), Op::Binary(Binary::Sub), &operands)?;
        let curve = Curve::of_unary(Unary::Exp).map(|curve| curve.with_noise(Noise::None));
        let powers = self.function(name, "exponentials", differences, curve)?;
        let sum = Op::Reduce(Reduce {
            kind: ReduceKind::Sum,
            axes: vec![last + 1],
            keep_axes: false,
        });
        let sums = self.exact_part((name, "sums"), sum, &[powers])?;
        let function = if log {
            Function::MinusLogAbove { least: 1.0 }
        } else {
            Function::ReciprocalAbove { least: 1.0 }
        };
        let curve =
            Curve::of(function).map(|curve| curve.with_noise(Noise::Softmax { count, log }));
        let end = self.function(name, "of the sums", sums, curve)?;
        match (end, axis == last) {
            (Operand::Value(end), true) => Ok(end),
            _ => self.exact_part((name, "axis back"), swap(), &[end]),
        }
    }

    fn normalize(
        &mut self,
        name: &str,
        x: ValueId,
        normalize: Normalize,
    ) -> Result<ValueId, GraphError> {
        let Normalize {
            axis,
            epsilon,
            centred,
        } = normalize;
        let shape = self.shape(x).to_vec();
        let count: usize = shape[axis..].iter().product();
        let mean = || {
            Op::Reduce(Reduce {
                kind: ReduceKind::Mean,
                axes: (axis..shape.len()).collect(),
                keep_axes: true,
            })
        };
        let whole = Operand::Value(x);
        let centre = if centred {
            let middle = self.part((name, "mean"), mean(), &[whole])?;
            let operands = [whole, Operand::Value(middle)];
            Operand::Value(self.part(
                (name, "less its mean"),
                Op::Binary(Binary::Sub),
                &operands,
            )?)
        } else {
            whole
        };
        let squares = self.part((name, "squares"), Op::Binary(Binary::Mul), &[centre, whole])?;
        if centred {
            self.meanings.insert(squares, Meaning::Squares(count));
        }
        let variance = self.part((name, "variance"), mean(), &[Operand::Value(squares)])?;
        let weight = self.graph.weight(&format!("{name}: epsilon"), &[1])?;
        self.weights.push(vec![epsilon]);
        self.magnitudes.push(vec![epsilon.abs()]);
        let operands = [Operand::Value(variance), Operand::Weight(weight)];
        let above = self.part((name, "and epsilon"), Op::Binary(Binary::Add), &operands)?;
        let scale = self.function(name, "scale", above, Curve::of(Function::InverseRoot))?;
        self.part((name, "scaled"), Op::Binary(Binary::Mul), &[centre, scale])
    }
}
