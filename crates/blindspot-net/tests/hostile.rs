//! Operators with absurd attributes and constants: an error or a network, never a panic, nor more
//! memory or time than a network of that size takes.

use std::time::{Duration, Instant};

use blindspot_net::{Evaluator, onnx};
use blindspot_testing::{python, run_python, skip};

/// The longest that reading and running one of these small models may take, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn absurd_numbers_are_refused_or_read() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let claimed = serde_json::to_string(&onnx::OPERATORS[..]).unwrap();
    let count = run_python(include_str!("hostile.py"), [folder.path()], claimed).unwrap();
    let count: usize = count.trim().parse().unwrap();
    assert!(count > 1000, "{count} files");
    let mut refused = 0;
    for i in 0..count {
        let bytes = std::fs::read(folder.path().join(format!("{i}.onnx"))).unwrap();
        for unbatched in [false, true] {
            let begun = Instant::now();
            let options = onnx::ReadOptions::default().unbatched(unbatched);
            match onnx::read_with(bytes.clone(), &options) {
                Ok(model) => {
                    let network = model.network;
                    let values = network.graph().values().iter();
                    let numbers: usize = values.map(|value| value.len()).sum();
                    if numbers < 1 << 24 {
                        let mut evaluator = Evaluator::new(&network);
                        evaluator.input(1).fill(0.5);
                        let outputs = evaluator.forward().len();
                        evaluator.backward(&vec![1.0; outputs]);
                    }
                }
                Err(_) => refused += 1,
            }
            let took = begun.elapsed();
            assert!(took < PATIENCE, "file {i} took {took:?}");
        }
    }
    assert!(refused > 100, "{refused} refused");
}
