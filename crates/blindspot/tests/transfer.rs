//! Examples on networks, beside onnxruntime, NumPy and SciPy.

use std::path::{Path, PathBuf};

use blindspot::examples::write_arrays;
use blindspot::inputs::{InMemory, Inputs};
use blindspot::run::monitor::Unwatched;
use blindspot::search::{Example, Norm, norm};
use blindspot::transfer::{Matrix, Rate, SavedExamples, Variant, matrix};
use blindspot_net::{Network, onnx};
use blindspot_paper::train::Recipe;
use blindspot_testing::{Noise, python, run_python, skip};

/// More values than a block has.
const COUNT: usize = 6_000;
const LENGTH: usize = 784;
const CLASSES: usize = 3;

/// Numbers in [0, 1).
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    Noise::new(seed).units(count)
}

/// Networks that know a little.
fn networks(length: usize) -> Vec<(String, Network<f32>)> {
    let inputs = InMemory::new(numbers(60 * length, 1), length);
    let labels: Vec<usize> = (0..60).map(|i| i % CLASSES).collect();
    ["softmax1", "FC100-100-10"]
        .map(|name| {
            let recipe = Recipe::named(name).unwrap().with_iterations(3);
            let trained = recipe.train(&inputs, &labels, 0);
            (name.to_owned(), trained.unwrap().network)
        })
        .to_vec()
}

/// A file of examples whose changes differ in size; every tenth image is not changed.
fn file(path: &Path) -> SavedExamples {
    let originals = InMemory::new(numbers(COUNT * LENGTH, 2), LENGTH);
    let changes = numbers(COUNT * LENGTH, 3);
    let example = |index: usize| {
        let mut original = vec![0.0; LENGTH];
        originals.read(index, &mut original).unwrap();
        let size = (index % 10) as f32 / 40.0;
        let changes = &changes[index * LENGTH..][..LENGTH];
        let pairs = original.iter().zip(changes);
        let adversarial: Vec<f32> = pairs.map(|(value, c)| value + size * (c - 0.5)).collect();
        Example {
            position: index,
            index,
            label: index % CLASSES,
            target: 0,
            prediction_before: 0,
            prediction: 0,
            success: true,
            l2: norm(&original, &adversarial),
            linf: Norm::Linf.of(&original, &adversarial),
            l1: Norm::L1.of(&original, &adversarial),
            l0: Norm::L0.of(&original, &adversarial),
            adversarial,
            evaluations: 1,
            gradients: 1,
            already_misclassified: false,
            no_gradient: false,
            refuted: false,
            kkt_residual: 0.0,
            noise: 1e-6,
        }
    };
    let examples: Vec<Example> = (0..COUNT).map(example).collect();
    write_arrays(path, &examples, originals.values(), None, &[1, 28, 28]).unwrap();
    SavedExamples::open(path).unwrap()
}

/// Prints errors and distortions as Blindspot should find them: rates[row][column] as counts.
const REFERENCE: &str = r#"
import json, sys
import numpy as np, onnxruntime as ort
data = np.load(sys.argv[1])
original = data["original"].astype(np.float64).reshape(len(data["label"]), -1)
change = data["adversarial"].astype(np.float64).reshape(original.shape) - original
rms = np.sqrt((change ** 2).mean(axis=1))
changed = rms > 0
rows = [change, change * 0.5 / rms[changed].mean(), change * 3]
out = {"wrong": [], "mean": [], "pooled": [], "clean": [], "fooled": []}
def wrong_of(model, images):
    session = ort.InferenceSession(model)
    logits = session.run(None, {session.get_inputs()[0].name: images.astype(np.float32)})[0]
    return logits.argmax(axis=1) != data["label"]
before = [wrong_of(model, original) for model in sys.argv[2:]]
for row in rows:
    after = [wrong_of(model, original + row) for model in sys.argv[2:]]
    out["wrong"].append([int(wrong.sum()) for wrong in after])
    out["clean"].append([int(wrong.sum()) for wrong in before])
    out["fooled"].append([int((b & ~a).sum()) for a, b in zip(before, after)])
    out["mean"].append(np.sqrt((row[changed] ** 2).mean(axis=1)).mean())
    out["pooled"].append(np.sqrt((row[changed] ** 2).mean()))
print(json.dumps(out))
"#;

