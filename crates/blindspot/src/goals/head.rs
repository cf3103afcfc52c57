//! The small networks that stand behind a model's outputs: from these to 0 and a goal's margins.

use blindspot_net::ops::{Binary, Gemm, Reduce, ReduceKind, Reshape};
use blindspot_net::{Graph, Network, Op, Operand, ValueId};

/// A margin as a linear function: a factor for each of some numbers, and a constant.
pub(crate) struct Linear {
    pub(crate) factors: Vec<(usize, f64)>,
    pub(crate) constant: f64,
}

impl Linear {
    /// One number, taken so many times, and a constant.
    pub(super) fn of(number: usize, factor: f64, constant: f64) -> Linear {
        Linear {
            factors: vec![(number, factor)],
            constant,
        }
    }
}

/// A network under way, from a model's outputs to margins.
pub(crate) struct HeadBuilder {
    graph: Graph,
    weights: Vec<Vec<f64>>,
    /// What comes next is made of this.
    value: ValueId,
    /// How many numbers that is.
    numbers: usize,
}

impl HeadBuilder {
    /// Begins with a model's outputs, of this shape.
    pub(crate) fn new(shape: &[usize]) -> HeadBuilder {
        let graph = Graph::new("outputs of the model", shape).expect("a model gives such outputs");
        let mut head = HeadBuilder {
            value: graph.input(),
            graph,
            weights: Vec::new(),
            numbers: shape.iter().product(),
        };
        let shape = vec![head.numbers];
        head.put("outputs in a row", Op::Reshape(Reshape { shape }), &[]);
        head
    }

    /// Goes on to what an operator makes of the value and other operands.
    fn put(&mut self, name: &str, op: Op, others: &[Operand]) {
        let operands: Vec<Operand> = [Operand::Value(self.value)]
            .into_iter()
            .chain(others.iter().copied())
            .collect();
        let value = self.graph.node(name, op, &operands, name);
        self.value = value.expect("the shapes of a head fit each other");
        self.numbers = self.graph.value(self.value).len();
    }

    fn weight(&mut self, name: &str, shape: &[usize], numbers: Vec<f64>) -> Operand {
        let weight = self.graph.weight(name, shape).expect("the name is new");
        self.weights.push(numbers);
        Operand::Weight(weight)
    }

    /// How far the numbers are from a point, in the L2 norm.
    pub(super) fn distance_to(mut self, point: &[f64]) -> HeadBuilder {
        let point = self.weight("point", &[point.len()], point.to_vec());
        self.put("from the point", Op::Binary(Binary::Sub), &[point]);
        self.put("distance", norm(), &[]);
        self
    }

    /// The cosine of the numbers and a direction, which is not 0.
    pub(super) fn cosine_to(mut self, direction: &[f64]) -> HeadBuilder {
        let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
        let unit = direction.iter().map(|x| x / length).collect();
        let numbers = self.value;
        self.put("length", norm(), &[]);
        // Where all numbers are 0, so is the cosine.
        let least = self.weight("least length", &[1], vec![f64::from(f32::MIN_POSITIVE)]);
        self.put("divisor", Op::Binary(Binary::Max), &[least]);
        let divisor = Operand::Value(self.value);
        self.value = numbers;
        let unit = self.weight("direction", &[direction.len(), 1], unit);
        self.put("along the direction", gemm(), &[unit]);
        self.put("cosine", Op::Binary(Binary::Div), &[divisor]);
        self
    }

    /// The numbers that a network of one's own makes of these.
    pub(super) fn formula(self, formula: &Network<f64>) -> Option<HeadBuilder> {
        let mut first = formula.graph().clone();
        let shape = formula.input_shape().to_vec();
        let mut before = self;
        before.put("inputs of the formula", Op::Reshape(Reshape { shape }), &[]);
        first = first.after(&before.graph).ok()?;
        let weights = before.weights.into_iter();
        let mut head = HeadBuilder {
            value: first.output(),
            numbers: formula.output_len(),
            weights: weights.chain(formula.weights().iter().cloned()).collect(),
            graph: first,
        };
        let shape = vec![head.numbers];
        head.put(
            "numbers of the formula",
            Op::Reshape(Reshape { shape }),
            &[],
        );
        Some(head)
    }

    /// 0, then the margins; or, where every one of them has to be positive, their negatives, so that 0 then leads them all.
    pub(crate) fn margins(self, margins: &[Linear], every: bool) -> Network<f64> {
        let sign = if every { -1.0 } else { 1.0 };
        let nothing = Linear {
            factors: Vec::new(),
            constant: 0.0,
        };
        let signed = margins.iter().map(|margin| Linear {
            factors: margin
                .factors
                .iter()
                .map(|&(number, factor)| (number, sign * factor))
                .collect(),
            constant: sign * margin.constant,
        });
        self.functions(&std::iter::once(nothing).chain(signed).collect::<Vec<_>>())
    }

    /// Linear functions of the numbers.
    pub(crate) fn functions(mut self, functions: &[Linear]) -> Network<f64> {
        let columns = functions.len();
        let mut factors = vec![0.0; self.numbers * columns];
        let mut constants = vec![0.0; columns];
        for (i, function) in functions.iter().enumerate() {
            for &(number, factor) in &function.factors {
                factors[number * columns + i] = factor;
            }
            constants[i] = function.constant;
        }
        let factors = self.weight("factors", &[self.numbers, columns], factors);
        let constants = self.weight("constants", &[columns], constants);
        self.put("linear functions", gemm(), &[factors, constants]);
        Network::new(self.graph, self.weights).expect("the weights fit and are finite")
    }
}

fn gemm() -> Op {
    Op::Gemm(Gemm { trans_b: false })
}

/// The L2 norm of a row.
fn norm() -> Op {
    Op::Reduce(Reduce {
        kind: ReduceKind::L2,
        axes: vec![0],
        keep_axes: true,
    })
}
