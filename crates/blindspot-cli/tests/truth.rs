//! What the command calls a success is one in onnxruntime, and it says where it knows nothing.

mod common;

use std::path::Path;

use blindspot_testing::{python, run_python, skip};
use common::{blindspot, folder};
use serde_json::Value;

/// Writes networks with images and onnxruntime's answers to them as labels: `NAME.onnx`, `NAME.npz`.
const SCRIPT: &str = r"
import sys, numpy as np, onnx, onnxruntime as ort
from onnx import helper as h, numpy_helper as nh
n, r = h.make_node, np.random.default_rng(int(sys.argv[2]))
def save(name, nodes, weights, shape, kind=1, gives=None):
    inits = [nh.from_array(np.asarray(v), k) for k, v in weights.items()]
    io = h.make_tensor_value_info
    g = h.make_graph(nodes, 'g', [io('x', kind, ['n', *shape])], [io('y', gives or kind, None)], inits)
    path = f'{sys.argv[1]}/{name}'
    onnx.save(h.make_model(g, opset_imports=[h.make_opsetid('', 17)], ir_version=8), path + '.onnx')
    x = r.random((12, *shape)).astype(np.float16 if kind == 10 else np.float32)
    y = ort.InferenceSession(path + '.onnx').run(None, {'x': x})[0]
    np.savez(path, x=x.astype(np.float32), y=np.nan_to_num(y.astype(np.float32), posinf=9).argmax(1))
W, b = r.standard_normal((10, 48)).astype(np.float32), (r.standard_normal(10) * .1).astype(np.float32)
def dense(name, W, b, tail, **more):
    save(name, [n('Gemm', ['x', 'W', 'b'], ['z'], transB=1), *tail], dict(W=W, b=b, **more), [48])
softmax = n('Softmax', ['z'], ['s'], axis=1)
clip = n('Clip', ['s', 'l', 'h'], ['c'])
ends = dict(l=np.float32(1e-7), h=np.float32(1 - 1e-7))
dense('constant', W * 0, b, [n('Identity', ['z'], ['y'])])
dense('dead', W, b - 1000, [n('Relu', ['z'], ['y'])])
dense('sigmoid', W * 1e3, b * 1e3, [n('Sigmoid', ['z'], ['y'])])
dense('plain_sigmoid', W / 4, b, [n('Sigmoid', ['z'], ['y'])])
dense('clip', W * 1e3, b * 1e3, [softmax, clip, n('Identity', ['c'], ['y'])], **ends)
dense('log', W, b, [softmax, clip, n('Log', ['c'], ['y'])], **ends)
dense('twice', W * 1e2, b, [softmax, n('Softmax', ['s'], ['y'], axis=1)])
dense('reshape', W * 1e2, b, [softmax, n('Reshape', ['s', 'k'], ['t']), n('Flatten', ['t'], ['y'])], k=np.array([-1, 2, 5]))
dense('offset', W, b + np.float32(1e5), [n('Identity', ['z'], ['y'])])
dense('nan', W, b - 100, [n('Sqrt', ['z'], ['y'])])
dense('inf', W * np.float32(1e30), b, [n('Mul', ['z', 'z'], ['y'])])
# Half precision: its input, its values, its weights.
V, U = r.standard_normal((64, 768)) / 16, r.standard_normal((10, 64)) / 8
half = {k: v.astype(np.float16) for k, v in dict(V=V, c=-V.sum(1) / 2, U=U, d=r.standard_normal(10) / 4).items()}
save('half', [n('Gemm', ['x', 'V', 'c'], ['g'], transB=1), n('Relu', ['g'], ['r']), n('Gemm', ['r', 'U', 'd'], ['y'], transB=1)], half, [768], 10)
# Half precision below, single above, where half would round all logits to the same number.
mixed = half | dict(U=half['U'].astype(np.float32), d=half['d'].astype(np.float32) + np.float32(3e4))
save('mixed', [n('Gemm', ['x', 'V', 'c'], ['g'], transB=1), n('Relu', ['g'], ['r']), n('Cast', ['r'], ['s'], to=1), n('Gemm', ['s', 'U', 'd'], ['y'], transB=1)], mixed, [768], 10, 1)
# Deep and normalised: it amplifies what single precision rounds.
v, weights, nodes, below = r.random((64, 3, 10, 10)).astype(np.float32), {}, [], 'x'
for k in range(16):
    w = (r.standard_normal((12, v.shape[1], 3, 3)) / np.sqrt(9 * v.shape[1])).astype(np.float32)
    p = np.pad(v, ((0, 0), (0, 0), (1, 1), (1, 1)))
    z = sum(np.einsum('oc,nchw->nohw', w[:, :, i, j], p[:, :, i:i + 10, j:j + 10]) for i in range(3) for j in range(3))
    m, d = z.mean((0, 2, 3)), z.std((0, 2, 3))
    weights |= {f'w{k}': w / d[:, None, None, None], f'b{k}': -m / d}
    nodes += [n('Conv', [below, f'w{k}', f'b{k}'], [f'c{k}'], pads=[1] * 4), n('Relu', [f'c{k}'], [f'r{k}'])]
    v, below = np.maximum((z - m[:, None, None]) / d[:, None, None], 0).astype(np.float32), f'r{k}'
