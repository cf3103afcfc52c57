//! The arithmetic in which an answer is certified, and how far rounding can move a value in it.
//!
//! A runtime computes each value of a network as sums of products. Whatever the order of the sums,
//! and whether products are rounded before they are added or not, a sum of n products differs from
//! the exact one by at most gamma_n = n u / (1 - n u) times the sum of their absolute values, u being
//! the unit roundoff (Higham 2002, section 3.1). So a layer with the matrix A and the bias b, on the
//! values h that the runtime has before it, gives A h + b up to gamma (|A| |h| + |b|). Where the file
//! keeps values in half precision or bfloat16, each value is rounded once more to that format, or
//! not, as the runtime likes.

use std::str::FromStr;

use blindspot_net::{ExactNetwork, Node, Op, Operand, Precision, WeightId};
use serde::{Deserialize, Serialize};

/// The arithmetic in which an answer is certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// The arithmetic of any runtime: in single precision, with its sums in whatever order; in half
    /// precision or bfloat16 between operators where the file has these. A certificate holds in
    /// exact arithmetic, too.
    #[default]
    Runtime,
    /// Exact arithmetic on the file's own numbers. A runtime may answer otherwise to an image whose
    /// margin is below its rounding errors.
    Exact,
}

impl FromStr for Arithmetic {
    type Err = String;

    fn from_str(text: &str) -> Result<Arithmetic, String> {
        match text.trim() {
            "runtime" => Ok(Arithmetic::Runtime),
            "exact" => Ok(Arithmetic::Exact),
            _ => Err("write runtime or exact".into()),
        }
    }
}

/// The rounding of one kind of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rounding {
    /// The unit roundoff of sums and products.
    unit: f64,
    /// The unit roundoff of the format that values are kept in between operators, 0 if they are kept
    /// as they are computed.
    stored: f64,
    /// The size below which errors are no longer relative.
    floor: f64,
    /// The largest number.
    largest: f64,
}

/// How far a runtime's activation function is from the exact one, in unit roundoffs of what an
/// activation of values up to 1 in size, or of its argument, can have; onnxruntime's are within 3.
const ACTIVATION: f64 = 16.0;

impl Rounding {
    /// Single precision throughout. Numbers below the smallest normal one may be flushed to 0.
    pub(super) const SINGLE: Rounding = Rounding {
        unit: 1.0 / (1u64 << 24) as f64,
        stored: 0.0,
        floor: 1.0 / (1u128 << 102) as f64,
        largest: f32::MAX as f64,
    };

    /// The rounding of runtimes for models whose values are kept in a format.
    pub(super) fn of(precision: Precision) -> Rounding {
        match precision {
            Precision::Single => Rounding::SINGLE,
            Precision::Half => Rounding {
                stored: precision.unit_roundoff(),
                floor: 1.0 / (1 << 14) as f64,
                largest: 65504.0,
                ..Rounding::SINGLE
            },
            Precision::Brain => Rounding {
                stored: precision.unit_roundoff(),
                ..Rounding::SINGLE
            },
        }
    }

    /// How far logits must be apart for a Softmax or LogSoftmax of so many `classes` to keep them
    /// apart: its exponentials, their sum, and what is kept of the quotients or differences.
    pub(super) fn of_softmax(&self, classes: usize) -> f64 {
        let classes = classes as f64;
        // Below the smallest number of a format its steps are absolute.
        let step = self.floor * (self.unit + self.stored);
        32.0 * (self.unit + self.stored) * (1.0 + classes.ln()) + 16.0 * classes * step
    }

    /// Double precision, in which everything here is computed.
    pub(super) const DOUBLE: Rounding = Rounding {
        unit: 0.5 * f64::EPSILON,
        stored: 0.0,
        floor: f64::MIN_POSITIVE / f64::EPSILON,
        largest: f64::MAX,
    };

    /// The relative error of a chain of operators; infinite if there are too many roundings in it
    /// for a bound.
    pub(super) fn relative(&self, roundings: Roundings) -> f64 {
        let Roundings { sums, values } = roundings;
        let sum = sums as f64 * self.unit + values as f64 * self.stored;
        if sum < 0.25 {
            sum / (1.0 - sum) * (1.0 + 1e-12)
        } else {
            f64::INFINITY
        }
    }

    /// How far a computed activation can be from the function of its input, for one whose values or
    /// arguments are at most `size`.
    pub(super) fn of_activation(&self, size: f64) -> f64 {
        (ACTIVATION * self.unit + 2.0 * self.stored) * (1.0 + size) + self.floor
    }

    /// How far a computed value of at most this size can be from a function whose rounding is relative to it, as of roots
    /// and exponentials.
    pub(super) fn of_value(&self, size: f64) -> f64 {
        (ACTIVATION * self.unit + 2.0 * self.stored) * size + self.floor
    }

