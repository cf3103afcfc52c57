//! Distances between the inputs of a set. Sets that don't fit in memory are read tile by tile.

use std::collections::BTreeMap;

use blindspot_model::inputs::{InputError, Inputs, read_batch};
use blindspot_net::{Network, vectorised};
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;

use super::UnitsError;
use super::evaluator_pool::EvaluatorPool;

/// Memory for one tile of inputs, in bytes.
const MAX_TILE_BYTES: usize = 256 << 20;
/// Values of each input that are compared at a time.
const STRIPE_VALUES: usize = 1024;
/// Memory for one thread's activations, in bytes.
const MAX_THREAD_BYTES: usize = 64 << 20;
/// Largest number of inputs that a thread evaluates at once.
const MAX_BATCH_INPUTS: usize = 256;

/// The mean distance within each set of inputs (indices in `inputs`): the mean over all pairs of the
/// root mean square of their difference. With a network, its outputs are compared instead of the
/// inputs. A set of fewer than two inputs has no distance.
pub(super) fn mean_distances(
    inputs: &(impl Inputs + ?Sized),
    network: Option<&Network<f32>>,
    sets: &[Vec<usize>],
    work: &str,
    monitor: &dyn Monitor,
) -> Result<Vec<Option<f64>>, UnitsError> {
    let length = network.map_or(inputs.input_len(), Network::output_len);
    distances_in_tiles(
        inputs,
        network,
        sets,
        work,
        MAX_TILE_BYTES / (4 * length),
        monitor,
    )
}

