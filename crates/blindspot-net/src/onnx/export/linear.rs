//! Matrix products.

use super::Export;
use super::attributes::integer;
use crate::graph::Node;
use crate::ops::{Gemm, Local};

impl Export<'_> {
    pub(super) fn gemm(&mut self, node: &Node, op: Gemm, mut inputs: Vec<String>) {
        // Gemm is for matrices, a batch of rows; a value with more axes takes MatMul.
        if self.shape(&node.inputs[0]).len() == 1 {
            let attributes = op.trans_b.then(|| integer("transB", 1));
            return self.emit(node, "Gemm", inputs, attributes.into_iter().collect());
        }
        let bias = (inputs.len() > 2).then(|| inputs.remove(2));
        if op.trans_b {
            let weight = inputs.pop().expect("it has a weight");
            inputs.push(self.helper(node, "Transpose", vec![weight]));
        }
        match bias {
            None => self.emit(node, "MatMul", inputs, Vec::new()),
            Some(bias) => {
                let product = self.helper(node, "MatMul", inputs);
                self.emit(node, "Add", vec![product, bias], Vec::new());
            }
        }
    }

    /// Each position's field as a row of its own, times that position's matrix: [batch, positions,
    /// 1, field] by [positions, field, maps].
    pub(super) fn local(&mut self, node: &Node, op: &Local, inputs: Vec<String>) {
        let flat = self.shape_with_batch(node, &[self.shape(&node.inputs[0]).iter().product()]);
        let flat = self.helper(node, "Reshape", vec![inputs[0].clone(), flat]);
        let (count, length) = (op.fields.count(), op.fields.field_len());
        let places = op.fields.places().iter().map(|&place| place as i64);
        let places = self.whole(node, "fields", places.collect());
        if let Some(constant) = self.constants.last_mut() {
            constant.dims = vec![count as i64, 1, length as i64];
        }
        let rows = self.fresh(node, "gather");
        let along = vec![integer("axis", 1)];
        self.push(
            rows.clone(),
            rows.clone(),
            "Gather",
            vec![flat, places],
            along,
        );
        let product = self.helper(node, "MatMul", vec![rows, inputs[1].clone()]);
        let shape = self.graph.value(node.output).shape.clone();
        let shape = self.shape_with_batch(node, &shape);
        self.emit(node, "Reshape", vec![product, shape], Vec::new());
    }
}
