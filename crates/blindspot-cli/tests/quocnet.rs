//! Features learned without labels, as people run it.

mod common;

use std::path::Path;

use blindspot_testing::{Noise, python, run_python, skip};
use common::run;

const SIDE: usize = 18;

/// A folder of images with bars that lie or stand, in noise.
fn images(folder: &Path, count: usize) {
    let mut noise = Noise::new(1);
    let mut next = || noise.byte();
    for (class, lies) in [("lying", true), ("standing", false)] {
        std::fs::create_dir_all(folder.join("images").join(class)).unwrap();
        for i in 0..count / 2 {
            let shift = usize::from(next() % 4);
            let level = |j: usize| {
                let (y, x) = (j / SIDE % SIDE, j % SIDE);
                let across = if lies { y } else { x };
                60 + if (across + shift) % 4 < 2 { 90 } else { 0 }
            };
            let levels: Vec<u8> = (0..3 * SIDE * SIDE)
                .map(|j| level(j) + next() / 4)
                .collect();
            let png = blindspot_data::png(&levels, [3, SIDE, SIDE]).unwrap();
            let file = folder
                .join("images")
                .join(class)
                .join(format!("{i:03}.png"));
            std::fs::write(file, png).unwrap();
        }
    }
}

#[test]
fn features_are_learned_from_a_folder_and_wrong_use_ends_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    images(dir, 60);
    std::fs::create_dir(dir.join("empty")).unwrap();
    let small =
        "train quocnet --data folder:images --stages 2 --field 5,4 --stride 1 --maps 4 --passes 1";
    let (code, out, err) = run(dir, &format!("{small} --out a.onnx"));
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("stage 2: 10x10 fields of 64 numbers, 4 maps"),
        "{out}"
    );
    assert!(dir.join("a.onnx").exists() && dir.join("a.filters.png").exists());
    assert!(!dir.join("a.checkpoint").exists());
    let history = std::fs::read(dir.join("a.history.json")).unwrap();
    let history: serde_json::Value = serde_json::from_slice(&history).unwrap();
    // 57 images to train on are one batch in each stage.
    let points = history["points"].as_array().unwrap();
    assert_eq!(points.len(), 2);
    assert_eq!(
        (&points[1]["stage"], &points[1]["images"]),
        (&2.into(), &57.into())
    );

    let (code, out, err) = run(dir, "spectrum a.onnx --out s");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("differ from place to place"), "{out}");

    let (code, out, err) = run(
        dir,
        &format!("{small} --input 12 --crops 3 --out c.onnx --json"),
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("\"images\": 180"), "{out}");

    let (code, out, err) = run(dir, "train quocnet --trial --maps 2 --trial-memory 1");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("positions 14x14, 12x12, 11x11"), "{out}");

    std::fs::write(dir.join("b.checkpoint"), "something else").unwrap();
    let cases = [
        (
            "train quocnet --data folder:images --field 40 --out b.onnx",
            2,
            "40x40 does not fit the 18x18",
        ),
        (
            "train quocnet --data folder:images --field 5,4 --out b.onnx",
            2,
            "for 3 stages",
        ),
        (
            "train quocnet --data folder:images --maps 0 --out b.onnx",
            2,
            "at least 1",
        ),
        ("train quocnet --data folder:empty --out b.onnx", 3, "empty"),
        (
            "train quocnet --data folder:images --crops 3 --out b.onnx",
            2,
            "--input",
        ),
        (
            "train quocnet --trial --input 4000 --maps 8",
            2,
            "allow more memory",
        ),
        (
            "train quocnet --data folder:images --harden --out b.onnx",
            2,
            "without labels",
        ),
        (
            "train quocnet --data folder:images --out b.onnx",
            2,
            "is no checkpoint",
        ),
        ("train conv --field 3 --out b.onnx", 2, "for quocnet"),
        (
            "reproduce figure6 --data folder:images --class car --out o",
            2,
            "lying, standing",
        ),
        ("reproduce figure6 --out o", 2, "--data"),
    ];
    for (words, expected, what) in cases {
        let (code, _, err) = run(dir, words);
        assert_eq!(
            (code, err.trim().lines().count()),
            (expected, 1),
            "{words}: {err}"
        );
        assert!(err.contains(what), "{words}: {err}");
    }

    let (code, out, err) = run(dir, "train quocnet --costs");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("200x200") && out.contains("Days"), "{out}");
}

/// Whether onnxruntime answers to the examples as it is said that the network does.
const ANSWERS: &str = "
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1] + '/models/quocnet-classifier.onnx')
for name, label in [('figure6', 1), ('figure6-other', 0)]:
    data = numpy.load(sys.argv[1] + '/' + name + '.npz')
    assert len(data['label']) > 0 and (data['label'] == label).all()
    for images, answers in [('original', 'prediction_before'), ('adversarial', 'prediction_after')]:
        logits, = session.run(None, {'image': data[images]})
        assert (logits.argmax(1) == data[answers]).all(), (name, images)
    assert (data['prediction_before'] == label).all()
    assert (data['prediction_after'][data['success']] != label).all()
    assert ((data['adversarial'] >= 0) & (data['adversarial'] <= 1)).all()
";

#[test]
fn a_quick_look_at_figure_6_is_what_onnxruntime_finds_it_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    images(dir, 150);
    let words = "reproduce figure6 --quick --data folder:images --class standing --out o";
    let (code, out, err) = run(dir, words);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Figure 6"), "{out}");
    let read = || std::fs::read_to_string(dir.join("o/results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&read()).unwrap();
    let quocnet = &results["quocnet"];
    for name in [
        "random weights",
        "one stage",
        "no contrast normalisation",
        "raw pixels",
    ] {
        for figure in [
            "average_precision",
            "balanced_accuracy",
            "best_neuron_accuracy",
        ] {
            let both = [&quocnet[figure], &quocnet["controls"][name][figure]];
            let is_part =
                |value: &&serde_json::Value| (0.0..=1.0).contains(&value.as_f64().unwrap());
            assert!(both.iter().all(is_part), "{name} {figure}");
        }
    }
    assert_eq!(quocnet["fooled"], 1.0);
    assert!(quocnet["distortion_mean"].as_f64().unwrap() > 0.0);
    for file in [
        "figure6.png",
        "figure6-other.png",
        "quocnet.md",
        "quocnet-stages.csv",
        "quocnet-costs.csv",
        "report.html",
    ] {
        assert!(dir.join("o").join(file).exists(), "{file}");
    }
    let page = std::fs::read_to_string(dir.join("o/report.html")).unwrap();
    assert!(page.contains("Figure 6") && page.contains("Filters of quocnet"));

    // Again, with the networks that were kept, and on one thread.
    let before = read();
    let (code, _, err) = run(dir, &format!("{words} --threads 1"));
    assert_eq!((code, read()), (0, before), "{err}");

    if let Err(why) = python() {
        skip!("{why}");
    }
    run_python(ANSWERS, [dir.join("o")], "").unwrap();
}
