//! Outputs and input gradients of a model as an exporter wrote it: see `bench/README.md`.
//!
//! `exports MODEL.onnx IMAGES IMAGE_COUNT` reads images of single precision, one after the other, and
//! prints a line of JSON: why the model can't be read, or how it was read, and its outputs. For each
//! line on standard input, a JSON list of a factor for each output of the first image, it prints the
//! seconds that the outputs of the first image and the gradient of their sum, each times its factor,
//! took, and that gradient.

use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

use blindspot_net::{Evaluator, Network, onnx};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, images, count] = &arguments[..] else {
        eprintln!("usage: exports MODEL.onnx IMAGES IMAGE_COUNT");
        std::process::exit(2);
    };
    let count: usize = count.parse()?;
    let images = std::fs::read(images)?;
    let images: Vec<f32> = images
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect();
    let start = Instant::now();
    let model = match onnx::read_file(model.as_ref()) {
        Ok(model) => model,
        Err(error) => {
            println!("{}", json!({ "error": error.to_string() }));
            return Ok(());
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let mut evaluator = Evaluator::new(&model.network);
    if images.len() != count * model.network.input_len() {
        let shape = model.network.input_shape();
        let error = format!("it takes images of the shape {shape:?}");
        println!("{}", json!({ "error": error }));
        return Ok(());
    }
    evaluator.input(count).copy_from_slice(&images);
    let outputs = evaluator.forward().to_vec();
    let said = json!({
        "read_seconds": seconds,
        "numbers": model.network.parameters(),
        "notes": model.notes,
        "outputs": outputs,
    });
    println!("{said}");
    differentiate(&model.network, &images)
}

/// The gradients that are asked for on standard input.
fn differentiate(network: &Network<f32>, images: &[f32]) -> Result<(), Box<dyn Error>> {
    let mut evaluator = Evaluator::new(network);
    for line in std::io::stdin().lock().lines() {
        let factors: Vec<f32> = serde_json::from_str(&line?)?;
        let start = Instant::now();
        evaluator
            .input(1)
            .copy_from_slice(&images[..network.input_len()]);
        evaluator.forward();
        let gradient = evaluator.backward(&factors);
        let seconds = start.elapsed().as_secs_f64();
        println!("{}", json!({ "seconds": seconds, "gradient": gradient }));
    }
    Ok(())
}
