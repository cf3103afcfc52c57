//! The command as people run it.

mod common;

use blindspot_testing::{data_dir, python, run_python, skip};
use common::{folder, model, run};

#[test]
fn wrong_use_ends_in_one_line_and_its_exit_code() {
    let folder = folder();
    let dir = folder.path();
    std::fs::write(dir.join("text.onnx"), "not a model").unwrap();
    let cases = [
        ("reproduce tabel1 --out x", 2, "did you mean `table1`"),
        ("reproduce --samples 0 --out x", 2, "at least 1"),
        ("train FC100 --out a.onnx", 2, "did you mean `FC100-100-10`"),
        (
            "train softmax2 --out text.onnx/a.onnx",
            5,
            "can't write text.onnx/a.onnx",
        ),
        (
            "train softmax2 --data nmist:train --out a.onnx",
            2,
            "mnist:train",
        ),
        (
            "train softmax2 --data idx:text.onnx --out a.onnx",
            3,
            "no IDX file",
        ),
        ("attack none.onnx --out a.npz", 4, "none.onnx"),
        ("attack text.onnx --out a.npz", 4, "not an ONNX model"),
        ("attack text.onnx --out a.json", 2, "must not end in .json"),
        (
            "attack text.onnx --out text.onnx",
            2,
            "is read by this command",
        ),
        ("attack text.onnx --samples 0 --out a.npz", 2, "at least 1"),
        (
            "transfer --examples none.npz --models a.onnx",
            3,
            "none.npz",
        ),
        (
            "transfer --examples text.onnx --models a.onnx",
            3,
            "a file of examples",
        ),
        (
            "transfer --examples a.npz --models a.onnx --noise 0",
            2,
            "above 0",
        ),
    ];
    for (words, code, says) in cases {
        let (exit, _, error) = run(dir, words);
        assert_eq!(exit, code, "{words}: {error}");
        assert!(error.contains(says), "{words}: {error}");
        assert_eq!(error.lines().count(), 1, "{words}: {error}");
    }
    for words in [
        "attack a.onnx --method foo --out b.npz",
        "reproduce",
        "--threads 0 data list",
    ] {
        assert_eq!(run(dir, words).0, 2, "{words}");
    }
}

#[test]
fn damaged_data_is_told_from_missing_data() {
    let folder = folder();
    let mnist = folder.path().join("data/mnist");
    std::fs::create_dir_all(&mnist).unwrap();
    std::fs::write(mnist.join("train-images-idx3-ubyte"), [0, 0, 8, 3, 0]).unwrap();
    let (exit, _, error) = run(folder.path(), "train softmax1 --data-dir data --out a.onnx");
    assert_eq!(exit, 3, "{error}");
    assert!(
        error.contains("train-images-idx3-ubyte") && error.contains("header"),
        "{error}"
    );
    let (exit, _, error) = run(folder.path(), "data verify --data-dir data");
    assert_eq!(exit, 3, "{error}");
}

