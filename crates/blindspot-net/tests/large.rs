//! Images so large that they go through a network one after the other.

use blindspot_net::ops::{Binary, Conv, Gemm, Reshape, Unary, Window};
use blindspot_net::{Evaluator, Graph, Network, Op, Operand, ValueId};

const SIDE: usize = 160;
const CLASSES: usize = 3;

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 * 2.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Convolutions of all kinds with a path past one of them, and a dense layer on what is left.
fn network() -> Network<f32> {
    let mut graph = Graph::new("x", &[3, SIDE, SIDE]).unwrap();
    let mut weights = Vec::new();
    let mut layer = |graph: &mut Graph, from: ValueId, shape: [usize; 4], stride: usize| {
        let [features, channels, side, _] = shape;
        let name = format!("w{}", weights.len());
        let weight = Operand::Weight(graph.weight(&name, &shape).unwrap());
        weights.push(numbers(shape.iter().product(), weights.len() as u64 + 1));
        let bias = format!("b{}", weights.len());
        let bias_of = Operand::Weight(graph.weight(&bias, &[features]).unwrap());
        weights.push(numbers(features, weights.len() as u64 + 1));
        let window = Window {
            kernel: vec![side; 2],
            strides: vec![stride; 2],
            dilations: vec![1; 2],
            before: vec![side / 2; 2],
            after: vec![side / 2; 2],
        };
        let groups = if channels == 1 { features } else { 1 };
        let conv = Op::Conv(Conv { window, groups });
        let operands = [Operand::Value(from), weight, bias_of];
        let maps = graph
            .node(&name, conv, &operands, &format!("maps {name}"))
            .unwrap();
        let relu = Op::Unary(Unary::Clip { min: 0.0, max: 6.0 });
        graph
            .node(
                "relu",
                relu,
                &[Operand::Value(maps)],
                &format!("out {name}"),
            )
            .unwrap()
    };
    let x = graph.input();
    let first = layer(&mut graph, x, [8, 3, 3, 3], 1);
    let second = layer(&mut graph, first, [8, 8, 1, 1], 1);
    let both = [Operand::Value(first), Operand::Value(second)];
    let sum = graph
        .node("sum", Op::Binary(Binary::Add), &both, "sum")
        .unwrap();
    let third = layer(&mut graph, sum, [8, 1, 5, 5], 2);
    let fourth = layer(&mut graph, third, [4, 8, 3, 3], 8);
    let length = 4 * (SIDE / 16).pow(2);
    let flat = Op::Reshape(Reshape {
        shape: vec![length],
    });
    let flat = graph
        .node("flat", flat, &[Operand::Value(fourth)], "flat")
        .unwrap();
    let dense = Operand::Weight(graph.weight("dense", &[length, CLASSES]).unwrap());
    weights.push(numbers(length * CLASSES, 99));
    let gemm = Op::Gemm(Gemm { trans_b: false });
    graph
        .node("dense", gemm, &[Operand::Value(flat), dense], "logits")
        .unwrap();
    Network::new(graph, weights).unwrap()
}

#[test]
fn a_batch_of_large_images_gives_what_each_gives_alone() {
    let network = network();
    let length = network.input_len();
    let images = numbers(3 * length, 7);
    let by_logits = numbers(3 * CLASSES, 8);
    let mut evaluator = Evaluator::new(&network);
    evaluator.input(3).copy_from_slice(&images);
    let logits = evaluator.forward().to_vec();
    let gradients = evaluator.backward(&by_logits).to_vec();
    let mut by_weights: Vec<Vec<f32>> = network
        .weights()
        .iter()
        .map(|w| vec![0.0; w.len()])
        .collect();
    assert_eq!(
        evaluator.backward_both(&by_logits, &mut by_weights),
        gradients
    );
    // Again, in memory that is full of other numbers.
    assert_eq!(evaluator.forward(), logits);
    assert_eq!(evaluator.backward(&by_logits), gradients);
    assert!(gradients.iter().any(|&g| g != 0.0));
    let mut sum: Vec<Vec<f64>> = network
        .weights()
        .iter()
        .map(|w| vec![0.0; w.len()])
        .collect();
    for image in 0..3 {
        let mut alone = Evaluator::new(&network);
        alone
            .input(1)
            .copy_from_slice(&images[image * length..][..length]);
        assert_eq!(alone.forward(), &logits[image * CLASSES..][..CLASSES]);
        let by_logits = &by_logits[image * CLASSES..][..CLASSES];
        let gradient = &gradients[image * length..][..length];
        assert_eq!(alone.backward(by_logits), gradient);
        let mut own: Vec<Vec<f32>> = by_weights.iter().map(|w| vec![0.0; w.len()]).collect();
        alone.backward_weights(by_logits, &mut own);
        for (sum, own) in sum.iter_mut().flatten().zip(own.iter().flatten()) {
            *sum += f64::from(*own);
        }
    }
    let scale = by_weights
        .iter()
        .flatten()
        .fold(0.0f64, |most, &g| most.max(f64::from(g.abs())));
    for (&together, alone) in by_weights.iter().flatten().zip(sum.iter().flatten()) {
        assert!((f64::from(together) - alone).abs() < 1e-4 * scale);
    }
}
