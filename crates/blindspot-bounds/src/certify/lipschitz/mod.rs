//! How much a network can amplify a perturbation at most: the product of its layers' bounds
//! (section 4.3 of the paper).
//!
//! Each value gets a Lipschitz constant with respect to the image, with L2 norms on both sides. A
//! linear layer multiplies its input's constant by its largest singular value; a sum adds the
//! constants of its operands; a concatenation takes the root of the sum of their squares. The
//! logistic function has the constant 1/4; ReLU, tanh and the like have 1. Max pooling has 1, as
//! the paper says, if its windows do not overlap; if up to k windows contain an input, a change of
//! it can occur k times in the output, and the constant is sqrt(k).
//!
//! # Rounding
//!
//! The walk from layer to layer that multiplies Lipschitz constants also bounds how far a computed
//! value can be from the exact one. An operator adds the rounding of its sums of products, at most
//! gamma (|A| |h| + |b|) in each number ([`arithmetic`](super::arithmetic)), and so gamma (n |h| +
//! |b|) in norm with n no smaller than the norm of |A|; the norm of h is that at the image and its
//! Lipschitz constant times the distance. What the values below are off by grows with the
//! operator's own Lipschitz constant. So the error of each value has a bound e0 + e1 r within the
//! radius r.

mod constants;

use std::collections::HashMap;
use std::time::Duration;

use blindspot_net::ops::{Binary, PoolKind, ReduceKind, Unary};
use blindspot_net::{Budget, ExactNetwork, Graph, Node, Op, Operand, ValueId};

use super::arithmetic::{Rounding, Roundings};
use super::certifier::{MAX_TIME, Preparation};
use super::error::{CertifyError, unsupported};
use super::magnitude;
use crate::spectrum::layers::{Layer, Linear, layers};
use crate::spectrum::{Matrix, norm_bound, steps_of_norm};
use constants::{
    broadcasts_no_value, kernel_norm, matrix_norm, of_weight, pool_constant, repeated_norm,
    unary_constant, unary_rounds,
};

/// A network's Lipschitz constants, with its last matrix kept apart.
pub(super) struct Lipschitz {
    /// The nodes in their order, without the last matrix.
    steps: Vec<Step>,
    /// The value that the last matrix takes; the output if the network does not end in a matrix.
    top: ValueId,
    last: Option<LastMatrix>,
}

/// The matrix at the end of a network, classes by inputs.
struct LastMatrix {
    matrix: Matrix,
    /// The norm of each row's magnitudes, and the magnitude of its bias.
    sizes: Vec<[f64; 2]>,
    roundings: Roundings,
}

/// How far a node carries changes and errors.
struct Step {
    inputs: Vec<ValueId>,
    output: ValueId,
    /// The numbers of its output.
    count: usize,
    /// Its Lipschitz constant.
    factor: f64,
    /// The operands stand side by side; otherwise they are added.
    side_by_side: bool,
    rounds: Rounds,
}

/// How a node rounds.
enum Rounds {
    /// It only moves or chooses numbers.
    Nothing,
    /// Its sums: the norm of its matrix of magnitudes, that of what it adds, and how often.
    Sums {
        norm: f64,
        constant: f64,
        roundings: Roundings,
    },
    /// A function of each number.
    Function,
}

/// A bound that grows linearly with the radius.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    at_0: f64,
    slope: f64,
}

impl Line {
    fn at(self, radius: f64) -> f64 {
        self.at_0 + self.slope * radius
    }

    fn scaled(self, factor: f64) -> Line {
        Line {
            at_0: self.at_0 * factor,
            slope: self.slope * factor,
        }
    }

    fn plus(self, other: Line) -> Line {
        Line {
            at_0: self.at_0 + other.at_0,
            slope: self.slope + other.slope,
        }
    }

    /// Of values side by side, given bounds of their norms.
    fn beside(self, other: Line) -> Line {
        Line {
            at_0: self.at_0.hypot(other.at_0),
            slope: self.slope.hypot(other.slope),
        }
    }
}

/// Bounds of a value within a radius: of its change and of its error, in norm.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    constant: f64,
    error: Line,
}

/// The bounds of all values around one image.
struct Walk {
    top: Reach,
    /// The norm of the value at the top.
    size: Line,
    /// Bounds of every number on the way.
    largest: Vec<Line>,
}

/// The steps of a decomposition that are taken for granted in a second.
const STEPS_PER_SECOND: f64 = 5e8;