#[test]
fn examples_are_what_onnxruntime_finds_them_to_be() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    let model = model(dir);
    let (exit, said, error) = run(
        dir,
        "attack model.onnx --samples 40 --shuffle --seed 2 --out set.npz",
    );
    assert_eq!(exit, 0, "{error}");
    assert!(said.contains("40 images of mnist:test"), "{said}");
    let check = "import sys, numpy as np, onnxruntime\n\
        f = np.load(sys.argv[1]); r = onnxruntime.InferenceSession(sys.argv[2])\n\
        ask = lambda x: r.run(None, {'image': x})[0].argmax(1)\n\
        a, o = f['adversarial'], f['original']\n\
        assert sorted(f) == sorted(['index', 'label', 'target', 'prediction_before', \
            'prediction_after', 'success', 'already_wrong', 'fooled', 'no_gradient', 'refuted', \
            'original', 'adversarial', 'l2', 'linf', 'l1', 'l0', 'distortion', 'kkt', 'noise', \
            'evaluations', 'gradients'])\n\
        assert a.shape == (40, 784) == o.shape and a.dtype == np.float32\n\
        assert f['success'].dtype == bool and f['success'].all()\n\
        assert f['evaluations'].dtype == np.int64 and f['l2'].dtype == np.float64\n\
        assert (ask(o) == f['prediction_before']).all()\n\
        assert (ask(a) == f['prediction_after']).all()\n\
        assert (f['prediction_after'] != f['label']).all()\n\
        assert (f['prediction_after'] == f['target']).all()\n\
        assert a.min() >= 0 and a.max() <= 1\n\
        l2 = np.sqrt(((a.astype(float) - o) ** 2).sum(1))\n\
        assert np.allclose(l2, f['l2'], rtol=1e-12) and np.allclose(l2 / 28, f['distortion'])\n\
        wrong = f['prediction_before'] != f['label']\n\
        assert (f['l2'][wrong] == 0).all() and (f['l2'][~wrong] > 0).all()\n\
        assert len(set(f['index'])) == 40\n\
        print('held')";
    let held = run_python(check, [dir.join("set.npz"), model], "").unwrap();
    assert_eq!(held.trim(), "held");
    let record = std::fs::read_to_string(dir.join("set.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["summary"]["samples"], 40);
    assert_eq!(record["options"]["seed"], 2);
    assert_eq!(record["model_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn the_same_seed_gives_the_same_files_for_any_number_of_threads() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    let bytes = |name: &str| std::fs::read(dir.join(name)).unwrap();
    for (name, words) in [
        ("one", "--threads 1"),
        ("two", "--threads 2"),
        ("again", ""),
    ] {
        let words = format!("attack model.onnx --samples 30 --quiet --out {name}.npz {words}");
        let (exit, said, error) = run(dir, &words);
        assert_eq!((exit, said.as_str()), (0, ""), "{error}");
        // The clock of an archive ticks every two seconds.
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert!(bytes(&format!("{name}.npz")) == bytes("one.npz"), "{name}");
        assert_eq!(bytes(&format!("{name}.json")), bytes("one.json"));
    }
}

#[test]
fn json_is_json() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let (exit, said, error) = run(folder.path(), "data verify --json");
    assert_eq!(exit, 0, "{error}");
    assert!(
        serde_json::from_str::<serde_json::Value>(&said)
            .unwrap()
            .is_array()
    );
    let words = "train softmax3 --iterations 3 --json --out a.onnx";
    let (exit, said, error) = run(folder.path(), words);
    assert_eq!(exit, 0, "{error}");
    let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["model"], "softmax3");
}

#[test]
fn units_are_what_onnxruntime_finds_them_to_be() {
    let Some(data) = data_dir() else {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    };
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    let model = model(dir);
    let (exit, said, error) = run(dir, "units model.onnx --layer");
    assert_eq!(exit, 0, "{error}");
    assert!(said.contains("Sigmoid        hidden2"), "{said}");
    let wrong = [
        ("--layer hiden1 --out o", "did you mean `hidden1`"),
        ("--layer hidden1 --units 3,100 --out o", "no unit 100"),
        ("--layer hidden1", "--out"),
        (
            "--layer hidden1 --units 0 --directions 0 --no-statistics --out o",
            "at least one",
        ),
    ];
    for (words, says) in wrong {
        let (exit, _, error) = run(dir, &format!("units model.onnx --samples 20 {words}"));
        assert_eq!(exit, 2, "{words}: {error}");
        assert!(error.contains(says), "{words}: {error}");
    }
    let words = "units model.onnx --layer hidden1 --units 3,17 --directions 2 --components 1 --samples \
                 300 --shuffle --top 5 --synthesize";
    for (threads, out) in [(1, "one"), (2, "two")] {
        let (exit, said, error) = run(dir, &format!("{words} --threads {threads} --out {out}"));
        assert_eq!(exit, 0, "{error}");
        assert!(said.starts_with("hidden1: "), "{said}");
    }
    for file in [
        "units.json",
        "units.html",
        "units.svg",
        "distributions.svg",
        "rotation.svg",
        "unit-3.png",
    ] {
        let read = |out: &str| std::fs::read(dir.join(out).join(file)).unwrap();
        assert!(read("one") == read("two"), "{file}");
    }
    let check = "import gzip, json, sys, numpy as np, onnx, onnxruntime\n\
        r = json.load(open(sys.argv[1])); m = onnx.load(sys.argv[2])\n\
        del m.graph.output[:]; m.graph.output.append(onnx.ValueInfoProto(name=r['layer']))\n\
        s = onnxruntime.InferenceSession(m.SerializeToString())\n\
        images = (gzip.open if sys.argv[3].endswith('.gz') else open)(sys.argv[3], 'rb').read()\n\
        x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784)\n\
        phi = s.run(None, {'image': x.astype(np.float32) / 255})[0].astype(float)\n\
        assert (r['layer'], r['images']) == ('hidden1', 300)\n\
        assert [u['unit'] for u in r['units']] == [3, 17] and len(r['directions']) == 2\n\
        rows = [(phi[:, u['unit']], u) for u in r['units']]\n\
        rows += [(phi @ np.array(d['direction']), d) for d in r['directions'] + r['components']]\n\
        for p, u in rows:\n\
        \x20 assert len(u['top']) == 5 and np.allclose(p[u['top']], u['activation'], atol=1e-5)\n\
        \x20 assert (np.diff(p[u['top']]) < 1e-6).all() and len(set(u['top'])) == 5\n\
        for d in r['directions']: assert abs(np.linalg.norm(d['direction']) - 1) < 1e-6\n\
        best = [p[u['top'][0]] for p, u in rows]\n\
        made = [m['activation'] for m in r['synthesised']]\n\
        assert len(made) == 5 and all(np.array(made) > np.array(best) - 0.5)\n\
        g = {json.dumps(g['kind']): g for g in r['statistics']['groups']}\n\
        assert g['\"units\"']['count'] == g['\"directions\"']['count'] == 100\n\
        print('held')";
    let packed = data.join("mnist/t10k-images-idx3-ubyte.gz");
    let images = if packed.is_file() {
        packed
    } else {
        packed.with_extension("")
    };
    let held = run_python(check, [dir.join("one/units.json"), model, images], "").unwrap();
    assert_eq!(held.trim(), "held");
}

#[test]
fn hardening_trains_and_says_what_it_can_not_do() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    let harden = "train FC100-100-10 --harden --out hard.onnx";
    let cases = [
        ("--layers input,hidden3", "input, hidden1, hidden2"),
        ("--pool 0", "pool size must be at least 1"),
        ("--refresh 1.5", "to replace is 1.5"),
        ("--beyond 0.5", "at least 1"),
        ("--within 0", "above 0"),
    ];
    for (words, says) in cases {
        let (exit, _, error) = run(dir, &format!("{harden} {words}"));
        assert_eq!(exit, 2, "{words}: {error}");
        assert!(error.contains(says), "{words}: {error}");
        assert_eq!(error.lines().count(), 1, "{words}: {error}");
    }
    let (exit, _, error) = run(dir, "train AE400-10 --harden --out hard.onnx");
    assert_eq!(exit, 2, "{error}");
    assert!(error.contains("AE400-10"), "{error}");
    for words in ["--pool 5", "--harden --iterations 3"] {
        let words = format!("train FC100-100-10 --out hard.onnx {words}");
        assert_eq!(run(dir, &words).0, 2, "{words}");
    }
    let words = "train softmax1 --harden --epochs 1 --batch 2000 --rate 0.01 --pool 20 --json \
                 --out hard.onnx";
    let (exit, said, error) = run(dir, words);
    assert_eq!(exit, 0, "{error}");
    let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["iterations"], 30);
    assert_eq!(summary["pools"][0]["layer"], "image");
    assert!(summary["pools"][0]["made"].as_u64().unwrap() >= 20);
    assert!(dir.join("hard.onnx").exists());
}

