use std::sync::atomic::{AtomicUsize, Ordering};

use blindspot_data::ImageSet;
use blindspot_net::{Evaluator, Network, onnx};
use blindspot_testing::{python, run_python, skip};

use super::architecture::Builder;
use super::classifier::{BinaryLabels, evaluate};
use super::plan::{Plan, Size, Stage};
use super::pooling::EPSILON;
use super::row_partition::Rows;
use super::tica::Tica;
use super::tica_loss::TicaLoss;
use super::tile_memory::Memory;
use super::train::{Learned, Untrained, learn, untrained};
use crate::session::Session;
use crate::train::TrainError;
use blindspot::run::communicator::threads;
use blindspot::run::monitor::{Monitor, Unwatched};
use blindspot::run::random::Stream;

fn numbers(count: usize, purpose: &str) -> Vec<f64> {
    let mut stream = Stream::new(5, purpose, 0);
    (0..count).map(|_| stream.normal()).collect()
}

const SHAPE: [usize; 3] = [2, 7, 6];

/// A plan of one stage, and its size.
fn one_stage(stride: usize, pool: usize) -> (Plan, Size) {
    let stage = Stage {
        field: 3,
        stride,
        maps: 3,
        pool,
    };
    let plan = Plan {
        stages: vec![stage],
        lambda: 0.3,
        ..Plan::small()
    };
    let size = plan.sizes(SHAPE).unwrap()[0];
    (plan, size)
}

/// The loss as the paper writes it, with whole matrices.
fn by_matrices(plan: &Plan, size: &Size, images: &[f64], [encode, decode]: [&[f64]; 2]) -> f64 {
    let fields = size.fields(plan.stages[0]);
    let (length, maps, field) = (SHAPE.iter().product(), size.maps, size.field_len);
    let rows = fields.count() * maps;
    let matrix = |weights: &[f64]| {
        let mut matrix = vec![0.0; rows * length];
        for (p, places) in fields.each().enumerate() {
            for (k, &place) in places.iter().enumerate() {
                for m in 0..maps {
                    matrix[(p * maps + m) * length + place] = weights[(p * field + k) * maps + m];
                }
            }
        }
        matrix
    };
    let (w1, w2) = (matrix(encode), matrix(decode));
    let ([down, across], pool) = (size.grid, plan.stages[0].pool);
    let mut loss = 0.0;
    for x in images.chunks(length) {
        let times = |row: &[f64]| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
        let h: Vec<f64> = w1.chunks(length).map(times).collect();
        for (i, &x) in x.iter().enumerate() {
            let back: f64 = (0..rows).map(|j| w2[j * length + i] * h[j]).sum();
            loss += (back - x).powi(2);
        }
        for (y, x) in (0..=down - pool).flat_map(|y| (0..=across - pool).map(move |x| (y, x))) {
            for m in 0..maps {
                let mut sum = EPSILON;
                for (i, j) in (0..pool).flat_map(|i| (0..pool).map(move |j| (i, j))) {
                    sum += h[((y + i) * across + x + j) * maps + m].powi(2);
                }
                loss += plan.lambda * sum.sqrt();
            }
        }
    }
    loss
}

/// The loss, and its gradients by both weights, of a stage divided among `count` ranks.
fn over_ranks(
    (plan, size): &(Plan, Size),
    images: &[f64],
    weights: [&[f64]; 2],
    count: usize,
) -> (TicaLoss, [Vec<f64>; 2]) {
    let parts = threads::run(count, |ranks| {
        let tica = Tica::new(plan, 0, size, ranks);
        let whole = Rows {
            rows: 0..SHAPE[1],
            ..tica.needed(0)
        };
        let own = whole.read(images, &tica.needed(ranks.rank()).rows);
        let own: Vec<f64> = bytemuck::pod_collect_to_vec(&own);
        let weights = weights.map(|weights| &weights[tica.weights()]);
        let mut gradients = [vec![0.0; tica.weight_len()], vec![0.0; tica.weight_len()]];
        let [by_encode, by_decode] = &mut gradients;
        let mut memory = Memory::default();
        let gradient: [&mut [f64]; 2] = [by_encode, by_decode];
        let loss = tica.evaluate(&own, weights, Some(gradient), &mut memory);
        (loss, gradients)
    });
    assert!(parts.iter().all(|(loss, _)| *loss == parts[0].0));
    let whole = |side: usize| parts.iter().flat_map(|(_, g)| &g[side]).copied().collect();
    (parts[0].0, [0, 1].map(whole))
}

