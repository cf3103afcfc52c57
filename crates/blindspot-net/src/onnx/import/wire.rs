//! How much memory decoding a file takes, counted on its bytes before it is decoded.
//!
//! A field of a protocol buffer takes two bytes in a file and can take hundreds in memory: an empty
//! node, say. The walk goes through those messages that are decoded, and touches no tensor's bytes.

use crate::onnx::proto::*;

/// What a field of a message holds, as far as it takes memory.
#[derive(Clone, Copy)]
enum Field {
    /// A text or bytes that are copied.
    Text,
    /// A list of texts: one of them.
    Texts,
    /// Numbers of so many bytes in memory each, all of one list or one of them: varints.
    Varints(usize),
    /// Numbers of so many bytes each, of a fixed width, in memory as in the file: all of one list or one of them.
    Fixed(usize),
    /// A message.
    Message(Kind),
    /// One of a list of messages.
    Messages(Kind),
    /// Nothing that takes memory.
    Nothing,
}

/// The messages that are decoded.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Function,
    OperatorSet,
    Pair,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
}

impl Kind {
    /// What a field holds, by its number.
    fn field(self, number: u64) -> Field {
        match (self, number) {
            (Kind::Model, 7) => Field::Message(Kind::Graph),
            (Kind::Model, 8) | (Kind::Function, 9) => Field::Messages(Kind::OperatorSet),
            (Kind::Model, 14) | (Kind::Tensor, 13) => Field::Messages(Kind::Pair),
            (Kind::Model, 25) => Field::Messages(Kind::Function),
            (Kind::Function, 4 | 5) | (Kind::Node, 1 | 2) | (Kind::Attribute, 9) => Field::Texts,
            (Kind::Function, 7) | (Kind::Graph, 1) => Field::Messages(Kind::Node),
            (Kind::Function, 11) | (Kind::Node, 5) => Field::Messages(Kind::Attribute),
            (Kind::Graph, 5) => Field::Messages(Kind::Tensor),
            (Kind::Graph, 11 | 12) => Field::Messages(Kind::ValueInfo),
            (Kind::Attribute, 5) => Field::Message(Kind::Tensor),
            (Kind::Attribute, 7) | (Kind::Tensor, 4) => Field::Fixed(4),
            (Kind::Tensor, 10) => Field::Fixed(8),
            (Kind::Tensor, 5) => Field::Varints(4),
            (Kind::Attribute, 8) | (Kind::Tensor, 1 | 7 | 11) => Field::Varints(8),
            // The bytes of a tensor stay where they are.
            (Kind::Tensor, 9) => Field::Nothing,
            (Kind::ValueInfo, 2) => Field::Message(Kind::Type),
            (Kind::Type, 1) => Field::Message(Kind::TensorType),
            (Kind::TensorType, 2) => Field::Message(Kind::Shape),
            (Kind::Shape, 1) => Field::Messages(Kind::Dimension),
            (Kind::Model, 2 | 3)
            | (Kind::Function, 1 | 10 | 13)
            | (Kind::OperatorSet, 1)
            | (Kind::Pair, 1 | 2)
            | (Kind::Graph, 2)
            | (Kind::Node, 3 | 4 | 7 | 8)
            | (Kind::Attribute, 1 | 4 | 21)
            | (Kind::Tensor, 8)
            | (Kind::ValueInfo, 1)
            | (Kind::Dimension, 2) => Field::Text,
            _ => Field::Nothing,
        }
    }

    /// The bytes of memory that one takes, what it points to not counted.
    fn size(self) -> usize {
        match self {
            Kind::Model => size_of::<ModelProto>(),
            Kind::Function => size_of::<FunctionProto>(),
            Kind::OperatorSet => size_of::<OperatorSetIdProto>(),
            Kind::Pair => size_of::<StringStringEntryProto>(),
            Kind::Graph => size_of::<GraphProto>(),
            // Nodes are moved to another list, and what they give is looked up by its name.
            Kind::Node => 3 * size_of::<NodeProto>(),
            Kind::Attribute => size_of::<AttributeProto>(),
            Kind::Tensor => size_of::<TensorProto>(),
            Kind::ValueInfo => size_of::<ValueInfoProto>(),
            Kind::Type => size_of::<TypeProto>(),
            Kind::TensorType => size_of::<TensorTypeProto>(),
            Kind::Shape => size_of::<TensorShapeProto>(),
            Kind::Dimension => size_of::<DimensionProto>(),
        }
    }
}

/// What an allocation takes beside its bytes, at the least.
const ALLOCATION: usize = 32;

/// The room of a list with one item, in items: lists begin with four.
const FIRST: usize = 4;

/// The room of a list for each further item: a list that is full doubles.
const FURTHER: usize = 2;

