//! What one types: counts, choices of images, mistakes, and what a terminal gets.

mod common;

use std::path::Path;

use common::{blindspot, folder, run, small};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// An array of an archive.
macro_rules! numbers {
    ($path:expr, $name:literal, $type:ty) => {{
        let file = std::io::BufReader::new(std::fs::File::open($path).unwrap());
        let mut archive = blindspot_data::numpy::NpzReader::new(file).unwrap();
        let array = archive.by_name($name).unwrap().unwrap();
        let values: Vec<$type> = array.data::<$type>().unwrap().map(Result::unwrap).collect();
        values
    }};
}

#[test]
fn counts_are_read_as_people_write_them() {
    let folder = folder();
    std::fs::write(folder.path().join("text.onnx"), "text").unwrap();
    for samples in ["1e3", "10k", "2M", "7"] {
        let words = format!("attack text.onnx --samples {samples} -o a.npz");
        assert_eq!(
            run(folder.path(), &words).0,
            4,
            "the model is what is wrong"
        );
    }
    for words in [
        "attack text.onnx --samples 1.5 -o a.npz",
        "train softmax2 --iterations 1e9 -o a.onnx",
        "attack text.onnx --max-evaluations 0 -o a.npz",
    ] {
        let (exit, _, error) = run(folder.path(), words);
        assert_eq!(exit, 2, "{words}");
        assert!(error.contains("as in 500, 1e3 or 10k"), "{words}: {error}");
    }
}

#[test]
fn the_version_names_the_processor() {
    let (exit, said, _) = run(folder().path(), "--version");
    assert_eq!(exit, 0);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with(concat!("blindspot ", env!("CARGO_PKG_VERSION"))),
        "{said}"
    );
    assert!(lines[1].contains(std::env::consts::ARCH), "{said}");
    let (_, short, _) = run(folder().path(), "-V");
    assert_eq!(short.trim_end(), lines[0]);
}

#[test]
fn shells_and_man_get_every_command() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (exit, said, _) = run(folder.path(), &format!("completions {shell}"));
        assert_eq!(exit, 0, "{shell}");
        for word in ["attack", "reproduce", "correct-only"] {
            assert!(said.contains(word), "{shell}: {word}");
        }
    }
    let (exit, said, _) = run(folder.path(), "man pages/man1");
    assert_eq!(exit, 0);
    let pages = folder.path().join("pages/man1");
    let count = std::fs::read_dir(&pages).unwrap().count();
    assert_eq!(said.trim(), format!("Written: {count} pages in pages/man1"));
    for (page, says) in [
        ("blindspot.1", "Exit codes"),
        ("blindspot-attack.1", "correct\\-only"),
        ("blindspot-data-fetch.1", "Fetch MNIST"),
    ] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(says), "{page}: {text}");
    }
}

