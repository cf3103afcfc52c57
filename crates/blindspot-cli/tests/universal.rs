//! One perturbation for all images, as the command finds it and its files have it.

mod common;

use std::path::Path;

use blindspot_testing::{python, run_python, skip};
use common::{folder, run, small};
use serde_json::Value;

fn record(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn files_are_read_back_and_asked_again_in_onnxruntime() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let words =
        "train softmax3 --data npz:data.npz --iterations 2 --seed 3 --quiet --out other.onnx";
    assert_eq!(run(dir, words).0, 0);
    let aims = [
        "--epsilon 0.4 --norm linf",
        "--epsilon 2",
        "--share 0.4",
        "--share 1 --norm linf --target 1",
    ];
    let check = r"
import sys, json, numpy as np, onnxruntime
folder, aim = sys.argv[1:]
a, record = np.load(folder + '/u.npz'), json.load(open(folder + '/u.json'))
assert sorted(a) == sorted(['delta', 'index', 'label', 'set', 'prediction_before', 'prediction_after', 'fooled'])
data = np.load(folder + '/data.npz')
images = data['x'].reshape(len(data['x']), -1)[a['index']]
assert (data['y'][a['index']] == a['label']).all()
assert len(set(a['index'])) == 60 and (a['set'] == 0).sum() == 30 and (np.diff(a['set']) >= 0).all()
delta, options = a['delta'].reshape(-1), record['options']
size = np.abs(delta).max() if options['norm'] == 'linf' else np.linalg.norm(delta.astype(np.float64))
assert np.isclose(size, record['summary']['norm'], rtol=1e-6)
assert size <= options.get('epsilon', np.inf) * (1 + 1e-12)
target = None if options['target'] == 'untargeted' else int(options['target'])
perturbed = np.clip(images + delta, 0, 1)
for file, shares in zip(['model', 'other'], record['summary']['shares'], strict=True):
    session = onnxruntime.InferenceSession(f'{folder}/{file}.onnx')
    name, axes = session.get_inputs()[0].name, [-1, *session.get_inputs()[0].shape[1:]]
    before, after = (session.run(None, {name: x.reshape(axes)})[0].argmax(1) for x in (images, perturbed))
    right = before == a['label']
    if target is not None:
        right &= a['label'] != target
    fooled = right & (after != a['label'] if target is None else after == target)
    if file == 'model':
        assert (before == a['prediction_before']).all() and (after == a['prediction_after']).all()
        assert (fooled == a['fooled']).all()
    assert shares['file'] == file
    for part, name in enumerate(['training', 'held_out']):
        of = a['set'] == part
        found = shares[name]
        assert (found['fooled'], found['right']) == (fooled[of].sum(), right[of].sum()), (file, name)
        assert found['low'] <= found['share'] == found['fooled'] / found['right'] <= found['high']
    if file == 'model' and 'share' in options:
        assert record['summary']['reached'] and shares['training']['share'] >= options['share']
print('held')
";
    for aim in aims {
        let words = format!(
            "universal model.onnx --data npz:data.npz {aim} --models other.onnx -o u.npz --report u.html \
             --overwrite"
        );
        let (exit, said, error) = run(dir, &words);
        assert_eq!(exit, 0, "{words}: {error}");
        assert!(
            said.contains("held out") && said.contains("95% interval"),
            "{said}"
        );
        // The page says what the record does.
        let held_out = &record(&dir.join("u.json"))["summary"]["shares"][0]["held_out"];
        let counts = format!("{} of {}", held_out["fooled"], held_out["right"]);
        let page = std::fs::read_to_string(dir.join("u.html")).unwrap();
        let page = roxmltree::Document::parse(&page[page.find("<html").unwrap()..]).unwrap();
        let heading = page.descendants().find(|node| node.has_tag_name("h1"));
        let answer = heading.and_then(|node| node.text()).unwrap();
        assert!(answer.contains(&counts), "{answer}");
        let arguments = [dir.to_str().unwrap(), aim];
        assert_eq!(
            run_python(check, arguments, "").unwrap().trim(),
            "held",
            "{aim}"
        );
    }
}

