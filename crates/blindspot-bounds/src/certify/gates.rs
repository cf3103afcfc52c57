//! Activation functions that a file writes as several operators: a number times a gate, a function of
//! the same number between 0 and 1. Taken as one function they have far tighter bounds than as a
//! product of two.

use std::collections::{HashMap, HashSet};

use blindspot_net::ops::{Binary, Unary};
use blindspot_net::{ExactNetwork, Node, Op, Operand, ValueId};

use super::curve::{Curve, Function};

/// The gated functions of a network.
#[derive(Default)]
pub(super) struct Gates {
    /// By the position of the node that multiplies number and gate.
    functions: HashMap<usize, (Curve, ValueId)>,
    /// The positions of the nodes of the gates themselves.
    inside: HashSet<usize>,
}

impl Gates {
    /// Finds the gates whose values nothing else takes.
    pub(super) fn new(exact: &ExactNetwork) -> Gates {
        let graph = exact.network().graph();
        let mut makers = HashMap::new();
        let mut uses = vec![0; graph.values().len()];
        for (at, node) in graph.nodes().iter().enumerate() {
            makers.insert(node.output, at);
            for operand in &node.inputs {
                if let Operand::Value(id) = operand {
                    uses[id.index()] += 1;
                }
            }
        }
        uses[graph.output().index()] += 1;
        let search = Search {
            exact,
            makers,
            uses,
        };
        let mut gates = Gates::default();
        for (at, node) in graph.nodes().iter().enumerate() {
            let [Operand::Value(a), Operand::Value(b)] = node.inputs[..] else {
                continue;
            };
            if node.op != Op::Binary(Binary::Mul) {
                continue;
            }
            let found = [(a, b), (b, a)]
                .into_iter()
                .find_map(|(number, gate)| search.function(number, gate));
            if let Some((curve, number, inside)) = found {
                gates.functions.insert(at, (curve, number));
                gates.inside.extend(inside);
            }
        }
        gates
    }

    /// The gated function that ends in the node at this position, and what it takes.
    pub(super) fn function(&self, at: usize) -> Option<&(Curve, ValueId)> {
        self.functions.get(&at)
    }

    /// Whether the node at this position is a part of a gate.
    pub(super) fn is_inside(&self, at: usize) -> bool {
        self.inside.contains(&at)
    }
}

/// The network in which gates are searched for.
struct Search<'a> {
    exact: &'a ExactNetwork,
    /// The position of the node that makes each value.
    makers: HashMap<ValueId, usize>,
    /// How many operands each value is.
    uses: Vec<usize>,
}

impl<'a> Search<'a> {
    /// The node that makes a value that is used once.
    fn maker(&self, value: ValueId) -> Option<(usize, &'a Node)> {
        let graph = self.exact.network().graph();
        let at = *self.makers.get(&value)?;
        (self.uses[value.index()] == 1).then(|| (at, &graph.nodes()[at]))
    }

    /// The function of one number whose node makes a value, and its operand.
    fn unary(&self, value: ValueId) -> Option<(usize, Unary, ValueId)> {
        let (at, node) = self.maker(value)?;
        match (&node.op, &node.inputs[..]) {
            (Op::Unary(unary), &[Operand::Value(input)]) => Some((at, *unary, input)),
            _ => None,
        }
    }

    /// The node that makes a value out of another one and one number of the file.
    fn with_number(&self, value: ValueId, op: Binary) -> Option<(usize, ValueId, f64)> {
        let (at, node) = self.maker(value)?;
        let (input, weight) = match node.inputs[..] {
            [Operand::Value(input), Operand::Weight(weight)] => (input, weight),
            [Operand::Weight(weight), Operand::Value(input)] if op != Binary::Div => {
                (input, weight)
            }
            _ => return None,
        };
        let numbers = &self.exact.network().weights()[weight.index()];
        let is_one = numbers.len() == 1 && self.exact.is_of_file(weight.index());
        (node.op == Op::Binary(op) && is_one).then_some((at, input, numbers[0]))
    }

    /// The function that `number` times `gate` is of a number, that number, and the nodes between.
    fn function(&self, number: ValueId, gate: ValueId) -> Option<(Curve, ValueId, Vec<usize>)> {
        let (function, inside) = self
            .gate(number, gate)
            .or_else(|| self.normal_gate(number, gate))?;
        Some((Curve::of(function)?.of_operators(), number, inside))
    }

    /// Logistic function (SiLU), its approximation in pieces, tanh(log(1 + e^x)) (Mish).
    fn gate(&self, number: ValueId, gate: ValueId) -> Option<(Function, Vec<usize>)> {
        let (at, unary, input) = self.unary(gate)?;
        match unary {
            Unary::Sigmoid if input == number => {
                Some((Function::Unary(Unary::Swish { alpha: 1.0 }), vec![at]))
            }
            Unary::HardSigmoid { alpha, beta } if input == number => {
                Some((Function::HardGate { alpha, beta }, vec![at]))
            }
            Unary::Tanh => {
                let (below, unary, input) = self.unary(input)?;
                let is_mish = unary == Unary::Softplus && input == number;
                is_mish.then(|| (Function::Unary(Unary::Mish), vec![at, below]))
            }
            _ => None,
        }
    }

    /// 1 + erf(x / sqrt(2)), or with another divisor (GELU).
    fn normal_gate(&self, number: ValueId, gate: ValueId) -> Option<(Function, Vec<usize>)> {
        let (sum, erf, one) = self.with_number(gate, Binary::Add)?;
        let (at, unary, input) = self.unary(erf)?;
        if unary != Unary::Erf || one != 1.0 {
            return None;
        }
        let scaled = |op| self.with_number(input, op);
        let (below, value, steepness) = match scaled(Binary::Div) {
            Some((below, value, divisor)) => (below, value, 1.0 / divisor),
            None => scaled(Binary::Mul)?,
        };
        let is_gate = value == number;
        is_gate.then(|| (Function::ErfGate { steepness }, vec![sum, at, below]))
    }
}