w = (r.standard_normal((10, 1200)) / np.sqrt(1200)).astype(np.float32)
weights |= dict(w=w, b=-(v.reshape(64, -1) @ w.T).mean(0))
save('deep', nodes + [n('Flatten', [below], ['f']), n('Gemm', ['f', 'w', 'b'], ['y'], transB=1)], weights, [3, 10, 10])
";

/// Runs an attack that asks onnxruntime about what it finds; gives the exit code, the record and the
/// last line of what went wrong.
fn attack(dir: &Path, name: &str) -> (i32, Option<Value>, String) {
    let (model, data) = (format!("{name}.onnx"), format!("npz:{name}.npz"));
    let output = blindspot(dir)
        .env("BLINDSPOT_PYTHON", python().unwrap())
        .args(["attack", &model, "--data", &data, "--target", "untargeted"])
        .args(["--verify", "onnxruntime", "--quiet"])
        .args(["--overwrite", "--out", "found.npz"])
        .output()
        .unwrap();
    let record = std::fs::read(dir.join("found.json")).ok();
    let _ = std::fs::remove_file(dir.join("found.json"));
    (
        output.status.code().unwrap_or(-1),
        record.map(|bytes| serde_json::from_slice(&bytes).unwrap()),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_success_is_one_in_onnxruntime_and_what_is_not_known_is_said() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    for seed in ["1", "2"] {
        let folder = folder();
        let dir = folder.path();
        run_python(SCRIPT, [dir.to_str().unwrap(), seed], "").unwrap();
        // How many of 12 images are found at least, and how many have no gradient.
        for (name, found, no_gradient) in [
            ("constant", 0, 12..=12),
            ("dead", 0, 12..=12),
            ("sigmoid", 0, 6..=12),
            ("plain_sigmoid", 12, 0..=0),
            ("clip", 12, 0..=0),
            ("log", 12, 0..=0),
            ("twice", 12, 0..=0),
            ("reshape", 12, 0..=0),
            ("offset", 11, 0..=0),
            ("half", 11, 0..=0),
            ("mixed", 11, 0..=0),
            ("deep", 11, 0..=0),
        ] {
            let (exit, record, error) = attack(dir, name);
            assert_eq!(exit, 0, "{name} {seed}: {error}");
            let record = record.unwrap();
            let count = |field: &str| record["summary"][field].as_u64().unwrap();
            assert!(count("fooled") >= found, "{name} {seed}: {record}");
            assert_eq!(count("refuted"), 0, "{name} {seed}");
            assert!(
                no_gradient.contains(&count("no_gradient")),
                "{name} {seed}: {record}"
            );
            let version = record["versions"]["onnxruntime"].as_str();
            assert!(version.is_some_and(|version| !version.is_empty()));
        }
        for (name, value) in [("nan", "NaN"), ("inf", "inf")] {
            let (exit, record, error) = attack(dir, name);
            assert_eq!((exit, record), (4, None), "{name} {seed}: {error}");
            assert!(
                error.contains(&format!("gives {value} for image")),
                "{error}"
            );
        }
    }
}

#[test]
fn without_onnxruntime_the_command_says_what_to_install() {
    let folder = folder();
    let dir = folder.path();
    if blindspot_testing::data_dir().is_none() {
        skip!("no MNIST");
    }
    common::model(dir);
    let output = blindspot(dir)
        .env("BLINDSPOT_PYTHON", "no-such-python")
        .args([
            "attack",
            "model.onnx",
            "--data",
            "mnist:test",
            "--samples",
            "2",
        ])
        .args(["--verify", "onnxruntime", "--out", "found.npz"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("pip install onnxruntime"), "{error}");
}