fn distances_in_tiles(
    inputs: &(impl Inputs + ?Sized),
    network: Option<&Network<f32>>,
    sets: &[Vec<usize>],
    work: &str,
    per_tile: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<Option<f64>>, UnitsError> {
    let length = network.map_or(inputs.input_len(), Network::output_len);
    let mut pairs: Vec<[usize; 2]> = sets.iter().flat_map(|set| pairs_of(set)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut used: Vec<usize> = pairs.iter().flatten().copied().collect();
    used.sort_unstable();
    used.dedup();
    // Pairs grouped by the tiles that they stand in.
    let per_tile = per_tile.max(1);
    let tile_of = |input: usize| used.partition_point(|&other| other < input) / per_tile;
    let mut by_tiles: BTreeMap<[usize; 2], Vec<usize>> = BTreeMap::new();
    for (place, pair) in pairs.iter().enumerate() {
        by_tiles.entry(pair.map(tile_of)).or_default().push(place);
    }
    let tiles: Vec<&[usize]> = used.chunks(per_tile).collect();
    let mut distances = vec![0.0; pairs.len()];
    let mut held: Option<(usize, Vec<f32>)> = None;
    monitor.begin(work, by_tiles.len() as u64);
    for (done, ([first, second], places)) in by_tiles.iter().enumerate() {
        if monitor.cancelled() {
            monitor.end();
            return Err(UnitsError::Cancelled);
        }
        // Groups come in order, so that a first tile is loaded once for all its second tiles.
        let a = match held.take() {
            Some((tile, values)) if tile == *first => values,
            _ => load(inputs, network, tiles[*first])?,
        };
        let loaded = (first != second).then(|| load(inputs, network, tiles[*second]));
        let loaded = loaded.transpose()?;
        let b = loaded.as_ref().unwrap_or(&a);
        let row = |tile: usize, input: usize| {
            let at = tiles[tile].partition_point(|&other| other < input);
            at * length..(at + 1) * length
        };
        // By stripes, so that the values that pairs share stay in the processor's cache.
        let mut squares = vec![0.0; places.len()];
        for start in (0..length).step_by(STRIPE_VALUES) {
            let stripe = start..(start + STRIPE_VALUES).min(length);
            let pairs_of_tiles = squares.par_iter_mut().with_min_len(16).zip(places);
            pairs_of_tiles.for_each(|(sum, &place)| {
                let [i, j] = pairs[place];
                let (a, b) = (&a[row(*first, i)], &b[row(*second, j)]);
                *sum += square_distance(&a[stripe.clone()], &b[stripe.clone()]);
            });
        }
        for (&place, square) in places.iter().zip(squares) {
            distances[place] = (square / length as f64).sqrt();
        }
        held = Some((*first, a));
        monitor.progress(done as u64 + 1, "");
    }
    monitor.end();
    let mean = |set: &Vec<usize>| {
        let of_pairs = pairs_of(set).map(|pair| {
            let place = pairs.binary_search(&pair);
            distances[place.expect("every pair of a set was collected")]
        });
        let (sum, count) = of_pairs.fold((0.0, 0), |(sum, count), d| (sum + d, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    };
    Ok(sets.iter().map(mean).collect())
}

/// All pairs of a set, each with its lower index first.
fn pairs_of(set: &[usize]) -> impl Iterator<Item = [usize; 2]> {
    (0..set.len()).flat_map(move |j| {
        let pair = move |i: usize| [set[i].min(set[j]), set[i].max(set[j])];
        (0..j).map(pair)
    })
}

/// The inputs `chosen`, or a network's outputs for them, one after the other.
pub(super) fn load(
    inputs: &(impl Inputs + ?Sized),
    network: Option<&Network<f32>>,
    chosen: &[usize],
) -> Result<Vec<f32>, InputError> {
    let Some(network) = network else {
        let length = inputs.input_len();
        let mut values = vec![0.0; chosen.len() * length];
        let places = values.par_chunks_exact_mut(length).zip(chosen);
        places.try_for_each(|(place, &input)| inputs.read(input, place))?;
        return Ok(values);
    };
    let graph = network.graph().values().iter();
    let bytes: usize = graph.map(|value| size_of::<f32>() * value.len()).sum();
    let batch = (MAX_THREAD_BYTES / bytes.max(1)).clamp(1, MAX_BATCH_INPUTS);
    let length = network.output_len();
    let mut values = vec![0.0; chosen.len() * length];
    let pool = EvaluatorPool::default();
    values
        .par_chunks_mut(batch * length)
        .zip(chosen.par_chunks(batch))
        .try_for_each(|(place, chosen)| {
            pool.evaluate(network, &[], |evaluator| {
                let input = evaluator.input(chosen.len());
                read_batch(inputs, chosen.iter().copied(), input)?;
                place.copy_from_slice(evaluator.forward());
                Ok::<(), InputError>(())
            })
        })?;
    Ok(values)
}

/// The squared L2 distance.
fn square_distance(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 16;
    vectorised(
        #[inline(always)]
        move || {
            let mut sums = [0.0f64; LANES];
            let (a_runs, b_runs) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
            let rest = a_runs.remainder().iter().zip(b_runs.remainder());
            let rest: f64 = rest.map(|(a, b)| f64::from(a - b).powi(2)).sum();
            for (a, b) in a_runs.zip(b_runs) {
                for lane in 0..LANES {
                    let difference = f64::from(a[lane] - b[lane]);
                    sums[lane] += difference * difference;
                }
            }
            sums.iter().sum::<f64>() + rest
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot_model::classify::outputs;
    use blindspot_model::inputs::InMemory;
    use blindspot_paper::train::Recipe;
    use blindspot_run::monitor::Unwatched;

    #[test]
    fn means_are_those_of_all_pairs_whatever_the_tiles() {
        let (count, length) = (23, 37);
        let values: Vec<f32> = (0..count * length)
            .map(|i| ((i * 7919 + i / 37) % 101) as f32 / 101.0)
            .collect();
        let inputs = InMemory::new(values, length);
        let sets = [
            vec![3, 1, 22, 9],
            vec![5, 6],
            vec![7],
            vec![],
            vec![22, 0, 11, 5, 6],
        ];
        let network = Recipe::named("FC100-100-10").unwrap().start(length, 10, 1);
        let hidden = network.up_to(network.graph().find("hidden1").unwrap());
        let above = outputs(&hidden, &inputs).unwrap();
        for (network, inputs_of) in [(None, &inputs), (Some(&hidden), &above)] {
            let plain = |set: &Vec<usize>| {
                let row = |i: usize| {
                    let mut row = vec![0.0; inputs_of.input_len()];
                    inputs_of.read(i, &mut row).unwrap();
                    row
                };
                let mut all = Vec::new();
                for (at, &i) in set.iter().enumerate() {
                    for &j in &set[at + 1..] {
                        let (a, b) = (row(i), row(j));
                        let squares = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2));
                        all.push((squares.sum::<f64>() / a.len() as f64).sqrt());
                    }
                }
                (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
            };
            for per_tile in [1, 4, 100] {
                let found =
                    distances_in_tiles(&inputs, network, &sets, "", per_tile, &Unwatched).unwrap();
                for (found, expected) in found.iter().zip(sets.iter().map(plain)) {
                    match (found, expected) {
                        (Some(a), Some(b)) => assert!((a - b).abs() < 1e-12, "{a} {b}"),
                        pair => assert_eq!(pair, (&None, None)),
                    }
                }
            }
        }
    }
}
