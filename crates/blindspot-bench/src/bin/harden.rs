//! How a plan does on images that no network of the replication is judged by: trained on the first
//! 50,000 images of MNIST's training set, judged on the other 10,000.
//!
//! ```text
//! cargo run --release -p blindspot-bench --bin harden -- '{"epochs":20}' '{"layers":["input"]}' [SEED]
//! ```
//!
//! The first argument changes the batches' defaults, the second (or `-` for no pool) the pool's.

use std::error::Error;
use std::time::Instant;

use blindspot::classify::error;
use blindspot::inputs::{InMemory, Inputs};
use blindspot::run::monitor::Unwatched;
use blindspot::search::{Method, SearchOptions, search};
use blindspot::transfer::Distortion;
use blindspot_data::{DataSpec, ImageSet, Locations, Silent};
use blindspot_paper::harden::{Plan, PoolOptions, harden, layer_names};
use blindspot_paper::train::{MiniBatch, Recipe};
use blindspot_paper::{LabelledData, Session};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `start` with the entries of a JSON object in place of its own.
fn changed<T: Serialize + DeserializeOwned>(start: &T, changes: &str) -> serde_json::Result<T> {
    let mut value = serde_json::to_value(start)?;
    let changes: serde_json::Map<_, _> = serde_json::from_str(changes)?;
    if let serde_json::Value::Object(entries) = &mut value {
        entries.extend(changes);
    }
    serde_json::from_value(value)
}

/// Images from one position to before another, with their labels.
fn part(set: &ImageSet, from: usize, to: usize) -> (InMemory, Vec<usize>) {
    let length = set.image_len();
    let mut values = vec![0.0; (to - from) * length];
    for (i, image) in values.chunks_exact_mut(length).enumerate() {
        set.read(from + i, image).unwrap();
    }
    let labels = set.labels().unwrap_or_default()[from..to].to_vec();
    (InMemory::new(values, length), labels)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [training, pool, rest @ ..] = &arguments[..] else {
        return Err("usage: harden TRAINING POOL|- [SEED]".into());
    };
    let seed: u64 = rest.first().map_or(Ok(0), |seed| seed.parse())?;
    let set = "mnist:train".parse::<DataSpec>()?;
    let set = set.load(&Locations::new(None), &mut Silent)?;
    let (inputs, labels) = part(&set, 0, 50_000);
    let (held_out, held_out_labels) = part(&set, 50_000, 60_000);

    let start = Recipe::named("FC100-100-10")?.start(784, 10, seed);
    let all = PoolOptions::new(layer_names(&start));
    let plan = Plan {
        training: changed(&MiniBatch::new(20), training)?,
        pool: match pool.as_str() {
            "-" => None,
            changes => Some(changed(&all, changes)?),
        },
    };
    let begun = Instant::now();
    let (data, watch) = (LabelledData::new(&inputs, &labels), &Unwatched);
    let (trained, counts) = harden(start, &data, &plan, "harden", &Session::new(seed))?;
    let seconds = begun.elapsed().as_secs_f64();
    let search_options = SearchOptions::default().method(Method::Lbfgs).shrink(false);
    let some: Vec<usize> = (0..500).collect();
    let network = &trained.network;
    let found = search(
        network,
        &held_out,
        &held_out_labels,
        &some,
        &search_options,
        watch,
    )?;
    println!(
        "train {:.2}%, held out {:.2}%, distortion {}, loss {:.5}, {seconds:.0} s",
        100.0 * error(network, &inputs, &labels)?,
        100.0 * error(network, &held_out, &held_out_labels)?,
        Distortion::of_examples(&found).map_or("-".into(), |d| format!("{:.4}", d.mean)),
        trained.loss,
    );
    for count in counts {
        println!("  {}", serde_json::to_string(&count)?);
    }
    Ok(())
}