/// The bytes of memory that decoding a model takes beside the bytes of its file, at most.
pub(super) fn decoded_bytes(file: &[u8]) -> u64 {
    message(file, Kind::Model).unwrap_or(u64::MAX)
}

/// The memory of a message and all that it points to; up to where it is damaged. `None` where it is
/// more than can be counted.
fn message(mut bytes: &[u8], kind: Kind) -> Option<u64> {
    let mut total = 0u64;
    // The lists that have an item already, by the numbers of their fields.
    let mut begun = 0u64;
    while let Some((number, value)) = next(&mut bytes) {
        let first = number < 64 && begun >> number & 1 == 0;
        begun |= 1u64.checked_shl(number as u32).unwrap_or(0);
        let room = if first { FIRST } else { FURTHER };
        let (own, inside) = match (kind.field(number), value) {
            (Field::Nothing, _) => (0, 0),
            (Field::Text, Wire::Bytes(text)) => (text.len() + ALLOCATION, 0),
            (Field::Texts, Wire::Bytes(text)) => {
                (text.len() + ALLOCATION + room * size_of::<String>(), 0)
            }
            (Field::Varints(size), Wire::Bytes(list)) => {
                let count = list.iter().filter(|&&byte| byte < 128).count();
                (ALLOCATION + FURTHER * count * size, 0)
            }
            (Field::Fixed(_), Wire::Bytes(list)) => (ALLOCATION + FURTHER * list.len(), 0),
            (Field::Varints(size) | Field::Fixed(size), Wire::Number) => (room * size, 0),
            (Field::Message(kind), Wire::Bytes(inner)) => (kind.size(), message(inner, kind)?),
            (Field::Messages(kind), Wire::Bytes(inner)) => {
                (room * kind.size(), message(inner, kind)?)
            }
            // Damaged, as the decoder will say.
            _ => break,
        };
        total = total.checked_add(own as u64)?.checked_add(inside)?;
    }
    Some(total)
}

/// The value of a field as it stands in a file.
enum Wire<'a> {
    /// A number of any kind.
    Number,
    /// Bytes with their length before them.
    Bytes(&'a [u8]),
}

/// The number and value of the next field; `None` at the end, or where the bytes are damaged.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    loop {
        let key = varint(bytes)?;
        let number = key >> 3;
        let value = match key & 7 {
            0 => varint(bytes).map(|_| Wire::Number)?,
            1 => take(bytes, 8).map(|_| Wire::Number)?,
            5 => take(bytes, 4).map(|_| Wire::Number)?,
            2 => {
                let length = varint(bytes)?;
                Wire::Bytes(take(bytes, usize::try_from(length).ok()?)?)
            }
            // A group's ends: the fields in it are skipped by the decoder, and count here for nothing
            // or too much.
            3 | 4 => continue,
            _ => return None,
        };
        return Some((number, value));
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 128 {
            field.push(length as u8 | 128);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend_from_slice(bytes);
        field
    }

    #[test]
    fn what_decoding_takes_is_no_less_than_what_is_decoded() {
        let nodes = field(7, &field(1, b"").repeat(1000));
        let graph = ModelProto::decode(&nodes[..]).unwrap().graph.unwrap();
        let held = graph.node.capacity() * size_of::<NodeProto>();
        assert!(decoded_bytes(&nodes) >= held as u64);
        assert!(nodes.len() * 50 < held);
        let tensor = TensorProto {
            dims: vec![1; 70_000],
            float_data: vec![0.5; 3000],
            name: "w".repeat(500),
            int64_data: vec![-1; 10],
            raw_data: vec![7; 1 << 20].into(),
            ..TensorProto::default()
        };
        let attribute = AttributeProto {
            t: Some(tensor.clone()),
            ints: vec![300; 1000],
            strings: vec![vec![1, 2]; 50],
            ..AttributeProto::default()
        };
        let node = NodeProto {
            input: vec!["a".into(); 100],
            attribute: vec![attribute],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![node],
            initializer: vec![tensor],
            ..GraphProto::default()
        };
        let model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        let counted = decoded_bytes(&model.encode_to_vec());
        // Twice the list of axes, the floats, the names; then integers, texts and names.
        let least = 2 * (8 * 70_000 + 4 * 3000 + 500) + 8 * 1000 + 50 * 24 + 100 * 24;
        assert!(counted > least && counted < 4 * least, "{counted}");
    }

    #[test]
    fn damaged_bytes_are_counted_up_to_the_damage() {
        let model = field(7, &field(1, b"abc"));
        for end in 0..model.len() {
            decoded_bytes(&model[..end]);
        }
        decoded_bytes(&[255; 100]);
        decoded_bytes(&[7 << 3 | 2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        decoded_bytes(&[0xfb, 0x01].repeat(1000));
    }
}
