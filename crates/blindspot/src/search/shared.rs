//! Searches that several ranks share.

use blindspot_model::classifier::Classifier;
use blindspot_model::inputs::Inputs;
use blindspot_run::communicator::{Communicator, Task, distribute};
use blindspot_run::monitor::Monitor;

use super::{Block, Example, SearchError, SearchOptions, search_in_blocks, sort};

/// Finds smallest perturbations as [`search`](super::search()) does, by several ranks: the root gets
/// the examples, in the order of `positions`, the others none. All ranks must be given the same
/// arguments.
///
/// # Errors
/// [`SearchError`] where images, labels, target and classifier don't fit each other, or the
/// classifier fails.
pub fn search_over(
    ranks: &dyn Communicator,
    classifier: &dyn Classifier,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    positions: &[usize],
    options: &SearchOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Example>, SearchError> {
    let mut found = Vec::with_capacity(positions.len());
    let take = |result: Vec<u8>| {
        let examples: Vec<Example> =
            postcard::from_bytes(&result).expect("ranks are the same program");
        let count = examples.len();
        found.extend(examples);
        Ok(count)
    };
    let work = |task: Task<'_, SearchError>| {
        let Task {
            positions: places,
            monitor,
            emit,
        } = task;
        let positions: Vec<usize> = places.iter().map(|&place| positions[place]).collect();
        let emit = |block: Block| {
            let examples = postcard::to_stdvec(&block.examples);
            emit(examples.expect("examples are plain data"))
        };
        search_in_blocks(
            classifier, inputs, labels, &positions, options, monitor, emit,
        )
    };
    let places: Vec<usize> = (0..positions.len()).collect();
    distribute(ranks, &places, "search", monitor, work, take)?;
    sort(&mut found, positions);
    Ok(found)
}