#[test]
fn the_loss_is_the_papers_and_its_gradient_that_of_differences() {
    const STEP: f64 = 1e-5;
    // Neighbours share rows; then a row of the input is between two fields, and another below all.
    for (stride, pool) in [(1, 2), (1, 3), (4, 1), (2, 2)] {
        let stage = one_stage(stride, pool);
        let (plan, size) = &stage;
        let images = numbers(17 * SHAPE.iter().product::<usize>(), "images");
        let scale = |x: f64| x / (size.field_len as f64).sqrt();
        let [mut encode, mut decode] = ["encode", "decode"].map(|name| {
            let weights = numbers(size.weights() as usize, name);
            weights.into_iter().map(scale).collect::<Vec<f64>>()
        });
        let (loss, gradients) = over_ranks(&stage, &images, [&encode, &decode], 1);
        for count in 2..=size.grid[0].min(4) {
            let same = over_ranks(&stage, &images, [&encode, &decode], count);
            assert!(same == (loss, gradients.clone()), "{count} ranks");
        }
        let total = loss.error + plan.lambda * loss.sparsity;
        let expected = by_matrices(plan, size, &images, [&encode, &decode]);
        assert!((total / expected - 1.0).abs() < 1e-12, "{total} {expected}");
        let energy: f64 = images.iter().map(|x| x * x).sum();
        assert!((loss.energy / energy - 1.0).abs() < 1e-12);
        for i in (0..encode.len()).step_by(19) {
            for side in 0..2 {
                let mut value = |offset: f64| {
                    [&mut encode, &mut decode][side][i] += offset;
                    let value = by_matrices(plan, size, &images, [&encode, &decode]);
                    [&mut encode, &mut decode][side][i] -= offset;
                    value
                };
                let difference = (value(STEP) - value(-STEP)) / (2.0 * STEP);
                let gradient = gradients[side][i];
                assert!(
                    (difference - gradient).abs() < 1e-6 * (1.0 + gradient.abs()),
                    "{side} {i}: {difference} {gradient}"
                );
            }
        }
    }
}

/// Images of two kinds, with bars that lie or stand, in noise.
pub(super) fn bars(count: usize) -> ImageSet {
    let mut values = Vec::new();
    let mut labels = Vec::new();
    for i in 0..count {
        let mut stream = Stream::new(9, "bars", i);
        let label = i % 2;
        let at = stream.below(3);
        for j in 0..3 * 14 * 14 {
            let (y, x) = (j / 14 % 14, j % 14);
            let across = if label == 0 { y } else { x };
            let bright = (across + at) % 4 < 2;
            values
                .push((0.5 + 0.2 * stream.normal() * 0.3 + if bright { 0.2 } else { -0.2 }) as f32);
        }
        labels.push(label);
    }
    let set = ImageSet::of_floats("bars", [3, 14, 14], values, Some(labels), Vec::new());
    set.unwrap()
}

pub(super) fn plan() -> Plan {
    let stage = |field, pool| Stage {
        field,
        stride: 1,
        maps: 4,
        pool,
    };
    Plan {
        stages: vec![stage(5, 2), stage(4, 2)],
        lambda: 0.1,
        rate: 4e-3,
        epochs: 3,
        batch: 20,
        ..Plan::small()
    }
}

pub(super) fn weights(learned: &Learned) -> Vec<u32> {
    let all = learned.network.weights().iter().flatten();
    all.map(|weight| weight.to_bits()).collect()
}

#[test]
fn reconstruction_falls_below_principal_components() {
    let learned = learn(&plan(), &bars(400), "bars", &Session::new(1)).unwrap();
    for stage in &learned.stages {
        assert!(stage.error < 0.6 * stage.error_before, "{stage:?}");
        assert!(stage.error < stage.error_pca, "{stage:?}");
    }
    assert_eq!(learned.stages[0].grid, [10, 10]);
    assert_eq!(
        learned
            .network
            .graph()
            .find("stage2")
            .map(|id| id == learned.network.graph().output()),
        Ok(true)
    );
    assert_eq!(super::filters(&learned.network).len(), 12 * 4);
}

