//! Training by several ranks.

use std::path::Path;

use super::parallel::CHUNK;
use super::*;
use blindspot::run::communicator::threads;
use blindspot::run::monitor::{CancelAfter, Monitor, Unwatched};
use blindspot::run::random::Stream;

/// Three classes, over a few chunks.
fn blobs() -> (InMemory, Vec<usize>) {
    let mut stream = Stream::new(1, "blobs", 0);
    let labels: Vec<usize> = (0..5 * CHUNK + 37).map(|i| i % 3).collect();
    let value = |i: usize| (0.3 * stream.normal() + f64::from(i.is_multiple_of(7))) as f32;
    let places = labels
        .iter()
        .flat_map(|label| (0..7).map(move |i| i + label));
    (InMemory::new(places.map(value).collect(), 7), labels)
}

fn recipe(name: &str) -> Recipe {
    let mut recipe = Recipe::named(name).unwrap().with_iterations(12);
    if let Architecture::Dense { hidden, .. } = &mut recipe.architecture {
        hidden.iter_mut().for_each(|units| *units = 6);
    }
    if let Training::Lbfgs {
        sparsity: Some(sparsity),
        ..
    } = &mut recipe.training
    {
        sparsity.iterations = 8;
    }
    recipe
}

/// What each rank ends with.
fn on(
    count: usize,
    name: &str,
    checkpoint: Option<&Path>,
    monitor: impl Fn(usize) -> Box<dyn Monitor> + Sync,
) -> Vec<Result<Trained, TrainError>> {
    let (inputs, labels) = blobs();
    threads::run(count, |ranks| {
        let monitor = monitor(ranks.rank());
        let data = LabelledData::new(&inputs, &labels).with_hash("blobs");
        let session = Session {
            checkpoint,
            ..Session::new(5).with_monitor(&*monitor).with_ranks(ranks)
        };
        train(&recipe(name), &data, &session)
    })
}

#[test]
fn any_number_of_ranks_trains_the_same_network() {
    for name in ["softmax1", "FC100-100-10", "AE400-10"] {
        let one = on(1, name, None, |_| Box::new(Unwatched))
            .remove(0)
            .unwrap();
        // More ranks than there are chunks, too.
        for count in [2, 3, 4, 7] {
            for other in on(count, name, None, |_| Box::new(Unwatched)) {
                let other = other.unwrap();
                assert_eq!(other.network, one.network, "{name} on {count} ranks");
                assert_eq!(other.loss.to_bits(), one.loss.to_bits());
                assert_eq!(other.iterations, one.iterations);
            }
        }
    }
}

#[test]
fn what_two_ranks_began_three_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.checkpoint");
    let through = on(1, "AE400-10", None, |_| Box::new(Unwatched))
        .remove(0)
        .unwrap();
    for (count, stops) in [(2, 3), (3, 4), (4, 5)] {
        // Not rank 0: what one wants goes for all.
        let stop = |rank| -> Box<dyn Monitor> {
            match rank {
                1 => Box::new(CancelAfter::new(stops)),
                _ => Box::new(Unwatched),
            }
        };
        for end in on(count, "AE400-10", Some(&path), stop) {
            assert!(matches!(end, Err(TrainError::Cancelled { .. })), "{end:?}");
        }
        assert!(path.exists());
    }
    for end in on(3, "AE400-10", Some(&path), |_| Box::new(Unwatched)) {
        assert_eq!(end.unwrap().network, through.network);
    }
    // Until what came out is kept.
    assert!(path.exists());
}

/// A damaged checkpoint, or one of another training, is told from a whole one, and kept under another name;
/// a file of the user's own is left alone.
#[test]
fn only_a_whole_checkpoint_of_the_same_training_is_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.checkpoint");
    let run = |name, path, stops| {
        let stop = |_| -> Box<dyn Monitor> { Box::new(CancelAfter::new(stops)) };
        on(1, name, path, stop).remove(0)
    };
    run("softmax1", Some(&*path), 3).unwrap_err();
    let whole = std::fs::read(&path).unwrap();
    // Of the first one nothing is damaged, but it is of another training.
    let mut cases = vec![whole.clone(), whole[..whole.len() / 2].to_vec()];
    cases.extend((0..60).map(|case| {
        let mut damaged = whole.clone();
        damaged[23 + case * 7919 % (whole.len() - 23)] ^= 1 << (case % 8);
        damaged
    }));
    let aside = folder.path().join("model.checkpoint.1");
    for (number, content) in cases.iter().enumerate() {
        std::fs::write(&path, content).unwrap();
        let name = if number == 0 { "softmax2" } else { "softmax1" };
        run(name, Some(&*path), 0).unwrap_err();
        assert!(std::fs::read(&aside).unwrap() == *content, "{number}");
        std::fs::remove_file(&aside).unwrap();
    }
    let end = run("softmax1", Some(&*path), u64::MAX).unwrap();
    let through = run("softmax1", None, u64::MAX).unwrap();
    assert_eq!(end.network, through.network);
    std::fs::write(&path, "weights of my own").unwrap();
    let end = run("softmax1", Some(&*path), u64::MAX);
    assert!(matches!(end, Err(TrainError::NoCheckpoint { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"weights of my own");
}
