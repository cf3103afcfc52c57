//! Operators that put parts together or take them.

use super::Export;
use super::attributes::{integer, string};
use crate::graph::{Node, Operand};
use crate::ops::{Concat, Pad, PadMode, Slice};

impl Export<'_> {
    pub(super) fn concat(&mut self, node: &Node, op: Concat, mut inputs: Vec<String>) {
        let value = node
            .inputs
            .iter()
            .position(|operand| matches!(operand, Operand::Value(_)))
            .expect("one depends on the image");
        let value = inputs[value].clone();
        for (input, operand) in inputs.iter_mut().zip(&node.inputs) {
            if let Operand::Weight(_) = operand {
                // A weight is repeated for each image of the batch.
                let shape = self
                    .shape(operand)
                    .iter()
                    .map(|&size| size as i64)
                    .collect();
                let one = self.whole(node, "shape", shape);
                let ends = vec![integer("start", 0), integer("end", 1)];
                let batch = self.fresh(node, "batch");
                self.push(
                    batch.clone(),
                    batch.clone(),
                    "Shape",
                    vec![value.clone()],
                    ends,
                );
                let all = self.fresh(node, "shapes");
                let joined = vec![batch, one];
                self.push(
                    all.clone(),
                    all.clone(),
                    "Concat",
                    joined,
                    vec![integer("axis", 0)],
                );
                *input = self.helper(node, "Expand", vec![input.clone(), all]);
            }
        }
        let axis = integer("axis", op.axis as i64 + 1);
        self.emit(node, "Concat", inputs, vec![axis]);
    }

    pub(super) fn slice(
        &mut self,
        node: &Node,
        op: &Slice,
        mut inputs: Vec<String>,
        shape: &[usize],
    ) {
        if op.axes.is_empty() {
            return self.emit(node, "Identity", inputs, Vec::new());
        }
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let (mut axes, mut steps) = (Vec::new(), Vec::new());
        for part in &op.axes {
            let step = if part.length == 1 { 1 } else { part.step };
            let last = part.start as i64 + step * (part.length as i64 - 1);
            starts.push(part.start as i64);
            // Numbers below 0 count from the end: before the first one is further away than it is
            // long.
            ends.push(match last + step.signum() {
                -1 => -(shape[part.axis] as i64) - 1,
                end => end,
            });
            axes.push(part.axis as i64 + 1);
            steps.push(step);
        }
        for (name, numbers) in [
            ("starts", starts),
            ("ends", ends),
            ("axes", axes),
            ("steps", steps),
        ] {
            inputs.push(self.whole(node, name, numbers));
        }
        self.emit(node, "Slice", inputs, Vec::new());
    }

    pub(super) fn pad(&mut self, node: &Node, op: &Pad, mut inputs: Vec<String>) {
        let sides = [&[0][..], &op.before, &[0], &op.after].concat();
        inputs.push(self.whole(node, "pads", sides));
        let mode = match op.mode {
            PadMode::Constant(constant) => {
                inputs.push(self.number(node, "constant", constant));
                "constant"
            }
            PadMode::Reflect => "reflect",
            PadMode::Edge => "edge",
        };
        self.emit(node, "Pad", inputs, vec![string("mode", mode)]);
    }
}
