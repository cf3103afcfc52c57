//! What is in the pools, and what their examples train.

use std::path::Path;

use blindspot_net::{Evaluator, Network};
use serde::{Deserialize, Serialize};

use super::pool::{Pool, Pools};
use super::*;
use crate::train::{Batch, CutNetwork, ExtraBatch, Recipe};
use blindspot::classify::error;
use blindspot::inputs::{InMemory, Inputs};
use blindspot::run::monitor::{CancelAfter, Monitor, Unwatched};
use blindspot_testing::Noise;

/// Images of 12 values around one of three corners.
fn blobs() -> (InMemory, Vec<usize>) {
    let mut noise = Noise::new(7);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for i in 0..900 {
        labels.push(i % 3);
        values.extend((0..12).map(|j| 0.6 * noise.unit() + if j % 3 == i % 3 { 0.3 } else { 0.0 }));
    }
    (InMemory::new(values, 12), labels)
}

fn start() -> Network<f32> {
    let recipe = Recipe::named("FC100-100-10").unwrap();
    let recipe = recipe.with_hidden(&[9, 8]);
    recipe.start(12, 3, 4)
}

fn options(layers: &[&str]) -> PoolOptions {
    PoolOptions {
        size: 40,
        refresh_fraction: 0.2,
        refresh_interval: 7,
        mix_ratio: 0.5,
        max_distance: None,
        warmup: 0.345,
        ..PoolOptions::new(layers.iter().map(|&layer| layer.to_owned()).collect())
    }
}

fn plan(pool: Option<PoolOptions>) -> Plan {
    let training = MiniBatch {
        batch: 60,
        rate: 0.05,
        dropout: vec![("hidden1".into(), 0.1)],
        ..MiniBatch::new(8)
    };
    Plan { training, pool }
}