#[test]
fn certified_training_says_what_it_certifies_and_what_it_can_not_do() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    let cases = [
        (
            "FC100-100-10 --certified --epsilon 0",
            "above 0 and at most 1",
        ),
        ("FC100-100-10 --certified --kappa 2", "from 0 to 1"),
        ("AE400-10 --certified", "AE400-10"),
        ("FC100-100-10 --certified --harden", "cannot be used with"),
        ("FC100-100-10 --epsilon 0.1", "--certified"),
    ];
    for (words, says) in cases {
        let (exit, _, error) = run(dir, &format!("train {words} --out certified.onnx"));
        assert_eq!(exit, 2, "{words}: {error}");
        assert!(error.contains(says), "{words}: {error}");
    }
    let words =
        "train softmax1 --certified --epsilon 0.05 --iterations 2 --json --out certified.onnx";
    let (exit, said, error) = run(dir, words);
    assert_eq!(exit, 0, "{error}");
    let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["iterations"], 938);
    assert_eq!(summary["certified"]["epsilon"], 0.05);
    let share = summary["certified"]["share"].as_f64().unwrap();
    let error = summary["error"].as_f64().unwrap();
    assert!(share > 0.5 && share + error < 1.0, "{summary}");
}

#[test]
fn certificates_and_spectra_are_files_that_numpy_and_people_read() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    let model = model(dir);
    let (exit, said, error) = run(dir, "certify model.onnx --samples 20 --out c.npz");
    assert_eq!(exit, 0, "{error}");
    assert!(said.contains("20 images of mnist:test"), "{said}");
    let words = "attack model.onnx --samples 20 --target untargeted --certify --out a.npz";
    let (exit, said, error) = run(dir, words);
    assert_eq!(exit, 0, "{error}");
    assert!(said.contains("a.svg shows each image"), "{said}");
    let (exit, _, error) = run(dir, "spectrum model.onnx --quiet --out s");
    assert_eq!(exit, 0, "{error}");
    let check = "import sys, json, numpy as np, onnx\n\
        from onnx import numpy_helper\n\
        f = np.load(sys.argv[1])\n\
        assert sorted(f) == ['certificate', 'index', 'l2', 'label', 'lipschitz']\n\
        assert (f['index'] == np.arange(20)).all() and f['label'].dtype == np.int64\n\
        c, l2 = f['certificate'], f['l2']\n\
        a = np.load(sys.argv[4])\n\
        assert (a['certificate'] == c).all() and (a['l2'] == l2).all()\n\
        r = json.load(open(sys.argv[4].replace('npz', 'json')))['certificate']\n\
        k = ~a['already_wrong']; assert (k == (a['label'] == a['prediction_before'])).all()\n\
        assert (a['fooled'] == k).all() and np.isclose(r['mean'], c[k].mean())\n\
        assert np.isclose(r['ratio'], c[k].mean() / l2[k].mean())\n\
        r = json.load(open(sys.argv[1].replace('npz', 'json')))['summary']\n\
        assert (r['right'], r['found']) == (k.sum(), k.sum()) and np.isclose(r['found_mean'], l2[k].mean())\n\
        assert np.isclose(r['certificate_mean'], c[k].mean())\n\
        assert (c <= l2).all() and (c[l2 > 0] > 0).all() and (f['lipschitz'] <= c).all()\n\
        s = json.load(open(sys.argv[2]))\n\
        w = [numpy_helper.to_array(t).astype(float) for t in onnx.load(sys.argv[3]).graph.initializer]\n\
        w = [a for a in w if a.ndim == 2]\n\
        assert len(w) == len(s['layers']) == 3 and len(s['model_sha256']) == 64\n\
        for a, layer in zip(w, s['layers']):\n\
        \x20   v = np.linalg.svd(a, compute_uv=False)\n\
        \x20   assert np.allclose(layer['spectrum'], v, rtol=1e-9, atol=1e-12 * v[0])\n\
        \x20   assert abs(layer['upper'] - v[0]) <= layer['error_bound'] + 1e-13 * v[0]\n\
        print('held')";
    let arguments = [
        dir.join("c.npz"),
        dir.join("s/spectrum.json"),
        model,
        dir.join("a.npz"),
    ];
    assert_eq!(run_python(check, arguments, "").unwrap().trim(), "held");
    for file in [
        "c.json",
        "c.svg",
        "a.svg",
        "s/spectrum.md",
        "s/spectrum.csv",
    ] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    let (exit, _, error) = run(dir, "spectrum model.onnx --layer fc9 --out x");
    assert!(exit == 2 && error.contains("this network has"), "{error}");
    let (exit, _, error) = run(dir, "spectrum model.onnx --input-size 8x8 --out x");
    assert!(
        exit == 2 && error.contains("leave the input size out"),
        "{error}"
    );
}

