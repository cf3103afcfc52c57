//! Times loss and input gradient of a network on one batch of random images, on one thread: see
//! `bench/README.md`.
//!
//! `input_gradient conv|alexnet|MODEL.onnx BATCH` prints the seconds of one evaluation as often as
//! a line comes in on standard input.

use std::io::BufRead;
use std::time::Instant;

use blindspot::run::random::Stream;
use blindspot_net::{Evaluator, Network, cross_entropy, onnx};
use blindspot_paper::architectures;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, batch) = match &arguments[..] {
        [name, batch] => (name.as_str(), batch.parse().unwrap_or(0)),
        _ => ("", 0),
    };
    if batch == 0 {
        eprintln!("usage: input_gradient conv|alexnet|MODEL.onnx BATCH");
        std::process::exit(2);
    }
    let network = match name {
        "conv" => architectures::conv(0),
        "alexnet" => architectures::alexnet(0),
        file => match onnx::read_file(file.as_ref()) {
            Ok(model) => model.network,
            Err(error) => return eprintln!("{file}: {error}"),
        },
    };
    run(&network, batch);
}

fn run(network: &Network<f32>, batch: usize) {
    let mut noise = Stream::new(1, "values", 0);
    let mut evaluator = Evaluator::new(network);
    for value in evaluator.input(batch) {
        *value = noise.uniform() as f32;
    }
    let classes = network.output_len();
    let labels: Vec<usize> = (0..batch).map(|i| i % classes).collect();
    let mut once = || {
        let start = Instant::now();
        let logits = evaluator.forward();
        let mut by_logits = vec![0.0; logits.len()];
        let mut sum = 0.0;
        cross_entropy(logits, classes, &labels, &mut by_logits, |_, loss| {
            sum += loss
        });
        let gradient = evaluator.backward(&by_logits);
        assert!(sum.is_finite() && gradient.iter().all(|value| value.is_finite()));
        start.elapsed().as_secs_f64()
    };
    once();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            return;
        }
        println!("{}", once());
    }
}
