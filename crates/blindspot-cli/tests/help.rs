//! Every `--help`, as it stood when it was last looked at.
#![cfg(not(feature = "mpi"))]

use std::process::Command;

/// What `--help` prints after some words, in lines of 100 characters.
fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_blindspot"))
        .args(words)
        .arg("--help")
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_help_is_as_it_was() {
    let commands = [
        "reproduce",
        "inspect",
        "attack",
        "merge",
        "transfer",
        "universal",
        "units",
        "spectrum",
        "certify",
        "train",
        "data",
        "schema",
        "completions",
        "man",
    ];
    insta::assert_snapshot!("blindspot", help(&[]));
    for command in commands {
        insta::assert_snapshot!(command, help(&[command]));
    }
    for command in ["list", "fetch", "verify"] {
        insta::assert_snapshot!(format!("data-{command}"), help(&["data", command]));
    }
}

/// An option after a group of options once stood under that group's heading.
#[test]
fn options_stand_under_their_own_headings() {
    for command in ["attack", "certify", "units", "reproduce"] {
        let help = help(&[command]);
        let options = help.split("\nOptions:\n").nth(1).unwrap();
        let section = options.split("\nImages:").next().unwrap();
        for option in ["--out <", "--seed <", "--shard <"] {
            assert!(section.contains(option), "{command}: {option}");
        }
    }
}
