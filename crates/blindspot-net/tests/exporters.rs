//! Files as exporters write them: weights in other files, functions, nodes in any order, batches that
//! go through other axes, inputs and outputs of many kinds; against onnxruntime.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_net::onnx::ReadOptions;
use blindspot_net::{Evaluator, onnx};
use blindspot_testing::{python, run_python, skip};

/// What the script says of a model.
struct Case {
    images: Vec<f32>,
    answers: Vec<Vec<f32>>,
    options: ReadOptions,
}

fn floats(value: &serde_json::Value) -> Vec<f32> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|x| x.as_f64().unwrap() as f32).collect()
}

fn case(path: &Path, value: &serde_json::Value) -> Case {
    let sizes = |value: &serde_json::Value| -> Vec<usize> {
        serde_json::from_value(value.clone()).unwrap()
    };
    let mut options = ReadOptions::beside(path);
    options.image_shape = value.get("image_shape").map(sizes);
    options.output = value.get("output").map(|x| x.as_str().unwrap().to_owned());
    for (name, array) in value["constants"].as_object().unwrap() {
        let constant = (sizes(&array[0]), floats(&array[1]));
        options.constants.insert(name.clone(), constant);
    }
    Case {
        images: floats(&value["images"]),
        answers: value["answers"]
            .as_array()
            .unwrap()
            .iter()
            .map(floats)
            .collect(),
        options,
    }
}

#[test]
fn models_of_exporters_give_the_outputs_of_onnxruntime() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let cases = run_python(include_str!("exporters.py"), [folder.path()], "").unwrap();
    let cases: BTreeMap<String, serde_json::Value> = serde_json::from_str(&cases).unwrap();
    let mut wrong = Vec::new();
    for (name, value) in &cases {
        let path = folder.path().join(format!("{name}.onnx"));
        let case = case(&path, value);
        let bytes = std::fs::read(&path).unwrap();
        let model = match onnx::read_with(bytes, &case.options) {
            Ok(model) => model,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut evaluator = Evaluator::new(&model.network);
        evaluator
            .input(case.answers.len())
            .copy_from_slice(&case.images);
        let ours = evaluator.forward();
        let theirs = case.answers.concat();
        let differs = ours
            .iter()
            .zip(&theirs)
            .find(|(ours, theirs)| (*ours - *theirs).abs() > 1e-5 + 1e-4 * theirs.abs());
        if ours.len() != theirs.len() || differs.is_some() {
            wrong.push(format!(
                "{name}: {} {} {differs:?}",
                ours.len(),
                theirs.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(cases.len(), 40);
}

#[test]
fn models_in_double_precision_give_ten_digits_of_onnxruntime_s_outputs() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let cases = run_python(include_str!("doubles.py"), [folder.path()], "").unwrap();
    let cases: BTreeMap<String, serde_json::Value> = serde_json::from_str(&cases).unwrap();
    assert_eq!(cases.len(), 9);
    for (name, value) in &cases {
        let bytes = std::fs::read(folder.path().join(format!("{name}.onnx"))).unwrap();
        let exact = onnx::read_exact(bytes, &ReadOptions::default()).unwrap();
        let theirs: Vec<Vec<f64>> = serde_json::from_value(value["answers"].clone()).unwrap();
        let mut evaluator = Evaluator::new(exact.network.network());
        for (input, image) in evaluator
            .input(theirs.len())
            .iter_mut()
            .zip(floats(&value["images"]))
        {
            *input = f64::from(image);
        }
        let theirs = theirs.concat();
        let largest = theirs.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let ours = evaluator.forward();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let difference = (ours - theirs).abs() / largest;
            assert!(difference < 1e-10, "{name}: {difference:e}");
        }
    }
}
