//! The noise against the errors of onnxruntime, at each level of its optimisations.

use blindspot_net::ops::{Binary, Conv, Reduce, ReduceKind, Reshape, Unary, Window};
use blindspot_net::{Evaluator, Network, Op, Precision, argmax, onnx};
use blindspot_run::random::Stream;
use blindspot_testing::{Stack, python, run_python, skip};

use super::*;
use crate::classifier::RoundedNetwork;
use crate::classify::outputs;
use crate::inputs::InMemory;

/// Images of each network.
const IMAGES: usize = 8;
/// Networks of each kind.
const NETWORKS: usize = 3;

/// What a network is made of.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Layers below the last one.
    layers: usize,
    activation: Unary,
    /// 3x3 convolutions in place of fully connected layers.
    convolves: bool,
    /// A convolution for each channel before each convolution.
    depthwise: bool,
    /// A path around each layer but the first.
    residual: bool,
    /// As batch normalisation leaves them: each unit centred, of deviation 1. It amplifies what is
    /// small in the layer below.
    normalised: bool,
    /// Added to all logits.
    offset: f32,
}

const DENSE: Kind = Kind {
    layers: 2,
    activation: Unary::Relu,
    convolves: false,
    depthwise: false,
    residual: false,
    normalised: false,
    offset: 0.0,
};

const CONV: Kind = Kind {
    convolves: true,
    ..DENSE
};

/// A network of a kind, and images.
fn draw(kind: Kind, seed: usize) -> (Network<f32>, InMemory) {
    let shape = if kind.convolves {
        vec![3, 10, 10]
    } else {
        vec![64]
    };
    let length: usize = shape.iter().product();
    let mut stream = Stream::new(5, "images of rounding", seed);
    let values = (0..64 * length).map(|_| stream.uniform() as f32);
    let images = InMemory::new(values.collect(), length);
    let mut stack = Stack::new(&shape, seed);
    for layer in 0..kind.layers {
        let below = stack.top;
        if kind.convolves {
            let channels = shape_of(&stack)[0];
            if kind.depthwise && layer > 0 {
                stack = convolved(stack, channels, channels);
            }
            stack = convolved(stack, 16, 1);
        } else {
            let inputs = shape_of(&stack)[0];
            stack = stack.dense(inputs, 64);
        }
        if kind.normalised {
            normalise(&mut stack, &images);
        }
        stack = stack.activation(kind.activation);
        if kind.residual && layer > 0 {
            stack = stack.with(Op::Binary(Binary::Add), below);
        }
    }
    if kind.convolves && seed.is_multiple_of(2) {
        let mean = Reduce {
            kind: ReduceKind::Mean,
            axes: vec![1, 2],
            keep_axes: false,
        };
        stack = stack.add(Op::Reduce(mean), &[], 1.0);
    }
    let count = shape_of(&stack).iter().product();
    stack = stack.add(Op::Reshape(Reshape { shape: vec![count] }), &[], 1.0);
    stack = stack.dense(count, [10, 2, 100][seed % 3]);
    if kind.normalised {
        normalise(&mut stack, &images);
    }
    let biases = stack.weights.last_mut().unwrap();
    biases.iter_mut().for_each(|bias| *bias += kind.offset);
    (
        stack.network(),
        InMemory::new(images.values()[..IMAGES * length].to_vec(), length),
    )
}

fn shape_of(stack: &Stack) -> Vec<usize> {
    stack.graph.value(stack.graph.output()).shape.clone()
}

fn convolved(stack: Stack, channels: usize, groups: usize) -> Stack {
    let inputs = shape_of(&stack)[0] / groups;
    let op = Conv {
        window: Window {
            before: vec![1, 1],
            after: vec![1, 1],
            ..Window::dense(&[3, 3])
        },
        groups,
    };
    let gain = (2.0 / (9 * inputs) as f64).sqrt();
    stack.add(
        Op::Conv(op),
        &[&[channels, inputs, 3, 3], &[channels]],
        gain,
    )
}

/// Centres and scales each unit or channel of the layer on top over some images.
fn normalise(stack: &mut Stack, images: &InMemory) {
    let network = Network::new(stack.graph.clone(), stack.weights.clone()).unwrap();
    let channels = shape_of(stack)[0];
    let outputs = outputs(&network, images).unwrap();
    let positions = network.output_len() / channels;
    let rows_of_weights = matches!(stack.graph.nodes().last().unwrap().op, Op::Conv(_));
    let [.., weights, biases] = &mut stack.weights[..] else {
        unreachable!("a layer has weights and biases");
    };
    for channel in 0..channels {
        let values = outputs.values().chunks_exact(network.output_len());
        let values: Vec<f32> = values
            .flat_map(|row| &row[channel * positions..(channel + 1) * positions])
            .copied()
            .collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let square = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f32>();
        let deviation = (square / values.len() as f32).sqrt().max(1e-6);
        let per_channel = weights.len() / channels;
        for i in 0..per_channel {
            let at = if rows_of_weights {
                channel * per_channel + i
            } else {
                i * channels + channel
            };
            weights[at] /= deviation;
        }
        biases[channel] = (biases[channel] - mean) / deviation;
    }
}

