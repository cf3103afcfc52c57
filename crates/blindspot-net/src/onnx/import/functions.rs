//! Functions that a file brings along, written out: each call becomes the nodes of its body.

use std::collections::HashMap;

use prost::Message;

use super::graph::{Call, opset_of};
use super::{contrib, operators};
use crate::onnx::OnnxError;
use crate::onnx::proto::{AttributeProto, FunctionProto, NodeProto};

/// How deep functions may call each other.
const MAX_DEPTH: usize = 64;

/// How many bytes of a file the nodes may take once all calls are written out: functions that call
/// others twice grow fast.
const MAX_BYTES: usize = 1 << 27;

/// Domain, name and overload: what a node and a function have in common.
type Key<'f> = (&'f str, &'f str, &'f str);

/// Writes out the calls of functions, those in bodies too, and the operators that onnxruntime has
/// fused ([`contrib`]).
///
/// # Errors
/// [`OnnxError::Node`] at a call of a function that calls itself, directly or by others, and where
/// the nodes become too many.
pub(super) fn write_out(
    nodes: Vec<NodeProto>,
    opset: i64,
    functions: &[FunctionProto],
) -> Result<Vec<Call>, OnnxError> {
    let keyed = functions.iter().map(|function| {
        let key = (
            domain(&function.domain),
            &*function.name,
            &*function.overload,
        );
        (key, function)
    });
    let mut writer = Writer {
        functions: keyed.collect(),
        within: Vec::new(),
        calls: Vec::with_capacity(nodes.len()),
        bytes_left: MAX_BYTES,
        written_out: 0,
    };
    for node in nodes {
        writer.write(node, opset)?;
    }
    Ok(writer.calls)
}

/// A domain under its shorter name.
fn domain(name: &str) -> &str {
    match name {
        "ai.onnx" => "",
        other => other,
    }
}

struct Writer<'f> {
    functions: HashMap<Key<'f>, &'f FunctionProto>,
    /// The functions in whose bodies we are.
    within: Vec<*const FunctionProto>,
    calls: Vec<Call>,
    bytes_left: usize,
    /// How many calls were written out.
    written_out: usize,
}

impl Writer<'_> {
    fn write(&mut self, node: NodeProto, opset: i64) -> Result<(), OnnxError> {
        let key = (domain(&node.domain), &*node.op_type, &*node.overload);
        if let Some(&function) = self.functions.get(&key) {
            return self.write_body(&node, function, opset);
        }
        if !operators::is_known(&node)
            && let Some(nodes) = contrib::unfused(&node)
        {
            for node in nodes {
                self.take(&node, node.encoded_len())?;
                self.calls.push(Call { node, opset });
            }
            return Ok(());
        }
        self.calls.push(Call { node, opset });
        Ok(())
    }

    /// The nodes of a function's body in place of its call.
    fn write_body(
        &mut self,
        call: &NodeProto,
        function: &FunctionProto,
        opset: i64,
    ) -> Result<(), OnnxError> {
        if self.within.contains(&std::ptr::from_ref(function)) {
            return Err(call.fail("it is a function that calls itself; such a model never ends"));
        }
        if self.within.len() == MAX_DEPTH {
            return Err(call.fail(format!("functions call each other {MAX_DEPTH} deep")));
        }
        self.written_out += 1;
        // What the body calls its values becomes the call's own.
        let prefix = format!("{}#{}/", function.name, self.written_out);
        let mut names: HashMap<&str, String> = HashMap::new();
        for (position, name) in function.input.iter().enumerate() {
            let given = call.input.get(position);
            names.insert(name, given.cloned().unwrap_or_default());
        }
        for (position, name) in function.output.iter().enumerate() {
            let Some(wanted) = call.output.get(position).filter(|name| !name.is_empty()) else {
                continue;
            };
            if let Some(input) = names.get(name.as_str()) {
                // An input that is handed on.
                let node = NodeProto {
                    input: vec![input.clone()],
                    output: vec![wanted.clone()],
                    op_type: "Identity".into(),
                    ..NodeProto::default()
                };
                self.take(call, node.encoded_len())?;
                self.calls.push(Call { node, opset });
            } else {
                names.insert(name, wanted.clone());
            }
        }
        let renamed = |name: &String| match names.get(name.as_str()) {
            Some(name) => name.clone(),
            None if name.is_empty() => String::new(),
            None => format!("{prefix}{name}"),
        };
        let opset = opset_of(&function.opset_import).unwrap_or(opset);
        self.within.push(function);
        for node in &function.node {
            let names = node.input.len() + node.output.len() + 1;
            self.take(call, node.encoded_len() + names * prefix.len())?;
            let node = NodeProto {
                input: node.input.iter().map(renamed).collect(),
                output: node.output.iter().map(renamed).collect(),
                name: format!("{prefix}{}", node.name_or_output()),
                op_type: node.op_type.clone(),
                attribute: bound(&node.attribute, call, function),
                domain: node.domain.clone(),
                overload: node.overload.clone(),
            };
            self.write(node, opset)?;
        }
        self.within.pop();
        Ok(())
    }

    /// Counts the bytes of a node.
    fn take(&mut self, node: &NodeProto, bytes: usize) -> Result<(), OnnxError> {
        // An empty node takes memory, too.
        let left = self.bytes_left.checked_sub(bytes + size_of::<Call>());
        self.bytes_left = left.ok_or_else(|| {
            node.fail("the model's functions, written out, are too many nodes to be a network")
        })?;
        Ok(())
    }
}

