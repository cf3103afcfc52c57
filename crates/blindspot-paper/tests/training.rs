//! Training: the same bits however it is run, and stopped and gone on with.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use blindspot::classify::error;
use blindspot::inputs::InMemory;
use blindspot::run::monitor::{Monitor, Unwatched};
use blindspot_paper::train::{
    Architecture, Certified, MiniBatch, Recipe, TrainError, Trained, Training, certified_share,
    train, train_in_batches,
};
use blindspot_paper::{LabelledData, Session};
use blindspot_testing::Noise;

/// Blobs: images of 12 values around one of three corners.
fn blobs() -> (InMemory, Vec<usize>) {
    let mut noise = Noise::new(7);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for i in 0..1_500 {
        labels.push(i % 3);
        values.extend((0..12).map(|j| 0.6 * noise.unit() + if j % 3 == i % 3 { 0.3 } else { 0.0 }));
    }
    (InMemory::new(values, 12), labels)
}

fn recipe(name: &str) -> Recipe {
    let mut recipe = Recipe::named(name).unwrap().with_iterations(40);
    if let Architecture::Dense { hidden, .. } = &mut recipe.architecture {
        hidden.iter_mut().for_each(|units| *units = 9);
    }
    if let Training::Lbfgs {
        sparsity: Some(sparsity),
        ..
    } = &mut recipe.training
    {
        sparsity.iterations = 25;
    }
    recipe
}

/// One process, from seed 5.
fn session<'a>(checkpoint: Option<&'a Path>, monitor: &'a dyn Monitor) -> Session<'a> {
    let session = Session::new(5).with_monitor(monitor);
    checkpoint.map_or(session, |path| session.with_checkpoint(path))
}

fn run(
    name: &str,
    checkpoint: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<Trained, TrainError> {
    let (inputs, labels) = blobs();
    let data = LabelledData::new(&inputs, &labels).with_hash("blobs");
    train(&recipe(name), &data, &session(checkpoint, monitor))
}

/// Cancels after so many iterations of a stage.
struct CancelAfter(u64, AtomicU64);

impl Monitor for CancelAfter {
    fn progress(&self, _done: u64, _detail: &str) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.1.load(Ordering::Relaxed) >= self.0
    }
}

#[test]
fn training_learns() {
    let (inputs, labels) = blobs();
    for name in ["softmax1", "FC100-100-10", "AE400-10"] {
        let trained = run(name, None, &Unwatched).unwrap();
        assert!(
            error(&trained.network, &inputs, &labels).unwrap() < 0.05,
            "{name}"
        );
    }
}

#[test]
fn one_thread_and_many_give_the_same_bits() {
    for name in ["FC100-100-10", "AE400-10"] {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| run(name, None, &Unwatched).unwrap().network)
        };
        let one = on(1);
        assert_eq!(on(2), one, "{name}");
        assert_eq!(on(5), one, "{name}");
    }
}

#[test]
fn stopped_and_gone_on_with_it_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    for name in ["FC100-100-10", "AE400-10"] {
        let through = run(name, None, &Unwatched).unwrap();
        for after in [1, 13, 30] {
            let cancel = CancelAfter(after, AtomicU64::new(0));
            let stopped = run(name, Some(&checkpoint), &cancel).unwrap_err();
            assert!(stopped.to_string().contains("goes on from"), "{stopped}");
            assert!(checkpoint.exists());
            let resumed = run(name, Some(&checkpoint), &Unwatched).unwrap();
            assert_eq!(resumed.network, through.network, "{name} after {after}");
            assert_eq!(resumed.iterations, through.iterations);
            std::fs::remove_file(&checkpoint).unwrap();
        }
    }
}

#[test]
fn data_that_can_not_be_trained_on_is_said() {
    let recipe = recipe("softmax1");
    let none = InMemory::new(Vec::new(), 4);
    let failed = recipe.train(&none, &[], 0).unwrap_err();
    assert!(failed.to_string().contains("0 images"), "{failed}");
    let wrong = InMemory::new(vec![f32::NAN; 8], 4);
    let failed = recipe.train(&wrong, &[0, 1], 0).unwrap_err();
    assert!(failed.to_string().contains("not finite"), "{failed}");
}

/// A network for blobs, trained by mini-batches.
fn in_batches(checkpoint: Option<&Path>, monitor: &dyn Monitor) -> Result<Trained, TrainError> {
    let (inputs, labels) = blobs();
    let recipe = recipe("FC100-100-10").with_iterations(1);
    let start = recipe.train(&inputs, &labels, 5)?.network;
    let options = MiniBatch {
        batch: 100,
        rate: 0.05,
        decay: vec![1e-4],
        dropout: vec![("hidden1".into(), 0.2)],
        ..MiniBatch::new(12)
    };
    let data = LabelledData::new(&inputs, &labels).with_hash("blobs");
    train_in_batches(
        start,
        &data,
        &options,
        "blobs",
        &session(checkpoint, monitor),
    )
}

#[test]
fn mini_batches_learn_with_the_same_bits_however_they_are_run() {
    let (inputs, labels) = blobs();
    let through = in_batches(None, &Unwatched).unwrap();
    assert!(error(&through.network, &inputs, &labels).unwrap() < 0.05);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let other = pool.install(|| in_batches(None, &Unwatched).unwrap());
        assert_eq!(other.network, through.network, "{threads}");
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    // The monitor hears of every 16th of the 180 steps.
    for after in [1, 7] {
        let cancel = CancelAfter(after, AtomicU64::new(0));
        in_batches(Some(&checkpoint), &cancel).unwrap_err();
        assert!(checkpoint.exists());
        let resumed = in_batches(Some(&checkpoint), &Unwatched).unwrap();
        assert_eq!(resumed.network, through.network, "after {after}");
        assert_eq!(resumed.loss.to_bits(), through.loss.to_bits());
        std::fs::remove_file(&checkpoint).unwrap();
    }
}

