//! Reductions, and what is normalised by them.

use super::Export;
use super::attributes::{float, integer, integers, tensor};
use crate::graph::Node;
use crate::onnx::proto::AttributeProto;
use crate::ops::{Normalize, Reduce, ReduceKind};

impl Export<'_> {
    pub(super) fn normalize(
        &mut self,
        node: &Node,
        op: Normalize,
        inputs: Vec<String>,
        shape: &[usize],
    ) {
        let row = &shape[op.axis..];
        if op.centred {
            let scale = self.fresh(node, "scale");
            let dims = row.iter().map(|&size| size as i64).collect();
            let ones = vec![1.0; row.iter().product()];
            self.constants.push(tensor(&scale, dims, &ones));
            let attributes = vec![
                integer("axis", op.axis as i64 + 1),
                float("epsilon", op.epsilon),
            ];
            let inputs = vec![inputs[0].clone(), scale];
            return self.emit(node, op.name(), inputs, attributes);
        }
        // x / sqrt(mean of squares + epsilon), which runtimes have for longer.
        let x = inputs[0].clone();
        let square = self.helper(node, "Mul", vec![x.clone(), x.clone()]);
        let axes = (op.axis..shape.len()).collect();
        let (inputs, attributes) = self.over_axes(node, vec![square], axes, true, false);
        let mean = self.helper_with(node, "ReduceMean", inputs, attributes);
        let epsilon = self.number(node, "epsilon", op.epsilon);
        let mean = self.helper(node, "Add", vec![mean, epsilon]);
        let root = self.helper(node, "Sqrt", vec![mean]);
        self.emit(node, "Div", vec![x, root], Vec::new());
    }

    pub(super) fn reduce(&mut self, node: &Node, op: &Reduce, inputs: Vec<String>) {
        if op.axes.is_empty() {
            // ONNX would take all axes.
            return self.emit(node, "Identity", inputs, Vec::new());
        }
        let sum = op.kind == ReduceKind::Sum;
        let (inputs, attributes) = self.over_axes(node, inputs, op.axes.clone(), op.keep_axes, sum);
        self.emit(node, op.name(), inputs, attributes);
    }

    /// Inputs and attributes of a reduction over some axes of an image, `sum` if it is ReduceSum.
    pub(super) fn over_axes(
        &mut self,
        node: &Node,
        mut inputs: Vec<String>,
        axes: Vec<usize>,
        keep_axes: bool,
        sum: bool,
    ) -> (Vec<String>, Vec<AttributeProto>) {
        let axes = axes.into_iter().map(|axis| axis as i64 + 1).collect();
        let mut attributes = vec![integer("keepdims", i64::from(keep_axes))];
        // The sum's axes became an input in version 13, the others' in version 18.
        if sum || self.opset >= 18 {
            inputs.push(self.whole(node, "axes", axes));
        } else {
            attributes.push(integers("axes", axes));
        }
        (inputs, attributes)
    }
}
