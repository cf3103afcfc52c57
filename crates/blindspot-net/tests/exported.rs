//! Parts of known architectures as PyTorch's two exporters write them, against PyTorch's outputs and
//! gradients; `exported/make.py` writes the files.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_net::{Evaluator, onnx};

/// The largest difference, over the largest number.
fn difference(ours: &[f32], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let pairs = ours.iter().zip(theirs);
    let differences = pairs.map(|(&ours, theirs)| (f64::from(ours) - theirs).abs());
    differences.fold(0.0, f64::max) / largest
}

#[test]
fn exports_have_the_outputs_and_gradients_of_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exported");
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    // Of two images in double precision, and of the first one's outputs times factors.
    let expected: BTreeMap<String, BTreeMap<String, Vec<f64>>> =
        serde_json::from_slice(&expected).unwrap();
    let mut wrong = Vec::new();
    for (name, expected) in &expected {
        let singles =
            |what: &str| -> Vec<f32> { expected[what].iter().map(|&x| x as f32).collect() };
        let (images, factors) = (singles("images"), singles("factors"));
        for exporter in ["script", "dynamo"] {
            let path = folder.join(format!("{name}.{exporter}.onnx"));
            let model = match onnx::read_file(&path) {
                Ok(model) => model,
                Err(error) => {
                    wrong.push(format!("{name}, {exporter}: {error}"));
                    continue;
                }
            };
            let mut evaluator = Evaluator::new(&model.network);
            evaluator.input(2).copy_from_slice(&images);
            let outputs = difference(evaluator.forward(), &expected["outputs"]);
            let length = model.network.input_len();
            evaluator.input(1).copy_from_slice(&images[..length]);
            evaluator.forward();
            let gradient = difference(evaluator.backward(&factors), &expected["gradient"]);
            if outputs > 1e-5 || gradient > 1e-5 {
                wrong.push(format!(
                    "{name}, {exporter}: outputs {outputs:e}, gradient {gradient:e}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(expected.len(), 12);
}
