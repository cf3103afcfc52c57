//! ONNX files, against onnxruntime and against damage.

use std::collections::BTreeMap;

use blindspot_net::ops::{Binary, Gemm, Reshape, Softmax, Unary};
use blindspot_net::{Evaluator, Graph, Network, Op, Operand, onnx};
use blindspot_testing::{python, run_python, skip};
use proptest::prelude::*;

/// Numbers that look random and are the same everywhere.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.5
        })
        .collect()
}

/// A network with every operator, on images of shape [1, 3, 4].
fn network() -> Network<f32> {
    let mut graph = Graph::new("image", &[1, 3, 4]).unwrap();
    let mut weights = Vec::new();
    let mut weight = |graph: &mut Graph, name: &str, shape: &[usize]| {
        weights.push(numbers(shape.iter().product(), weights.len() as u32 + 1));
        Operand::Weight(graph.weight(name, shape).unwrap())
    };
    let w0 = weight(&mut graph, "w0", &[4, 5]);
    let b0 = weight(&mut graph, "b0", &[5]);
    let w1 = weight(&mut graph, "w1", &[15, 7]);
    let b1 = weight(&mut graph, "b1", &[7]);
    let w2 = weight(&mut graph, "w2", &[6, 7]);
    let value = Operand::Value;
    let gemm = |trans_b| Op::Gemm(Gemm { trans_b });
    let x = value(graph.input());
    let a = graph.node("product", gemm(false), &[x, w0], "a").unwrap();
    let a = graph
        .node("sum", Op::Binary(Binary::Add), &[value(a), b0], "a1")
        .unwrap();
    let a = graph
        .node("relu", Op::Unary(Unary::Relu), &[value(a)], "a2")
        .unwrap();
    let flat = Op::Reshape(Reshape { shape: vec![15] });
    let a = graph.node("flat", flat, &[value(a)], "a3").unwrap();
    let b = graph
        .node("dense", gemm(false), &[value(a), w1, b1], "b")
        .unwrap();
    let c = graph
        .node("sigmoid", Op::Unary(Unary::Sigmoid), &[value(b)], "c")
        .unwrap();
    let d = graph
        .node("both", Op::Binary(Binary::Add), &[value(b), value(c)], "d")
        .unwrap();
    let e = graph.node("top", gemm(true), &[value(d), w2], "e").unwrap();
    graph
        .node(
            "softmax",
            Op::Softmax(Softmax {
                axis: 0,
                log: false,
            }),
            &[value(e)],
            "p",
        )
        .unwrap();
    Network::new(graph, weights).unwrap()
}

fn outputs(network: &Network<f32>, images: &[f32]) -> Vec<f32> {
    let mut evaluator = Evaluator::new(network);
    let n = images.len() / network.input_len();
    evaluator.input(n).copy_from_slice(images);
    evaluator.forward().to_vec()
}

#[test]
fn what_is_written_is_read_back_with_its_notes() {
    let network = network();
    let notes = BTreeMap::from([("seed".to_owned(), "7".to_owned())]);
    let bytes = onnx::write(&network, &notes);
    let model = onnx::read(&bytes).unwrap();
    assert_eq!(model.metadata, notes);
    assert_eq!(model.network, network);
    assert_eq!(onnx::write(&model.network, &notes), bytes);
}

#[test]
fn onnxruntime_gives_the_same_outputs() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let network = network();
    std::fs::write(&path, onnx::write(&network, &BTreeMap::new())).unwrap();
    let images = numbers(5 * 12, 99);
    let script = "import sys, json, numpy, onnxruntime, onnx\n\
        onnx.checker.check_model(sys.argv[1], full_check=True)\n\
        session = onnxruntime.InferenceSession(sys.argv[1])\n\
        x = numpy.array(json.load(sys.stdin), numpy.float32).reshape(5, 1, 3, 4)\n\
        print(json.dumps(session.run(None, {'image': x})[0].ravel().tolist()))";
    let given = run_python(script, [&path], serde_json::to_vec(&images).unwrap()).unwrap();
    let given: Vec<f32> = serde_json::from_str(&given).unwrap();
    let ours = outputs(&network, &images);
    assert_eq!(given.len(), ours.len());
    for (ours, theirs) in ours.iter().zip(&given) {
        assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
    }
}

/// Files as exporters write them: each a Python expression for a model.
const STYLES: &str = r#"
import sys, json, numpy, onnx, onnxruntime
from onnx import helper as h, numpy_helper as nh, TensorProto as T
rng = numpy.random.default_rng(5)
r = lambda *s: rng.normal(size=s).astype(numpy.float32)
def model(nodes, weights, shape, opset=17, extra=(), batch='N'):
    weights = [nh.from_array(v, k) for k, v in weights.items()]
    g = h.make_graph(nodes, 'g', [h.make_tensor_value_info('x', T.FLOAT, [batch, *shape]), *extra],
                     [h.make_tensor_value_info('y', T.FLOAT, None)], weights)
    return h.make_model(g, opset_imports=[h.make_opsetid('', opset)], ir_version=8)
