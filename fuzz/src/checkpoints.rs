//! What trainings under way leave: checkpoints, of L-BFGS and of mini-batches.

use std::path::Path;

use blindspot::inputs::InMemory;
use blindspot::run::monitor::CancelAfter;
use blindspot_paper::train::{MiniBatch, Recipe, TrainError, Trained, train, train_in_batches};
use blindspot_paper::{LabelledData, Session};
use sha2::{Digest, Sha256};

use crate::bytes;
use crate::random::Random;

/// How a checkpoint begins; a SHA-256 of what follows it comes next.
const BEGINNING: &[u8] = b"blindspot checkpoint 1\n";
/// Bytes of beginning and hash.
const HEAD: usize = BEGINNING.len() + 32;
/// Reports of progress after which a training is stopped.
const PROGRESS: u64 = 3;

/// A training from its beginning, or from the session's checkpoint.
type Training = fn(&Session<'_>) -> Result<Trained, TrainError>;

/// Two stages by L-BFGS, and mini-batches.
const TRAININGS: [Training; 2] = [by_lbfgs, by_batches];

fn by_lbfgs(session: &Session<'_>) -> Result<Trained, TrainError> {
    let (inputs, labels) = inputs();
    let data = LabelledData::new(&inputs, &labels).with_hash("made");
    let recipe = Recipe::named("AE400-10").expect("the paper has it");
    train(&recipe.with_iterations(8), &data, session)
}

fn by_batches(session: &Session<'_>) -> Result<Trained, TrainError> {
    let (inputs, labels) = inputs();
    let data = LabelledData::new(&inputs, &labels).with_hash("made");
    let recipe = Recipe::named("softmax1").expect("the paper has it");
    let network = recipe.start(3, data.classes(), session.seed);
    let options = MiniBatch {
        batch: 4,
        ..MiniBatch::new(64)
    };
    train_in_batches(network, &data, &options, "softmax", session)
}

fn inputs() -> (InMemory, Vec<usize>) {
    let labels: Vec<usize> = (0..12).map(|i| i % 2).collect();
    let values = (0..36).map(|i| (i * 7 % 11) as f32 / 11.0);
    (InMemory::new(values.collect(), 3), labels)
}

/// Checkpoints of trainings that were stopped, one of each.
pub(crate) fn files() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("checkpoint");
    let kept = TRAININGS.iter().map(|training| {
        run(*training, &path);
        let file = std::fs::read(&path).expect("a training that is stopped leaves a checkpoint");
        std::fs::remove_file(&path).expect("it is there");
        file
    });
    kept.collect()
}

/// A checkpoint with other bytes, and in one of two cases with the checksum of these.
pub(crate) fn changed(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let (file, other) = (random.below(corpus.len()), random.below(corpus.len()));
    if random.once_in(2) {
        return bytes::changed(random, &corpus[file], &corpus[other]);
    }
    let content = bytes::changed(random, &corpus[file][HEAD..], &corpus[other][HEAD..]);
    [BEGINNING, &Sha256::digest(&content), &content].concat()
}

pub(crate) fn read(file: &[u8], folder: &Path) {
    let path = folder.join("checkpoint");
    for training in TRAININGS {
        std::fs::write(&path, file).expect("the folder can be written to");
        run(training, &path);
        // What it was set aside as.
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let entry = entry.expect("the folder can be read");
            std::fs::remove_file(entry.path()).expect("it is there");
        }
    }
}

/// Goes on from the checkpoint for a while.
fn run(training: Training, path: &Path) {
    let monitor = CancelAfter::new(PROGRESS);
    let mut session = Session::new(0).with_monitor(&monitor);
    session.checkpoint = Some(path);
    let _ = training(&session);
}
