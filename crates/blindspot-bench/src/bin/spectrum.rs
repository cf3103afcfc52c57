//! Times the circular reading of one layer: see `bench/README.md`.
//!
//! `spectrum MODEL.onnx LAYER THREADS` measures the layer as often as a line comes in on standard
//! input, and prints the seconds and the layer's smallest and largest singular values as a line of
//! JSON.

use std::io::BufRead;
use std::time::Instant;

use blindspot::spectrum::Spectrum;
use blindspot_net::onnx;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, layer, threads] = &arguments[..] else {
        return Err("usage: spectrum MODEL.onnx LAYER THREADS".into());
    };
    let network = onnx::read_file(model.as_ref())?.network;
    let spectrum = Spectrum::new(&network).layer(layer).padded(false);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build()?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let found = pool.install(|| spectrum.measure())?;
        let seconds = start.elapsed().as_secs_f64();
        let layer = found.layers.first().ok_or("no such layer")?;
        println!(
            "{}",
            serde_json::json!({
                "seconds": seconds,
                "lower": layer.circular.lower_nonzero,
                "upper": layer.circular.upper,
            })
        );
    }
    Ok(())
}