/// Attributes of a body's node, those that refer to the function's given the call's value, or the
/// function's default. An attribute without either is left out.
fn bound(
    attributes: &[AttributeProto],
    call: &NodeProto,
    function: &FunctionProto,
) -> Vec<AttributeProto> {
    let mut values = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        if attribute.ref_attr_name.is_empty() {
            values.push(attribute.clone());
            continue;
        }
        let mut known = call.attribute.iter().chain(&function.attribute_proto);
        if let Some(value) = known.find(|value| value.name == attribute.ref_attr_name) {
            values.push(AttributeProto {
                name: attribute.name.clone(),
                ..value.clone()
            });
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(operator: &str, domain: &str, input: &str, output: &str) -> NodeProto {
        NodeProto {
            input: vec![input.into()],
            output: vec![output.into()],
            op_type: operator.into(),
            domain: domain.into(),
            ..NodeProto::default()
        }
    }

    fn function(name: &str, node: Vec<NodeProto>) -> FunctionProto {
        FunctionProto {
            name: name.into(),
            domain: "local".into(),
            input: vec!["a".into()],
            output: vec!["z".into()],
            node,
            ..FunctionProto::default()
        }
    }

    #[test]
    fn functions_that_call_themselves_are_refused() {
        let functions = [
            function("Ping", vec![node("Pong", "local", "a", "z")]),
            function("Pong", vec![node("Ping", "local", "a", "z")]),
        ];
        let call = vec![node("Ping", "local", "x", "y")];
        let error = write_out(call, 20, &functions).err().unwrap();
        assert!(error.to_string().contains("calls itself"), "{error}");
    }

    #[test]
    fn functions_that_grow_without_end_are_refused() {
        // Each calls the next one twice: 2^60 nodes.
        let functions: Vec<FunctionProto> = (0..60)
            .map(|i| {
                let next = format!("F{}", i + 1);
                let twice = vec![
                    node(&next, "local", "a", "b"),
                    node(&next, "local", "b", "z"),
                ];
                function(&format!("F{i}"), twice)
            })
            .collect();
        let call = vec![node("F0", "local", "x", "y")];
        let error = write_out(call, 20, &functions).err().unwrap();
        assert!(error.to_string().contains("too many nodes"), "{error}");
    }

    #[test]
    fn an_input_that_is_handed_on_gets_the_output_s_name() {
        let mut same = function("Same", vec![]);
        same.output = vec!["a".into()];
        let calls = write_out(vec![node("Same", "local", "x", "y")], 20, &[same]).unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].node, node("Identity", "", "x", "y"));
    }
}
