//! Other bases of a layer: its own one rotated, and that of a network that has learnt nothing.

use std::f64::consts::PI;

use blindspot_net::ops::{Binary, Unary};
use blindspot_net::{Network, Node, Op, Operand, ValueId, vectorised};

use crate::run::random::Stream;

/// Units that are turned into each other, at most: it takes the cube of this.
const BLOCK: usize = 512;

/// A random rotation of a layer's basis about an angle, given for some of its units.
///
/// Every unit turns by the same angle in a plane of its own: R(angle) = cos(angle) I + sin(angle) J
/// with J a random orthogonal matrix whose square is -I. So 0 degrees are the units, and at 90 degrees
/// each is a random direction that is perpendicular to it. A layer of more than 512 units is rotated in
/// random blocks of at most as many; of an odd number of units in a block one random axis stays.
pub(super) struct Rotation {
    /// For each unit its block, J e_i and the part of e_i that stays, both within the block.
    turns: Vec<(usize, Vec<f64>, Vec<f64>)>,
    blocks: Vec<Vec<usize>>,
    units: Vec<usize>,
    size: usize,
}

impl Rotation {
    /// That of `units` of a layer of `size` units.
    pub(super) fn new(units: &[usize], size: usize, seed: u64) -> Rotation {
        let order = Stream::new(seed, "rotation blocks", 0).order(size);
        let length = size.div_ceil(size.div_ceil(BLOCK).max(1)).max(1);
        let blocks: Vec<Vec<usize>> = order.chunks(length).map(<[usize]>::to_vec).collect();
        let mut turns = vec![(0, Vec::new(), Vec::new()); units.len()];
        for (number, block) in blocks.iter().enumerate() {
            let wanted: Vec<(usize, usize)> = units
                .iter()
                .enumerate()
                .filter_map(|(place, unit)| {
                    Some((place, block.iter().position(|member| member == unit)?))
                })
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let axes = orthonormal(block.len(), seed, number);
            for (place, member) in wanted {
                let mut turned = vec![0.0; block.len()];
                let planes = axes.chunks_exact(2);
                let mut stays = vec![0.0; block.len()];
                if let [axis] = planes.remainder() {
                    add(&mut stays, axis, axis[member]);
                }
                for plane in planes {
                    add(&mut turned, &plane[1], plane[0][member]);
                    add(&mut turned, &plane[0], -plane[1][member]);
                }
                turns[place] = (number, turned, stays);
            }
        }
        Rotation {
            turns,
            blocks,
            units: units.to_vec(),
            size,
        }
    }

    /// Each unit rotated by `degrees`: vectors of length 1.
    pub(super) fn by(&self, degrees: f64) -> Vec<Vec<f32>> {
        let (sine, cosine) = (degrees * PI / 180.0).sin_cos();
        let rotated = |(&unit, (number, turned, stays)): (&usize, &(usize, Vec<f64>, Vec<f64>))| {
            let mut direction = vec![0f32; self.size];
            let members = self.blocks[*number].iter().zip(turned).zip(stays);
            for ((&member, &turned), &stays) in members {
                let own = if member == unit { 1.0 } else { 0.0 };
                direction[member] = (stays + cosine * (own - stays) + sine * turned) as f32;
            }
            direction
        };
        self.units.iter().zip(&self.turns).map(rotated).collect()
    }
}

/// Random vectors of length 1, each perpendicular to the others, a basis of `size` dimensions.
fn orthonormal(size: usize, seed: u64, index: usize) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(seed, "rotation", index);
    let mut axes: Vec<Vec<f64>> = Vec::with_capacity(size);
    while axes.len() < size {
        let mut axis: Vec<f64> = (0..size).map(|_| stream.normal()).collect();
        make_perpendicular(&mut axis, &axes);
        axes.push(axis);
    }
    axes
}

/// Takes away from a vector what it has of `axes`, and gives it length 1. Twice is enough (Kahan).
pub(super) fn make_perpendicular(vector: &mut [f64], axes: &[Vec<f64>]) {
    for _ in 0..2 {
        for axis in axes {
            let part = dot(vector, axis);
            add(vector, axis, -part);
        }
        let norm = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= norm);
    }
}

/// The inner product, summed in 8 lanes.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    vectorised(
        #[inline(always)]
        || {
            let mut lanes = [0.0; 8];
            let (a_runs, b_runs) = (a.chunks_exact(8), b.chunks_exact(8));
            let rest = a_runs.remainder().iter().zip(b_runs.remainder());
            let rest: f64 = rest.map(|(a, b)| a * b).sum();
            for (a, b) in a_runs.zip(b_runs) {
                for lane in 0..8 {
                    lanes[lane] += a[lane] * b[lane];
                }
            }
            lanes.iter().sum::<f64>() + rest
        },
    )
}

/// `to += factor * from`
pub(super) fn add(to: &mut [f64], from: &[f64], factor: f64) {
    vectorised(
        #[inline(always)]
        || {
            for (to, from) in to.iter_mut().zip(from) {
                *to += factor * from;
            }
        },
    );
}

