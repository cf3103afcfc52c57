//! Small networks of many kinds, drawn at random.

use blindspot_net::ops::{
    Binary, Conv, Pool, PoolKind, Reduce, ReduceKind, Reshape, Unary, Window,
};
use blindspot_net::{Evaluator, Network, Op, argmax};

use blindspot_run::random::Stream;

use super::Stack;

/// What stands between layers with weights.
#[derive(Debug, Clone, Copy)]
enum Activation {
    Unary(Unary),
    /// With a slope of its own for each channel.
    PRelu,
}

const ACTIVATIONS: [Activation; 8] = [
    Activation::Unary(Unary::Relu),
    Activation::Unary(Unary::Sigmoid),
    Activation::PRelu,
    Activation::Unary(Unary::Tanh),
    Activation::Unary(Unary::LeakyRelu { alpha: 0.1 }),
    Activation::Unary(Unary::Elu { alpha: 1.0 }),
    Activation::Unary(Unary::Gelu { tanh: false }),
    Activation::Unary(Unary::Softplus),
];

/// The layers before the last one.
#[derive(Debug, Clone, Copy)]
enum Body {
    Dense,
    ResidualDense,
    /// Convolutions and what becomes of their positions at the end.
    Conv(End),
    ResidualConv(End),
}

#[derive(Debug, Clone, Copy)]
enum End {
    Flat,
    GlobalMean,
    GlobalMax,
    MaxPool,
    AveragePool,
}

const BODIES: [Body; 9] = [
    Body::Dense,
    Body::Conv(End::GlobalMean),
    Body::Conv(End::MaxPool),
    Body::ResidualDense,
    Body::Conv(End::Flat),
    Body::Conv(End::GlobalMax),
    Body::ResidualConv(End::GlobalMean),
    Body::Conv(End::AveragePool),
    Body::ResidualConv(End::Flat),
];

/// A network, what it is made of, and images with what it answers to them.
pub struct RandomNetwork {
    /// What it is made of, in words.
    pub kind: String,
    /// The network.
    pub network: Network<f32>,
    /// Images with values in [0, 1], one after the other.
    pub images: Vec<f32>,
    /// The class that the network gives to each image.
    pub labels: Vec<usize>,
}

impl RandomNetwork {
    /// The network with this number and `count` images: bodies and activations in turn, sizes and
    /// weights at random, the outputs centred on images of that kind and multiplied by something
    /// from 1e-6 to 1e6.
    pub fn new(number: usize, count: usize) -> RandomNetwork {
        let mut stream = Stream::new(17, "kinds of networks", number);
        // The two lists' lengths have no common divisor: 72 numbers give all pairs.
        let body = BODIES[number % BODIES.len()];
        let activation = ACTIVATIONS[number % ACTIVATIONS.len()];
        let classes = 2 + stream.below(9);
        let scale = 10f64.powf(12.0 * stream.uniform() - 6.0) as f32;
        let (shape, stack) = match body {
            Body::Dense | Body::ResidualDense => dense(number, &mut stream, body, activation),
            Body::Conv(end) => convolutional(number, &mut stream, (end, false), activation),
            Body::ResidualConv(end) => convolutional(number, &mut stream, (end, true), activation),
        };
        let features = length(&stack);
        let mut network = stack.dense(features, classes).network();
        centre(&mut network, &shape, number, scale);
        let images = smooth_images(&shape, number, count);
        let outputs = outputs(&network, &images);
        let labels = outputs.chunks_exact(classes).map(argmax);
        RandomNetwork {
            kind: format!("{number}: {body:?} {activation:?} {shape:?} {classes} x{scale:.1e}"),
            labels: labels.collect(),
            network,
            images,
        }
    }
}

/// The outputs for images that stand one after the other.
fn outputs(network: &Network<f32>, images: &[f32]) -> Vec<f32> {
    let mut evaluator = Evaluator::new(network);
    let count = images.len() / network.input_len();
    evaluator.input(count).copy_from_slice(images);
    evaluator.forward().to_vec()
}

/// Values of the top of a stack for one image.
fn length(stack: &Stack) -> usize {
    shape(stack).iter().product()
}

fn shape(stack: &Stack) -> Vec<usize> {
    stack.graph.value(stack.graph.output()).shape.clone()
}

fn activate(stack: Stack, activation: Activation) -> Stack {
    match activation {
        Activation::Unary(unary) => stack.activation(unary),
        Activation::PRelu => {
            let mut slopes = vec![1; shape(&stack).len()];
            slopes[0] = shape(&stack)[0];
            stack.add(Op::Binary(Binary::PRelu), &[&slopes], 0.3)
        }
    }
}

