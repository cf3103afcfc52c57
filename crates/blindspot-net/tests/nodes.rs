//! ONNX's own tests (the PyPI package `onnx`) of every operator that is read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use blindspot_net::{Evaluator, onnx};
use blindspot_testing::{python, run_python, skip};
use serde_json::Value;

/// How many cases pass, at least; those that don't are printed with the reason.
const PASSED: usize = 970;

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let words = bytes.chunks_exact(4);
    words
        .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

/// Runs one variant in one way of reading it: `Ok(Err)` is why it can't be read, `Err` what is
/// wrong with the answer.
fn run(
    path: &Path,
    shape: &[usize],
    tolerance: f32,
    unbatched: bool,
) -> Result<Result<(), String>, String> {
    let bytes = std::fs::read(path.with_extension("onnx")).unwrap();
    let options = onnx::ReadOptions::default().unbatched(unbatched);
    let network = match onnx::read_with(bytes, &options) {
        Ok(model) => model.network,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let (image, expected) = (
        floats(&path.with_extension("in")),
        floats(&path.with_extension("out")),
    );
    let mut evaluator = Evaluator::new(&network);
    let n = image.len() / network.input_len();
    evaluator.input(n).copy_from_slice(&image);
    let output = evaluator.forward();
    // The batch's axis is not among the network's, and one of length 1 may be kept or not.
    let network_shape = &network.graph().value(network.graph().output()).shape;
    let tail = |shape: &[usize]| {
        let significant = shape.iter().position(|&n| n != 1).unwrap_or(shape.len());
        shape[significant..].to_vec()
    };
    let fits = tail(network_shape) == tail(shape)
        || shape.first() == Some(&n) && tail(network_shape) == tail(&shape[1..]);
    if !fits || output.len() != expected.len() {
        return Err(format!(
            "shape {network_shape:?} for {n} images, not {shape:?}"
        ));
    }
    let wrong = output.iter().zip(&expected).find(|&(&ours, &theirs)| {
        let near = (ours - theirs).abs() <= 1e-7 + tolerance * theirs.abs();
        !(near || ours == theirs || ours.is_nan() && theirs.is_nan())
    });
    match wrong {
        Some((ours, theirs)) => Err(format!("{ours}, not {theirs}")),
        None => Ok(Ok(())),
    }
}

#[test]
fn onnx_s_own_tests_pass_or_are_refused_in_words() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let claimed = serde_json::to_string(&onnx::OPERATORS[..]).unwrap();
    let cases = run_python(include_str!("nodes.py"), [folder.path()], claimed).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    let (mut passed, mut variants) = (0, 0);
    let mut refused = BTreeMap::new();
    let mut failed = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let mut right = 0;
        let mut why = case["why"].as_str().unwrap().to_owned();
        for variant in case["variants"].as_array().unwrap() {
            let path = folder.path().join(variant["file"].to_string());
            let shape: Vec<usize> = serde_json::from_value(variant["shape"].clone()).unwrap();
            let tolerance = case["tolerance"].as_f64().unwrap() as f32;
            for unbatched in [false, true] {
                match run(&path, &shape, tolerance, unbatched) {
                    Ok(Ok(())) => right += 1,
                    Ok(Err(reason)) if why.is_empty() => why = reason,
                    Ok(Err(_)) => {}
                    Err(wrong) => failed.push(format!("{name} ({path:?}, {unbatched}): {wrong}")),
                }
            }
        }
        variants += right;
        match right {
            0 => {
                refused.insert(name, why);
            }
            _ => passed += 1,
        }
    }
    // Past the harness's capture.
    let mut report = format!(
        "ONNX's own tests: {passed} of {} passed in {variants} variants, {} not supported, {} \
         failed\n",
        cases.len(),
        refused.len(),
        failed.len()
    );
    for (name, why) in &refused {
        report += &format!("not supported: {name}: {why}\n");
    }
    std::io::stderr().write_all(report.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(passed >= PASSED, "{passed} cases passed, not {PASSED}");
}
