//! Operators of a file made of several of the network: the steps.

use super::builder::{Binding, Value};
use super::reader::Reader;
use super::weights::Computed;
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::ops::{
    Binary, Concat, Gather, Gemm, MatMul, Op, Reduce, ReduceKind, Slice, SliceAxis, Transpose,
    Unary,
};

/// The most numbers of a matrix that an operator along an axis stands for.
const MAX_MATRIX: usize = 1 << 24;

impl Reader<'_> {
    /// A function of each number.
    pub(super) fn unary(&mut self, op: Unary, value: Value) -> Result<Value, OnnxError> {
        self.apply(Op::Unary(op), value)
    }

    /// A function of a value's numbers and one number.
    pub(super) fn with_number(
        &mut self,
        op: Binary,
        value: Value,
        number: f64,
    ) -> Result<Value, OnnxError> {
        let number = self.own_weight("number", &[], vec![number])?;
        self.with_weight(op, value, number)
    }

    /// A function of a value's numbers and those of a weight that is repeated to its shape.
    pub(super) fn with_weight(
        &mut self,
        op: Binary,
        value: Value,
        weight: Operand,
    ) -> Result<Value, OnnxError> {
        let operands = [Operand::Value(value.id), weight];
        self.push_node(Op::Binary(op), &operands, value.batched)
    }

    /// A function of the numbers of two values that have the batch's axis alike.
    pub(super) fn both(&mut self, op: Binary, a: Value, b: Value) -> Result<Value, OnnxError> {
        self.with_weight(op, a, Operand::Value(b.id))
    }

    /// A function of a value's numbers and those of an input, if the node has it, aligned as in the
    /// file.
    pub(super) fn with_input(
        &mut self,
        op: Binary,
        value: Value,
        position: usize,
    ) -> Result<Value, OnnxError> {
        let Some(input) = self.input(position)? else {
            return Ok(value);
        };
        let inputs = [(0, Binding::Value(value)), (position, input)];
        let (operands, batched) = self.broadcast(&inputs)?;
        self.push_node(Op::Binary(op), &operands, batched)
    }

    /// The axes of one image in another order.
    pub(super) fn transpose(
        &mut self,
        value: Value,
        permutation: &[usize],
    ) -> Result<Value, OnnxError> {
        if permutation.is_sorted() {
            return Ok(value);
        }
        let permutation = permutation.to_vec();
        self.apply(Op::Transpose(Transpose { permutation }), value)
    }

    /// The positions `start..start + length` of an axis of one image.
    pub(super) fn part(
        &mut self,
        value: Value,
        axis: usize,
        start: usize,
        length: usize,
    ) -> Result<Value, OnnxError> {
        if length == self.shape(value)[axis] {
            return Ok(value);
        }
        let part = SliceAxis {
            axis,
            start,
            step: 1,
            length,
        };
        self.apply(Op::Slice(Slice { axes: vec![part] }), value)
    }

    /// The axes of one image that a list of the file's axes names, in rising order; where the batch's
    /// is among them they are those of the value that comes with them, which has it as its first.
    pub(super) fn axes(
        &mut self,
        value: Value,
        named: &[i64],
    ) -> Result<(Value, Vec<usize>), OnnxError> {
        let mut axes = Vec::with_capacity(named.len());
        for &axis in named {
            axes.push(self.axis(value, axis)?);
        }
        let mut value = value;
        if axes.contains(&None) {
            value = self.unbatched(value)?;
            for axis in &mut axes {
                *axis = Some(axis.map_or(0, |axis| axis + 1));
            }
        }
        let mut axes: Vec<usize> = axes.into_iter().flatten().collect();
        axes.sort_unstable();
        axes.dedup();
        Ok((value, axes))
    }

    /// One number of all along some axes of one image, which stay with length 1.
    pub(super) fn reduce(
        &mut self,
        kind: ReduceKind,
        value: Value,
        axes: Vec<usize>,
    ) -> Result<Value, OnnxError> {
        let op = Reduce {
            kind,
            axes,
            keep_axes: true,
        };
        self.apply(Op::Reduce(op), value)
    }

    /// Chosen positions of an axis of a value.
    pub(super) fn gather(
        &mut self,
        value: Value,
        axis: usize,
        positions: impl ExactSizeIterator<Item = usize>,
    ) -> Result<Value, OnnxError> {
        self.check_room(positions.len())?;
        let positions = positions.collect();
        self.apply(Op::Gather(Gather { axis, positions }), value)
    }

    /// Numbers of a value at chosen places of all its numbers in a row, under a shape.
    pub(super) fn pick(
        &mut self,
        value: Value,
        positions: Vec<usize>,
        shape: Vec<usize>,
    ) -> Result<Value, OnnxError> {
        let flat = vec![self.shape(value).iter().product()];
        let flat = self.reshape(value, flat, value.batched)?;
        let op = Op::Gather(Gather { axis: 0, positions });
        let picked = self.apply(op, flat)?;
        self.reshape(picked, shape, value.batched)
    }

    /// An input as a value beside another one: a constant's numbers are repeated for each image.
    pub(super) fn as_value(&mut self, position: usize, beside: Value) -> Result<Value, OnnxError> {
        let constant = match self.required(position)? {
            Binding::Value(value) => return Ok(value),
            Binding::Constant(constant) => constant,
        };
        let shape = match constant.shape.split_first() {
            Some((1, rest)) if beside.batched => rest.to_vec(),
            _ if beside.batched => {
                return Err(self.node.fail_in_batch(format!(
                    "its constant `{}` of shape {:?} differs from image to image of a batch",
                    self.input_name(position),
                    constant.shape
                )));
            }
            _ => constant.shape.clone(),
        };
        let length = shape.iter().product();
        let weight = self.shared_weight(position, &constant, &[length])?;
        let others = vec![self.shape(beside).iter().product()];
        let others = self.reshape(beside, others, beside.batched)?;
        let operands = [weight, Operand::Value(others.id)];
        let both = self.push_node(Op::Concat(Concat { axis: 0 }), &operands, beside.batched)?;
        let own = self.part(both, 0, 0, length)?;
        self.reshape(own, shape, beside.batched)
    }

    /// The matrix product of two values that have the batch's axis alike.
    pub(super) fn product(&mut self, a: Value, b: Value) -> Result<Value, OnnxError> {
        let operands = [Operand::Value(a.id), Operand::Value(b.id)];
        self.push_node(Op::MatMul(MatMul), &operands, a.batched)
    }

    /// Whether [`matrix_along`](Reader::matrix_along) may have a matrix of this size.
    pub(super) fn check_matrix(&self, outputs: usize, inputs: usize) -> Result<(), OnnxError> {
        if outputs.saturating_mul(inputs) <= MAX_MATRIX {
            return Ok(());
        }
        Err(self.fail(format!(
            "it makes {outputs} positions of {inputs}, a matrix of more than {MAX_MATRIX} numbers"
        )))
    }

    /// Each number along an axis of one image becomes a sum of numbers along it: `weight(o, i)` is
    /// with what number `i` counts in number `o` of the `outputs`.
    pub(super) fn matrix_along(
        &mut self,
        value: Value,
        axis: usize,
        outputs: usize,
        weight: impl Fn(usize, usize) -> f64,
    ) -> Result<Value, OnnxError> {
        let mut shape = self.shape(value).to_vec();
        let inputs = shape[axis];
        self.check_matrix(outputs, inputs)?;
        self.check_room(2 * outputs * inputs)?;
        let places = (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i)));
        let values: Vec<f64> = places.map(|(o, i)| weight(o, i)).collect();
        // Fractions may be differences of positions, which are as large as the axis.
        let fractions = values.iter().any(|&x| x != 0.0 && x != 1.0);
        let size = |x: &f64| match (*x, fractions) {
            (0.0, _) => 0.0,
            (x, true) => x.abs() + inputs as f64,
            (x, false) => x.abs(),
        };
        let numbers = Computed {
            magnitudes: values.iter().map(size).collect(),
            values,
        };
        let name = format!("{}/matrix", self.output_name());
        let matrix = self.computed_weight(&name, &[outputs, inputs], numbers)?;
        let after: usize = shape[axis + 1..].iter().product();
        if after == 1 {
            let before = shape[..axis].iter().product();
            let rows = self.reshape(value, vec![before, inputs], value.batched)?;
            let operands = [Operand::Value(rows.id), matrix];
            let op = Op::Gemm(Gemm { trans_b: true });
            let rows = self.push_node(op, &operands, value.batched)?;
            shape[axis] = outputs;
            return self.reshape(rows, shape, value.batched);
        }
        let before = shape[..axis].iter().product();
        let blocks = self.reshape(value, vec![before, inputs, after], value.batched)?;
        let operands = [matrix, Operand::Value(blocks.id)];
        let blocks = self.push_node(Op::MatMul(MatMul), &operands, value.batched)?;
        shape[axis] = outputs;
        self.reshape(blocks, shape, value.batched)
    }
}
