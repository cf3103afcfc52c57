//! Changes of a protocol buffer's fields: what comes out can still be decoded.

use crate::random::Random;

/// The value of a field.
#[derive(Debug, Clone)]
enum Value {
    Varint(u64),
    Four([u8; 4]),
    Eight([u8; 8]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

#[derive(Debug, Clone)]
struct Field {
    number: u64,
    value: Value,
}

/// The messages of ONNX whose fields are changed one by one.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Info,
    Type,
    TensorType,
    Shape,
    Leaf,
}

impl Kind {
    /// The message that a field holds, if it holds one.
    fn inside(self, number: u64) -> Option<Kind> {
        match (self, number) {
            (Kind::Model, 7) => Some(Kind::Graph),
            (Kind::Model, 8) => Some(Kind::Leaf),
            (Kind::Graph, 1) => Some(Kind::Node),
            (Kind::Graph, 5) | (Kind::Attribute, 5) => Some(Kind::Tensor),
            (Kind::Graph, 11 | 12) => Some(Kind::Info),
            (Kind::Node, 5) => Some(Kind::Attribute),
            (Kind::Info, 2) => Some(Kind::Type),
            (Kind::Type, 1) => Some(Kind::TensorType),
            (Kind::TensorType, 2) => Some(Kind::Shape),
            (Kind::Shape, 1) => Some(Kind::Leaf),
            _ => None,
        }
    }
}

/// An ONNX file with a few fields changed; `operators` are names to put in others' places.
pub(crate) fn changed(random: &mut Random, file: &[u8], operators: &[&str]) -> Vec<u8> {
    let Some(mut model) = decode(file, Kind::Model) else {
        return file.to_vec();
    };
    let mut texts = Vec::new();
    collect_texts(&model, &mut texts);
    for _ in 0..1 + random.below(4) {
        change(random, &mut model, Kind::Model, &texts, operators);
    }
    encode(&model)
}

fn decode(mut bytes: &[u8], kind: Kind) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let number = key >> 3;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut bytes)?),
            1 => Value::Eight(take(&mut bytes, 8)?.try_into().ok()?),
            5 => Value::Four(take(&mut bytes, 4)?.try_into().ok()?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let inner = take(&mut bytes, length)?;
                let message = kind.inside(number).and_then(|kind| decode(inner, kind));
                message.map_or_else(|| Value::Bytes(inner.to_vec()), Value::Message)
            }
            _ => return None,
        };
        fields.push(Field { number, value });
    }
    Some(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

fn encode(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    let put = |out: &mut Vec<u8>, mut number: u64| {
        while number >= 128 {
            out.push(number as u8 | 128);
            number >>= 7;
        }
        out.push(number as u8);
    };
    for Field { number, value } in fields {
        let kind = match value {
            Value::Varint(_) => 0,
            Value::Eight(_) => 1,
            Value::Bytes(_) | Value::Message(_) => 2,
            Value::Four(_) => 5,
        };
        put(&mut out, number << 3 | kind);
        match value {
            Value::Varint(number) => put(&mut out, *number),
            Value::Four(bytes) => out.extend(bytes),
            Value::Eight(bytes) => out.extend(bytes),
            Value::Bytes(bytes) => {
                put(&mut out, bytes.len() as u64);
                out.extend(bytes);
            }
            Value::Message(fields) => {
                let inner = encode(fields);
                put(&mut out, inner.len() as u64);
                out.extend(inner);
            }
        }
    }
    out
}

/// The names that stand in a model, to be put in each other's places.
fn collect_texts(fields: &[Field], texts: &mut Vec<Vec<u8>>) {
    for field in fields {
        match &field.value {
            Value::Bytes(bytes) if bytes.len() < 40 => texts.push(bytes.clone()),
            Value::Message(inner) => collect_texts(inner, texts),
            _ => {}
        }
    }
}

fn change(
    random: &mut Random,
    fields: &mut Vec<Field>,
    kind: Kind,
    texts: &[Vec<u8>],
    operators: &[&str],
) {
    if fields.is_empty() {
        return;
    }
    let at = random.below(fields.len());
    // Mostly further inside.
    let number = fields[at].number;
    if let (Value::Message(inner), Some(kind)) = (&mut fields[at].value, kind.inside(number))
        && !random.once_in(6)
    {
        return change(random, inner, kind, texts, operators);
    }
    match random.below(6) {
        0 => drop(fields.remove(at)),
        1 => {
            let copies = vec![fields[at].clone(); 1 + random.below(3)];
            fields.splice(at..at, copies);
        }
        2 => {
            let other = random.below(fields.len());
            fields.swap(at, other);
        }
        _ => match &mut fields[at].value {
            Value::Varint(number) => {
                *number = match random.below(3) {
                    0 => number.wrapping_add(random.next() % 5).wrapping_sub(2),
                    _ => random.number(),
                }
            }
            Value::Four(bytes) => {
                let floats = [0.0, -1.0, 1e30, f32::NAN, f32::INFINITY, 1e-40, 0.3];
                *bytes = random.of(&floats).to_le_bytes();
            }
            Value::Eight(bytes) => *bytes = random.number().to_le_bytes(),
            Value::Bytes(bytes) => match (kind, number) {
                (Kind::Node, 4) => *bytes = random.of(operators).as_bytes().to_vec(),
                _ if bytes.len() >= 8 && random.once_in(2) => {
                    // A number of a shape or an axis, or of a packed list.
                    let place = random.below(bytes.len() / 8) * 8;
                    let number = match random.below(2) {
                        0 => random.next() % 9,
                        _ => random.number(),
                    };
                    bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
                }
                _ => *bytes = random.of(texts).clone(),
            },
            Value::Message(_) => fields.truncate(at),
        },
    }
}
