//! What a node of the file says about itself: its name and attributes.
//!
//! An attribute of another type than the one asked for reads as that type's zero: so protocol
//! buffers have it.

use super::reader::Reader;
use crate::onnx::OnnxError;
use crate::onnx::proto::{AttributeProto, NodeProto, TensorProto};

impl NodeProto {
    /// The node's name, or that of its output if it has none.
    pub(super) fn name_or_output(&self) -> &str {
        match self.name.as_str() {
            "" => self.output.first().map_or("", String::as_str),
            name => name,
        }
    }

    /// The operator's name, after its domain unless that is ONNX's own.
    pub(super) fn operator(&self) -> String {
        match self.domain.as_str() {
            "" | "ai.onnx" => self.op_type.clone(),
            domain => format!("{domain}.{}", self.op_type),
        }
    }

    /// An error about this node.
    pub(super) fn fail(&self, why: impl Into<String>) -> OnnxError {
        OnnxError::Node {
            node: self.name_or_output().to_owned(),
            operator: self.op_type.clone(),
            why: why.into(),
        }
    }

    /// The error that this node can't be read in a batch of which each image stands for itself.
    pub(super) fn fail_in_batch(&self, why: impl Into<String>) -> OnnxError {
        OnnxError::Batch {
            node: self.name_or_output().to_owned(),
            operator: self.op_type.clone(),
            why: why.into(),
        }
    }
}

impl<'a> Reader<'a> {
    /// An attribute, if the node has it.
    pub(super) fn attr(&self, name: &str) -> Option<&'a AttributeProto> {
        let mut attributes = self.node.attribute.iter();
        attributes.find(|attribute| attribute.name == name)
    }

    /// An integer.
    pub(super) fn attr_i64(&self, name: &str, default: i64) -> i64 {
        self.attr(name).map_or(default, |attribute| attribute.i)
    }

    /// A truth value: an integer that is not 0.
    pub(super) fn attr_bool(&self, name: &str, default: bool) -> bool {
        self.attr_i64(name, i64::from(default)) != 0
    }

    /// A float, as the double that operators keep.
    pub(super) fn attr_f64(&self, name: &str, default: f32) -> f64 {
        f64::from(self.attr(name).map_or(default, |attribute| attribute.f))
    }

    /// A list of integers.
    pub(super) fn attr_ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attr(name).map(|attribute| &attribute.ints[..])
    }

    /// A list of floats; empty if it is not there.
    pub(super) fn attr_floats(&self, name: &str) -> &'a [f32] {
        self.attr(name).map_or(&[], |attribute| &attribute.floats)
    }

    /// A text; "" if it is not there, or no text.
    pub(super) fn attr_str(&self, name: &str) -> &'a str {
        self.attr(name)
            .and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
            .unwrap_or("")
    }

    /// A tensor.
    pub(super) fn attr_tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.attr(name)?.t.as_ref()
    }
}