/// The logits of each model in a folder for the images beside it, all at once and one by one, at each
/// level of optimisation, beside it too.
const SCRIPT: &str = "
import sys, glob, numpy, onnxruntime as ort
for path in glob.glob(sys.argv[1] + '/*.onnx'):
    rows = []
    for level in ('DISABLE_ALL', 'ENABLE_BASIC', 'ENABLE_EXTENDED', 'ENABLE_ALL'):
        o = ort.SessionOptions(); o.log_severity_level = 4; o.intra_op_num_threads = 1
        o.graph_optimization_level = getattr(ort.GraphOptimizationLevel, 'ORT_' + level)
        s = ort.InferenceSession(path, o); i = s.get_inputs()[0]
        x = numpy.fromfile(path[:-5] + '.in', numpy.float32).reshape([-1] + i.shape[1:])
        rows.append(s.run(None, {i.name: x})[0])
        rows.append(numpy.concatenate([s.run(None, {i.name: v[None]})[0] for v in x]))
    numpy.stack(rows).tofile(path[:-5] + '.out')
";

/// Of each network and image: the noise, and the largest error of a margin in onnxruntime.
fn against_onnxruntime(networks: &[(Network<f32>, InMemory)]) -> Vec<(f64, f64)> {
    let folder = tempfile::tempdir().unwrap();
    let path = |i: usize, end: &str| folder.path().join(format!("{i}.{end}"));
    for (i, (network, images)) in networks.iter().enumerate() {
        std::fs::write(path(i, "onnx"), onnx::write(network, &Default::default())).unwrap();
        let bytes: Vec<u8> = images
            .values()
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        std::fs::write(path(i, "in"), bytes).unwrap();
    }
    run_python(SCRIPT, [folder.path()], "").unwrap();
    let mut found = Vec::new();
    for (i, (network, images)) in networks.iter().enumerate() {
        let (exact, classes) = (network.cast::<f64>(), network.output_len());
        let bytes = std::fs::read(path(i, "out")).unwrap();
        let theirs: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&x| f32::from_le_bytes(x))
            .collect();
        let mut noise = MarginNoise::new(network, Some(&exact));
        for (image, values) in images
            .values()
            .chunks_exact(network.input_len())
            .enumerate()
        {
            let at = noise.at(values).unwrap();
            let exact = noise.outputs().exact.clone();
            let runs = theirs.chunks_exact(IMAGES * classes);
            let errors = runs.map(|run| margin_error(&run[image * classes..][..classes], &exact));
            found.push((at, errors.fold(0.0, f64::max)));
        }
    }
    found
}

#[test]
fn no_runtime_is_farther_off_than_the_noise() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let deep = |kind| [1, 5, 24].map(|layers| Kind { layers, ..kind });
    let normal = |kind| Kind {
        normalised: true,
        ..kind
    };
    let mut kinds = Vec::new();
    for kind in [DENSE, CONV] {
        kinds.extend(deep(kind));
        kinds.extend(deep(normal(kind)));
        kinds.extend(deep(Kind {
            residual: true,
            ..normal(kind)
        }));
        kinds.extend([1e2, 1e4, 1e6].map(|offset| Kind { offset, ..kind }));
        let others = [
            Unary::Sigmoid,
            Unary::Tanh,
            Unary::Gelu { tanh: false },
            Unary::Softplus,
            Unary::Exp,
        ];
        kinds.extend(others.map(|activation| Kind { activation, ..kind }));
        let smooth = [Unary::Tanh, Unary::Gelu { tanh: false }];
        kinds.extend(smooth.map(|activation| Kind {
            activation,
            layers: 12,
            ..normal(kind)
        }));
    }
    kinds.extend(deep(Kind {
        depthwise: true,
        ..normal(CONV)
    }));
    let mut shares = Vec::new();
    for (number, &kind) in kinds.iter().enumerate() {
        let networks: Vec<_> = (0..NETWORKS)
            .map(|i| draw(kind, NETWORKS * number + i))
            .collect();
        let found = against_onnxruntime(&networks);
        let own: Vec<f64> = found.iter().map(|(noise, error)| error / noise).collect();
        let most = own.iter().copied().fold(0.0, f64::max);
        println!("{kind:?}: errors of {most:.3} of the noise at most");
        assert!(most < 0.9, "{kind:?}: an error of {most} of the noise");
        shares.extend(own);
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    println!("{mean:.3} on average of {}", shares.len());
    assert!(
        mean > 0.05,
        "the noise is far too large: errors are {mean} of it"
    );
}

/// Half precision rounds some 8,000 times as coarsely.
#[test]
fn noise_grows_with_the_step_of_the_format() {
    let (network, images) = draw(DENSE, 0);
    let exact = network.cast::<f64>();
    let noise = |precision| {
        let network = network.clone().kept_in(precision);
        let rounded = RoundedNetwork::new(&network);
        MarginNoise::new(&rounded, Some(&exact))
            .at(&images.values()[..64])
            .unwrap()
    };
    let single = noise(Precision::Single);
    assert!((1e3..1e5).contains(&(noise(Precision::Half) / single)));
    assert!((1e4..1e6).contains(&(noise(Precision::Brain) / single)));
}

#[test]
fn what_is_not_known_exactly_has_a_share_of_the_largest_output() {
    let (network, images) = draw(DENSE, 0);
    let image = &images.values()[..64];
    let mut evaluator = Evaluator::new(&network);
    evaluator.input(1).copy_from_slice(image);
    let largest = scale(evaluator.forward());
    let mut unknown = MarginNoise::new(&network, None);
    assert_eq!(unknown.at(image).unwrap(), UNKNOWN * largest);
    assert_eq!(
        argmax(&unknown.outputs().rounded),
        argmax(&unknown.outputs().exact)
    );
}