/// How long the bound of a layer's norm takes, about.
fn time_of_norm(layer: &Layer<'_, f64>) -> Duration {
    let seconds = steps_of_norm(layer) / STEPS_PER_SECOND;
    Duration::try_from_secs_f64(seconds).unwrap_or(MAX_TIME)
}

/// Covers the relative rounding error of sums and products of a few dozen numbers.
const OUTWARD: f64 = 1.0 + 1e-9;

impl Lipschitz {
    /// Of a layer whose norm would come too late its magnitudes' counts.
    pub(super) fn new(
        exact: &ExactNetwork,
        preparation: &Preparation<'_>,
    ) -> Result<Lipschitz, CertifyError> {
        let budget = preparation.budget;
        let network = exact.network();
        let graph = network.graph();
        let (found, _) = layers(network, None);
        // Several nodes may share a name; outputs are unique.
        let by_output: HashMap<ValueId, &Layer<'_, f64>> =
            found.iter().map(|layer| (layer.output, layer)).collect();
        let (mut steps, mut top, mut last) = (Vec::new(), graph.output(), None);
        for node in graph.nodes() {
            let layer = by_output.get(&node.output);
            if let (Some(layer), [Operand::Value(input), ..]) = (layer, &node.inputs[..])
                && node.output == graph.output()
                && let Linear::Matrix { matrix, times: 1 } = &layer.linear
            {
                // The matrix, and its magnitudes before they are summed up.
                budget.check(matrix.bytes().saturating_mul(3), || {
                    format!("the matrix of layer `{}`", layer.name)
                })?;
                last = Some(LastMatrix::new(exact, node, matrix.dense()));
                top = *input;
                continue;
            }
            steps.push(match layer {
                Some(layer) if !preparation.has_time_for(time_of_norm(layer)) => {
                    Step::linear(exact, node, None, budget)?
                }
                Some(layer) => match norm_bound(layer, budget)? {
                    Some(bound) => Step::linear(exact, node, Some(bound), budget)?,
                    None => return Err(unsupported(graph, node, "no bound of its norm is known")),
                },
                None => Step::new(exact, node)?,
            });
        }
        Ok(Lipschitz { steps, top, last })
    }

    /// A radius within which the margin of `label` over every other class stays above 0, by the
    /// constants alone; 0 if there is none. `norms` are those of all values at the image, `end` is
    /// what the end of the network may take off a margin.
    pub(super) fn radius(
        &self,
        norms: &[f64],
        logits: &[f64],
        label: usize,
        rounding: &Rounding,
        end: f64,
    ) -> f64 {
        let walk = self.walk(norms, rounding);
        let others = (0..logits.len()).filter(|&class| class != label);
        let distances = others.map(|other| {
            let margin = logits[label] - logits[other];
            let (across, error) = self.margin([label, other], &walk, rounding);
            // The computation here has errors, too, which are much smaller.
            let least = margin - (error.at_0 + end) * (1.0 + 1e-6);
            let most = across * walk.top.constant * OUTWARD + error.slope;
            least / (most * OUTWARD)
        });
        let least = distances.fold(
            f64::INFINITY,
            |a, b| if b < a || b.is_nan() { b } else { a },
        );
        let overflows = |line: &Line| rounding.overflows(line.at(least));
        if least > 0.0 && least.is_finite() && !walk.largest.iter().any(overflows) {
            least * (1.0 - 1e-9)
        } else {
            0.0
        }
    }

    /// How far a margin changes at most if the value at the top changes by 1, and its error.
    fn margin(&self, [label, other]: [usize; 2], walk: &Walk, rounding: &Rounding) -> (f64, Line) {
        let Some(LastMatrix {
            matrix,
            sizes,
            roundings,
        }) = &self.last
        else {
            let across = std::f64::consts::SQRT_2;
            return (across, walk.top.error.scaled(across));
        };
        // The margin is (row of the label - row of the other class) times the matrix's input.
        let rows = matrix.row(label).iter().zip(matrix.row(other));
        let across = rows.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        // The weights are rounded to double precision.
        let across = across + 16.0 * f64::EPSILON * (sizes[label][0] + sizes[other][0]);
        let relative = rounding.relative(*roundings);
        let computed = walk.size.plus(walk.top.error);
        let mut error = walk.top.error.scaled(across);
        for [norm, bias] in [sizes[label], sizes[other]] {
            let constant = Line {
                at_0: bias + rounding.floor(),
                slope: 0.0,
            };
            error = error.plus(computed.scaled(norm).plus(constant).scaled(relative));
        }
        (across, error)
    }