    /// How far a computed Softmax of `count` numbers can be from that of these numbers; a LogSoftmax, if its values have
    /// absolute values up to `size`.
    ///
    /// With p the Softmax and t the numbers below the largest, an exponential is off by the part u t and that of an
    /// exponential, their sum by the mean of these, weighted with p, and n u. The mean of t is at most the entropy, and
    /// that at most log n; p t is at most 1 / e.
    pub(super) fn of_softmax_inside(&self, count: usize, size: f64) -> f64 {
        let n = count as f64;
        let single = self.unit * (2.0 * ACTIVATION + 8.0 + n + n.ln());
        let stored = self.stored * (8.0 + n.ln());
        if single + stored > 0.05 {
            return f64::INFINITY;
        }
        let own = (4.0 * self.unit + 2.0 * self.stored) * size;
        1.1 * (single + stored) + own + (n + 1.0) * self.floor
    }

    /// How far a runtime's form of a constant of the network can be from it, for one whose magnitude is
    /// at most `size`. Where it is not computed from others, a number of single precision stays as it
    /// is where values are kept in that.
    pub(super) fn of_constant(&self, number: f64, size: f64, is_computed: bool) -> f64 {
        let is_kept = !is_computed && f64::from(number as f32) == number;
        if is_kept && self.stored == 0.0 {
            return 0.0;
        }
        self.of_value(size)
    }

    /// How far a sum of products of computed values can be from that of these values, for one whose
    /// terms have absolute values that sum to `size`.
    pub(super) fn of_products(&self, terms: usize, size: f64) -> f64 {
        if self.overflows(size) {
            return f64::INFINITY;
        }
        let roundings = Roundings {
            sums: terms + 1,
            values: 2,
        };
        self.relative(roundings) * (size + self.floor) + self.floor
    }

    /// The size that a sum's terms have at least for its error to be relative.
    pub(super) fn floor(&self) -> f64 {
        self.floor
    }

    /// Whether a value, or a sum on the way to it, may overflow.
    pub(super) fn overflows(&self, size: f64) -> bool {
        // NaN, too.
        size.is_nan() || size >= 0.5 * self.largest
    }
}

/// How often rounding changes a number on its way through linear operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Roundings {
    /// In sums and products.
    sums: usize,
    /// By being kept.
    values: usize,
}

impl Roundings {
    /// Of the numbers of an image, which the network may take in another format.
    pub(super) const INPUT: Roundings = Roundings { sums: 1, values: 1 };

    /// The roundings of a number on its way through a linear operator, at most, that of the weights
    /// included.
    pub(super) fn of(network: &ExactNetwork, node: &Node) -> Roundings {
        let graph = network.network().graph();
        let weights = node.inputs.iter().filter_map(|operand| match operand {
            Operand::Weight(id) => Some(*id),
            Operand::Value(_) => None,
        });
        let weights: Vec<WeightId> = weights.collect();
        let shape = weights
            .first()
            .map_or(&[][..], |id| &graph.weights()[id.index()].shape);
        let terms = match &node.op {
            // The weight has a row, or a column, for each unit; a filter for each channel.
            Op::Gemm(gemm) => shape[usize::from(gemm.trans_b)],
            Op::Conv(_) => shape[1..].iter().product(),
            Op::Local(_) => shape[1],
            Op::MatMul(_) => match &node.inputs[..] {
                [Operand::Weight(_), _] => shape.last().copied().unwrap_or(1),
                _ => shape[shape.len().saturating_sub(2)..]
                    .first()
                    .copied()
                    .unwrap_or(1),
            },
            Op::Pool(pool) => pool.window.kernel.iter().product(),
            Op::Reduce(_) => match &node.inputs[..] {
                [Operand::Value(id)] => graph.value(*id).len() / graph.value(node.output).len(),
                _ => 1,
            },
            // These move numbers, and round none.
            Op::Reshape(_) | Op::Transpose(_) | Op::Dropout(_) | Op::Slice(_) | Op::Gather(_) => {
                return Roundings::default();
            }
            Op::Concat(_) if weights.is_empty() => return Roundings::default(),
            _ => 1,
        };
        // A weight that is no number of the file comes of operators of their own.
        let own = weights.iter().all(|id| network.is_of_file(id.index()));
        let computed = if own { 0 } else { 1 + ExactNetwork::ROUNDINGS };
        Roundings {
            // The bias is one more term, a weight in double precision one more rounding.
            sums: terms + 2 + computed,
            values: 1 + computed,
        }
    }
}

impl std::ops::AddAssign for Roundings {
    fn add_assign(&mut self, other: Roundings) {
        self.sums += other.sums;
        self.values += other.values;
    }
}
