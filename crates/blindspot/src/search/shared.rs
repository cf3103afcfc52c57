//! Searches that several ranks share.

use std::collections::HashMap;

use blindspot_net::Network;

use super::{Block, Example, SearchError, SearchOptions, search_in_blocks};
use crate::inputs::Inputs;
use crate::run::monitor::Monitor;
use crate::run::ranks::{Piece, Ranks, share};

/// The same as [`search`](super::search), by several ranks: rank 0 gets the examples, in the order of
/// `indices`, the others none. All have to be given the same.
///
/// # Errors
/// [`SearchError`] where images, labels, target and network don't fit each other.
pub fn search_over(
    ranks: &dyn Ranks,
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    indices: &[usize],
    options: &SearchOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Example>, SearchError> {
    let positions: Vec<usize> = (0..indices.len()).collect();
    let mut found = Vec::with_capacity(indices.len());
    let take = |result: Vec<u8>| {
        let examples: Vec<Example> =
            postcard::from_bytes(&result).expect("ranks are the same program");
        let count = examples.len();
        found.extend(examples);
        Ok(count)
    };
    let work = |piece: Piece<'_, SearchError>| {
        let Piece {
            positions,
            monitor,
            give,
        } = piece;
        let indices: Vec<usize> = positions
            .iter()
            .map(|&position| indices[position])
            .collect();
        search_in_blocks(
            network,
            inputs,
            labels,
            &indices,
            options,
            monitor,
            |block| {
                let Block { examples, .. } = block;
                give(postcard::to_stdvec(&examples).expect("examples are plain data"))
            },
        )
    };
    share(ranks, &positions, "search", monitor, work, take)?;
    let place = indices.iter().copied().zip(positions);
    let place: HashMap<usize, usize> = place.collect();
    found.sort_by_key(|example| place[&example.position]);
    Ok(found)
}
