//! Local filtering against the sums written out, and read back from ONNX as what it was.

use std::collections::BTreeMap;

use blindspot_net::ops::{Fields, Local};
use blindspot_net::{Evaluator, Graph, Network, Op, Operand, onnx};

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
        .collect()
}

/// 3 channels of 9 x 7 positions, windows of 4 x 4 in steps of 2, 5 maps.
const SHAPE: [usize; 3] = [3, 9, 7];
const SIDE: usize = 4;
const STRIDE: usize = 2;
const MAPS: usize = 5;
const COUNTS: [usize; 2] = [3, 2];

fn network() -> Network<f32> {
    let (fields, counts) = Fields::windows(SHAPE, SIDE, STRIDE).unwrap();
    assert_eq!(counts, COUNTS);
    let mut graph = Graph::new("image", &SHAPE).unwrap();
    let shape = [fields.count(), fields.field_len(), MAPS];
    let weight = graph.weight("weight", &shape).unwrap();
    let operands = [Operand::Value(graph.input()), Operand::Weight(weight)];
    let op = Op::Local(Local { fields });
    graph.node("local", op, &operands, "local").unwrap();
    Network::new(graph, vec![numbers(shape.iter().product(), 1)]).unwrap()
}

fn run(network: &Network<f32>, n: usize, images: &[f32]) -> Vec<f32> {
    let mut evaluator = Evaluator::new(network);
    evaluator.input(n).copy_from_slice(images);
    evaluator.forward().to_vec()
}

/// More images than are worked on at a time.
const IMAGES: usize = 83;

#[test]
fn each_position_has_its_own_weights() {
    let network = network();
    let [channels, height, width] = SHAPE;
    let len = channels * height * width;
    let images = numbers(IMAGES * len, 2);
    let found = run(&network, IMAGES, &images);
    let mut expected = Vec::new();
    for image in images.chunks(len) {
        let mut weights = network.weights()[0].iter();
        for y in 0..COUNTS[0] {
            for x in 0..COUNTS[1] {
                let mut sums = [0.0f64; MAPS];
                for c in 0..channels {
                    for i in 0..SIDE {
                        for j in 0..SIDE {
                            let at = (c * height + y * STRIDE + i) * width + x * STRIDE + j;
                            for sum in &mut sums {
                                let weight = weights.next().unwrap();
                                *sum += f64::from(image[at]) * f64::from(*weight);
                            }
                        }
                    }
                }
                expected.extend(sums);
            }
        }
        assert!(weights.next().is_none());
    }
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-5,
            "{found} {expected}"
        );
    }
}

#[test]
fn a_file_gives_the_operator_back() {
    let network = network();
    let images = numbers(3 * SHAPE.iter().product::<usize>(), 3);
    let file = onnx::write(&network, &BTreeMap::new());
    let read = onnx::read(&file).unwrap().network;
    let is_local = |node: &blindspot_net::Node| matches!(&node.op, Op::Local(_));
    assert_eq!(
        read.graph()
            .nodes()
            .iter()
            .filter(|&node| is_local(node))
            .count(),
        1
    );
    let plain = |node: &blindspot_net::Node| is_local(node) || matches!(&node.op, Op::Reshape(_));
    assert!(read.graph().nodes().iter().all(plain));
    assert_eq!(run(&read, 3, &images), run(&network, 3, &images));
}

#[test]
fn what_does_not_fit_is_said() {
    for (side, stride) in [(10, 1), (8, 1), (0, 1), (3, 0)] {
        let why = Fields::windows(SHAPE, side, stride).unwrap_err();
        assert!(why.contains("does not fit 9x7 positions"), "{why}");
    }
    assert!(Fields::new(3, vec![0; 4]).is_err() && Fields::new(0, Vec::new()).is_err());
    let mut graph = Graph::new("image", &[5]).unwrap();
    let weight = Operand::Weight(graph.weight("weight", &[2, 2, 3]).unwrap());
    let image = Operand::Value(graph.input());
    let mut add = |length, places| {
        let fields = Fields::new(length, places).unwrap();
        let op = Op::Local(Local { fields });
        graph.node("local", op, &[image, weight], "local")
    };
    let why = add(2, vec![0, 1, 2, 5]).unwrap_err().to_string();
    assert!(why.contains("no place 5"), "{why}");
    let why = add(2, vec![0; 6]).unwrap_err().to_string();
    assert!(why.contains("does not fit 3 fields of 2"), "{why}");
}