/// A network of the same shape that has learnt nothing: the weights of its fully connected and
/// convolutional layers drawn anew, with variance 2 / inputs below a rectifier (He et al. 2015) and
/// 1 / inputs elsewhere, their biases 0. What else it holds (preprocessing, normalisation) stays.
pub fn untrained(network: &Network<f32>, seed: u64) -> Network<f32> {
    let graph = network.graph();
    let mut weights = network.weights().to_vec();
    let is_layer = |node: &Node| matches!(node.op, Op::Conv(_) | Op::Gemm(_) | Op::MatMul(_));
    let layers: Vec<ValueId> = graph
        .nodes()
        .iter()
        .filter(|node| is_layer(node))
        .map(|node| node.output)
        .collect();
    for (index, node) in graph.nodes().iter().enumerate() {
        let held = node
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(place, operand)| match operand {
                Operand::Weight(id) => Some((place, id.index())),
                Operand::Value(_) => None,
            });
        let above_a_layer = node
            .inputs
            .iter()
            .any(|operand| matches!(operand, Operand::Value(id) if layers.contains(id)));
        for (place, id) in held {
            let shape = &graph.weights()[id].shape;
            let inputs = match &node.op {
                // Biases.
                Op::Conv(_) | Op::Gemm(_) if place == 2 => 0,
                Op::Binary(Binary::Add) if above_a_layer => 0,
                Op::Conv(_) => shape[1..].iter().product(),
                Op::Gemm(gemm) => shape[usize::from(gemm.trans_b)],
                Op::MatMul(_) if place == 0 => shape[shape.len() - 1],
                Op::MatMul(_) => shape[shape.len().saturating_sub(2)],
                _ => continue,
            };
            if inputs == 0 {
                weights[id].fill(0.0);
                continue;
            }
            let gain = if is_rectified(network, node.output) {
                2.0
            } else {
                1.0
            };
            let deviation = (gain / inputs as f64).sqrt();
            let mut stream = Stream::new(seed, "untrained weights", index);
            for weight in &mut weights[id] {
                *weight = (deviation * stream.normal()) as f32;
            }
        }
    }
    Network::new(graph.clone(), weights).expect("the weights are as many as before, and finite")
}

/// Whether a value goes into a rectifier, perhaps after a bias.
fn is_rectified(network: &Network<f32>, value: ValueId) -> bool {
    let nodes = network.graph().nodes().iter();
    let mut users = nodes.filter(|node| node.inputs.contains(&Operand::Value(value)));
    users.any(|node| match &node.op {
        Op::Unary(op) => matches!(
            op,
            Unary::Relu | Unary::LeakyRelu { .. } | Unary::Elu { .. } | Unary::Clip { .. }
        ),
        Op::Binary(Binary::Add) => {
            let bias = node.inputs.iter().any(|o| matches!(o, Operand::Weight(_)));
            bias && is_rectified(network, node.output)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot_paper::architectures::conv;

    #[test]
    fn a_rotation_turns_every_unit_by_its_angle_and_keeps_right_angles() {
        for size in [1, 2, 7, 8, 600] {
            let units: Vec<usize> = (0..size).rev().step_by(1 + size / 50).collect();
            let rotation = Rotation::new(&units, size, 3);
            for degrees in [0.0, 30.0, 90.0f64] {
                let rotated = rotation.by(degrees);
                for (i, (a, &unit)) in rotated.iter().zip(&units).enumerate() {
                    for (j, b) in rotated.iter().enumerate() {
                        let product: f64 = a
                            .iter()
                            .zip(b)
                            .map(|(a, b)| f64::from(*a) * f64::from(*b))
                            .sum();
                        let expected = if i == j { 1.0 } else { 0.0 };
                        assert!((product - expected).abs() < 1e-6, "{size} {degrees}");
                    }
                    let cosine = f64::from(a[unit]);
                    if size % 2 == 0 {
                        assert!((cosine - (degrees * PI / 180.0).cos()).abs() < 1e-6);
                    } else {
                        assert!(cosine >= (degrees * PI / 180.0).cos() - 1e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn an_untrained_network_has_new_weights_of_the_right_size() {
        let trained = conv(1);
        let mut biased = trained.clone();
        let ones: Vec<f32> = trained
            .weights()
            .iter()
            .flat_map(|weight| vec![1.0; weight.len()])
            .collect();
        biased.set_weights(ones);
        let network = untrained(&biased, 5);
        // The architecture's own rule for its start is the same.
        for (info, (new, start)) in network
            .graph()
            .weights()
            .iter()
            .zip(network.weights().iter().zip(trained.weights()))
        {
            let square = |weight: &[f32]| {
                weight.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weight.len() as f64
            };
            let (new, start) = (square(new), square(start));
            if info.name.ends_with("bias") {
                assert_eq!(new, 0.0);
            } else {
                assert!(
                    (new / start - 1.0).abs() < 0.2,
                    "{}: {new} {start}",
                    info.name
                );
            }
        }
        assert_eq!(untrained(&trained, 5), network);
        assert_ne!(untrained(&trained, 6), network);
    }
}