#[test]
fn a_target_that_all_images_have_is_an_error() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    let write = |sink: &mut dyn blindspot_data::files::Sink| {
        let mut npz = blindspot_data::numpy::NpzWriter::new(sink);
        npz.add(
            "x",
            &[2, 784],
            (0..2 * 784).map(|i| Ok((i % 7) as f32 / 7.0)),
        )?;
        npz.add("y", &[2], [3i64, 3].map(Ok).into_iter())?;
        npz.finish()
    };
    blindspot_data::files::write_atomically(&dir.join("threes.npz"), write).unwrap();
    for (target, says) in [
        ("3", "all images are of class 3"),
        ("10", "target 10 is not one"),
    ] {
        let words =
            format!("attack model.onnx --data npz:threes.npz --target {target} --out a.npz");
        let (exit, said, error) = run(dir, &words);
        assert_eq!((exit, said.as_str()), (2, ""), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(!dir.join("a.npz").exists() && !dir.join("a.npz.journal").exists());
    }
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let folder = folder();
    for words in ["data list", "data list --json", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = std::process::Command::new(env!("CARGO_BIN_EXE_blindspot"))
            .current_dir(folder.path())
            .args(words.split_whitespace())
            .stdout(writer)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0), "{words}");
    }
}

#[test]
fn examples_are_judged_through_the_preprocessing_of_their_record() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    let transfer = |options: &str| -> serde_json::Value {
        let words = format!("transfer --examples a.npz --models model.onnx --json {options}");
        let (exit, said, error) = run(dir, &words);
        assert_eq!(exit, 0, "{error}");
        serde_json::from_str(&said).unwrap()
    };
    let attack = "attack model.onnx --samples 20 --mean 0.3 --std 0.9 --target untargeted";
    let (exit, _, error) = run(dir, &format!("{attack} --out a.npz"));
    assert_eq!(exit, 0, "{error}");
    let by_record = transfer("");
    assert_eq!(by_record["models"][0]["preprocess"]["mean"][0], 0.3);
    assert_eq!(by_record, transfer("--mean 0.3 --std 0.9"));
    // Lists are written as in other commands, too.
    let commas = "transfer --examples a.npz,a.npz --models model.onnx,model.onnx --json";
    let spaces = "transfer --examples a.npz a.npz --models model.onnx model.onnx --json";
    let (exit, said, error) = run(dir, commas);
    assert_eq!((exit, said, String::new()), run(dir, spaces), "{error}");
    assert_eq!(exit, 0, "{error}");
    // A network judges its own examples as the search did: it is fooled by all that it gets right.
    let summary = std::fs::read(dir.join("a.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    let summary = &summary["summary"];
    let own = |field: &str, part: &str| &by_record[field][0][0][part];
    assert_eq!(own("fooled", "wrong"), &summary["fooled"]);
    assert_eq!(own("fooled", "images"), &summary["right"]);
    assert_eq!(own("clean", "wrong"), &summary["already_wrong"]);
    assert_eq!(own("rates", "error").as_f64(), Some(1.0));
    let without = transfer("--range 0,1");
    assert!(without["models"][0].get("preprocess").is_none());
    assert_ne!(by_record["variants"], serde_json::Value::Null);
    assert_ne!(by_record, without);
}
