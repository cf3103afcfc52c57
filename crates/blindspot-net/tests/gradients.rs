//! Gradients against finite differences, and the parts of a network against the whole.

use blindspot_net::ops::{Binary, Gemm, Reshape, Softmax, Unary, Where};
use blindspot_net::{Evaluator, Graph, Network, Op, Operand, cross_entropy};

fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
        })
        .collect()
}

/// Every operator, values used twice, a path past each layer; `softmax` at the end if asked for.
fn network(softmax: bool) -> Network<f64> {
    let mut graph = Graph::new("image", &[2, 3]).unwrap();
    let mut weights = Vec::new();
    let mut weight = |graph: &mut Graph, name: &str, shape: &[usize]| {
        weights.push(numbers(shape.iter().product(), weights.len() as u64 + 1));
        Operand::Weight(graph.weight(name, shape).unwrap())
    };
    let w0 = weight(&mut graph, "w0", &[3, 4]);
    let b0 = weight(&mut graph, "b0", &[2, 4]);
    let w1 = weight(&mut graph, "w1", &[5, 8]);
    let b1 = weight(&mut graph, "b1", &[5]);
    let w2 = weight(&mut graph, "w2", &[5, 3]);
    let value = Operand::Value;
    let gemm = |trans_b| Op::Gemm(Gemm { trans_b });
    let x = value(graph.input());
    let a = graph.node("a", gemm(false), &[x, w0], "a").unwrap();
    let a = graph
        .node("a1", Op::Binary(Binary::Add), &[value(a), b0], "a1")
        .unwrap();
    let r = graph
        .node("r", Op::Unary(Unary::Relu), &[value(a)], "r")
        .unwrap();
    let s = graph
        .node("s", Op::Unary(Unary::Sigmoid), &[value(a)], "s")
        .unwrap();
    let both = graph
        .node(
            "both",
            Op::Binary(Binary::Add),
            &[value(r), value(s)],
            "both",
        )
        .unwrap();
    let twice = graph
        .node(
            "twice",
            Op::Binary(Binary::Add),
            &[value(both), value(both)],
            "twice",
        )
        .unwrap();
    let flat = Op::Reshape(Reshape { shape: vec![8] });
    let flat = graph.node("flat", flat, &[value(twice)], "flat").unwrap();
    let h = graph
        .node("h", gemm(true), &[value(flat), w1, b1], "h")
        .unwrap();
    let h = graph
        .node("hs", Op::Unary(Unary::Sigmoid), &[value(h)], "hidden")
        .unwrap();
    let top = graph
        .node("top", gemm(false), &[value(h), w2], "logits")
        .unwrap();
    if softmax {
        graph
            .node(
                "p",
                Op::Softmax(Softmax {
                    axis: 0,
                    log: false,
                }),
                &[value(top)],
                "p",
            )
            .unwrap();
    }
    Network::new(graph, weights).unwrap()
}

const LABELS: [usize; 4] = [0, 2, 1, 1];

/// The summed cross entropy of a batch, and the gradients by the images and by the weights.
fn loss(network: &Network<f64>, images: &[f64]) -> (f64, Vec<f64>, Vec<Vec<f64>>) {
    let mut evaluator = Evaluator::new(network);
    evaluator.input(LABELS.len()).copy_from_slice(images);
    let logits = evaluator.forward().to_vec();
    let mut by_logits = vec![0.0; logits.len()];
    let mut total = 0.0;
    cross_entropy(&logits, 3, &LABELS, &mut by_logits, |_, loss| total += loss);
    let mut by_weights: Vec<Vec<f64>> = network
        .weights()
        .iter()
        .map(|weight| vec![0.0; weight.len()])
        .collect();
    let by_images = evaluator
        .backward_both(&by_logits, &mut by_weights)
        .to_vec();
    // Each alone gives the same.
    assert_eq!(evaluator.backward(&by_logits), by_images);
    let mut alone: Vec<Vec<f64>> = by_weights.iter().map(|g| vec![0.0; g.len()]).collect();
    evaluator.backward_weights(&by_logits, &mut alone);
    assert_eq!(alone, by_weights);
    (total, by_images, by_weights)
}

#[test]
fn gradients_are_those_of_finite_differences() {
    const STEP: f64 = 1e-5;
    for softmax in [false, true] {
        let network = network(softmax);
        let mut images = numbers(4 * 6, 50);
        let (_, by_images, by_weights) = loss(&network, &images);
        for i in 0..images.len() {
            let at = images[i];
            let mut value = |x| {
                images[i] = x;
                loss(&network, &images).0
            };
            let difference = (value(at + STEP) - value(at - STEP)) / (2.0 * STEP);
            images[i] = at;
            assert!(
                (difference - by_images[i]).abs() < 1e-8,
                "{i}: {difference} {}",
                by_images[i]
            );
        }
        for (w, gradient) in by_weights.iter().enumerate() {
            for (i, &gradient) in gradient.iter().enumerate() {
                let value = |offset: f64| {
                    let mut moved = network.weights().to_vec();
                    moved[w][i] += offset;
                    loss(
                        &Network::new(network.graph().clone(), moved).unwrap(),
                        &images,
                    )
                    .0
                };
                let difference = (value(STEP) - value(-STEP)) / (2.0 * STEP);
                assert!(
                    (difference - gradient).abs() < 1e-8,
                    "{w} {i}: {difference} {gradient}"
                );
            }
        }
    }
}