/// Stops when it has been asked this many times.
pub(super) struct Stop(pub(super) AtomicUsize);

impl Monitor for Stop {
    fn cancelled(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_err()
    }
}

#[test]
fn stopped_and_gone_on_with_it_has_the_same_bits() {
    let (plan, images) = (plan(), bars(80));
    let whole = learn(&plan, &images, "bars", &Session::new(1)).unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let alone = pool.install(|| learn(&plan, &images, "bars", &Session::new(1)));
    assert_eq!(weights(&alone.unwrap()), weights(&whole));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quocnet.checkpoint");
    let kept = Session::new(1).with_checkpoint(&path);
    // In the first stage, then in the second.
    for steps in [5, 8] {
        let stop = Stop(AtomicUsize::new(steps));
        let stopped = learn(&plan, &images, "bars", &kept.with_monitor(&stop)).unwrap_err();
        assert!(stopped.to_string().contains("goes on from"), "{stopped}");
    }
    let other = Plan {
        lambda: 0.2,
        ..plan.clone()
    };
    // That of another plan is of no use to this one, and is kept.
    let stop = Stop(AtomicUsize::new(0));
    learn(&other, &images, "bars", &kept.with_monitor(&stop)).unwrap_err();
    std::fs::rename(folder.path().join("quocnet.checkpoint.1"), &path).unwrap();
    let resumed = learn(&plan, &images, "bars", &kept).unwrap();
    assert_eq!(weights(&resumed), weights(&whole));
    kept.remove_checkpoint().unwrap();
    assert!(!path.exists());
    std::fs::write(&path, b"no checkpoint").unwrap();
    let refused = learn(&plan, &images, "bars", &kept).unwrap_err();
    assert!(matches!(refused, TrainError::NoCheckpoint { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), b"no checkpoint");
}

#[test]
fn a_classifier_on_features_is_a_network_that_answers_as_it_was_evaluated() {
    let images = bars(240);
    let network = untrained(&plan(), Untrained::First, &images, 3).unwrap();
    let network = network.up_to(network.graph().find("stage1").unwrap());
    let labels = images.labels().unwrap();
    let all: Vec<usize> = (0..240).collect();
    let part = |range: &[usize]| BinaryLabels::all(range, |index| labels[index] == 1);
    let (train, test) = (part(&all[..160]), part(&all[160..]));
    let (evaluation, linear) = evaluate(
        Some(&network),
        &images,
        &train,
        &test,
        &[0.1, 0.01],
        0,
        &Unwatched,
    )
    .unwrap();
    assert!(evaluation.balanced_accuracy > 0.75, "{evaluation:?}");
    assert!(evaluation.average_precision > 0.75 && evaluation.best_neuron_accuracy > 0.55);
    let whole = linear.on(&network).unwrap();
    let answers = blindspot::classify::predictions(&whole, &images.select(&test.indices)).unwrap();
    let right = answers
        .iter()
        .zip(&test.positive)
        .filter(|&(&answer, &is)| (answer == 1) == is);
    // As many of one class as of the other.
    let part = right.count() as f64 / 80.0;
    assert!(
        (part - evaluation.balanced_accuracy).abs() < 1e-12,
        "{part} {evaluation:?}"
    );
}

/// One stage as NumPy has it, from the weights in the file.
const REFERENCE: &str = "
import sys, numpy as np, onnxruntime
folder = sys.argv[1]
session = onnxruntime.InferenceSession(folder + '/network.onnx')
x = np.fromfile(folder + '/images', np.float32).reshape(-1, 3, 14, 14)
y, = session.run(None, {'image': x})
y.astype(np.float32).tofile(folder + '/out')
h = x.astype(np.float64)
n, maps, height, width = h.shape
squares = np.zeros((n, maps, height - 1, width - 1))
for i in range(2):
    for j in range(2):
        squares += h[:, :, i:i + height - 1, j:j + width - 1] ** 2
pooled = np.sqrt(1e-4 + squares)
g = np.exp(-np.arange(-2, 3) ** 2 / 2.0)
g = np.outer(g, g)
def mean(v):
    total, weight = np.zeros(v.shape[2:]), np.zeros(v.shape[2:])
    rows, columns = v.shape[2:]
    out = np.zeros((n, 1, rows, columns))
    for y in range(rows):
        for x in range(columns):
            top, left = max(0, y - 2), max(0, x - 2)
            part = v[:, :, top:y + 3, left:x + 3]
            weights = g[top - y + 2:top - y + 2 + part.shape[2], left - x + 2:left - x + 2 + part.shape[3]]
            out[:, 0, y, x] = (part * weights).sum((1, 2, 3)) / weights.sum() / v.shape[1]
    return out
centred = pooled - mean(pooled)
(centred / np.maximum(0.01, np.sqrt(mean(centred ** 2)))).astype(np.float32).tofile(folder + '/reference')
";

fn run(network: &Network<f32>, n: usize, images: &[f32]) -> Vec<f32> {
    let mut evaluator = Evaluator::new(network);
    evaluator.input(n).copy_from_slice(images);
    evaluator.forward().to_vec()
}

fn floats(path: &std::path::Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes
        .chunks_exact(4)
        .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
        .collect()
}

#[test]
fn pooling_and_normalisation_are_those_of_the_formulas_and_of_onnxruntime() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let images = bars(6);
    let mut values = vec![0.0f32; 6 * images.image_len()];
    for (i, place) in values.chunks_exact_mut(images.image_len()).enumerate() {
        images.read_image(i, place).unwrap();
    }
    // No contrast at all.
    values[..images.image_len()].fill(0.25);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |network: &Network<f32>| {
        std::fs::write(
            path("network.onnx"),
            onnx::write(network, &Default::default()),
        )
        .unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(path("images"), bytes).unwrap();
        run_python(REFERENCE, [folder.path()], "").unwrap();
        floats(&path("out"))
    };
    let near = |a: &[f32], b: &[f32]| {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 2e-4 * (1.0 + b.abs()), "{a} {b}");
        }
    };
    let mut builder = Builder::new(&[3, 14, 14]).unwrap();
    builder.pool("pool", 2).unwrap();
    builder.normalise("normalised").unwrap();
    let network = builder.network();
    let theirs = write(&network);
    near(&run(&network, 6, &values), &floats(&path("reference")));
    near(&run(&network, 6, &values), &theirs);

    // All stages, and what the file is read back as.
    let network = untrained(&plan(), Untrained::Independent, &images, 2).unwrap();
    let ours = run(&network, 6, &values);
    near(&ours, &write(&network));
    let read = onnx::read_file(&path("network.onnx")).unwrap().network;
    near(&run(&read, 6, &values), &ours);
    let gradient = {
        let mut evaluator = Evaluator::new(&network);
        evaluator.input(6).copy_from_slice(&values);
        let output = evaluator.forward().len();
        evaluator.backward(&vec![1.0; output]).to_vec()
    };
    assert!(gradient.iter().all(|x| x.is_finite()));
}

