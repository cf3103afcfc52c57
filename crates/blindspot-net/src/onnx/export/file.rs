//! A network as an ONNX file.

use std::collections::BTreeMap;

use prost::Message;

use super::Export;
use super::attributes::tensor;
use crate::network::Network;
use crate::onnx::proto::*;

const IR_VERSION: i64 = 8;

/// The bytes of an ONNX file: the network, with a batch axis of any size in front of its input and
/// output, and notes. The same network and notes give the same bytes.
pub fn write(network: &Network<f32>, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let graph = network.graph();
    let weights = graph.weights().iter().zip(network.weights());
    let initializer = weights.map(|(info, values)| {
        let dims = info.shape.iter().map(|&size| size as i64).collect();
        tensor(&info.name, dims, values)
    });
    let Export {
        nodes,
        constants,
        opset,
        ..
    } = Export::new(graph);
    let initializer = initializer.chain(constants).collect();
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
            version: opset,
        }],
        metadata_props: metadata.iter().map(note).collect(),
        functions: Vec::new(),
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
