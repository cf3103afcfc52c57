//! Networks quantised by onnxruntime: its answers, and the gradients of the networks they come from.

use std::path::Path;

use blindspot_net::{Evaluator, Network, onnx};
use blindspot_testing::{python, run_python, skip};

/// Writes a network as it is (float), quantised in both of onnxruntime's formats, and with its
/// weights and the ranges of each image quantised (dynamic); and images with the answers of each.
const SCRIPT: &str = r#"
import logging, sys, numpy, onnx, onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as nh
from onnxruntime import quantization as q
logging.disable(logging.WARNING)
folder = sys.argv[1]
rng = numpy.random.default_rng(3)
r = lambda *s: rng.normal(size=s).astype(numpy.float32)
weights = {'w': r(8, 3, 3, 3) / 4, 'b': r(8) / 4, 'v': r(8, 8, 3, 3) / 8, 'c': r(8) / 4, 'm': r(8, 5)}
nodes = [h.make_node('Conv', ['x', 'w', 'b'], ['p'], pads=[1] * 4, strides=[2, 2]), h.make_node('Relu', ['p'], ['q']),
         h.make_node('Conv', ['q', 'v', 'c'], ['s'], pads=[1] * 4), h.make_node('Relu', ['s'], ['t']),
         h.make_node('Add', ['q', 't'], ['a']), h.make_node('GlobalAveragePool', ['a'], ['g']), h.make_node('Flatten', ['g'], ['f']),
         h.make_node('MatMul', ['f', 'm'], ['y'])]
graph = h.make_graph(nodes, 'g', [h.make_tensor_value_info('x', T.FLOAT, ['n', 3, 10, 10])],
                     [h.make_tensor_value_info('y', T.FLOAT, ['n', 5])], [nh.from_array(v, k) for k, v in weights.items()])
onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid('', 17)], ir_version=8), folder + '/float.onnx')
images = rng.random((4, 3, 10, 10), numpy.float32)
class Reader(q.CalibrationDataReader):
    def __init__(self): self.images = iter(rng.random((50, 1, 3, 10, 10), numpy.float32))
    def get_next(self): return next(({'x': image} for image in self.images), None)
for name, format in ('qdq', q.QuantFormat.QDQ), ('qoperator', q.QuantFormat.QOperator):
    q.quantize_static(folder + '/float.onnx', f'{folder}/{name}.onnx', Reader(), format, per_channel=True)
q.quantize_dynamic(folder + '/float.onnx', folder + '/dynamic.onnx')
images.tofile(folder + '/images')
for name in 'float', 'qdq', 'qoperator', 'dynamic':
    session = onnxruntime.InferenceSession(f'{folder}/{name}.onnx')
    numpy.concatenate([session.run(None, {'x': image[None]})[0] for image in images]).tofile(f'{folder}/{name}.out')
"#;

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let words = bytes.chunks_exact(4);
    words
        .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

/// The outputs for images, and the gradient of a fixed combination of them.
fn run(network: &Network<f32>, images: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut evaluator = Evaluator::new(network);
    let n = images.len() / network.input_len();
    evaluator.input(n).copy_from_slice(images);
    let outputs = evaluator.forward().to_vec();
    let factors: Vec<f32> = (0..outputs.len())
        .map(|i| [1.0, -2.0, 0.5, 1.5, -1.0][i % 5])
        .collect();
    (outputs, evaluator.backward(&factors).to_vec())
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

#[test]
fn quantised_networks_give_onnxruntime_s_answers_and_the_gradients_of_what_they_stand_for() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    run_python(SCRIPT, [folder.path()], "").unwrap();
    let images = floats(&folder.path().join("images"));
    let read = |name: &str| {
        let path = folder.path().join(format!("{name}.onnx"));
        onnx::read_file(&path)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .network
    };
    let (exact, gradient) = run(&read("float"), &images);
    for name in ["qdq", "qoperator", "dynamic"] {
        let (ours, own) = run(&read(name), &images);
        let theirs = floats(&folder.path().join(format!("{name}.out")));
        let largest = theirs
            .iter()
            .fold(0.0f32, |largest, y| largest.max(y.abs()));
        let farthest = |other: &[f32]| {
            let pairs = ours.iter().zip(other);
            pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / largest
        };
        // A number half-way between two integers goes either way: less than what rounding does.
        assert!(farthest(&theirs) < 4e-3, "{name}: {ours:?} {theirs:?}");
        assert!(farthest(&exact) > 1e-3, "{name} is not rounded");
        let cosine = dot(&own, &gradient) / (dot(&own, &own) * dot(&gradient, &gradient)).sqrt();
        assert!(cosine > 0.9, "{name}: the gradient's cosine is {cosine}");
    }
}
