//! ONNX's own tests (the PyPI package `onnx`) of every operator that is read, and models of those
//! that these leave out, against onnxruntime.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use blindspot_net::{Evaluator, Network, onnx};
use blindspot_testing::{Noise, python, run_python, skip};
use serde_json::Value;

/// How many cases pass, at least; those that don't are printed with the reason.
const PASSED: usize = 1240;

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let words = bytes.chunks_exact(4);
    words
        .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

/// Runs one variant in one way of reading it: `Ok(Err)` is why it can't be read, `Err` what is
/// wrong with the answer; otherwise whether there was a slope to compare the gradient with.
fn run(
    path: &Path,
    shape: &[usize],
    tolerance: f32,
    rounds: bool,
    options: &onnx::ReadOptions,
) -> Result<Result<bool, String>, String> {
    let bytes = std::fs::read(path.with_extension("onnx")).unwrap();
    let network = match onnx::read_with(bytes, options) {
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
    let finite = expected.iter().filter(|theirs| theirs.is_finite());
    let largest = finite.fold(0.0f32, |largest, theirs| largest.max(theirs.abs()));
    let wrong = output.iter().zip(&expected).find(|&(&ours, &theirs)| {
        let near = (ours - theirs).abs() <= 1e-7 + tolerance * theirs.abs() + 1e-6 * largest;
        !(near || ours == theirs || ours.is_nan() && theirs.is_nan())
    });
    if let Some((ours, theirs)) = wrong {
        return Err(format!("{ours}, not {theirs}"));
    }
    if rounds {
        return Ok(Ok(false));
    }
    match has_its_slope(&network, &image, expected.len() as u32) {
        Some(Err(wrong)) => Err(wrong),
        Some(Ok(())) => Ok(Ok(true)),
        None => Ok(Ok(false)),
    }
}

/// Whether the gradient along a random direction at a random point near an image is the slope there;
/// `None` where that is no number.
fn has_its_slope(network: &Network<f32>, image: &[f32], seed: u32) -> Option<Result<(), String>> {
    const STEP: f64 = 1e-6;
    let network = network.cast::<f64>();
    let mut noise = Noise::new(seed);
    let mut random = |count: usize| -> Vec<f64> {
        (0..count)
            .map(|_| f64::from(noise.unit()) * 2.0 - 1.0)
            .collect()
    };
    let n = image.len() / network.input_len();
    let offset = random(image.len());
    let point: Vec<f64> = image
        .iter()
        .zip(offset)
        .map(|(&x, by)| f64::from(x) + 0.01 * by)
        .collect();
    let (direction, factors) = (random(image.len()), random(n * network.output_len()));
    let mut evaluator = Evaluator::new(&network);
    let mut terms = |step: f64| -> Vec<f64> {
        let input = evaluator.input(n).iter_mut();
        for ((place, &x), by) in input.zip(&point).zip(&direction) {
            *place = x + step * by;
        }
        evaluator
            .forward()
            .iter()
            .zip(&factors)
            .map(|(y, factor)| y * factor)
            .collect()
    };
    let (above, below) = (terms(STEP), terms(-STEP));
    let slope = above.iter().zip(&below).map(|(a, b)| a - b).sum::<f64>() / (2.0 * STEP);
    let size: f64 = terms(0.0).iter().map(|term| term.abs()).sum();
    let gradient = evaluator.backward(&factors);
    let parts: Vec<f64> = gradient
        .iter()
        .zip(&direction)
        .map(|(g, by)| g * by)
        .collect();
    let along: f64 = parts.iter().sum();
    let parts: f64 = parts.iter().map(|part| part.abs()).sum();
    if !slope.is_finite() {
        return None;
    }
    let near = (slope - along).abs() <= 1e-5 * (slope.abs() + parts) + 1e-8 * size;
    Some(if near {
        Ok(())
    } else {
        Err(format!("slope {slope}, gradient {along}"))
    })
}

/// What became of the cases that a script makes.
struct Report {
    passed: usize,
    /// Why each of the others can't be read.
    refused: BTreeMap<String, String>,
}

/// Runs a script's cases in all their variants; prints what became of them.
fn check(script: &str, claimed: &[&str], what: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let claimed = serde_json::to_string(claimed).unwrap();
    let cases = run_python(script, [folder.path()], claimed).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    let (mut passed, mut variants, mut slopes) = (0, 0, 0);
    let mut refused = BTreeMap::new();
    let mut failed = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let mut right = 0;
        // The gradient of what is rounded is that of what it stands for.
        let rounds = case["rounds"].as_bool().unwrap_or(false);
        let mut why = case["why"].as_str().unwrap().to_owned();
        for variant in case["variants"].as_array().unwrap() {
            let path = folder.path().join(variant["file"].to_string());
            let shape: Vec<usize> = serde_json::from_value(variant["shape"].clone()).unwrap();
            let tolerance = case["tolerance"].as_f64().unwrap() as f32;
            for unbatched in [false, true] {
                let mut options = onnx::ReadOptions::default().unbatched(unbatched);
                options.output = variant["output"].as_str().map(str::to_owned);
                match run(&path, &shape, tolerance, rounds, &options) {
                    Ok(Ok(slope)) => {
                        right += 1;
                        slopes += u32::from(slope);
                    }
                    Ok(Err(reason)) if why.is_empty() => why = reason,
                    Ok(Err(_)) => {}
                    Err(wrong) => failed.push(format!("{name} ({path:?}, {unbatched}): {wrong}")),
                }
            }
        }
        variants += right;
        match right {
            0 => {
                refused.insert(name.to_owned(), why);
            }
            _ => passed += 1,
        }
    }
    // Past the harness's capture.
    let mut report = format!(
        "{what}: {passed} of {} passed in {variants} variants ({slopes} gradients checked), {} not \
         supported, {} failed\n",
        cases.len(),
        refused.len(),
        failed.len()
    );
    for (name, why) in &refused {
        report += &format!("not supported: {name}: {why}\n");
    }
    std::io::stderr().write_all(report.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Report { passed, refused }
}

#[test]
fn onnx_s_own_tests_pass_or_are_refused_in_words() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let report = check(
        include_str!("nodes.py"),
        &onnx::OPERATORS,
        "ONNX's own tests",
    );
    let passed = report.passed;
    assert!(passed >= PASSED, "{passed} cases passed, not {PASSED}");
}

#[test]
fn operators_that_become_several_give_the_numbers_of_onnxruntime() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let report = check(
        include_str!("exports.py"),
        &[],
        "Models made of one operator",
    );
    assert!(
        report.passed > 100 && report.refused.is_empty(),
        "{:?}",
        report.refused
    );
}
