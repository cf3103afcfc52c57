//! Pictures of learned filters.

use blindspot_net::{Network, Op, Operand};

use blindspot::picture::Picture;

/// Positions whose filters are shown, at most.
const POSITIONS: usize = 12;

/// The filters of the first stage at some positions, evenly spaced over the image, one position after the
/// other: weights of any range; what they see is whitened. None where the network has no local filters
/// of squares of one or three channels.
pub fn filters(network: &Network<f32>) -> Vec<Picture> {
    shown(network).unwrap_or_default()
}

fn shown(network: &Network<f32>) -> Option<Vec<Picture>> {
    let graph = network.graph();
    let mut nodes = graph.nodes().iter();
    let node = nodes.find(|node| matches!(node.op, Op::Local(_)))?;
    let [_, Operand::Weight(weight)] = node.inputs[..] else {
        return None;
    };
    // Whitening leaves them; what the node itself sees is flat where the network comes from a file.
    let channels = *network.input_shape().first()?;
    let &[positions, length, maps] = &graph.weights()[weight.index()].shape[..] else {
        return None;
    };
    let side = (length / channels).isqrt();
    if !matches!(channels, 1 | 3) || side * side * channels != length {
        return None;
    }
    let weights = &network.weights()[weight.index()];
    let rows = positions.min(POSITIONS);
    // The middles of equal parts.
    let chosen = (0..rows).map(|row| (2 * row + 1) * positions / (2 * rows));
    let filters = chosen.flat_map(|position| {
        (0..maps).map(move |map| Picture {
            width: side,
            height: side,
            values: (0..length)
                .map(|k| weights[(position * length + k) * maps + map])
                .collect(),
        })
    });
    Some(filters.collect())
}
