//! Where descents begin again, around the best perturbation: other local minima lie there.

use blindspot_run::random::Stream;

use super::super::state::State;

/// How many times as far as the best perturbation, and as a random half of its values.
const FARTHER: f32 = 2.0;
const HALF_FARTHER: f32 = 3.0;

/// The starts of one search.
pub(super) struct Restarts {
    left: u32,
    halves: Stream,
    /// The norm of the best perturbation that a descent began beyond.
    tried: Option<f64>,
}

impl Restarts {
    /// `count` starts, whose random halves are drawn from the seed for the original at this index of its set.
    pub(super) fn new(count: u32, seed: u64, index: usize) -> Restarts {
        Restarts {
            left: count,
            halves: Stream::new(seed, "halves", index),
            tried: None,
        }
    }

    /// Moves the point of a search to the next start: beyond the best perturbation, or, from where that has been
    /// tried, beyond a half of it. False where there is none.
    pub(super) fn place(&mut self, state: &mut State) -> bool {
        let Some((best, norm)) = state.best.image().zip(state.best.norm()) else {
            return false;
        };
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let is_whole = self.tried != Some(norm);
        self.tried = Some(norm);
        let problem = &state.problem;
        let values = problem.original.iter().zip(best).zip(&mut state.point);
        for (i, ((&x, &best), point)) in values.enumerate() {
            let part = if is_whole {
                FARTHER
            } else if self.halves.uniform() < 0.5 {
                HALF_FARTHER
            } else {
                0.0
            };
            *point = problem.feasible_box.clip_value(i, x + part * (best - x));
        }
        true
    }
}
