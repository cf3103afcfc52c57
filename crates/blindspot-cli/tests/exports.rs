//! Models as exporters write them, attacked by the command; onnxruntime is asked whether the examples
//! are right.

mod common;

use blindspot_testing::{python, run_python, skip};
use common::{folder, run};

const SCRIPT: &str = include_str!("exports.py");

#[test]
fn models_of_exporters_run_or_are_refused_with_what_helps() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    let text = |name: &str| dir.join(name).display().to_string();
    run_python(SCRIPT, ["write".to_owned(), dir.display().to_string()], "").unwrap();
    for (model, data, options) in [
        ("external", "d", ""),
        ("open", "d", ""),
        ("open", "d", "--input-shape 3,12,12"),
        ("bytes", "d", "--layout nhwc"),
        ("bytes", "d", "--layout nhwc --range 0,255"),
        ("unbatched", "d", ""),
        ("given", "d", "--input x --input-values m.npz"),
        ("two", "d", ""),
        ("two", "d", "--output y"),
        ("one_logit", "d2", ""),
        ("one_probability", "d2", ""),
    ] {
        let words = format!(
            "attack {model}.onnx --data npz:{data}.npz --target untargeted --overwrite --out a.npz \
             {options}"
        );
        let (exit, _, error) = run(dir, &words);
        assert_eq!(exit, 0, "{words}: {error}");
        let said = run_python(
            SCRIPT,
            [
                "check".to_owned(),
                text(&format!("{model}.onnx")),
                text("a.npz"),
            ],
            "",
        );
        let [successes, right]: [usize; 2] = serde_json::from_str(&said.unwrap()).unwrap();
        assert!(successes >= 6, "{words}: {successes} successes");
        assert_eq!(successes, right, "{words}");
    }
    for (words, says) in [
        ("certify external.onnx --data npz:d.npz --out c.npz", 0),
        ("spectrum external.onnx --out s", 0),
        ("spectrum open.onnx --input-shape 3,12,12 --out o", 0),
        ("units open.onnx --data npz:d.npz --layer", 0),
        ("attack given.onnx --data npz:d.npz --out a.npz", 4),
        ("spectrum open.onnx --out s", 4),
    ] {
        let (exit, _, error) = run(dir, words);
        assert_eq!(exit, says, "{words}: {error}");
        assert_eq!(exit == 4, error.contains("--input"), "{words}: {error}");
    }
    let (_, _, error) = run(dir, "attack missing.onnx --data npz:d.npz --out a.npz");
    assert!(
        error.contains("NonMaxSuppression (2 times), StringNormalizer"),
        "{error}"
    );
}

#[test]
fn a_model_s_hash_covers_the_files_beside_it() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    run_python(SCRIPT, ["write".to_owned(), dir.display().to_string()], "").unwrap();
    let hash = || {
        let words =
            "attack external.onnx --data npz:d.npz --samples 1 --quiet --overwrite --out a.npz";
        let (exit, _, error) = run(dir, words);
        assert_eq!(exit, 0, "{error}");
        let record = std::fs::read(dir.join("a.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        record["model_sha256"].as_str().unwrap().to_owned()
    };
    let before = hash();
    let beside = dir.join("external.onnx.data");
    let mut bytes = std::fs::read(&beside).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&beside, bytes).unwrap();
    assert_ne!(before, hash());
}

#[test]
fn a_report_says_what_is_in_a_model_and_what_can_be_done_with_it() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    run_python(SCRIPT, ["write".to_owned(), dir.display().to_string()], "").unwrap();
    let report = |words: &str| -> serde_json::Value {
        let (exit, said, error) = run(dir, words);
        assert_eq!(exit, 0, "{words}: {error}");
        serde_json::from_str(&said).unwrap()
    };
    let external = report("inspect external.onnx --json");
    assert_eq!(external["file"]["files"][0], "external.onnx.data");
    assert_eq!(external["file"]["stored_numbers"], 8 * 3 * 4 * 4 + 8 * 10);
    assert_eq!(external["file"]["operators"]["Conv"], 1);
    let network = &external["network"];
    assert_eq!(network["classes"], 10);
    let difference = network["gradient_check"]["relative_difference"].as_f64();
    assert!(difference.unwrap() < 1e-5, "{difference:?}");
    for study in network["studies"].as_array().unwrap() {
        assert!(study["problem"].is_null(), "{study}");
    }
    let bytes = report("inspect bytes.onnx --layout nhwc --json");
    assert_eq!(bytes["file"]["inputs"][0]["type"], "uint8");
    assert_eq!(
        bytes["network"]["preprocessing"].as_array().unwrap().len(),
        1
    );
    let missing = report("inspect missing.onnx --json");
    assert!(missing["network"].is_null());
    let names = missing["file"]["missing"].as_object().unwrap();
    assert_eq!(
        names.keys().collect::<Vec<_>>(),
        ["NonMaxSuppression", "StringNormalizer"]
    );
    let (_, said, _) = run(dir, "inspect open.onnx");
    assert!(said.contains("--input-shape"), "{said}");
}
