//! What tests of the command share.
#![allow(dead_code, reason = "each test takes some of it")]

pub(crate) mod schema;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use blindspot_net::{Graph, Op, Operand, ValueId, ops};
use blindspot_testing::data_dir;

/// The command with the machine's image sets and an empty cache.
pub(crate) fn blindspot(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blindspot"));
    command
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"));
    match data_dir() {
        Some(data) => command.env("BLINDSPOT_DATA", data),
        None => command.env_remove("BLINDSPOT_DATA"),
    };
    command
}

/// Runs it with words, gives its exit code and what it said.
pub(crate) fn run(folder: &Path, words: &str) -> (i32, String, String) {
    outcome(blindspot(folder).args(words.split_whitespace()))
}

/// Runs a command, gives its exit code and what it said.
pub(crate) fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A small trained model: where it is, and its folder.
pub(crate) fn model(dir: &Path) -> PathBuf {
    let (exit, _, error) = run(
        dir,
        "train FC100-100-10 --iterations 15 --quiet --out model.onnx",
    );
    assert_eq!(exit, 0, "{error}");
    dir.join("model.onnx")
}

/// Images of two classes with 6 by 6 pixels, `data.npz`, and a small model of them, `model.onnx`.
pub(crate) fn small(dir: &Path) {
    let mut noise = blindspot_testing::Noise::new(7);
    let labels: Vec<i64> = (0..60).map(|image| image % 2).collect();
    let pixels: Vec<f32> = (0..60 * 36)
        .map(|place| {
            let (image, pixel) = (place / 36, place % 36);
            let bright = (pixel < 18) == (labels[image] == 0);
            f32::from(noise.byte()) / 400.0 + if bright { 0.3 } else { 0.0 }
        })
        .collect();
    let write = |sink: &mut dyn blindspot_data::files::Sink| {
        let mut npz = blindspot_data::numpy::NpzWriter::new(sink);
        npz.add("x", &[60, 6, 6], pixels.iter().map(|&pixel| Ok(pixel)))?;
        npz.add("y", &[60], labels.iter().map(|&label| Ok(label)))?;
        npz.finish()
    };
    blindspot_data::files::write_atomically(&dir.join("data.npz"), write).unwrap();
    let words = "train softmax3 --data npz:data.npz --iterations 5 --quiet --out model.onnx";
    let (exit, _, error) = run(dir, words);
    assert_eq!(exit, 0, "{error}");
}

/// Adds a fully connected layer, whose weights are `NAME.w` and `NAME.b`.
pub(crate) fn dense(
    graph: &mut Graph,
    value: ValueId,
    name: &str,
    takes: usize,
    gives: usize,
) -> ValueId {
    let weight = graph.weight(&format!("{name}.w"), &[takes, gives]).unwrap();
    let bias = graph.weight(&format!("{name}.b"), &[gives]).unwrap();
    let weights = [weight, bias].map(Operand::Weight);
    let operands = [&[Operand::Value(value)], &weights[..]].concat();
    let gemm = Op::Gemm(ops::Gemm { trans_b: false });
    graph.node(name, gemm, &operands, name).unwrap()
}