/// Images of 9 values that tell the class however each changes by 0.15, and of 60 that tell it only as they are.
fn strong_and_weak() -> (InMemory, Vec<usize>) {
    let mut noise = Noise::new(8);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for i in 0..1_500 {
        labels.push(i % 3);
        values.extend((0..69).map(|j| {
            let size = if j < 9 { 0.3 } else { 0.03 };
            let own = if j % 3 == i % 3 { size } else { -size };
            0.4 + own + 0.2 * noise.unit()
        }));
    }
    (InMemory::new(values, 69), labels)
}

/// A network for these, trained for certificates, or else plainly.
fn strong_or_weak(
    certified: Option<Certified>,
    checkpoint: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<Trained, TrainError> {
    let (inputs, labels) = strong_and_weak();
    let options = MiniBatch {
        batch: 100,
        rate: 0.05,
        certified,
        ..MiniBatch::new(40)
    };
    let data = LabelledData::new(&inputs, &labels).with_hash("strong and weak");
    let start = recipe("FC100-100-10").start(69, 3, 5);
    let session = session(checkpoint, monitor);
    train_in_batches(start, &data, &options, "strong and weak", &session)
}

#[test]
fn certified_training_certifies_more_with_the_same_bits_however_it_is_run() {
    let (inputs, labels) = strong_and_weak();
    let data = LabelledData::new(&inputs, &labels);
    let epsilon = 0.15;
    let certified = |checkpoint: Option<&Path>, monitor: &dyn Monitor| {
        strong_or_weak(Some(Certified::new(epsilon)), checkpoint, monitor)
    };
    let through = certified(None, &Unwatched).unwrap();
    let plain = strong_or_weak(None, None, &Unwatched).unwrap();
    let share = |network| certified_share(network, &data, epsilon).unwrap();
    let [certified_part, plain_part] = [&through.network, &plain.network].map(share);
    assert!(
        certified_part > 0.9 && plain_part < 0.8 * certified_part,
        "{certified_part} {plain_part}"
    );
    // What interval bounds certify is right as it is.
    let right = 1.0 - error(&through.network, &inputs, &labels).unwrap();
    assert!(certified_part <= right, "{certified_part} {right}");
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let other = pool.install(|| certified(None, &Unwatched).unwrap());
        assert_eq!(other.network, through.network, "{threads}");
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    certified(Some(&checkpoint), &CancelAfter(5, AtomicU64::new(0))).unwrap_err();
    let resumed = certified(Some(&checkpoint), &Unwatched).unwrap();
    assert_eq!(resumed.network, through.network);
}

#[test]
fn certified_training_that_can_not_be_is_said() {
    let (inputs, labels) = blobs();
    let data = LabelledData::new(&inputs, &labels);
    let start = recipe("FC100-100-10").start(12, 3, 5);
    let said = |change: fn(&mut Certified)| {
        let mut certified = Certified::new(0.1);
        change(&mut certified);
        let options = MiniBatch::certified(certified);
        train_in_batches(start.clone(), &data, &options, "blobs", &Session::new(0))
            .unwrap_err()
            .to_string()
    };
    for epsilon in [0.0, -0.1, 1.5, f64::NAN] {
        let options = MiniBatch::certified(Certified::new(epsilon));
        let failed = train_in_batches(start.clone(), &data, &options, "blobs", &Session::new(0));
        let failed = failed.unwrap_err().to_string();
        assert!(failed.contains("above 0 and at most 1"), "{failed}");
    }
    assert!(said(|it| it.kappa = 1.1).contains("from 0 to 1"));
    assert!(said(|it| it.warmup = 1.0).contains("below 1"));
    assert!(said(|it| it.ramp = 0.0).contains("above 0"));
    assert!(said(|it| (it.warmup, it.ramp) = (0.5, 0.6)).contains("at most 1"));
}

#[test]
fn mini_batches_that_can_not_be_are_said() {
    let (inputs, labels) = blobs();
    let start = in_batches(None, &Unwatched).unwrap().network;
    let said = |change: fn(&mut MiniBatch), labels: &[usize]| {
        let mut options = MiniBatch::new(1);
        change(&mut options);
        let data = LabelledData::new(&inputs, labels);
        train_in_batches(start.clone(), &data, &options, "blobs", &Session::new(0))
            .unwrap_err()
            .to_string()
    };
    assert!(said(|options| options.epochs = 0, &labels).contains("at least 1"));
    assert!(said(|options| options.rate = f64::NAN, &labels).contains("above 0"));
    let dropped = |options: &mut MiniBatch| options.dropout = vec![("hidden1".into(), 1.0)];
    assert!(said(dropped, &labels).contains("below 1"));
    let missing = |options: &mut MiniBatch| options.dropout = vec![("hidden7".into(), 0.5)];
    assert!(said(missing, &labels).contains("hidden2"));
    assert!(said(|_| (), &labels[1..]).contains("1499 labels"));
    assert!(said(|_| (), &vec![3; labels.len()]).contains("label 3"));
    assert!(said(|options| options.rate = 1e39, &labels).contains("not finite"));
}
