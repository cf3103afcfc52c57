//! What tests of the command share.
#![allow(dead_code, reason = "each test takes some of it")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
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
    let output = blindspot(folder)
        .args(words.split_whitespace())
        .output()
        .unwrap();
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