fn dense(
    number: usize,
    stream: &mut Stream,
    body: Body,
    activation: Activation,
) -> (Vec<usize>, Stack) {
    let inputs = 4 + stream.below(28);
    let width = 6 + stream.below(26);
    let stack = Stack::new(&[inputs], number).dense(inputs, width);
    let mut stack = activate(stack, activation);
    for _ in 0..stream.below(3) {
        let below = stack.top;
        stack = activate(stack.dense(width, width), activation);
        if matches!(body, Body::ResidualDense) {
            stack = stack.with(Op::Binary(Binary::Add), below);
        }
    }
    (vec![inputs], stack)
}

fn convolution(stride: usize) -> Op {
    Op::Conv(Conv {
        window: Window {
            strides: vec![stride; 2],
            before: vec![1, 1],
            after: vec![1, 1],
            ..Window::dense(&[3, 3])
        },
        groups: 1,
    })
}

fn convolutional(
    number: usize,
    stream: &mut Stream,
    (end, residual): (End, bool),
    activation: Activation,
) -> (Vec<usize>, Stack) {
    let input = [1 + 2 * stream.below(2), 8, 8];
    let (first, second) = (4 + stream.below(8), 4 + stream.below(12));
    let gain = |channels: usize| (2.0 / (9.0 * channels as f64)).sqrt();
    let stack = Stack::new(&input, number);
    let weights = [first, input[0], 3, 3];
    let stack = stack.add(convolution(2), &[&weights[..], &[first]], gain(input[0]));
    let mut stack = activate(stack, activation);
    if residual {
        let below = stack.top;
        let weights = [first, first, 3, 3];
        stack = stack.add(convolution(1), &[&weights[..], &[first]], gain(first));
        stack = activate(stack, activation).with(Op::Binary(Binary::Add), below);
    }
    let weights = [second, first, 3, 3];
    stack = stack.add(convolution(1), &[&weights[..], &[second]], gain(first));
    stack = activate(stack, activation);
    let pool = |kind| {
        Op::Pool(Pool {
            kind,
            window: Window {
                strides: vec![2; 2],
                ..Window::dense(&[2, 2])
            },
            ceil: false,
        })
    };
    let reduce = |kind| {
        Op::Reduce(Reduce {
            kind,
            axes: vec![1, 2],
            keep_axes: false,
        })
    };
    let average = PoolKind::Average {
        count_padding: false,
    };
    stack = match end {
        End::Flat => stack,
        End::GlobalMean => stack.add(reduce(ReduceKind::Mean), &[], 1.0),
        End::GlobalMax => stack.add(reduce(ReduceKind::Max), &[], 1.0),
        End::MaxPool => stack.add(pool(PoolKind::Max), &[], 1.0),
        End::AveragePool => stack.add(pool(average), &[], 1.0),
    };
    let count = length(&stack);
    let flat = Op::Reshape(Reshape { shape: vec![count] });
    (input.to_vec(), stack.add(flat, &[], 1.0))
}

/// Images in [0, 1]: of blocks of 2x2 pixels where they are images, of numbers on their own else.
fn smooth_images(shape: &[usize], number: usize, count: usize) -> Vec<f32> {
    let length: usize = shape.iter().product();
    let mut values = Vec::with_capacity(count * length);
    for image in 0..count {
        let mut stream = Stream::new(number as u64, "random images", image);
        let blocks: Vec<f32> = (0..length).map(|_| stream.uniform() as f32).collect();
        values.extend((0..length).map(|i| match shape {
            &[_, height, width] => {
                let (channel, y, x) = (i / (height * width), i / width % height, i % width);
                blocks[channel * height * width + y / 2 * width + x / 2]
            }
            _ => blocks[i],
        }));
    }
    values
}

/// Moves the last layer's biases so that each output is 0 on average, so that no class is always
/// the answer, and multiplies that layer by `scale`.
fn centre(network: &mut Network<f32>, shape: &[usize], number: usize, scale: f32) {
    const IMAGES: usize = 64;
    let classes = network.output_len();
    let images = smooth_images(shape, number + (1 << 32), IMAGES);
    let outputs = outputs(network, &images);
    let mean = |class: usize| {
        let of_class = outputs.iter().skip(class).step_by(classes);
        of_class.sum::<f32>() / IMAGES as f32
    };
    let mut weights = network.weights().to_vec();
    let [.., last, biases] = &mut weights[..] else {
        unreachable!("the last layer has two lists of weights");
    };
    last.iter_mut().for_each(|weight| *weight *= scale);
    for (class, bias) in biases.iter_mut().enumerate() {
        *bias = scale * (*bias - mean(class));
    }
    network.set_weights(weights.into_iter().flatten());
}
