//! Times the search on the first images of a set: see `bench/README.md`.
//!
//! `search MODEL.onnx DATA IMAGES METHOD TARGET THREADS [NORM [EVALUATIONS]]` searches as often as an empty line comes in on
//! standard input, and prints the seconds, the evaluations, each image's norm (0 for an image that is
//! wrong as it is, -1 for a failure) and its target as a line of JSON. A line with a path writes the images there, as
//! floats one after the other, and prints the labels. Photographs are cropped to the network's input.

use std::io::BufRead;
use std::time::Instant;

use blindspot::run::monitor::Unwatched;
use blindspot::search::{Norm, SearchOptions, search};
use blindspot_data::{DataSpec, Fit, Locations, Silent};
use blindspot_net::onnx;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, data, count, method, target, threads, more @ ..] = &arguments[..] else {
        return Err(
            "usage: search MODEL.onnx DATA IMAGES METHOD TARGET THREADS [NORM [EVALUATIONS]]"
                .into(),
        );
    };
    let norm: Norm = more.first().map_or(Ok(Norm::L2), |norm| norm.parse())?;
    let most: Option<u64> = more.get(1).map(|most| most.parse()).transpose()?;
    let network = onnx::read_file(model.as_ref())?.network.logits();
    let locations = Locations::new(None);
    let mut set = data.parse::<DataSpec>()?.load(&locations, &mut Silent)?;
    if let (true, &[_, height, width]) = (set.is_of_files(), network.input_shape()) {
        set = set.fitted(&Fit {
            crop: Some([height, width]),
            ..Fit::default()
        })?;
    }
    let images = set.first(count.parse()?);
    let labels = images.labels().ok_or("no labels")?;
    let options = SearchOptions::default()
        .target(target.parse()?)
        .method(method.parse()?)
        .norm(norm)
        .max_evaluations(most);
    let indices: Vec<usize> = (0..images.len()).collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build()?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let path = line?;
        if !path.is_empty() {
            let mut floats = vec![0.0f32; images.len() * images.image_len()];
            for (i, image) in floats.chunks_exact_mut(images.image_len()).enumerate() {
                images.read_image(i, image).unwrap();
            }
            let bytes: Vec<u8> = floats.iter().flat_map(|f| f.to_le_bytes()).collect();
            std::fs::write(path, bytes)?;
            println!("{}", serde_json::json!(labels));
            continue;
        }
        let start = Instant::now();
        let examples =
            pool.install(|| search(&network, &images, labels, &indices, &options, &Unwatched))?;
        let seconds = start.elapsed().as_secs_f64();
        let norms: Vec<f64> = examples
            .iter()
            .map(|example| {
                if example.success {
                    example.norm(norm)
                } else {
                    -1.0
                }
            })
            .collect();
        let gradients: u64 = examples.iter().map(|example| example.gradients).sum();
        let evaluations: u64 = examples.iter().map(|example| example.evaluations).sum();
        let kkt: Vec<f64> = examples
            .iter()
            .map(|example| example.kkt_residual)
            .collect();
        let targets: Vec<usize> = examples.iter().map(|example| example.target).collect();
        println!(
            "{}",
            serde_json::json!({
                "seconds": seconds,
                "evaluations": evaluations,
                "gradients": gradients,
                "norms": norms,
                "kkt": kkt,
                "targets": targets,
            })
        );
    }
    Ok(())
}