#[test]
fn the_parts_below_and_above_a_value_make_the_whole() {
    let network = network(false);
    let images = numbers(4 * 6, 51);
    let run = |network: &Network<f64>, inputs: &[f64], by_output: &[f64]| {
        let mut evaluator = Evaluator::new(network);
        evaluator.input(4).copy_from_slice(inputs);
        let output = evaluator.forward().to_vec();
        let gradient = if by_output.len() == output.len() {
            evaluator.backward(by_output).to_vec()
        } else {
            Vec::new()
        };
        (output, gradient)
    };
    let by_logits = numbers(4 * 3, 52);
    let (logits, by_images) = run(&network, &images, &by_logits);
    for name in ["twice", "flat", "hidden"] {
        let cut = network.graph().find(name).unwrap();
        let (below, above) = (network.up_to(cut), network.above(cut).unwrap());
        let (middle, _) = run(&below, &images, &[]);
        let (top, by_middle) = run(&above, &middle, &by_logits);
        assert_eq!(top, logits, "{name}");
        assert_eq!(run(&below, &images, &by_middle).1, by_images, "{name}");
    }
    // The sigmoid of `a1` leads past the ReLU.
    let past = network.graph().find("r").unwrap();
    assert!(network.above(past).unwrap_err().to_string().contains('s'));
}

#[test]
fn an_image_has_the_same_bits_in_any_batch_and_f32_agrees_with_f64() {
    let exact = network(false);
    let network = exact.cast::<f32>();
    let count = 500;
    let images: Vec<f32> = numbers(count * 6, 53).iter().map(|&x| x as f32).collect();
    let by_logits: Vec<f32> = numbers(count * 3, 54).iter().map(|&x| x as f32).collect();
    let run = |batch: usize| {
        let mut evaluator = Evaluator::new(&network);
        let (mut logits, mut gradients) = (Vec::new(), Vec::new());
        for (images, by_logits) in images.chunks(batch * 6).zip(by_logits.chunks(batch * 3)) {
            evaluator.input(images.len() / 6).copy_from_slice(images);
            logits.extend_from_slice(evaluator.forward());
            gradients.extend_from_slice(evaluator.backward(by_logits));
        }
        (logits, gradients)
    };
    let whole = run(count);
    for batch in [1, 7, 64] {
        assert_eq!(run(batch), whole, "batches of {batch}");
    }
    let mut evaluator = Evaluator::new(&exact);
    for (place, &image) in evaluator.input(count).iter_mut().zip(&images) {
        *place = f64::from(image);
    }
    for (narrow, wide) in whole.0.iter().zip(evaluator.forward()) {
        assert!((f64::from(*narrow) - wide).abs() < 1e-5, "{narrow} {wide}");
    }
}

/// Where x is above 0 a function of it, and x itself elsewhere.
fn above_zero(function: Op, exponent: bool) -> Network<f64> {
    let mut graph = Graph::new("x", &[3]).unwrap();
    let x = Operand::Value(graph.input());
    let zero = Operand::Weight(graph.weight("zero", &[]).unwrap());
    let half = Operand::Weight(graph.weight("half", &[]).unwrap());
    let mut add = |op: Op, operands: &[Operand], name: &str| {
        Operand::Value(graph.node(name, op, operands, name).unwrap())
    };
    let above = add(Op::Binary(Binary::Greater), &[x, zero], "above");
    let operands = if exponent { vec![x, half] } else { vec![x] };
    let taken = add(function, &operands, "taken");
    add(Op::Where(Where), &[above, taken, x], "y");
    Network::new(graph, vec![vec![0.0], vec![0.5]]).unwrap()
}

#[test]
fn a_branch_that_is_not_taken_pulls_back_nothing_where_it_has_no_slope() {
    for (function, exponent, slope) in [
        (Op::Unary(Unary::Log), false, 4.0),
        (Op::Unary(Unary::Sqrt), false, 1.0),
        (Op::Binary(Binary::Pow), true, 1.0),
    ] {
        let network = above_zero(function, exponent);
        let mut evaluator = Evaluator::new(&network);
        evaluator.input(1).copy_from_slice(&[0.25, 0.0, -1.0]);
        evaluator.forward();
        let gradient = evaluator.backward(&[1.0; 3]);
        assert!((gradient[0] - slope).abs() < 1e-15, "{gradient:?}");
        assert_eq!(gradient[1..], [1.0, 1.0]);
    }
}
