//! Times local filtering and its gradients by images and weights on one batch of random images, on one
//! thread: see `bench/README.md`.
//!
//! `local CHANNELS SIDE FIELD MAPS BATCH` prints the seconds of one evaluation as often as a line comes
//! in on standard input.

use std::io::BufRead;
use std::time::Instant;

use blindspot::run::random::Stream;
use blindspot_net::ops::{Fields, Local, Transpose};
use blindspot_net::{Evaluator, Graph, Network, Op, Operand};

fn main() {
    let numbers = std::env::args().skip(1).map(|number| number.parse().ok());
    let numbers: Option<Vec<usize>> = numbers.collect();
    let Some(&[channels, side, field, maps, batch]) = numbers.as_deref() else {
        eprintln!("usage: local CHANNELS SIDE FIELD MAPS BATCH");
        std::process::exit(2);
    };
    match network([channels, side, side], field, maps) {
        Ok(network) => run(&network, batch),
        Err(why) => {
            eprintln!("{why}");
            std::process::exit(2);
        }
    }
}

fn random(count: usize) -> Vec<f32> {
    let mut noise = Stream::new(1, "values", 0);
    (0..count).map(|_| noise.uniform() as f32 - 0.5).collect()
}

/// Filters at each position, their outputs map after map.
fn network(shape: [usize; 3], field: usize, maps: usize) -> Result<Network<f32>, String> {
    let (fields, _) = Fields::windows(shape, field, 1)?;
    let shape_of_weight = [fields.count(), fields.field_len(), maps];
    let text = |error: blindspot_net::GraphError| error.to_string();
    let mut graph = Graph::new("image", &shape).map_err(text)?;
    let weight = graph.weight("weight", &shape_of_weight).map_err(text)?;
    let operands = [Operand::Value(graph.input()), Operand::Weight(weight)];
    let local = Op::Local(Local { fields });
    let filtered = graph.node("filters", local, &operands, "filters");
    let filtered = [Operand::Value(filtered.map_err(text)?)];
    let permutation = vec![1, 0];
    let by_map = Op::Transpose(Transpose { permutation });
    graph
        .node("maps", by_map, &filtered, "maps")
        .map_err(text)?;
    let weights = vec![random(shape_of_weight.iter().product())];
    Network::new(graph, weights).map_err(|error| error.to_string())
}

fn run(network: &Network<f32>, batch: usize) {
    let mut evaluator = Evaluator::new(network);
    let images = random(batch * network.input_len());
    evaluator.input(batch).copy_from_slice(&images);
    let by_output = random(batch * network.output_len());
    let mut by_weights = vec![vec![0.0; network.weights()[0].len()]];
    let mut once = || {
        let start = Instant::now();
        evaluator.forward();
        by_weights[0].fill(0.0);
        let by_images = evaluator.backward_both(&by_output, &mut by_weights);
        assert!(by_images.iter().all(|value| value.is_finite()));
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
