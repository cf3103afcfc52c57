//! What a kill at any file operation leaves: the files of before or whole new ones, from which the same command ends
//! with the files of an undisturbed run, and nothing else.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{blindspot, folder, run, small};

/// The shim that kills, compiled.
fn shim(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crashes/shim.c");
    let shim = folder.join("shim.so");
    // What links this program.
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&shim, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(compiled.success());
    shim
}

/// All files below a folder, by their paths in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

fn write(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Whether a file is only there while work is under way.
fn passes(name: &Path) -> bool {
    let name = name.to_string_lossy();
    [".journal", ".checkpoint", ".partial"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Kills of a command, at most.
const MOST: usize = 60;

/// Kills a command at each of its file operations in turn, and runs it to its end then.
fn survives(words: &str, prepare: impl Fn(&Path)) {
    let home = folder();
    let shim = shim(home.path());
    let before = folder();
    small(before.path());
    prepare(before.path());
    let before = contents(before.path());

    let undisturbed = folder();
    write(undisturbed.path(), &before);
    let count = home.path().join("count");
    let output = blindspot(undisturbed.path())
        .args(words.split_whitespace())
        .env("LD_PRELOAD", &shim)
        .env("COUNT_IN", &count)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {error}");
    let operations: usize = std::fs::read_to_string(count).unwrap().parse().unwrap();
    let expected = contents(undisturbed.path());
    let passes = |name: &PathBuf| passes(name) && !before.contains_key(name);
    assert!(operations > 5 && !expected.keys().any(passes));

    // All of them, unless these are very many.
    for at in (1..=operations).step_by(operations.div_ceil(MOST)) {
        let killed = folder();
        write(killed.path(), &before);
        let status = blindspot(killed.path())
            .args(words.split_whitespace())
            .env("LD_PRELOAD", &shim)
            .env("KILL_AT", at.to_string())
            .output()
            .unwrap()
            .status;
        // Threads may share the operations out otherwise than before.
        let last = status.success();
        assert!(last || status.code().is_none(), "{words}: {at} {status}");
        for (name, bytes) in contents(killed.path()) {
            let whole = expected.get(&name).is_some_and(|whole| *whole == bytes);
            assert!(whole || passes(&name), "{words}: {at}: {}", name.display());
        }
        let (exit, _, error) = run(killed.path(), words);
        assert_eq!(exit, 0, "{words}: {at}: {error}");
        let left = contents(killed.path());
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&left), names(&expected), "{words}: {at}: {error}");
        assert!(left == expected, "{words}: {at}");
    }
}

const IMAGES: &str = "model.onnx --data npz:data.npz --samples 12 --quiet";

#[test]
fn an_attack_survives_a_kill_at_any_file_operation() {
    let words = format!("attack {IMAGES} --target untargeted --save-images changed --out a.npz");
    survives(&words, |_| {});
}

#[test]
fn an_attack_with_certificates_does() {
    let words = format!("attack {IMAGES} --target untargeted --certify --out results/a.npz");
    survives(&words, |_| {});
}

#[test]
fn certificates_do() {
    survives(&format!("certify {IMAGES} --out c.npz"), |_| {});
}

#[test]
fn a_training_does() {
    let words = "train softmax2 --data npz:data.npz --iterations 4 --quiet --out trained.onnx";
    survives(words, |_| {});
}

#[test]
fn a_merge_does() {
    survives("merge parts --quiet --out merged.npz", |dir| {
        for shard in 0..2 {
            let words = format!("certify {IMAGES} --shard {shard}/2 --out parts");
            let (exit, _, error) = run(dir, &words);
            assert_eq!(exit, 0, "{error}");
        }
    });
}

#[test]
fn a_table_of_transfers_does() {
    let words = "transfer --examples a.npz --models model.onnx --noise 0.1 --quiet --out t";
    survives(words, |dir| {
        let words = format!("attack {IMAGES} --target untargeted --out a.npz");
        let (exit, _, error) = run(dir, &words);
        assert_eq!(exit, 0, "{error}");
    });
}

#[test]
fn a_replication_does() {
    let words = "reproduce figure5 --model model.onnx --data npz:data.npz --quick --quiet --out r";
    survives(words, |_| {});
}

#[test]
fn a_universal_perturbation_does() {
    let words = "universal model.onnx --data npz:data.npz --epsilon 1 --quiet --out u.npz";
    survives(words, |_| {});
}

#[test]
fn a_study_of_units_does() {
    let words = "units model.onnx --data npz:data.npz --layer logits --quiet --out units";
    survives(words, |_| {});
}

#[test]
fn spectra_do() {
    survives("spectrum model.onnx --quiet --out spectra", |_| {});
}
