//! ONNX files made at random: operators in any order on images, constants and each other.

use blindspot_net::onnx;

use crate::random::Random;

/// Names of attributes, and whether they hold a list (or one number, or a text).
const ATTRIBUTES: [(&str, Shape); 30] = [
    ("axis", Shape::One),
    ("axes", Shape::List),
    ("perm", Shape::List),
    ("pads", Shape::List),
    ("kernel_shape", Shape::List),
    ("strides", Shape::List),
    ("dilations", Shape::List),
    ("output_padding", Shape::List),
    ("group", Shape::One),
    ("keepdims", Shape::One),
    ("noop_with_empty_axes", Shape::One),
    ("transA", Shape::One),
    ("transB", Shape::One),
    ("to", Shape::One),
    ("split", Shape::List),
    ("num_outputs", Shape::One),
    ("shape", Shape::List),
    ("start", Shape::One),
    ("end", Shape::One),
    ("size", Shape::One),
    ("hidden_size", Shape::One),
    ("ceil_mode", Shape::One),
    ("count_include_pad", Shape::One),
    ("blocksize", Shape::One),
    ("k", Shape::One),
    ("largest", Shape::One),
    ("equation", Shape::Text),
    ("mode", Shape::Text),
    ("auto_pad", Shape::Text),
    ("direction", Shape::Text),
];

const TEXTS: [&str; 16] = [
    "ij,jk->ik",
    "...i,ij->...j",
    "ii->i",
    "ij->",
    "i,j->ij",
    "constant",
    "reflect",
    "edge",
    "linear",
    "nearest",
    "cubic",
    "SAME_UPPER",
    "VALID",
    "bidirectional",
    "DCR",
    "",
];

#[derive(Clone, Copy)]
enum Shape {
    One,
    List,
    Text,
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [&varint(field << 3 | 2), &varint(value.len() as u64), value].concat()
}

/// A whole number as an attribute or a shape may have it.
fn whole(random: &mut Random) -> i64 {
    match random.below(12) {
        0 => random.number() as i64,
        1 => -1,
        2 => -2,
        3 => 64,
        4 => 1 << (10 + random.below(18)),
        _ => random.below(5) as i64,
    }
}

fn attribute(random: &mut Random) -> Vec<u8> {
    let (name, shape) = *random.of(&ATTRIBUTES);
    let value = match shape {
        Shape::One => number(3, whole(random) as u64),
        Shape::List => {
            let count = random.below(6);
            let list = (0..count).flat_map(|_| number(8, whole(random) as u64));
            list.collect()
        }
        Shape::Text => bytes(4, random.of(&TEXTS).as_bytes()),
    };
    let kind = match shape {
        Shape::One => 2,
        Shape::List => 7,
        Shape::Text => 3,
    };
    [bytes(1, name.as_bytes()), value, number(20, kind)].concat()
}

/// A tensor of floats or of integers, small but for what it says of itself now and then.
fn tensor(random: &mut Random, name: &str) -> Vec<u8> {
    let rank = random.below(4);
    let mut sizes: Vec<u64> = (0..rank).map(|_| 1 + random.below(4) as u64).collect();
    if random.once_in(30) {
        sizes.push(0);
    }
    let count: u64 = sizes.iter().product();
    let dims: Vec<u8> = sizes.iter().flat_map(|&size| number(1, size)).collect();
    let (kind, data) = match random.below(3) {
        0 => {
            let numbers = (0..count).flat_map(|_| whole(random).to_le_bytes());
            (7, numbers.collect::<Vec<u8>>())
        }
        _ => {
            let float = |random: &mut Random| (random.below(2000) as f32 - 1000.0) / 500.0;
            let numbers = (0..count).flat_map(|_| float(random).to_le_bytes());
            (1, numbers.collect())
        }
    };
    [
        dims,
        number(2, kind),
        bytes(8, name.as_bytes()),
        bytes(9, &data),
    ]
    .concat()
}

/// A model of a few nodes, the last of which gives the output.
pub(crate) fn model(random: &mut Random) -> Vec<u8> {
    let operators = &onnx::OPERATORS;
    let mut names = vec!["x".to_owned()];
    let mut graph = Vec::new();
    for i in 0..random.below(6) {
        let name = format!("c{i}");
        graph.extend(bytes(5, &tensor(random, &name)));
        names.push(name);
    }
    let count = 1 + random.below(7);
    for i in 0..count {
        let operator = *random.of(operators);
        let mut node = Vec::new();
        for position in 0..1 + random.below(3) {
            // The first input is often what the last node gave.
            let name = match (position, random.below(3)) {
                (0, 0 | 1) => names[names.len() - 1].clone(),
                _ if random.once_in(12) => String::new(),
                _ => random.of(&names).clone(),
            };
            node.extend(bytes(1, name.as_bytes()));
        }
        let name = format!("v{i}");
        node.extend(bytes(2, name.as_bytes()));
        node.extend(bytes(4, operator.as_bytes()));
        for _ in 0..random.below(4) {
            node.extend(bytes(5, &attribute(random)));
        }
        graph.extend(bytes(1, &node));
        names.push(name);
    }
    let sizes = [1, 1 + random.below(3), 4, 1 + random.below(8)];
    let rank = 1 + random.below(4);
    let dims = sizes[..rank]
        .iter()
        .map(|&size| bytes(1, &number(1, size as u64)));
    let shape: Vec<u8> = dims.flatten().collect();
    let tensor = [number(1, 1), bytes(2, &shape)].concat();
    let input = [bytes(1, b"x"), bytes(2, &bytes(1, &tensor))].concat();
    graph.extend(bytes(11, &input));
    graph.extend(bytes(12, &bytes(1, format!("v{}", count - 1).as_bytes())));
    let version = 7 + random.below(17) as u64;
    [bytes(7, &graph), bytes(8, &number(2, version))].concat()
}