#[test]
fn the_matrix_is_that_of_onnxruntime_and_numpy() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let files = [("a".to_owned(), file(&path))];
    let networks = networks(LENGTH);
    let variants = [
        Variant::Plain,
        Variant::Distortion(0.5),
        Variant::Factor(3.0),
        Variant::Noise(0.2),
    ];
    let found = matrix(&files, &networks, &variants, 0, &Unwatched).unwrap();
    assert_eq!(found.rows, ["a", "a x0.5", "a times 3", "a: noise 0.2"]);
    assert!((found.distortion[3].unwrap().pooled - 0.2).abs() < 1e-3);
    // Every tenth image is not changed, and has noise like the others.
    let images = [0, 3].map(|row| found.distortion[row].unwrap().images as usize);
    assert_eq!(images, [COUNT * 9 / 10, COUNT]);

    let mut arguments: Vec<PathBuf> = vec![path];
    for (name, network) in &networks {
        let model = folder.path().join(format!("{name}.onnx"));
        std::fs::write(&model, onnx::write(network, &Default::default())).unwrap();
        arguments.push(model);
    }
    let expected = run_python(REFERENCE, &arguments, "").unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    for row in 0..3 {
        for (column, rate) in found.rates[row].iter().enumerate() {
            let wrong = expected["wrong"][row][column].as_u64().unwrap();
            // An image on the boundary to the last bit can fall on either side.
            assert!(rate.wrong.abs_diff(wrong) <= 1, "{row} {column}: {rate:?}");
            let clean = found.clean[row][column];
            let expected_clean = expected["clean"][row][column].as_u64().unwrap();
            assert!(clean.wrong.abs_diff(expected_clean) <= 1, "{clean:?}");
            let fooled = found.fooled[row][column].unwrap();
            assert_eq!(fooled.images, COUNT as u64 - clean.wrong);
            let expected_fooled = expected["fooled"][row][column].as_u64().unwrap();
            assert!(fooled.wrong.abs_diff(expected_fooled) <= 2, "{fooled:?}");
            assert!(
                wrong > 0 && wrong < COUNT as u64,
                "a rate that says nothing"
            );
        }
        let distortion = found.distortion[row].unwrap();
        let near = |value: f64, name: &str| {
            let expected = expected[name][row].as_f64().unwrap();
            assert!((value / expected - 1.0).abs() < 1e-5, "{value} {expected}");
        };
        near(distortion.mean, "mean");
        near(distortion.pooled, "pooled");
    }
}

#[test]
fn intervals_are_those_of_scipy() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let script = r#"
import sys
from scipy.stats import binomtest
for pair in sys.argv[1:]:
    k, n = map(int, pair.split("/"))
    interval = binomtest(k, n).proportion_ci(0.95, method="wilson")
    print(repr(float(interval.low)), repr(float(interval.high)))
"#;
    let pairs = [(0, 20), (10, 100), (1, 1), (1_000, 1_000), (59_999, 60_000)];
    let arguments = pairs.map(|(wrong, images)| format!("{wrong}/{images}"));
    let said = run_python(script, arguments, "").unwrap();
    for ((wrong, images), line) in pairs.into_iter().zip(said.lines()) {
        assert_eq!(Rate::of(0, 0), None);
        let rate = Rate::of(wrong, images).unwrap();
        let (low, high) = line.split_once(' ').unwrap();
        let near = |a: f64, b: &str| (a - b.parse::<f64>().unwrap()).abs() < 1e-12;
        assert!(
            near(rate.low, low) && near(rate.high, high),
            "{rate:?} {line}"
        );
    }
}

/// Why examples of one image can't be used, in words.
fn refused(path: &Path, networks: &[(String, Network<f32>)]) -> String {
    let found = SavedExamples::open(path).and_then(|file| {
        let files = [("a".to_owned(), file)];
        matrix(&files, networks, &[Variant::Plain], 0, &Unwatched).map(|_: Matrix| ())
    });
    found.unwrap_err().to_string()
}

#[test]
fn what_does_not_fit_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let fits = networks(4);
    let mut example = Example {
        position: 0,
        index: 0,
        label: 7,
        target: 0,
        prediction_before: 0,
        prediction: 0,
        success: true,
        l2: 0.0,
        linf: 0.0,
        l1: 0.0,
        l0: 0.0,
        adversarial: vec![0.5; 4],
        evaluations: 1,
        gradients: 1,
        already_misclassified: false,
        no_gradient: false,
        refuted: false,
        kkt_residual: 0.0,
        noise: 1e-6,
    };
    write_arrays(&path, &[example.clone()], &[0.5; 4], None, &[4]).unwrap();
    let said = refused(&path, &networks(5));
    assert!(
        said.contains("4 values") && said.contains("takes 5"),
        "{said}"
    );
    let said = refused(&path, &fits);
    assert!(
        said.contains("class 7") && said.contains("3 classes"),
        "{said}"
    );

    example.label = 1;
    example.adversarial[2] = f32::NAN;
    write_arrays(&path, &[example.clone()], &[0.5; 4], None, &[4]).unwrap();
    let said = refused(&path, &fits);
    assert!(said.contains("NaN"), "{said}");
    write_arrays(&path, &[], &[], None, &[4]).unwrap();
    assert!(refused(&path, &fits).contains("[0]"), "no example");
    let bytes = std::fs::read(&path).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], b"no archive", b""] {
        std::fs::write(&path, damaged).unwrap();
        let said = refused(&path, &fits);
        assert!(said.contains("give a file of examples"), "{said}");
    }
    assert!(refused(&folder.path().join("none.npz"), &fits).contains("none.npz"));
}
