//! A node's inputs as its operator wants them.

use std::rc::Rc;

use super::super::OnnxError;
use super::super::constant::{Array, Constant, Numbers, Size};
use super::super::node::fail;
use super::super::proto::NodeProto;
use super::{Batch, Given, Import, Value};

impl Import<'_> {
    /// A node's input that must be there.
    pub(in super::super) fn required(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Given, OnnxError> {
        self.input(node, position)?
            .ok_or_else(|| fail(node, format!("it has no input {position}")))
    }

    /// A node's input that must be there and depend on the image.
    pub(in super::super) fn value(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Value, OnnxError> {
        match self.required(node, position)? {
            Given::Value(value) => Ok(value),
            Given::Constant(_) => Err(fail(
                node,
                format!(
                    "`{}` must depend on the image, not be a constant",
                    node.input[position]
                ),
            )),
        }
    }

    /// A node's input that is left out or a constant.
    pub(in super::super) fn constant(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Rc<Constant>>, OnnxError> {
        match self.input(node, position)? {
            None => Ok(None),
            Some(Given::Constant(constant)) => Ok(Some(constant)),
            Some(Given::Value(_)) => Err(fail(
                node,
                format!(
                    "`{}` must be a constant, not depend on the image; simplify the model",
                    node.input[position]
                ),
            )),
        }
    }

    /// Shape and numbers of a node's constant input, whole numbers read as real ones.
    pub(in super::super) fn numbers(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Array>, OnnxError> {
        let Some(constant) = self.constant(node, position)? else {
            return Ok(None);
        };
        let values = match &constant.numbers {
            Numbers::Real(values) => values.clone(),
            Numbers::Whole(values) => {
                let known = values
                    .iter()
                    .map(|&size| Ok(self.known(node, size)? as f32));
                known.collect::<Result<_, OnnxError>>()?
            }
        };
        Ok(Some((constant.shape.clone(), values)))
    }

    /// The same, all numbers finite: for constants that don't become weights as they are.
    pub(in super::super) fn finite(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Array>, OnnxError> {
        let numbers = self.numbers(node, position)?;
        let values = numbers.iter().flat_map(|(_, values)| values);
        match values.copied().find(|value| !value.is_finite()) {
            None => Ok(numbers),
            Some(value) => Err(fail(
                node,
                format!("its constant `{}` holds {value}", node.input[position]),
            )),
        }
    }

    /// A node's constant input of whole numbers, among which the batch's size may be.
    pub(in super::super) fn sizes(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Vec<Size>>, OnnxError> {
        let Some(constant) = self.constant(node, position)? else {
            return Ok(None);
        };
        match constant.whole() {
            Some(sizes) => Ok(Some(sizes.to_vec())),
            None => Err(fail(
                node,
                format!("`{}` must hold whole numbers", node.input[position]),
            )),
        }
    }

    /// The same, all numbers known.
    pub(in super::super) fn wholes(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Vec<i64>>, OnnxError> {
        let Some(sizes) = self.sizes(node, position)? else {
            return Ok(None);
        };
        let known = sizes.into_iter().map(|size| self.known(node, size));
        known.collect::<Result<_, _>>().map(Some)
    }

    /// A whole number that has to be known; the batch's size is where the file fixes it.
    pub(in super::super) fn known(&self, node: &NodeProto, size: Size) -> Result<i64, OnnxError> {
        match (size, self.batch) {
            (Size::Known(number), _) => Ok(number),
            (Size::Batch, Batch::Fixed(number)) => Ok(number),
            (Size::Batch, Batch::One) => Ok(1),
            (Size::Batch, Batch::Any) => Err(fail(
                node,
                "it computes with the batch's size, which is open; export the model with a batch \
                 of 1",
            )),
        }
    }
}