    /// Bounds of all values around an image, given their norms there.
    fn walk(&self, norms: &[f64], rounding: &Rounding) -> Walk {
        let mut reached = vec![Reach::default(); norms.len()];
        let mut largest = Vec::new();
        let size = |reached: &[Reach], id: ValueId| Line {
            at_0: OUTWARD * norms[id.index()],
            slope: reached[id.index()].constant,
        };
        let input = Line {
            at_0: norms[0],
            slope: 1.0,
        };
        reached[0] = Reach {
            constant: 1.0,
            error: input.scaled(rounding.relative(Roundings::INPUT)),
        };
        for step in &self.steps {
            let join = |lines: &mut dyn Iterator<Item = Line>| {
                lines.fold(Line::default(), |sum, line| {
                    if step.side_by_side {
                        sum.beside(line)
                    } else {
                        sum.plus(line)
                    }
                })
            };
            let below = |id: &ValueId| reached[id.index()];
            let changed = join(&mut step.inputs.iter().map(|id| Line {
                at_0: 0.0,
                slope: below(id).constant,
            }));
            let error = join(&mut step.inputs.iter().map(|id| below(id).error));
            let computed =
                join(&mut (step.inputs.iter()).map(|id| size(&reached, *id).plus(below(id).error)));
            let root = (step.count as f64).sqrt();
            let own = match &step.rounds {
                Rounds::Nothing => Line::default(),
                Rounds::Sums {
                    norm,
                    constant,
                    roundings,
                } => {
                    let mut terms = computed.scaled(*norm);
                    terms.at_0 += constant + root * rounding.floor();
                    largest.push(terms);
                    terms.scaled(rounding.relative(*roundings))
                }
                Rounds::Function => {
                    let unit = rounding.of_activation(0.0);
                    largest.push(computed.scaled(step.factor));
                    let mut sizes = computed;
                    sizes.at_0 += root;
                    sizes.scaled(unit * step.factor.max(1.0))
                }
            };
            reached[step.output.index()] = Reach {
                constant: OUTWARD * step.factor * changed.slope,
                error: error.scaled(step.factor).plus(own).scaled(OUTWARD),
            };
        }
        Walk {
            top: reached[self.top.index()],
            size: size(&reached, self.top),
            largest,
        }
    }
}

impl LastMatrix {
    fn new(exact: &ExactNetwork, node: &Node, matrix: Matrix) -> LastMatrix {
        let mut weights = node.inputs[1..].iter().filter_map(|operand| match operand {
            Operand::Weight(id) => Some(magnitude::of_weight(exact, &node.op, *id)),
            Operand::Value(_) => None,
        });
        let sizes = weights.next().unwrap_or_default();
        let biases = weights.next().unwrap_or_default();
        // As the matrix lies in the weight, row after row or column after column.
        let by_columns = matches!(&node.op, Op::Gemm(gemm) if !gemm.trans_b);
        let (rows, cols) = (matrix.rows, matrix.cols);
        let place = |i: usize, j: usize| {
            if by_columns {
                j * rows + i
            } else {
                i * cols + j
            }
        };
        let size = |i: usize| {
            let squares = (0..cols).map(|j| sizes[place(i, j)].powi(2));
            let bias = biases.get(i).or(biases.first()).copied().unwrap_or(0.0);
            [OUTWARD * squares.sum::<f64>().sqrt(), bias]
        };
        LastMatrix {
            sizes: (0..rows).map(size).collect(),
            matrix,
            roundings: Roundings::of(exact, node),
        }
    }
}

impl Step {
    /// A linear layer with this norm; with that of its magnitudes, if it is not known.
    fn linear(
        exact: &ExactNetwork,
        node: &Node,
        factor: Option<f64>,
        budget: &Budget,
    ) -> Result<Step, CertifyError> {
        let graph = exact.network().graph();
        let weights = node.inputs.iter().filter_map(|operand| match operand {
            Operand::Weight(id) => Some(*id),
            Operand::Value(_) => None,
        });
        let numbers = weights
            .clone()
            .map(|id| exact.network().weights()[id.index()].len());
        // As the file gives them, and as they are summed up.
        let bytes = 2 * size_of::<f64>() * numbers.sum::<usize>();
        budget.check(bytes as u64, || {
            format!("the magnitudes of node `{}`", node.name)
        })?;
        let mut weights = weights.map(|id| {
            let shape = &graph.weights()[id.index()].shape;
            (shape, magnitude::of_weight(exact, &node.op, id))
        });
        let count = graph.value(node.output).len();
        let norm = weights.next().map_or(0.0, |(shape, sizes)| match &node.op {
            Op::Conv(conv) => kernel_norm(shape, &sizes, conv.groups),
            _ => matrix_norm(shape, &sizes),
        });
        let constant = weights
            .next()
            .map_or(0.0, |(_, sizes)| repeated_norm(&sizes, count));
        Ok(Step {
            // The weights are rounded to double precision.
            factor: factor.unwrap_or(norm) + 16.0 * f64::EPSILON * norm,
            rounds: Rounds::Sums {
                norm,
                constant,
                roundings: Roundings::of(exact, node),
            },
            ..Step::of_values(graph, node)
        })
    }

