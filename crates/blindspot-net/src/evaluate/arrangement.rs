//! How a network's values are arranged for running it: which need a gradient, where they are kept, and
//! whether images go through together.

use crate::graph::{Operand, ValueId};
use crate::network::Network;
use crate::ops::Op;
use crate::real::Real;

/// Whether one image's values leave no room in the cache for another's, and the dense layers' weights, which
/// are then read for each image anew, are few beside them.
pub(super) fn one_by_one<T: Real>(network: &Network<T>) -> bool {
    /// Bytes of one image's values: what a core has of cache to itself, or more.
    const LARGE: usize = 1 << 20;
    /// How many times as many numbers an image must have as the dense layers' weights.
    const MORE: usize = 4;
    let graph = network.graph();
    let values: usize = graph.values().iter().map(|value| value.len()).sum();
    let dense = graph
        .nodes()
        .iter()
        .filter(|node| !matches!(node.op, Op::Conv(_)));
    let weights = dense
        .flat_map(|node| &node.inputs)
        .filter_map(|&operand| match operand {
            Operand::Weight(id) => Some(network.weights()[id.0].len()),
            Operand::Value(_) => None,
        });
    values * size_of::<T>() > LARGE && values > MORE * weights.sum::<usize>()
}

/// Which values need a gradient: those on a path to what is asked for.
pub(super) fn wanted<T: Real>(network: &Network<T>, to_input: bool, to_weights: bool) -> Vec<bool> {
    let graph = network.graph();
    let mut wanted = vec![false; graph.values().len()];
    wanted[0] = to_input;
    for node in graph.nodes() {
        wanted[node.output.0] = node.inputs.iter().any(|&operand| match operand {
            Operand::Value(id) => wanted[id.0],
            Operand::Weight(_) => to_weights,
        });
    }
    wanted
}

/// The buffer of each value. An operator works in the buffer of its input where it can, no other
/// one uses that input, and its numbers are needed neither for gradients nor by the caller.
pub(super) fn places<T: Real>(network: &Network<T>, kept: &[ValueId]) -> Vec<usize> {
    let graph = network.graph();
    let count = graph.values().len();
    let mut uses = vec![0; count];
    for operand in graph.nodes().iter().flat_map(|node| &node.inputs) {
        if let Operand::Value(id) = operand {
            uses[id.0] += 1;
        }
    }
    for id in kept {
        // As if the caller were one more use.
        uses[id.0] += 1;
    }
    let mut place: Vec<usize> = (0..count).collect();
    // Whether what stands in a value's buffer may be written over.
    let mut free = vec![false; count];
    for node in graph.nodes() {
        let kernel = node.op.kernel::<T>();
        let output = node.output.0;
        free[output] = kernel.needs_no_output();
        let (Some(in_place), [Operand::Value(input), ..]) = (kernel.in_place(), &node.inputs[..])
        else {
            continue;
        };
        let may = uses[input.0] == 1 && (free[input.0] || !in_place.writes());
        if may {
            place[output] = place[input.0];
            // Without a write, whoever needs what is below needs what is here.
            free[output] &= in_place.writes() || free[input.0];
        }
    }
    place
}
