//! Times the search on images of MNIST's test set: see `bench/README.md`.
//!
//! `search MODEL.onnx IMAGES METHOD TARGET THREADS` runs it as often as a line comes in on
//! standard input, and prints the seconds, the evaluations and each image's L2 norm (0 for an
//! image that is wrong as it is, -1 for a failure) as a line of JSON.

use std::io::BufRead;
use std::time::Instant;

use blindspot::monitor::Unwatched;
use blindspot::search::{SearchOptions, search};
use blindspot_data::{DataSpec, Locations, Silent};
use blindspot_net::onnx;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, count, method, target, threads] = &arguments[..] else {
        return Err("usage: search MODEL.onnx IMAGES METHOD TARGET THREADS".into());
    };
    let network = onnx::read(&std::fs::read(model)?)?
        .network
        .without_softmax();
    let locations = Locations::new(None);
    let set = "mnist:test"
        .parse::<DataSpec>()?
        .load(&locations, &mut Silent)?;
    let images = set.first(count.parse()?);
    let labels = images.labels().ok_or("no labels")?;
    let options = SearchOptions {
        target: target.parse()?,
        method: method.parse()?,
        ..SearchOptions::default()
    };
    let indices: Vec<usize> = (0..images.len()).collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build()?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let examples =
            pool.install(|| search(&network, &images, labels, &indices, &options, &Unwatched))?;
        let seconds = start.elapsed().as_secs_f64();
        let norms: Vec<f64> = examples
            .iter()
            .map(|example| if example.success { example.l2 } else { -1.0 })
            .collect();
        let gradients: u64 = examples.iter().map(|example| example.gradients).sum();
        let evaluations: u64 = examples.iter().map(|example| example.evaluations).sum();
        let kkt: Vec<f64> = examples.iter().map(|example| example.kkt).collect();
        println!(
            "{}",
            serde_json::json!({"seconds": seconds, "evaluations": evaluations, "gradients": gradients, "l2": norms, "kkt": kkt})
        );
    }
    Ok(())
}
