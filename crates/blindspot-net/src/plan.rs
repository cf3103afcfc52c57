//! What running a network takes, known before it runs.

use crate::budget::{Budget, BudgetError};
use crate::graph::{Graph, Node, Operand};
use crate::ops::OperandShape;

/// The most steps that one image may take: 2^37, some two minutes on a core.
///
/// A file can claim windows of any size; this keeps a claim from becoming a search without end.
pub const MAX_STEPS: u64 = 1 << 37;

/// The memory that running a graph takes, in numbers.
struct Needs {
    /// Of all values, and of as many gradients.
    values: u64,
    /// Of what operators need beside: the most that one of them needs, and which it is.
    scratch: u64,
    of: String,
}

/// What computing a constant takes.
pub(crate) struct Computing {
    pub(crate) bytes: u64,
    pub(crate) steps: u64,
}

impl Graph {
    /// What computing the output for one image takes, without gradients, in numbers of `width` bytes:
    /// the values, what operators need beside, a copy of the weights, and of the output in double
    /// precision.
    pub(crate) fn computing(&self, width: usize) -> Computing {
        let needs = self.needs(1);
        let count = |shape: &[usize]| shape.iter().product::<usize>() as u64;
        let copies = self.weights().iter().map(|weight| count(&weight.shape));
        let numbers = copies.fold(needs.scratch, u64::saturating_add) + needs.values / 2;
        let output = count(&self.value(self.output()).shape) * size_of::<f64>() as u64;
        Computing {
            bytes: numbers.saturating_mul(width as u64).saturating_add(output),
            steps: self.steps() as u64,
        }
    }

    /// Checks that one image's steps through the graph are no more than [`MAX_STEPS`].
    ///
    /// # Errors
    /// [`BudgetError::Steps`] where they are more.
    pub fn check_steps(&self) -> Result<(), BudgetError> {
        let all = self.steps();
        if all <= MAX_STEPS as f64 {
            return Ok(());
        }
        let steps = |node: &Node| self.steps_of(node);
        let longest = self
            .nodes()
            .iter()
            .max_by(|a, b| steps(a).total_cmp(&steps(b)));
        let node = longest.map_or(String::new(), |node| self.name_of(node));
        Err(BudgetError::Steps {
            what: format!("an image, above all in node `{node}`,"),
            steps: all as u64,
            most: MAX_STEPS,
        })
    }

    /// About how many elementary steps one image takes in one direction; see
    /// [`Op::steps`](crate::Op::steps).
    pub fn steps(&self) -> f64 {
        self.nodes().iter().map(|node| self.steps_of(node)).sum()
    }

    fn steps_of(&self, node: &Node) -> f64 {
        node.op
            .steps(&self.operand_shapes(node), self.output_of(node))
    }

    /// The bytes that evaluating `images` images at once takes in numbers of `width` bytes, gradients
    /// included; the weights are not.
    pub fn evaluation_bytes(&self, images: usize, width: usize) -> u64 {
        let needs = self.needs(images);
        needs
            .values
            .saturating_add(needs.scratch)
            .saturating_mul(width as u64)
    }

    /// Checks that evaluating one image on each of so many threads, gradients included, leaves the
    /// budget's memory enough beside the bytes that are `held`, in numbers of `width` bytes.
    ///
    /// # Errors
    /// [`BudgetError::Memory`], which names what takes most of it.
    pub fn check_memory(
        &self,
        budget: &Budget,
        held: u64,
        threads: usize,
        width: usize,
    ) -> Result<(), BudgetError> {
        let needs = self.needs(1);
        let all = self
            .evaluation_bytes(1, width)
            .saturating_mul(threads as u64);
        budget.check(all.saturating_add(held), || {
            let threads = match threads {
                1 => String::new(),
                threads => format!(", on {threads} threads"),
            };
            if needs.scratch > needs.values {
                format!("the columns of node `{}`{threads}", needs.of)
            } else {
                format!("the values of an image{threads}")
            }
        })
    }

    fn needs(&self, images: usize) -> Needs {
        let lengths = self.values().iter().map(|value| value.len() as u64);
        let values = lengths.fold(0, u64::saturating_add);
        let scratch = |node: &Node| {
            let shapes = self.operand_shapes(node);
            node.op.scratch(images, &shapes, self.output_of(node))
        };
        let most = self.nodes().iter().map(|node| (scratch(node), node));
        let most = most.max_by_key(|&(scratch, _)| scratch);
        let (scratch, of) = most.map_or((0, String::new()), |(scratch, node)| {
            (scratch, self.name_of(node))
        });
        Needs {
            values: values.saturating_mul(2 * images as u64),
            scratch,
            of,
        }
    }

    /// The shapes of a node's operands.
    fn operand_shapes(&self, node: &Node) -> Vec<OperandShape<'_>> {
        let shape = |&operand: &Operand| match operand {
            Operand::Value(id) => OperandShape::Value(&self.value(id).shape),
            Operand::Weight(id) => OperandShape::Weight(&self.weights()[id.0].shape),
        };
        node.inputs.iter().map(shape).collect()
    }

    fn output_of(&self, node: &Node) -> &[usize] {
        &self.value(node.output).shape
    }

    /// A node's name, or that of its output where it has none.
    fn name_of(&self, node: &Node) -> String {
        match node.name.as_str() {
            "" => self.value(node.output).name.clone(),
            name => name.to_owned(),
        }
    }
}
