//! Training over ranks.

use std::sync::atomic::AtomicUsize;

use super::super::plan::{Plan, Stage};
use super::super::tests::{Stop, bars, plan, weights};
use super::{Learned, learn};
use crate::session::Session;
use crate::train::TrainError;
use blindspot::run::communicator::{Communicator, SingleProcess, threads};
use blindspot::run::monitor::{Monitor, Unwatched};

/// 10 rows of positions, then 4: no multiple of three ranks, and with all that can be shared.
fn small() -> Plan {
    let stage = |field, pool, maps| Stage {
        field,
        stride: 1,
        maps,
        pool,
    };
    Plan {
        stages: vec![stage(5, 3, 3), stage(5, 2, 2)],
        epochs: 1,
        batch: 10,
        ..plan()
    }
}

fn train(
    plan: &Plan,
    ranks: &dyn Communicator,
    monitor: &dyn Monitor,
) -> Result<Learned, TrainError> {
    let session = Session::new(1).with_monitor(monitor).with_ranks(ranks);
    learn(plan, &bars(80), "bars", &session)
}

#[test]
fn any_number_of_ranks_learns_the_same() {
    // Groups of one rank and of several, that do one replica and several.
    for (replicas, counts) in [(1, &[2, 3, 4][..]), (2, &[3, 4][..]), (4, &[2][..])] {
        let plan = Plan {
            replicas,
            ..small()
        };
        let alone = train(&plan, &SingleProcess, &Unwatched).unwrap();
        assert_eq!(alone.history.len(), 2 * (76 / (10 * replicas)));
        for &count in counts {
            for learned in threads::run(count, |ranks| train(&plan, ranks, &Unwatched)) {
                let learned = learned.unwrap();
                assert!(weights(&learned) == weights(&alone), "{count} {replicas}");
                assert_eq!(learned.stages, alone.stages);
                let pairs = learned.history.iter().zip(&alone.history);
                for (one, other) in pairs {
                    assert_eq!((one.error, one.images), (other.error, other.images));
                }
            }
        }
    }
}

/// The gradient of two replicas is that of their mini-batches as one.
#[test]
fn replicas_are_a_larger_batch() {
    let one = Plan {
        batch: 20,
        ..small()
    };
    let two = Plan {
        replicas: 2,
        ..small()
    };
    let [one, two] = [one, two].map(|plan| train(&plan, &SingleProcess, &Unwatched).unwrap());
    for (one, two) in one.stages.iter().zip(&two.stages) {
        assert_eq!(one.steps, two.steps);
        assert!(
            (one.error / two.error - 1.0).abs() < 1e-4,
            "{one:?} {two:?}"
        );
    }
    assert!(weights(&one) != weights(&two), "other sums round otherwise");
}

#[test]
fn three_ranks_end_what_two_began() {
    let (plan, images) = (small(), bars(80));
    let alone = train(&plan, &SingleProcess, &Unwatched).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quocnet.checkpoint");
    let learn = |count: usize, monitor: &dyn Monitor| {
        threads::run(count, |ranks| {
            let session = Session::new(1).with_monitor(monitor).with_ranks(ranks);
            learn(&plan, &images, "bars", &session.with_checkpoint(&path))
        })
    };
    // In the first stage, then in the second.
    for (count, questions) in [(2, 9), (4, 20)] {
        for stopped in learn(count, &Stop(AtomicUsize::new(questions))) {
            let line = stopped.unwrap_err().to_string();
            assert!(line.contains("goes on from"), "{line}");
        }
        assert!(path.exists());
    }
    for learned in learn(3, &Unwatched) {
        let learned = learned.unwrap();
        assert!(weights(&learned) == weights(&alone));
        assert_eq!(learned.history.len(), alone.history.len());
    }
}

#[test]
fn what_ranks_cannot_share_is_said_in_a_line() {
    let refused = |plan: &Plan, count: usize| {
        let mut all = threads::run(count, |ranks| train(plan, ranks, &Unwatched));
        let last = all.pop().unwrap();
        assert!(all.iter().all(Result::is_err));
        last.unwrap_err().to_string()
    };
    let line = refused(&small(), 5);
    assert!(line.contains("stage 2 has 4 rows of positions"), "{line}");
    let many = Plan {
        replicas: 77,
        ..small()
    };
    assert!(refused(&many, 1).contains("too few for 77 replicas"));
    let mut asynchronous = Plan {
        asynchronous: true,
        ..small()
    };
    assert!(refused(&asynchronous, 1).contains("start 2 ranks"));
    asynchronous.replicas = 2;
    assert!(refused(&asynchronous, 2).contains("each rank but the first is a replica"));
}

#[test]
fn asynchronous_training_learns_and_goes_on() {
    let plan = Plan {
        asynchronous: true,
        epochs: 3,
        ..small()
    };
    let images = bars(160);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quocnet.checkpoint");
    let learn = |count: usize, monitor: &dyn Monitor| {
        threads::run(count, |ranks| {
            let session = Session::new(1).with_monitor(monitor).with_ranks(ranks);
            learn(&plan, &images, "bars", &session.with_checkpoint(&path))
        })
    };
    for stopped in learn(3, &Stop(AtomicUsize::new(20))) {
        assert!(matches!(stopped, Err(TrainError::Cancelled { .. })));
    }
    let mut all = learn(2, &Unwatched).into_iter();
    let learned = all.next().unwrap().unwrap();
    assert!(all.all(|other| weights(&other.unwrap()) == weights(&learned)));
    // Three passes over 152 images, by 10, each of which was some replica's.
    let steps = 3 * (152 / 10);
    for (i, stage) in learned.stages.iter().enumerate() {
        assert_eq!(stage.steps, steps);
        assert!(stage.error < 0.8 * stage.error_before, "{stage:?}");
        let points = learned.history.iter().filter(|point| point.stage == i + 1);
        assert_eq!(points.count() as u64, steps);
    }
    let times = learned.history.windows(2);
    assert!(
        times
            .into_iter()
            .all(|pair| pair[0].seconds <= pair[1].seconds)
    );
}
