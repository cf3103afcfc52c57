//! Properties in VNN-LIB: verdicts, files and exit codes; counterexamples are asked again in onnxruntime.

mod common;

use std::path::Path;

use blindspot_net::{Graph, Network, Op, Operand, onnx, ops};
use blindspot_testing::{Noise, python, run_python, skip};
use common::{folder, run};
use serde_json::Value;

/// Writes a network like ACAS Xu's, five inputs of four axes to five outputs over layers of ReLUs.
fn write_network(dir: &Path) {
    let mut noise = Noise::new(11);
    let mut graph = Graph::new("input", &[1, 1, 5]).unwrap();
    let mut weights = Vec::new();
    let flat = Op::Reshape(ops::Reshape { shape: vec![5] });
    let operands = [Operand::Value(graph.input())];
    let mut top = graph.node("flat", flat, &operands, "flat").unwrap();
    let widths = [5, 14, 14, 14, 5];
    for (i, pair) in widths.windows(2).enumerate() {
        let mut numbers = |count: usize, size: f32| -> Vec<f32> {
            let byte = |noise: &mut Noise| (f32::from(noise.byte()) / 127.5 - 1.0) * size;
            (0..count).map(|_| byte(&mut noise)).collect()
        };
        weights.push(numbers(pair[0] * pair[1], 2.0 / (pair[0] as f32).sqrt()));
        weights.push(numbers(pair[1], 0.3));
        let weight = graph.weight(&format!("w{i}"), pair).unwrap();
        let bias = graph.weight(&format!("b{i}"), &pair[1..]).unwrap();
        let operands = [
            Operand::Value(top),
            Operand::Weight(weight),
            Operand::Weight(bias),
        ];
        let gemm = Op::Gemm(ops::Gemm { trans_b: false });
        let name = format!("z{i}");
        top = graph.node(&name, gemm, &operands, &name).unwrap();
        if i + 2 < widths.len() {
            let (name, relu) = (format!("h{i}"), Op::Unary(ops::Unary::Relu));
            top = graph
                .node(&name, relu, &[Operand::Value(top)], &name)
                .unwrap();
        }
    }
    let network = Network::new(graph, weights).unwrap();
    std::fs::write(
        dir.join("net.onnx"),
        onnx::write(&network, &Default::default()),
    )
    .unwrap();
}

/// A property of it: its inputs lie in a box around 0, and a condition on the outputs is unsafe.
fn write_property(dir: &Path, name: &str, half: f64, condition: &str) {
    let mut text = String::from("; a property\n");
    for (letter, count) in [("X", 5), ("Y", 5)] {
        for i in 0..count {
            text += &format!("(declare-const {letter}_{i} Real)\n");
        }
    }
    for i in 0..5 {
        text += &format!("(assert (<= X_{i} {half}))\n(assert (>= X_{i} -{half}))\n");
    }
    text += &format!("(assert {condition})\n");
    std::fs::write(dir.join(name), text).unwrap();
}

/// Reads what VNN-COMP reads, and asks onnxruntime.
const CHECK: &str = "
import json, re, sys
import numpy as np, onnxruntime as ort
folder, half = sys.argv[1], float(sys.argv[2])
text = open(f'{folder}/result.txt').read()
assert text.startswith('sat\\n(('), text[:20]
values = {name: float(value) for name, value in re.findall(r'\\((\\w+) ([^()]+)\\)', text)}
x = np.array([values[f'X_{i}'] for i in range(5)])
assert (abs(x) <= half).all()
record = json.load(open(f'{folder}/record.json'))
assert np.array_equal(np.float32(record['counterexample']['inputs']), np.float32(x))
y = ort.InferenceSession(f'{folder}/net.onnx').run(None, {'input': np.float32(x).reshape(1, 1, 1, 5)})[0].ravel()
assert np.allclose(y, [values[f'Y_{i}'] for i in range(5)], atol=1e-5)
print(*y.tolist())
";

#[test]
fn counterexamples_are_ones_in_onnxruntime_and_what_holds_has_none_there() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    write_network(dir);
    // How large the first output becomes, by onnxruntime itself.
    let sampled = "