fn hardened(
    pool: Option<PoolOptions>,
    checkpoint: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<(Trained, Vec<PoolCount>), HardenError> {
    let (inputs, labels) = blobs();
    let data = LabelledData::new(&inputs, &labels).with_hash("blobs");
    let session = Session {
        checkpoint,
        ..Session::new(5).with_monitor(monitor)
    };
    harden(start(), &data, &plan(pool), "blobs", &session)
}

/// The logits of `above` a value of the network, for one row.
fn logits(network: &Network<f32>, value: &str, row: &[f32]) -> Vec<f32> {
    let graph = network.graph();
    let value = graph.find(value).unwrap();
    let above = if value == graph.input() {
        network.clone()
    } else {
        network.above(value).unwrap()
    };
    let mut evaluator = Evaluator::new(&above);
    evaluator.input(1).copy_from_slice(row);
    evaluator.forward().to_vec()
}

/// Pools that are looked at after every step.
#[derive(Serialize, Deserialize)]
struct Watched {
    pools: Pools,
    /// Examples that were new after a step, for each step at which there were any.
    replaced: Vec<Vec<usize>>,
    /// By how much the strongest class leads the label in new examples: the sum.
    lead: f32,
    /// The largest lead.
    most: f32,
}

impl ExtraBatch for Watched {
    type Error = HardenError;

    fn layers(&self) -> Vec<String> {
        self.pools.layers()
    }

    fn batches(
        &mut self,
        step: u64,
        fraction: f64,
        network: &CutNetwork,
        data: &LabelledData<'_>,
    ) -> Result<Vec<Batch>, HardenError> {
        let before = self.pools.pools.clone();
        let batches = self.pools.batches(step, fraction, network, data)?;
        let mut replaced = Vec::new();
        for (pool, before) in self.pools.pools.iter().zip(&before) {
            let old: Vec<&[f32]> = before.values.chunks_exact(pool.length).collect();
            let mut new = 0;
            for (i, row) in pool.values.chunks_exact(pool.length).enumerate() {
                assert!(row.iter().all(|value| (0.0..=1.0).contains(value)));
                if old.get(i) == Some(&row) {
                    assert_eq!(before.labels[i], pool.labels[i]);
                    continue;
                }
                new += 1;
                let logits = logits(network.whole(), &pool.count.layer, row);
                let label = logits[pool.labels[i]];
                let lead = logits.iter().fold(f32::MIN, |a, &b| a.max(b)) - label;
                assert!(
                    lead > 0.0,
                    "step {step}: a clean copy, or one that fools nobody"
                );
                self.lead += lead;
                self.most = self.most.max(lead);
            }
            replaced.push(new);
        }
        if replaced.iter().any(|&new| new > 0) {
            self.replaced.push(replaced);
        }
        Ok(batches)
    }
}

fn watched(options: &PoolOptions) -> Watched {
    let (inputs, labels) = blobs();
    let training = plan(None).training;
    let mix = Watched {
        pools: Pools::new(&start(), options, training.batch, 5).unwrap(),
        replaced: Vec::new(),
        lead: 0.0,
        most: 0.0,
    };
    let data = LabelledData::new(&inputs, &labels);
    let trained = train_mixed(start(), &data, &training, mix, "blobs", &Session::new(5));
    trained.unwrap().1
}

#[test]
fn new_examples_fool_the_network_and_replace_the_share_asked_for() {
    let options = options(&["input", "hidden1", "hidden2"]);
    let mix = watched(&options);
    // 120 steps; from step 42 on every 7th, after the first a fifth of 40.
    assert_eq!(mix.replaced.len(), 12);
    assert_eq!(mix.replaced[0], [40; 3]);
    assert!(
        mix.replaced[1..].iter().all(|new| *new == [8; 3]),
        "{:?}",
        mix.replaced
    );
    let made = 40 + 11 * 8;
    assert!(mix.pools.counts().iter().all(|count| count.made == made));
    assert!(
        mix.most < 0.2,
        "on the boundary, nobody leads: {}",
        mix.most
    );

    let beyond = watched(&PoolOptions {
        overshoot: 1.5,
        ..options
    });
    assert!(
        beyond.lead > 10.0 * mix.lead,
        "{} {}",
        beyond.lead,
        mix.lead
    );
}

#[test]
fn examples_train_only_what_is_above_their_layer() {
    let (inputs, labels) = blobs();
    let data = LabelledData::new(&inputs, &labels);
    let layers = ["input", "hidden1", "hidden2"];
    let network = hardened(None, None, &Unwatched).unwrap().0.network;
    let mut pools = Pools::new(&network, &options(&layers), 60, 5).unwrap();
    let mut cut = CutNetwork::cut(network, &[("hidden1", 0.0), ("hidden2", 0.0)]).unwrap();
    let batches = pools.batches(100, 0.5, &cut, &data).unwrap();
    assert_eq!(batches.len(), 3);
    for (layer, batch) in batches.into_iter().enumerate() {
        assert_eq!(batch.labels.len(), 30);
        let sum = cut.gradient(&[batch], 0, "");
        // A weight and a bias for each of three dense layers.
        for (weight, gradient) in sum.gradient.iter().enumerate() {
            let none = gradient.iter().all(|&g| g == 0.0);
            assert_eq!(none, weight / 2 < layer, "layer {layer}, weight {weight}");
        }
    }
}

#[test]
fn what_is_too_far_away_stays_out() {
    let (inputs, labels) = blobs();
    let data = LabelledData::new(&inputs, &labels);
    let network = hardened(None, None, &Unwatched).unwrap().0.network;
    let cut = CutNetwork::cut(network.clone(), &[]).unwrap();
    let fill = |norm, max_distance| {
        let options = PoolOptions {
            norm,
            max_distance,
            ..options(&["input"])
        };
        let mut pools = Pools::new(&network, &options, 60, 5).unwrap();
        pools.batches(100, 0.5, &cut, &data).unwrap();
        pools.pools.remove(0)
    };
    for norm in [Norm::L2, Norm::Linf, Norm::L1, Norm::L0] {
        // From each example to the nearest image of its class.
        let distances = |pool: &Pool| -> Vec<f64> {
            let mut image = vec![0.0; 12];
            let rows = pool.values.chunks_exact(12).zip(&pool.labels);
            let nearest = rows.map(|(row, &label)| {
                let own = (0..labels.len()).filter(|&i| labels[i] == label);
                let distances = own.map(|i| {
                    inputs.read(i, &mut image).unwrap();
                    match norm {
                        Norm::L2 => norm.of(&image, row) / 12f64.sqrt(),
                        _ => norm.of(&image, row),
                    }
                });
                distances.fold(f64::INFINITY, f64::min)
            });
            nearest.collect()
        };
        let all = fill(norm, None);
        let of_all = distances(&all);
        let mean = of_all.iter().sum::<f64>() / of_all.len() as f64;
        assert!(mean > 0.0 && all.count.far == 0, "{norm}");
        let near = fill(norm, Some(mean));
        assert!(near.count.far > 0 && near.count.made > 0, "{norm}");
        let of_near = distances(&near);
        assert!(of_near.iter().all(|&distance| distance <= mean), "{norm}");
    }
}

/// Always answers class 0.
fn stubborn() -> Network<f32> {
    let mut network = start();
    let mut weights = network.weights().to_vec();
    weights
        .iter_mut()
        .flatten()
        .for_each(|weight| *weight = 0.0);
    weights[5][0] = 1.0;
    network.set_weights(weights.into_iter().flatten());
    network
}

#[test]
fn failed_searches_are_counted_and_leave_nothing() {
    let (inputs, labels) = blobs();
    let data = LabelledData::new(&inputs, &labels);
    let mut pools = Pools::new(&stubborn(), &options(&["input", "hidden2"]), 60, 5).unwrap();
    let cut = CutNetwork::cut(stubborn(), &[("hidden2", 0.0)]).unwrap();
    let batches = pools.batches(0, 0.5, &cut, &data).unwrap();
    assert!(batches.is_empty());
    for pool in &pools.pools {
        assert!(pool.values.is_empty() && pool.labels.is_empty());
        let count = &pool.count;
        // A third of the images are of class 0: these can't be changed. The others are wrong.
        assert_eq!(count.failed + count.already_misclassified, 160);
        assert!(
            (30..80).contains(&count.failed) && count.made == 0,
            "{count:?}"
        );
    }
}

#[test]
fn the_same_bits_come_out_for_any_threads_and_when_gone_on_with() {
    let pool = || Some(options(&["input", "hidden1"]));
    let (through, counts) = hardened(pool(), None, &Unwatched).unwrap();
    let (inputs, labels) = blobs();
    assert!(error(&through.network, &inputs, &labels).unwrap() < 0.05);
    let (plain, none) = hardened(None, None, &Unwatched).unwrap();
    assert!(plain.network != through.network && none.is_empty());
    for threads in [1, 3] {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let run = || hardened(pool(), None, &Unwatched).unwrap();
        let (other, other_counts) = threads.build().unwrap().install(run);
        assert_eq!(other.network, through.network);
        assert_eq!(other_counts, counts);
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    // Every 16th of the 120 steps is heard of: before the pools are filled, and after.
    for after in [1, 4, 6] {
        let cancel = CancelAfter::new(after);
        hardened(pool(), Some(&checkpoint), &cancel).unwrap_err();
        assert!(checkpoint.exists());
        let (resumed, resumed_counts) = hardened(pool(), Some(&checkpoint), &Unwatched).unwrap();
        assert_eq!(resumed.network, through.network, "after {after}");
        assert_eq!(resumed_counts, counts);
        // It is there until the network is on the disk, which is the caller's to say.
        std::fs::remove_file(&checkpoint).unwrap();
    }
    // Another pool's checkpoint is not resumed.
    let cancel = CancelAfter::new(3);
    hardened(Some(options(&["hidden2"])), Some(&checkpoint), &cancel).unwrap_err();
    let (other, _) = hardened(pool(), Some(&checkpoint), &Unwatched).unwrap();
    assert_eq!(other.network, through.network);
}

#[test]
fn invalid_options_are_refused() {
    let refused = |change: fn(&mut PoolOptions)| {
        let mut pool = options(&["input"]);
        change(&mut pool);
        let failed = hardened(Some(pool), None, &Unwatched).unwrap_err();
        let options = matches!(failed, HardenError::Train(TrainError::Options(_)));
        assert!(options, "{failed}");
        failed.to_string()
    };
    assert!(refused(|pool| pool.size = 0).contains("pool size must be at least 1"));
    assert!(refused(|pool| pool.size = usize::MAX).contains("at most 22369621"));
    assert!(refused(|pool| pool.layers.clear()).contains("at least one layer"));
    assert!(refused(|pool| pool.layers = vec!["top".into()]).contains("input, hidden1, hidden2"));
    assert!(refused(|pool| pool.refresh_fraction = 0.0).contains("above 0"));
    assert!(refused(|pool| pool.refresh_fraction = 1.5).contains("is 1.5"));
    assert!(refused(|pool| pool.refresh_fraction = f64::NAN).contains("above 0"));
    assert!(refused(|pool| pool.refresh_interval = 0).contains("at least 1"));
    assert!(refused(|pool| pool.mix_ratio = -1.0).contains("above 0"));
    assert!(refused(|pool| pool.overshoot = 0.5).contains("at least 1"));
    assert!(refused(|pool| pool.max_distance = Some(0.0)).contains("above 0"));
    assert!(refused(|pool| pool.warmup = 1.0).contains("below 1"));
}

/// Checkpoints and model files of earlier versions are found by this text.
#[test]
fn a_plan_is_written_as_it_always_was() {
    let pool = PoolOptions::new(vec!["input".into()]);
    let text = serde_json::to_string(&pool).unwrap();
    assert_eq!(
        text,
        r#"{"layers":["input"],"size":3000,"refresh":0.05,"every":40,"mix":0.5,"beyond":1.0,"within":0.03,"after":0.1}"#
    );
}