/// The gradient with respect to the image through all stages, in f64.
#[test]
fn the_gradient_of_all_stages_is_that_of_differences() {
    const STEP: f64 = 1e-6;
    let images = bars(4);
    let network = untrained(&plan(), Untrained::Independent, &images, 2)
        .unwrap()
        .cast::<f64>();
    let mut image = vec![0.0f32; images.image_len()];
    images.read_image(1, &mut image).unwrap();
    let mut image: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
    let factors = numbers(network.output_len(), "factors");
    let mut evaluator = Evaluator::new(&network);
    let mut value = |image: &[f64]| {
        evaluator.input(1).copy_from_slice(image);
        let output = evaluator.forward();
        let sum: f64 = output.iter().zip(&factors).map(|(y, f)| y * f).sum();
        (sum, evaluator.backward(&factors).to_vec())
    };
    let (_, gradient) = value(&image);
    for i in (0..image.len()).step_by(11) {
        let at = image[i];
        image[i] = at + STEP;
        let above = value(&image).0;
        image[i] = at - STEP;
        let below = value(&image).0;
        image[i] = at;
        let difference = (above - below) / (2.0 * STEP);
        assert!(
            (difference - gradient[i]).abs() < 1e-5 * (1.0 + gradient[i].abs()),
            "{i}: {difference} {}",
            gradient[i]
        );
    }
}