import sys
import numpy as np, onnxruntime as ort
x = np.random.default_rng(0).uniform(-0.4, 0.4, (20000, 1, 1, 5)).astype(np.float32)
session = ort.InferenceSession(sys.argv[1])
print(max(float(session.run(None, {'input': row[None]})[0].ravel()[0]) for row in x))
";
    let path = dir.join("net.onnx");
    let most: f64 = run_python(sampled, [&path], "")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    write_property(
        dir,
        "violated.vnnlib",
        0.4,
        &format!("(or (and (<= Y_1 -1e6)) (and (>= Y_0 {most})))"),
    );
    let words =
        "certify net.onnx --property violated.vnnlib --counterexample result.txt --out record.json";
    let (exit, said, error) = run(dir, words);
    assert_eq!(exit, 0, "{error}");
    assert!(said.contains("violated (VNN-COMP: sat)"), "{said}");
    let outputs = run_python(CHECK, [dir.to_str().unwrap(), "0.4"], "").unwrap();
    let first: f64 = outputs.split_whitespace().next().unwrap().parse().unwrap();
    assert!(first >= most, "{outputs} {most}");

    let far = most + 3.0 * most.abs();
    write_property(dir, "holds.vnnlib", 0.4, &format!("(>= Y_0 {far})"));
    let (exit, said, error) = run(
        dir,
        "certify net.onnx --property holds.vnnlib --counterexample unsat.txt --time-limit 600",
    );
    assert_eq!(exit, 0, "{error}");
    assert!(
        said.contains("holds, in exact arithmetic and in any runtime's (VNN-COMP: unsat)"),
        "{said}"
    );
    assert_eq!(
        std::fs::read_to_string(dir.join("unsat.txt")).unwrap(),
        "unsat\n"
    );
}

#[test]
fn a_record_has_hashes_and_fits_its_schema() {
    let folder = folder();
    let dir = folder.path();
    write_network(dir);
    write_property(dir, "p.vnnlib", 0.1, "(<= Y_0 -1e6)");
    let (exit, said, error) = run(dir, "certify net.onnx --property p.vnnlib -o r.json --json");
    assert_eq!(exit, 0, "{error}");
    let written = std::fs::read_to_string(dir.join("r.json")).unwrap();
    assert_eq!(written, said);
    let record: Value = serde_json::from_str(&written).unwrap();
    let sha256 = |name: &str| blindspot_data::files::sha256_of(&dir.join(name)).unwrap();
    assert_eq!(record["model_sha256"], sha256("net.onnx"));
    assert_eq!(record["property_sha256"], sha256("p.vnnlib"));
    assert_eq!(
        (&record["verdict"], &record["result"]),
        (&"holds".into(), &"unsat".into())
    );
    let (exit, schema, error) = run(dir, "schema property");
    assert_eq!(exit, 0, "{error}");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    common::schema::check(&schema, &record).unwrap();
    assert_eq!(common::schema::undescribed(&schema), [""; 0]);
    // The same work writes over it, other work does not.
    let (exit, _, error) = run(dir, "certify net.onnx --property p.vnnlib -o r.json -q");
    assert_eq!(exit, 0, "{error}");
    let (exit, _, error) = run(
        dir,
        "certify net.onnx --property p.vnnlib -o r.json -q --seed 3",
    );
    assert_eq!(exit, 2, "{error}");
    assert!(error.contains("--overwrite"), "{error}");
}

#[test]
fn what_is_wrong_with_a_property_is_a_sentence() {
    let folder = folder();
    let dir = folder.path();
    write_network(dir);
    write_property(dir, "good.vnnlib", 0.1, "(<= Y_0 -1e6)");
    write_property(dir, "strange.vnnlib", 0.1, "(< Y_0 -1e6)");
    std::fs::write(
        dir.join("other.vnnlib"),
        "(declare-const X_0 Real) (declare-const Y_0 Real)\
        (assert (<= X_0 1)) (assert (>= X_0 0))",
    )
    .unwrap();
    for (words, code, why) in [
        ("--property missing.vnnlib", 3, "missing.vnnlib"),
        (
            "--property strange.vnnlib",
            3,
            "strange.vnnlib, line 22: `<` is no condition",
        ),
        ("--property other.vnnlib", 3, "declares 1 inputs"),
        ("--property good.vnnlib --out r.npz", 2, "ends in .json"),
        (
            "--property good.vnnlib --out good.vnnlib.json --counterexample good.vnnlib",
            2,
            "is read by this command",
        ),
        ("--property good.vnnlib --samples 3", 2, "--samples"),
        ("--property good.vnnlib --shard 0/2", 2, "--shard"),
        ("--counterexample r.txt --out c.npz", 2, "--property"),
        ("", 2, "--out"),
    ] {
        let (exit, _, error) = run(dir, &format!("certify net.onnx {words}"));
        assert_eq!(exit, code, "{words}: {error}");
        assert!(error.contains(why), "{words}: {error}");
    }
}
