//! Holds certificates against every search: see `bench/README.md`.
//!
//! `soundness MODEL.onnx IMAGES SECONDS [NORM] [EVALUATIONS]` certifies the first images of MNIST's test
//! set in NORM (l2), refines the certificates for SECONDS, runs every method (untargeted) on all of them,
//! with at most EVALUATIONS evaluations an image, and prints for each, as a Markdown table, the smallest
//! ratio of a perturbation, in NORM, to its image's certificate. It fails if one is below 1.

use std::time::{Duration, Instant};

use blindspot::certify::Certifier;
use blindspot::model::InputBox;
use blindspot::run::monitor::Unwatched;
use blindspot::search::{Method, Norm, SearchOptions, Target, search};
use blindspot_data::{DataSpec, Locations, Silent};
use blindspot_net::onnx;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, count, seconds, more @ ..] = &arguments[..] else {
        return Err("usage: soundness MODEL.onnx IMAGES SECONDS [NORM] [EVALUATIONS]".into());
    };
    let norm = more.iter().find_map(|word| word.parse().ok());
    let norm: Norm = norm.unwrap_or_default();
    let max_evaluations: Option<u64> = more.iter().find_map(|word| word.parse().ok());
    let network = onnx::read_file(model.as_ref())?.network.logits();
    let set = "mnist:test"
        .parse::<DataSpec>()?
        .load(&Locations::new(None), &mut Silent)?;
    let images = set.first(count.parse()?);
    let labels = images.labels().ok_or("no labels")?;
    let indices: Vec<usize> = (0..images.len()).collect();
    let certifier = Certifier::for_network(&network, InputBox::default())?.norm(norm);
    let began = Instant::now();
    let mut certificates = certifier.certify_inputs(&images, labels, &indices, &Unwatched)?;
    let deadline = began + Duration::from_secs_f64(seconds.parse()?);
    certifier.refine(&mut certificates, &images, deadline, &Unwatched)?;
    let mean = certificates.iter().map(|c| c.radius).sum::<f64>() / indices.len() as f64;
    println!(
        "{model}: mean {norm} certificate {mean:.4}, {:.0} s\n\n\
         | method | perturbations | smallest ratio to its certificate |\n|---|---:|---:|",
        began.elapsed().as_secs_f64()
    );
    let mut below = 0;
    for (method, name) in Method::NAMES {
        let options = SearchOptions::default()
            .target(Target::Untargeted)
            .method(method)
            .norm(if method == Method::Sqp {
                norm
            } else {
                Norm::L2
            })
            .max_evaluations(max_evaluations);
        let examples = search(&network, &images, labels, &indices, &options, &Unwatched)?;
        let pairs = certificates.iter().zip(&examples);
        let ratios: Vec<f64> = pairs
            .filter(|(_, example)| example.success && !example.already_misclassified)
            .map(|(certificate, example)| example.norm(norm) / certificate.radius)
            .collect();
        below += ratios.iter().filter(|ratio| **ratio < 1.0).count();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        println!("| {name} | {} | {least:.4} |", ratios.len());
    }
    match below {
        0 => Ok(()),
        _ => Err(format!("{below} perturbations are smaller than their certificates").into()),
    }
}
