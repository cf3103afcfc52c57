//! Which start leads to what fools images that were not seen, and the climb from there.

use blindspot_model::classifier::ClassifierError;
use blindspot_run::random::Stream;

use super::climb::{Candidate, Climb, Course};
use super::field::Rise;

/// How each start climbs on half of the images.
const RACE: Course = Course {
    rise: Rise::CrossEntropy,
    batch: 16,
    momentum: 0.0,
    strides: [0.2, 0.05],
    temperatures: [0.2, 0.2],
    passes: 2,
    least_steps: 150,
    looks: 5,
};
/// How the winner climbs on all images.
const CLIMB: Course = Course {
    passes: 10,
    least_steps: 400,
    looks: 20,
    ..RACE
};
/// How the climb ends: images near the boundary are what counts now.
const END: Course = Course {
    rise: Rise::Chance,
    batch: 128,
    momentum: 0.9,
    strides: [0.2, 0.02],
    temperatures: [0.3, 0.05],
    passes: 10,
    least_steps: 400,
    looks: 20,
};
/// Starts that race a second time, on other halves.
const FINALISTS: usize = 3;
/// With fewer images, halves say less than how many of all images a start comes to fool.
const FEW: usize = 32;

/// A start that has climbed.
struct Racer<'a> {
    start: &'a Candidate,
    /// The better of what it came to.
    best: Candidate,
    /// How good these were on images that they did not climb on.
    merit: f64,
}

impl Climb<'_> {
    /// What the best of some starts leads to; None where there are none.
    ///
    /// How good starts are where they begin tells little of where they come to, and how many of the images that they
    /// climbed on they come to fool tells little of others: each climbs on either half, and the other half is the judge.
    pub(super) fn race(&self, starts: &[Candidate]) -> Result<Option<Candidate>, ClassifierError> {
        let count = self.field.len();
        let monitor = self.field.limits.monitor;
        let way = |course: &Course, images: usize| course.batch.min(images) * course.steps(images);
        let all: Vec<usize> = (0..count).collect();
        let halves = self.halves(0);
        let racing: usize = halves.iter().map(|[half, _]| way(&RACE, half.len())).sum();
        let finalists = if count < FEW {
            0
        } else {
            FINALISTS.min(starts.len())
        };
        let total = (starts.len() + finalists) * racing + way(&CLIMB, count) + way(&END, count);
        monitor.begin("universal", total as u64);
        let result = self.raced(starts, finalists).and_then(|best| {
            let Some(best) = best else { return Ok(None) };
            let best = self.from(&best, &all, &CLIMB)?;
            self.from(&best, &all, &END).map(Some)
        });
        monitor.end();
        result
    }

    fn raced(
        &self,
        starts: &[Candidate],
        finalists: usize,
    ) -> Result<Option<Candidate>, ClassifierError> {
        let mut racers = Vec::with_capacity(starts.len());
        for start in starts {
            if self.stopped() && !racers.is_empty() {
                break;
            }
            racers.push(self.racer(start, 0)?);
        }
        racers.sort_by(|a, b| b.merit.total_cmp(&a.merit));
        for racer in racers.iter_mut().take(finalists) {
            if self.stopped() {
                break;
            }
            let again = self.racer(racer.start, 1)?;
            racer.merit += again.merit;
            if again.best.merit > racer.best.merit {
                racer.best = again.best;
            }
        }
        racers.truncate(finalists.max(1));
        racers.sort_by(|a, b| b.merit.total_cmp(&a.merit));
        Ok(racers.into_iter().next().map(|racer| racer.best))
    }

    /// A start after its climbs on halves, those of a given turn.
    fn racer<'a>(&self, start: &'a Candidate, turn: usize) -> Result<Racer<'a>, ClassifierError> {
        let mut merits = Vec::new();
        let mut best = start.clone();
        best.merit = f64::NEG_INFINITY;
        for [half, other] in self.halves(turn) {
            let mut found = self.from(start, &half, &RACE)?;
            if let Some(merit) = self.merit(&found, &other)? {
                found.merit = merit;
            }
            merits.push(found.merit);
            if found.merit > best.merit {
                best = found;
            }
        }
        Ok(Racer {
            start,
            best,
            merit: merits.iter().sum(),
        })
    }

    /// Images to climb on with those that judge: both halves in turn, or all of a few.
    fn halves(&self, turn: usize) -> Vec<[Vec<usize>; 2]> {
        let count = self.field.len();
        if count < FEW {
            let all: Vec<usize> = (0..count).collect();
            return vec![[all.clone(), all]];
        }
        let mut first = Stream::new(self.seed, "universal halves", turn).order(count);
        let second = first.split_off(count / 2);
        vec![[first.clone(), second.clone()], [second, first]]
    }
}