n = h.make_node
i64 = lambda *v: numpy.array(v, numpy.int64)
models = {
 'torch': (model([n('Flatten', ['x'], ['f']), n('Gemm', ['f', 'w', 'b'], ['h'], transB=1),
     n('Relu', ['h'], ['a']), n('Dropout', ['a'], ['d']), n('Gemm', ['d', 'v', 'c'], ['y'], transB=1)],
     {'w': r(6, 12), 'b': r(6), 'v': r(4, 6), 'c': r(4)}, [1, 3, 4]), [1, 3, 4]),
 'keras': (model([n('MatMul', ['x', 'w'], ['m']), n('Add', ['b', 'm'], ['h']),
     n('Sigmoid', ['h'], ['s']), n('MatMul', ['s', 'v'], ['z']), n('Softmax', ['z'], ['y'])],
     {'w': r(12, 6), 'b': r(1, 6), 'v': r(6, 3)}, [12]), [12]),
 'scaled': (model([n('Gemm', ['x', 'w', 'b'], ['y'], alpha=0.5, beta=2.0)],
     {'w': r(5, 3), 'b': r(1)}, [5], batch=1), [5]),
 'shapes': (model([n('Constant', [], ['k'], value=nh.from_array(i64(-1, 6))),
     n('Reshape', ['x', 'k'], ['f']), n('Unsqueeze', ['f', 'one'], ['u']),
     n('Squeeze', ['u', 'one'], ['q']), n('Identity', ['q'], ['i']), n('MatMul', ['i', 'w'], ['m']),
     n('Add', ['m', 'm'], ['y'])], {'w': r(6, 3), 'one': i64(1)}, [2, 3]), [2, 3]),
 'old': (model([n('Unsqueeze', ['x'], ['u'], axes=[1]), n('Reshape', ['u', 's'], ['f']),
     n('MatMul', ['f', 'w'], ['z']), n('Softmax', ['z'], ['y'], axis=1)],
     {'w': r(6, 3), 's': i64(0, 6)}, [6], 11, [h.make_tensor_value_info('w', T.FLOAT, [6, 3])]), [6]),
}
answers = {}
for name, (m, shape) in models.items():
    path = f'{sys.argv[1]}/{name}.onnx'
    onnx.save(m, path)
    x = r(1, *shape)
    answers[name] = (x.ravel().tolist(),
        onnxruntime.InferenceSession(path).run(None, {'x': x})[0].ravel().tolist())
print(json.dumps(answers))
"#;

#[test]
fn files_of_many_exporters_give_the_outputs_of_onnxruntime() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let answers = run_python(STYLES, [folder.path()], "").unwrap();
    let answers: BTreeMap<String, (Vec<f32>, Vec<f32>)> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers.len(), 5);
    for (name, (image, theirs)) in answers {
        let bytes = std::fs::read(folder.path().join(format!("{name}.onnx"))).unwrap();
        let ours = outputs(&onnx::read(&bytes).unwrap().network, &image);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() < 1e-5, "{name}: {ours} {theirs}");
        }
    }
}

#[test]
fn files_of_another_kind_are_refused_in_words() {
    let refused = |bytes: &[u8]| onnx::read(bytes).unwrap_err().to_string();
    for bytes in [
        &b""[..],
        b"\x89PNG\r\n\x1a\n",
        b"<html></html>",
        &[0xff; 64],
    ] {
        assert!(refused(bytes).contains("not an ONNX model"), "{bytes:?}");
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    let network = network();
    let mut weights = network.weights().to_vec();
    weights[3][2] = f32::NAN;
    // A network can't be made of them, so the file is.
    let mut bytes = onnx::write(&network, &BTreeMap::new());
    let place = weights[3][..2]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect::<Vec<u8>>();
    let at = bytes.windows(8).position(|window| window == place).unwrap() + 8;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = onnx::read(&bytes).unwrap_err().to_string();
    assert!(error.contains("`b1`") && error.contains("NaN"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_a_network() {
    let bytes = onnx::write(&network(), &BTreeMap::new());
    for length in 0..bytes.len() {
        let _ = onnx::read(&bytes[..length]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damage_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = onnx::write(&network(), &BTreeMap::new());
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(model) = onnx::read(&bytes) {
            prop_assume!(model.network.input_len() < 10_000);
            outputs(&model.network, &vec![0.5; model.network.input_len()]);
        }
    }
}
