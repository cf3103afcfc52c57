//! What a node of the file says about itself.

use super::OnnxError;
use super::proto::{AttributeProto, NodeProto};

/// A node's name: of its output where it has none.
pub(super) fn name_of(node: &NodeProto) -> &str {
    match node.name.as_str() {
        "" => node.output.first().map_or("", String::as_str),
        name => name,
    }
}

/// An error about a node.
pub(super) fn fail(node: &NodeProto, why: impl Into<String>) -> OnnxError {
    OnnxError::Node {
        node: name_of(node).to_owned(),
        operator: node.op_type.clone(),
        why: why.into(),
    }
}

/// The attribute of a name, if it is there.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}

pub(super) fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

/// A float; networks keep them as doubles.
pub(super) fn float(node: &NodeProto, name: &str, default: f32) -> f64 {
    f64::from(attribute(node, name).map_or(default, |attribute| attribute.f))
}

pub(super) fn integers<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|attribute| &attribute.ints[..])
}

/// A text; "" where it is not there or no text.
pub(super) fn text<'a>(node: &'a NodeProto, name: &str) -> &'a str {
    attribute(node, name)
        .and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
        .unwrap_or("")
}