    /// The values that a node takes, added up and not rounded.
    fn of_values(graph: &Graph, node: &Node) -> Step {
        let values = node.inputs.iter().filter_map(|operand| match operand {
            Operand::Value(id) => Some(*id),
            Operand::Weight(_) => None,
        });
        Step {
            inputs: values.collect(),
            output: node.output,
            count: graph.value(node.output).len(),
            factor: 1.0,
            side_by_side: false,
            rounds: Rounds::Nothing,
        }
    }

    /// A node that is not a linear layer.
    fn new(exact: &ExactNetwork, node: &Node) -> Result<Step, CertifyError> {
        let graph = exact.network().graph();
        let step = Step::of_values(graph, node);
        let weight = node.inputs.iter().find_map(|operand| match operand {
            Operand::Weight(id) => Some(*id),
            Operand::Value(_) => None,
        });
        let roundings = Roundings::of(exact, node);
        let sums = |norm: f64, constant: f64| Rounds::Sums {
            norm,
            constant,
            roundings,
        };
        let (factor, rounds) = match (&node.op, weight) {
            (Op::Unary(Unary::HardSigmoid { alpha, beta }), _) => {
                let root = (step.count as f64).sqrt();
                (alpha.abs(), sums(alpha.abs(), beta.abs() * root))
            }
            (Op::Unary(unary), _) => match unary_constant(*unary) {
                Some(factor) => (factor, unary_rounds(*unary)),
                None => return Err(unknown(graph, node)),
            },
            (Op::Reshape(_) | Op::Transpose(_) | Op::Dropout(_) | Op::Slice(_), _) => {
                (1.0, Rounds::Nothing)
            }
            (Op::Concat(_), _) => {
                let side_by_side = true;
                return Ok(Step {
                    side_by_side,
                    ..step
                });
            }
            (Op::Binary(Binary::Add | Binary::Sub), None) => {
                // An operand that is broadcast along an axis repeats its change.
                let shape = &graph.value(node.output).shape;
                if step
                    .inputs
                    .iter()
                    .any(|id| graph.value(*id).shape != *shape)
                {
                    return Err(unsupported(graph, node, "it broadcasts an operand"));
                }
                let rounds = sums(1.0, 0.0);
                return Ok(Step { rounds, ..step });
            }
            (Op::Binary(op), Some(weight)) if broadcasts_no_value(graph, node) => {
                match of_weight(exact, node, *op, weight) {
                    Some((factor, norm, constant)) => (factor, sums(norm, constant)),
                    None => return Err(unknown(graph, node)),
                }
            }
            (Op::Pool(pool), _) => {
                let factor = pool_constant(pool);
                match pool.kind {
                    PoolKind::Max => (factor, Rounds::Nothing),
                    PoolKind::Average { .. } => (factor, sums(factor, 0.0)),
                }
            }
            (Op::Reduce(reduce), _) => match reduce.kind {
                ReduceKind::Mean => (1.0, sums(1.0, 0.0)),
                ReduceKind::Sum => {
                    let count: usize = step.inputs.iter().map(|id| graph.value(*id).len()).sum();
                    let factor = (count as f64 / step.count as f64).sqrt();
                    (factor, sums(factor, 0.0))
                }
                _ => return Err(unknown(graph, node)),
            },
            _ => return Err(unknown(graph, node)),
        };
        if step.inputs.len() != 1 {
            return Err(unknown(graph, node));
        }
        Ok(Step {
            factor,
            rounds,
            ..step
        })
    }
}

fn unknown(graph: &Graph, node: &Node) -> CertifyError {
    unsupported(graph, node, "no Lipschitz constant is known for it")
}
