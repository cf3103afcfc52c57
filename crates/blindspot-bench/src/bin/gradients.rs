//! Times loss and gradients of 784-100-100-10 on random images: see `bench/README.md`.
//!
//! `gradients IMAGES THREADS` prints the seconds of one evaluation of loss and weight gradient on
//! all images, as often as a line comes in on standard input.

use std::io::BufRead;
use std::time::Instant;

use blindspot::inputs::InMemory;
use blindspot::run::random::Stream;
use blindspot_paper::LabelledData;
use blindspot_paper::train::{Recipe, TrainingLoss};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse::<usize>().ok());
    let (Some(count), Some(threads)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: gradients IMAGES THREADS");
        std::process::exit(2);
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("the system has threads").install(|| run(count));
}

fn run(count: usize) {
    let mut noise = Stream::new(1, "values", 0);
    let values = (0..count * 784).map(|_| noise.uniform() as f32);
    let images = InMemory::new(values.collect(), 784);
    let labels: Vec<usize> = (0..count).map(|i| i % 10).collect();
    let recipe = Recipe::named("FC100-100-10").expect("it is one of the paper's");
    let few = InMemory::new(images.values()[..784 * 20].to_vec(), 784);
    let trained = recipe.with_iterations(1).train(&few, &labels[..20], 0);
    let network = trained.expect("random images can be trained on").network;
    let weights: Vec<f64> = network
        .weights()
        .iter()
        .flatten()
        .map(|&w| f64::from(w))
        .collect();
    let mut gradient = vec![0.0; weights.len()];
    let decay = vec![0.0; network.weights().len()];
    let mut loss = TrainingLoss::new(network, &LabelledData::new(&images, &labels), decay);
    loss.evaluate(&weights, &mut gradient)
        .expect("inputs in memory can be read");
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            return;
        }
        let start = Instant::now();
        loss.evaluate(&weights, &mut gradient)
            .expect("inputs in memory can be read");
        println!("{}", start.elapsed().as_secs_f64());
    }
}
