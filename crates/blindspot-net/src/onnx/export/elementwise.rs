//! Operators that work on every value by itself, or on two of them.

use super::Export;
use super::attributes::{float, integer};
use crate::graph::{Node, Operand};
use crate::onnx::proto::*;
use crate::ops::{Binary, Unary};

impl Export<'_> {
    pub(super) fn unary(&mut self, node: &Node, op: Unary, x: &str) {
        let x = x.to_owned();
        match op {
            Unary::Gelu { tanh: false } => {
                // x (1 + erf(x / sqrt 2)) / 2
                let scale = std::f64::consts::FRAC_1_SQRT_2;
                let scaled = self.scaled(node, &x, scale);
                let erf = self.helper(node, "Erf", vec![scaled]);
                self.gated(node, x, erf);
            }
            Unary::Gelu { tanh: true } => {
                // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
                let scale = std::f64::consts::FRAC_1_SQRT_2 * std::f64::consts::FRAC_2_SQRT_PI;
                let square = self.helper(node, "Mul", vec![x.clone(), x.clone()]);
                let cube = self.helper(node, "Mul", vec![square, x.clone()]);
                let cube = self.scaled(node, &cube, 0.044_715);
                let sum = self.helper(node, "Add", vec![x.clone(), cube]);
                let scaled = self.scaled(node, &sum, scale);
                let tanh = self.helper(node, "Tanh", vec![scaled]);
                self.gated(node, x, tanh);
            }
            Unary::Clip { min, max } => {
                let mut inputs = vec![x];
                for (name, end, open) in
                    [("min", min, f64::NEG_INFINITY), ("max", max, f64::INFINITY)]
                {
                    // An open end is an input left out.
                    inputs.push(if end == open {
                        String::new()
                    } else {
                        self.number(node, name, end)
                    });
                }
                let given = inputs.iter().rposition(|input| !input.is_empty());
                inputs.truncate(given.map_or(1, |last| last + 1));
                self.emit(node, op.name(), inputs, Vec::new());
            }
            Unary::Swish { alpha } => {
                let scaled = self.scaled(node, &x, alpha);
                let gate = self.helper(node, "Sigmoid", vec![scaled]);
                self.emit(node, "Mul", vec![x, gate], Vec::new());
            }
            Unary::Mish => {
                let gate = self.helper(node, "Softplus", vec![x.clone()]);
                let gate = self.helper(node, "Tanh", vec![gate]);
                self.emit(node, "Mul", vec![x, gate], Vec::new());
            }
            Unary::LeakyRelu { alpha }
            | Unary::Elu { alpha }
            | Unary::Celu { alpha }
            | Unary::ThresholdedRelu { alpha } => {
                self.emit(node, op.name(), vec![x], vec![float("alpha", alpha)]);
            }
            Unary::Selu { alpha, gamma } => {
                let attributes = vec![float("alpha", alpha), float("gamma", gamma)];
                self.emit(node, op.name(), vec![x], attributes);
            }
            Unary::Shrink { lambda, bias } => {
                let attributes = vec![float("lambd", lambda), float("bias", bias)];
                self.emit(node, op.name(), vec![x], attributes);
            }
            Unary::Not => {
                let truth = self.cast(node, x, BOOL);
                self.truth(node, op.name(), vec![truth], Vec::new());
            }
            Unary::IsNan => self.truth(node, op.name(), vec![x], Vec::new()),
            Unary::IsInf { negative, positive } => {
                let attributes = vec![
                    integer("detect_negative", i64::from(negative)),
                    integer("detect_positive", i64::from(positive)),
                ];
                self.truth(node, op.name(), vec![x], attributes);
            }
            Unary::HardSigmoid { alpha, beta } => {
                let attributes = vec![float("alpha", alpha), float("beta", beta)];
                self.emit(node, op.name(), vec![x], attributes);
            }
            _ => self.emit(node, op.name(), vec![x], Vec::new()),
        }
    }

    /// x (1 + gate) / 2.
    pub(super) fn gated(&mut self, node: &Node, x: String, gate: String) {
        let one = self.number(node, "one", 1.0);
        let gate = self.helper(node, "Add", vec![gate, one]);
        let half = self.scaled(node, &x, 0.5);
        self.emit(node, "Mul", vec![half, gate], Vec::new());
    }

    pub(super) fn binary(&mut self, node: &Node, op: Binary) {
        let inputs = self.aligned(node);
        let output = &self.graph.value(node.output).shape;
        let own =
            matches!(&node.inputs[0], Operand::Value(id) if self.graph.value(*id).shape == *output);
        if op == Binary::PRelu && !own {
            // ONNX repeats the slopes only: max(a, 0) + min(a, 0) b.
            let [a, b] = &inputs[..] else {
                unreachable!("two operands")
            };
            let zero = self.number(node, "zero", 0.0);
            let above = self.helper(node, "Relu", vec![a.clone()]);
            let below = self.helper(node, "Min", vec![a.clone(), zero]);
            let below = self.helper(node, "Mul", vec![below, b.clone()]);
            return self.emit(node, "Add", vec![above, below], Vec::new());
        }
        if op.is_comparison() {
            return self.truth(node, op.name(), inputs, Vec::new());
        }
        let attributes = (op == Binary::Mod).then(|| integer("fmod", 1));
        self.emit(node, op.name(), inputs, attributes.into_iter().collect());
    }

    /// An operator that gives truth values, as 1 and 0.
    pub(super) fn truth(
        &mut self,
        node: &Node,
        op_type: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
    ) {
        let truth = self.helper_with(node, op_type, inputs, attributes);
        let to = vec![integer("to", i64::from(FLOAT))];
        self.emit(node, "Cast", vec![truth], to);
    }

    /// A value in another type.
    pub(super) fn cast(&mut self, node: &Node, x: String, data_type: i32) -> String {
        let to = vec![integer("to", i64::from(data_type))];
        self.helper_with(node, "Cast", vec![x], to)
    }

    pub(super) fn choose(&mut self, node: &Node) {
        let mut inputs = self.aligned(node);
        inputs[0] = self.cast(node, inputs[0].clone(), BOOL);
        self.emit(node, "Where", inputs, Vec::new());
    }

    /// A value times a number.
    pub(super) fn scaled(&mut self, node: &Node, x: &str, factor: f64) -> String {
        let factor = self.number(node, "factor", factor);
        self.helper(node, "Mul", vec![x.to_owned(), factor])
    }
}