#[test]
fn errors_have_a_colour_where_it_is_asked_for() {
    let folder = folder();
    let error = |name: &str, value: &str| {
        let mut command = blindspot(folder.path());
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        let output = command
            .env("CLICOLOR_FORCE", "1")
            .env(name, value)
            .args(["inspect", "none.onnx"])
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let red = error("CLICOLOR_FORCE", "1");
    assert!(
        red.starts_with("\u{1b}[1m\u{1b}[31mblindspot:\u{1b}[0m "),
        "{red:?}"
    );
    assert!(error("NO_COLOR", "1").starts_with("blindspot: can't read"));
    let (_, _, piped) = run(folder.path(), "inspect none.onnx");
    assert!(piped.starts_with("blindspot: "), "{piped:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_that_is_full_is_told_from_one_that_nobody_reads() {
    let folder = folder();
    let full = || {
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    for words in [
        &["--help"][..],
        &["attack", "--help"],
        &["--version"],
        &["completions", "bash"],
    ] {
        let command = || {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_blindspot"));
            command.current_dir(folder.path()).args(words);
            command
        };
        let output = command().stdout(full()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{words:?}: {error}");
        assert!(error.contains("standard output"), "{error}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(
            command().stdout(writer).status().unwrap().code(),
            Some(0),
            "{words:?}"
        );
    }
}

#[test]
fn files_of_other_formats_are_named() {
    let folder = folder();
    let dir = folder.path();
    std::fs::write(dir.join("m.pt"), b"PK\x03\x04 model/data.pkl").unwrap();
    std::fs::create_dir(dir.join("saved")).unwrap();
    std::fs::write(dir.join("saved/saved_model.pb"), b"\x08\x01").unwrap();
    for (words, says) in [
        ("attack m.pt -o a.npz", "torch.onnx.export"),
        ("inspect m.pt", "torch.onnx.export"),
        ("certify saved -o a.npz", "--saved-model DIR"),
    ] {
        let (exit, _, error) = run(dir, words);
        assert_eq!(exit, 4, "{words}: {error}");
        assert!(error.contains(says), "{words}: {error}");
    }
    let (exit, _, error) = run(dir, "attack m.pt --device cuda -o a.npz");
    assert_eq!(exit, 2);
    assert!(error.contains("from Python"), "{error}");
    assert_eq!(run(dir, "data list --device cpu").0, 0);
    let (exit, _, error) = run(dir, "attack m.onnx --data saved -o a.npz");
    assert_eq!(exit, 4, "{error}");
}

/// The images of `data.npz`, every fifth of them with the other class.
fn mislabelled(dir: &Path) {
    let data = dir.join("data.npz");
    let (x, mut y) = (numbers!(&data, "x", f32), numbers!(&data, "y", i64));
    y.iter_mut()
        .step_by(5)
        .for_each(|label| *label = 1 - *label);
    let write = |sink: &mut dyn blindspot_data::files::Sink| {
        let mut npz = blindspot_data::numpy::NpzWriter::new(sink);
        npz.add("x", &[60, 6, 6], x.iter().map(|&pixel| Ok(pixel)))?;
        npz.add("y", &[60], y.iter().map(|&label| Ok(label)))?;
        npz.finish()
    };
    blindspot_data::files::write_atomically(&dir.join("wrong.npz"), write).unwrap();
}

#[test]
fn correct_only_takes_the_images_that_are_right_and_no_others() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    mislabelled(dir);
    let data = "model.onnx --data npz:wrong.npz --samples 40";
    for words in [
        format!("attack {data} -o all.npz"),
        format!("attack {data} --correct-only -o right.npz"),
        format!("certify {data} --correct-only -o certified.npz"),
        "transfer --examples all.npz --models model.onnx --correct-only -o transfer".to_owned(),
    ] {
        let (exit, said, error) = run(dir, &words);
        assert_eq!(exit, 0, "{words}: {error}");
        let only = said.contains(" of 40 ") && said.contains("the others are left out");
        assert_eq!(
            only,
            words.contains("correct-only") && !words.contains("transfer"),
            "{said}"
        );
    }
    let all = dir.join("all.npz");
    let (index, wrong) = (
        numbers!(&all, "index", i64),
        numbers!(&all, "already_wrong", bool),
    );
    let l2 = numbers!(&all, "l2", f64);
    let right: Vec<(i64, f64)> = (0..40)
        .filter(|&i| !wrong[i])
        .map(|i| (index[i], l2[i]))
        .collect();
    assert!((20..40).contains(&right.len()), "{}", right.len());
    let only = dir.join("right.npz");
    let found = numbers!(&only, "index", i64)
        .into_iter()
        .zip(numbers!(&only, "l2", f64));
    let found: Vec<(i64, f64)> = found.collect();
    assert_eq!(found, right);
    let record = json(&dir.join("right.json"));
    assert_eq!(record["right_of"], 40);
    assert_eq!(record["summary"]["samples"], right.len());
    let indices = numbers!(dir.join("certified.npz"), "index", i64);
    assert_eq!(
        indices,
        right.iter().map(|&(index, _)| index).collect::<Vec<_>>()
    );
    let matrix = json(&dir.join("transfer/transfer.json"));
    assert_eq!(matrix["rates"][0][0]["images"], right.len());
    assert_eq!(matrix["clean"][0][0]["wrong"], 0);
    assert_eq!(matrix["correct_only"], true);
}

#[test]
fn the_smallest_perturbations_of_all_are_kept_and_figures_stay_those_of_all() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let attack = "attack model.onnx --data npz:data.npz --samples 40 --save-images";
    for words in [
        format!("{attack} all -o all.npz"),
        format!("{attack} three --smallest 3 -o three.npz --report three.html"),
        format!("{attack} parts-images --shard 0/2 -o parts"),
        format!("{attack} parts-images --shard 1/2 -o parts"),
        "merge parts --smallest 3 --save-images merged -o merged.npz".to_owned(),
    ] {
        let (exit, said, error) = run(dir, &words);
        assert_eq!(exit, 0, "{words}: {error}");
        let kept = said.contains("kept               the 3 smallest perturbations of ");
        assert_eq!(kept, words.contains("--smallest"), "{said}");
    }
    let all = dir.join("all.npz");
    let (l2, index) = (numbers!(&all, "l2", f64), numbers!(&all, "index", i64));
    let fooled = numbers!(&all, "fooled", bool);
    let mut order: Vec<usize> = (0..40).filter(|&i| fooled[i]).collect();
    order.sort_by(|&a, &b| l2[a].total_cmp(&l2[b]));
    let mut wanted: Vec<i64> = order[..3].iter().map(|&i| index[i]).collect();
    let record = json(&dir.join("three.json"));
    assert_eq!(record["smallest_indices"], serde_json::json!(wanted));
    assert_eq!(record["summary"], json(&dir.join("all.json"))["summary"]);
    wanted.sort_unstable();
    assert_eq!(numbers!(dir.join("three.npz"), "index", i64), wanted);
    for (file, images) in [("three.npz", "three"), ("merged.npz", "merged")] {
        assert_eq!(numbers!(dir.join(file), "index", i64), wanted);
        let pictures = std::fs::read_dir(dir.join(images).join("adversarial")).unwrap();
        let pictures = pictures.filter(|file| {
            let name = file.as_ref().unwrap().file_name();
            name.to_string_lossy().ends_with(".png")
        });
        assert_eq!(pictures.count(), 3);
    }
    let page = std::fs::read_to_string(dir.join("three.html")).unwrap();
    assert_eq!(page.matches("class=\"case\"").count(), 3);
    let (exit, _, error) = run(dir, &format!("{attack} three --smallest 4 -o three.npz"));
    assert_eq!(exit, 2, "{error}");
    assert!(error.contains("smallest is 3, not 4"), "{error}");
    for words in [
        format!("{attack} three --smallest 4 --shard 0/2 -o parts"),
        format!("{attack} three --smallest 0 -o b.npz"),
    ] {
        assert_eq!(run(dir, &words).0, 2, "{words}");
    }
}

/// A network that wants 0 to 255, and gets 0 to 1.
#[test]
fn a_missing_range_is_named() {
    use blindspot_net::{Graph, Network, Op, Operand, onnx, ops};
    let folder = folder();
    let dir = folder.path();
    for (class, grey) in [("bright", 200u8), ("dark", 60)] {
        std::fs::create_dir_all(dir.join("images").join(class)).unwrap();
        for i in 0..20 {
            let png = blindspot_data::png(&[grey + i; 16], [1, 4, 4]).unwrap();
            std::fs::write(dir.join(format!("images/{class}/{i}.png")), png).unwrap();
        }
    }
    let mut graph = Graph::new("image", &[16]).unwrap();
    let weight = graph.weight("weight", &[16, 2]).unwrap();
    let bias = graph.weight("bias", &[2]).unwrap();
    let gemm = Op::Gemm(ops::Gemm { trans_b: false });
    let operands = [
        Operand::Value(graph.input()),
        Operand::Weight(weight),
        Operand::Weight(bias),
    ];
    graph.node("linear", gemm, &operands, "logits").unwrap();
    let weights = (0..32)
        .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
        .collect();
    let middle = 16.0 * 127.5;
    let network = Network::new(graph, vec![weights, vec![-middle, middle]]).unwrap();
    std::fs::write(
        dir.join("m.onnx"),
        onnx::write(&network, &Default::default()),
    )
    .unwrap();
    let (exit, _, error) = run(dir, "attack m.onnx --data folder:images -o a.npz");
    assert_eq!(exit, 0, "{error}");
    let says = "of 40 images tried, the model is right on 100% with --range 0,255, on 50% without";
    assert!(error.contains(says), "{error}");
    let (exit, _, error) = run(
        dir,
        "attack m.onnx --data folder:images --range 0,255 -o b.npz",
    );
    assert_eq!((exit, error.as_str()), (0, ""));
}
