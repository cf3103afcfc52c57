//! A network as an ONNX file.

use std::collections::BTreeMap;

use prost::Message;

use super::proto::*;
use crate::graph::Operand;
use crate::network::Network;
use crate::ops::Op;

/// The version of ONNX's operators that is written: one that every runtime of the last years has.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// The bytes of an ONNX file: the network, with a batch axis of any size in front of its input and
/// output, and notes. The same network and notes give the same bytes.
pub fn write(network: &Network<f32>, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let graph = network.graph();
    let mut initializer: Vec<TensorProto> = graph
        .weights()
        .iter()
        .zip(network.weights())
        .map(|(info, values)| TensorProto {
            dims: info.shape.iter().map(|&size| size as i64).collect(),
            data_type: FLOAT,
            name: info.name.clone(),
            raw_data: values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            ..TensorProto::default()
        })
        .collect();
    let name = |operand: &Operand| match *operand {
        Operand::Value(id) => graph.value(id).name.clone(),
        Operand::Weight(id) => graph.weights()[id.index()].name.clone(),
    };
    let mut nodes = Vec::new();
    for node in graph.nodes() {
        let mut input: Vec<String> = node.inputs.iter().map(name).collect();
        let mut attribute = Vec::new();
        let mut op_type = node.op.name();
        match &node.op {
            Op::Gemm(op) => {
                let plain = op_takes_rows(node.inputs.first(), network);
                if plain && op.trans_b {
                    attribute.push(integer("transB", 1));
                } else if !plain && input.len() == 2 && !op.trans_b {
                    // Gemm is for matrices; a value with more axes takes MatMul.
                    op_type = "MatMul";
                }
            }
            Op::Softmax(op) => attribute.push(integer("axis", op.axis as i64 + 1)),
            Op::Reshape(op) => {
                let shape = format!("{}/shape", graph.value(node.output).name);
                let sizes = op.shape.iter().map(|&size| size as i64);
                // 0 keeps the batch's axis as it is.
                let sizes: Vec<i64> = std::iter::once(0).chain(sizes).collect();
                initializer.push(TensorProto {
                    dims: vec![sizes.len() as i64],
                    data_type: INT64,
                    name: shape.clone(),
                    raw_data: sizes.iter().flat_map(|size| size.to_le_bytes()).collect(),
                    ..TensorProto::default()
                });
                input.push(shape);
            }
            _ => {}
        }
        nodes.push(NodeProto {
            input,
            output: vec![graph.value(node.output).name.clone()],
            name: node.name.clone(),
            op_type: op_type.to_owned(),
            attribute,
            domain: String::new(),
        });
    }
    let value = |id| {
        let value = graph.value(id);
        let batch = Dimension::Name("n".into());
        let sizes = value.shape.iter().map(|&size| Dimension::Size(size as i64));
        let dims = std::iter::once(batch).chain(sizes);
        let dim = dims
            .map(|value| DimensionProto { value: Some(value) })
            .collect();
        let shape = Some(TensorShapeProto { dim });
        let tensor_type = Some(TensorTypeProto {
            elem_type: FLOAT,
            shape,
        });
        ValueInfoProto {
            name: value.name.clone(),
            r#type: Some(TypeProto { tensor_type }),
        }
    };
    let note = |(key, value): (&String, &String)| StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
    };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "blindspot".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: metadata.iter().map(note).collect(),
        graph: Some(GraphProto {
            node: nodes,
            name: "network".into(),
            initializer,
            input: vec![value(graph.input())],
            output: vec![value(graph.output())],
        }),
    };
    model.encode_to_vec()
}

/// Whether an image's part of a value is one row, so that a batch of them is a matrix.
fn op_takes_rows(operand: Option<&Operand>, network: &Network<f32>) -> bool {
    match operand {
        Some(Operand::Value(id)) => network.graph().value(*id).shape.len() == 1,
        _ => true,
    }
}

fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i,
        r#type: ATTRIBUTE_INT,
        ..AttributeProto::default()
    }
}
