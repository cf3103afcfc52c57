//! Receptive fields: the part of the image that a position of a layer depends on.

use std::ops::Range;

use blindspot_net::ops::{PadMode, Window};
use blindspot_net::{Network, Op, Operand, Real};

use super::Layer;

/// A range along each axis of a value but the first.
type Region = Vec<Range<usize>>;

/// The rows and columns of the image that a layer's position `position` (counted row by row) can depend
/// on. None if that is the whole image, or if the network's input has other axes than channels, height
/// and width. An operator that mixes positions in a way that is not followed counts as depending on the
/// whole image.
pub fn receptive_field<T: Real>(
    network: &Network<T>,
    layer: &Layer,
    position: usize,
) -> Option<[Range<usize>; 2]> {
    let graph = network.graph();
    if layer.positions.is_empty() || network.input_shape().len() != 3 {
        return None;
    }
    let mut regions: Vec<Option<Region>> = vec![None; graph.values().len()];
    let values = || graph.values().iter().enumerate();
    let place = |name: &str| {
        values()
            .find(|(_, value)| value.name == name)
            .map(|(i, _)| i)
    };
    let mut left = position;
    let mut region = Vec::new();
    for &length in layer.positions.iter().rev() {
        region.insert(0, left % length..left % length + 1);
        left /= length;
    }
    regions[place(&layer.name)?] = Some(region);
    for node in graph.nodes().iter().rev() {
        let output = graph.value(node.output);
        let Some(region) = regions[place(&output.name)?].clone() else {
            continue;
        };
        for operand in &node.inputs {
            let Operand::Value(id) = operand else {
                continue;
            };
            let input = graph.value(*id);
            let below = below(&node.op, &region, &input.shape, &output.shape);
            let place = &mut regions[place(&input.name)?];
            *place = Some(match place.take() {
                Some(other) => hull(&other, &below),
                None => below,
            });
        }
    }
    let [rows, columns] = &regions[0].as_ref()?[..] else {
        return None;
    };
    let whole = *rows == (0..network.input_shape()[1]) && *columns == (0..network.input_shape()[2]);
    (!whole).then(|| [rows.clone(), columns.clone()])
}

/// The region of an operator's input that a region of its output depends on.
fn below(op: &Op, region: &Region, input: &[usize], output: &[usize]) -> Region {
    let same_axes = input.len() == output.len();
    match op {
        Op::Conv(conv) => windows(&conv.window, region, input),
        Op::Pool(pool) => windows(&pool.window, region, input),
        Op::Unary(_) | Op::Dropout(_) | Op::Lrn(_) => region.clone(),
        Op::Binary(_) | Op::Reshape(_) if input == output => region.clone(),
        Op::Concat(concat) if concat.axis == 0 => region.clone(),
        Op::Gather(gather) if gather.axis == 0 && same_axes => region.clone(),
        Op::Slice(slice) if slice.axes.iter().all(|axis| axis.axis == 0) => region.clone(),
        Op::Pad(pad) if matches!(pad.mode, PadMode::Constant(_)) => {
            let axes = region.iter().zip(&pad.before[1..]).zip(&input[1..]);
            axes.map(|((range, &before), &length)| {
                cut(
                    range.start as i64 - before,
                    range.end as i64 - before,
                    length,
                )
            })
            .collect()
        }
        _ => input.iter().skip(1).map(|&length| 0..length).collect(),
    }
}

/// The region that the windows at all positions of a region cover.
fn windows(window: &Window, region: &Region, input: &[usize]) -> Region {
    let axis = |(axis, range): (usize, &Range<usize>)| {
        let (stride, before) = (window.strides[axis] as i64, window.before[axis] as i64);
        let span = ((window.kernel[axis] - 1) * window.dilations[axis] + 1) as i64;
        let start = range.start as i64 * stride - before;
        let end = (range.end as i64 - 1) * stride - before + span;
        cut(start, end, input[axis + 1])
    };
    region.iter().enumerate().map(axis).collect()
}

/// The range `start..end`, restricted to `0..length`.
fn cut(start: i64, end: i64, length: usize) -> Range<usize> {
    let inside = |at: i64| at.clamp(0, length as i64) as usize;
    inside(start)..inside(end)
}

/// The smallest region that contains two regions.
fn hull(a: &Region, b: &Region) -> Region {
    let axes = a.iter().zip(b);
    axes.map(|(a, b)| a.start.min(b.start)..a.end.max(b.end))
        .collect()
}

#[cfg(test)]
mod tests {
    use blindspot_net::Evaluator;

    use super::*;
    use blindspot_paper::architectures::{alexnet, conv};

    /// The rows and columns whose change shows at a position.
    fn by_trial(network: &Network<f32>, layer: &Layer, position: usize) -> [Vec<usize>; 2] {
        let part = network.up_to(layer.id);
        let &[channels, height, width] = network.input_shape() else {
            panic!("an image")
        };
        let map: usize = layer.positions.iter().product();
        let mut evaluator = Evaluator::new(&part);
        let image = |i: usize| ((i * 7919) % 1009) as f32 / 1009.0;
        let mut at = |change: &dyn Fn(usize, usize) -> bool| {
            let input = evaluator.input(1);
            for i in 0..channels * height * width {
                let (row, column) = (i / width % height, i % width);
                input[i] = image(i) + if change(row, column) { 3.0 } else { 0.0 };
            }
            let values = evaluator.forward();
            let column = values.iter().skip(position).step_by(map);
            column.map(|x| x.to_bits()).collect::<Vec<u32>>()
        };
        let before = at(&|_, _| false);
        let rows = (0..height).filter(|&r| at(&|row, _| row == r) != before);
        let rows = rows.collect();
        let columns = (0..width).filter(|&c| at(&|_, column| column == c) != before);
        [rows, columns.collect()]
    }

    #[test]
    fn a_field_is_what_changes_show_through() {
        let network = conv(1);
        for (name, position) in [("conv1", 0), ("conv1", 5 * 24 + 23), ("pool1", 12 * 7 + 3)] {
            let layer = Layer::find(&network, name).unwrap();
            let field = receptive_field(&network, &layer, position).unwrap();
            let trial = by_trial(&network, &layer, position);
            for (range, seen) in field.iter().zip(&trial) {
                assert_eq!(
                    range.clone().collect::<Vec<_>>(),
                    *seen,
                    "{name} {position}"
                );
            }
        }
        let hidden = Layer::find(&network, "hidden1").unwrap();
        assert_eq!(receptive_field(&network, &hidden, 0), None);
    }

    #[test]
    fn fields_of_alexnet_are_those_of_its_layers() {
        // 1 + 10 = 11; a pool adds 2 strides of 4, a convolution its width less 1 strides, padding
        // cuts at the border.
        let network = alexnet(0);
        let sizes = [("conv1", 11), ("pool1", 19), ("conv2", 51), ("pool2", 67)];
        for (name, size) in sizes {
            let layer = Layer::find(&network, name).unwrap();
            let middle = layer.positions[0] / 2 * (layer.positions[1] + 1);
            let [rows, columns] = receptive_field(&network, &layer, middle).unwrap();
            assert_eq!((rows.len(), columns.len()), (size, size), "{name}");
        }
    }
}