#[test]
fn the_same_files_come_out_on_any_number_of_threads_and_other_results_stay() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let search = "universal model.onnx --data npz:data.npz --epsilon 1.5";
    for threads in [1, 2] {
        let words = format!("{search} --threads {threads} --quiet -o u{threads}.npz");
        assert_eq!(run(dir, &words).0, 0);
    }
    for end in ["npz", "json"] {
        let read = |threads: u8| std::fs::read(dir.join(format!("u{threads}.{end}"))).unwrap();
        assert!(read(1) == read(2), "{end}");
    }
    // The same work again, then other work.
    assert_eq!(run(dir, &format!("{search} --quiet -o u1.npz")).0, 0);
    let (exit, _, error) = run(dir, &format!("{search} --seed 1 -o u1.npz"));
    assert_eq!(exit, 2);
    assert!(
        error.contains("of other work (") && error.contains("--overwrite"),
        "{error}"
    );
    assert_eq!(
        run(
            dir,
            &format!("{search} --seed 1 --overwrite --quiet -o u1.npz")
        )
        .0,
        0
    );
}

#[test]
fn a_share_that_no_perturbation_fools_is_said_to_be_out_of_reach() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    // What drives one of two classes to the other drives that one deeper into itself.
    let words = "universal model.onnx --data npz:data.npz --share 1 -o u.npz";
    let (exit, said, error) = run(dir, words);
    assert_eq!(exit, 0, "{error}");
    assert!(
        said.contains("none was found that fools a share of 1"),
        "{said}"
    );
    let summary = &record(&dir.join("u.json"))["summary"];
    assert_eq!(summary["reached"], false);
    assert!(summary["shares"][0]["training"]["share"].as_f64().unwrap() < 1.0);
}

#[test]
fn other_images_can_be_held_out() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    std::fs::copy(dir.join("data.npz"), dir.join("again.npz")).unwrap();
    let words = "universal model.onnx --data npz:data.npz --held-out npz:again.npz --samples 20 --epsilon 2 --json -o u.npz";
    let (exit, said, error) = run(dir, words);
    assert_eq!(exit, 0, "{error}");
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(found, record(&dir.join("u.json")));
    let shares = &found["summary"]["shares"][0];
    // They are the same images here, under another name.
    assert_eq!(shares["training"], shares["held_out"]);
    assert_eq!(found["held_out"]["split"], false);
    assert_eq!(found["held_out"]["data"], "npz:again.npz");
}

#[test]
fn what_can_t_be_done_is_said_in_a_sentence() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let cases = [
        ("--epsilon 1 --norm l1", "L2 or Linf"),
        ("--epsilon 1 --norm l0", "L2 or Linf"),
        ("--epsilon 0", "positive finite norm"),
        ("--epsilon x", "4/255,8/255"),
        ("--share 0", "at most 1"),
        ("--share 1.5", "at most 1"),
        ("--share 0.5 --epsilon 1", "cannot be used with"),
        ("", "--epsilon <E>|--share <S>"),
        ("--epsilon 1 --target random", "untargeted or one class"),
        ("--epsilon 1 --target 12", "not one of the network's"),
        ("--epsilon 1 --samples 1", "--held-out"),
        ("--epsilon 1 --samples 0", "at least 1"),
        ("--epsilon 1 --held-out npz:data.npz", "leave it out"),
    ];
    for (words, says) in cases {
        let words = format!("universal model.onnx --data npz:data.npz {words} -o u.npz");
        let (exit, _, error) = run(dir, &words);
        assert_eq!(exit, 2, "{words}: {error}");
        assert!(error.contains(says), "{words}: {error}");
    }
    assert!(!dir.join("u.npz").exists() && !dir.join("u.json").exists());
}
