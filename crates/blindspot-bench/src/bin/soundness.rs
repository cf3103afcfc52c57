//! Holds certificates against every search: see `bench/README.md`.
//!
//! `soundness MODEL.onnx IMAGES SECONDS [NORM,...] [EVALUATIONS]` certifies the first images of MNIST's test
//! set in each NORM (l2), refines the certificates for SECONDS each, runs every method (untargeted) on all of them,
//! with at most EVALUATIONS evaluations an image, and prints for each, as a Markdown table, the smallest
//! ratio of a perturbation to its image's certificate, in each NORM. The search of its own is made in each of them, the
//! published methods in L2. It fails if a ratio is below 1.

use std::time::{Duration, Instant};

use blindspot::certify::Certifier;
use blindspot::model::InputBox;
use blindspot::run::monitor::Unwatched;
use blindspot::search::{Example, Method, Norm, SearchOptions, Target, search};
use blindspot_data::{DataSpec, Locations, Silent};
use blindspot_net::onnx;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, count, seconds, more @ ..] = &arguments[..] else {
        return Err("usage: soundness MODEL.onnx IMAGES SECONDS [NORM] [EVALUATIONS]".into());
    };
    let norms = |word: &String| word.split(',').map(str::parse).collect::<Result<_, _>>();
    let norms: Vec<Norm> = more
        .iter()
        .find_map(|word| norms(word).ok())
        .unwrap_or_else(|| vec![Norm::L2]);
    let max_evaluations: Option<u64> = more.iter().find_map(|word| word.parse().ok());
    let network = onnx::read_file(model.as_ref())?.network.logits();
    let set = "mnist:test"
        .parse::<DataSpec>()?
        .load(&Locations::new(None), &mut Silent)?;
    let images = set.first(count.parse()?);
    let labels = images.labels().ok_or("no labels")?;
    let indices: Vec<usize> = (0..images.len()).collect();
    let mut certified = Vec::new();
    for &norm in &norms {
        let certifier = Certifier::for_network(&network, InputBox::default())?.norm(norm);
        let began = Instant::now();
        let mut certificates = certifier.certify_inputs(&images, labels, &indices, &Unwatched)?;
        let deadline = began + Duration::from_secs_f64(seconds.parse()?);
        certifier.refine(&mut certificates, &images, deadline, &Unwatched)?;
        let mean = certificates.iter().map(|c| c.radius).sum::<f64>() / indices.len() as f64;
        println!(
            "{model}: mean {norm} certificate {mean:.4}, {:.0} s\n",
            began.elapsed().as_secs_f64()
        );
        certified.push((norm, certificates));
    }
    let heads: Vec<String> = norms
        .iter()
        .map(|norm| format!(" smallest ratio, {norm} |"))
        .collect();
    println!("| method | perturbations |{}", heads.concat());
    println!("|---|---:|{}", "---:|".repeat(norms.len()));
    let mut below = 0;
    for (method, name) in Method::NAMES {
        let mut examples: Option<Vec<Example>> = None;
        let mut cells = String::new();
        for (norm, certificates) in &certified {
            // What the published methods find is the same for all norms.
            let is_own = method == Method::Sqp;
            let options = SearchOptions::default()
                .target(Target::Untargeted)
                .method(method)
                .norm(if is_own { *norm } else { Norm::L2 })
                .max_evaluations(max_evaluations);
            let found = match examples.take() {
                Some(found) if !is_own => found,
                _ => search(&network, &images, labels, &indices, &options, &Unwatched)?,
            };
            let pairs = certificates.iter().zip(&found);
            let ratios: Vec<f64> = pairs
                .filter(|(_, example)| example.success && !example.already_misclassified)
                .map(|(certificate, example)| example.norm(*norm) / certificate.radius)
                .collect();
            below += ratios.iter().filter(|ratio| **ratio < 1.0).count();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            if cells.is_empty() {
                cells = format!(" {} |", ratios.len());
            }
            cells += &format!(" {least:.4} |");
            examples = Some(found);
        }
        println!("| {name} |{cells}");
    }
    match below {
        0 => Ok(()),
        _ => Err(format!("{below} perturbations are smaller than their certificates").into()),
    }
}
