//! The environment is made once and holds what the requirements pin.

use blindspot_testing::{python, run_python, skip};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

#[test]
fn packages_are_the_pinned_ones() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let script = "import importlib.metadata as m, sys\n\
                  for name in sys.argv[1:]: print(f'{name}=={m.version(name)}')";
    let names = REQUIREMENTS
        .lines()
        .filter_map(|line| line.split("==").next());
    assert_eq!(run_python(script, names, "").unwrap(), REQUIREMENTS);
}

#[test]
fn input_larger_than_a_pipe_comes_back() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let input = "0123456789abcdef".repeat(40_000);
    let script = "import sys\nfor line in sys.stdin: print(line, end='')";
    assert_eq!(run_python(script, [""; 0], &input).unwrap(), input);
}

#[test]
fn a_failing_script_says_why() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let error = run_python("raise ValueError('blue')", [""; 0], "").unwrap_err();
    assert!(error.contains("ValueError: blue"), "{error}");
}
