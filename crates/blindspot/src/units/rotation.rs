//! A layer's basis of units, rotated by an angle.

use std::f64::consts::PI;

use blindspot_run::random::Stream;

use super::vectors::{add, make_perpendicular};

/// Largest number of units that are rotated into each other; the work grows with its cube.
const MAX_BLOCK_UNITS: usize = 512;

/// A random rotation of a layer's basis by any angle, for some of its units.
///
/// Every unit turns by the same angle in a plane of its own: R(angle) = cos(angle) I + sin(angle) J
/// with J a random orthogonal matrix whose square is -I. At 0 degrees the directions are the units; at
/// 90 degrees each is a random direction perpendicular to its unit. A layer of more than 512 units is
/// rotated in random blocks of at most 512. In a block of an odd number of units one random axis stays
/// fixed.
pub(super) struct Rotation {
    turns: Vec<Turn>,
    /// The units of each block.
    blocks: Vec<Vec<usize>>,
    /// Units of the layer.
    layer_units: usize,
}

/// How one unit turns.
struct Turn {
    unit: usize,
    /// Its block's number.
    block: usize,
    /// J e_i, over the block's units.
    perpendicular: Vec<f64>,
    /// The component of e_i along the fixed axis, over the block's units; zeros if there is none.
    fixed: Vec<f64>,
}

impl Rotation {
    /// The rotation of `units` in a layer of `layer_units` units.
    pub(super) fn new(units: &[usize], layer_units: usize, seed: u64) -> Rotation {
        let order = Stream::new(seed, "rotation blocks", 0).order(layer_units);
        let length = layer_units
            .div_ceil(layer_units.div_ceil(MAX_BLOCK_UNITS).max(1))
            .max(1);
        let blocks: Vec<Vec<usize>> = order.chunks(length).map(<[usize]>::to_vec).collect();
        let mut turns: Vec<Option<Turn>> = units.iter().map(|_| None).collect();
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
                let mut perpendicular = vec![0.0; block.len()];
                let planes = axes.chunks_exact(2);
                let mut fixed = vec![0.0; block.len()];
                if let [axis] = planes.remainder() {
                    add(&mut fixed, axis, axis[member]);
                }
                for plane in planes {
                    add(&mut perpendicular, &plane[1], plane[0][member]);
                    add(&mut perpendicular, &plane[0], -plane[1][member]);
                }
                turns[place] = Some(Turn {
                    unit: units[place],
                    block: number,
                    perpendicular,
                    fixed,
                });
            }
        }
        Rotation {
            turns: turns.into_iter().flatten().collect(),
            blocks,
            layer_units,
        }
    }

    /// Each unit rotated by `degrees`: vectors of length 1 over the layer's units.
    pub(super) fn by(&self, degrees: f64) -> Vec<Vec<f32>> {
        let (sine, cosine) = (degrees * PI / 180.0).sin_cos();
        let rotated = |turn: &Turn| {
            let mut direction = vec![0f32; self.layer_units];
            let members = self.blocks[turn.block].iter();
            let members = members.zip(&turn.perpendicular).zip(&turn.fixed);
            for ((&member, &perpendicular), &fixed) in members {
                let own = if member == turn.unit { 1.0 } else { 0.0 };
                direction[member] = (fixed + cosine * (own - fixed) + sine * perpendicular) as f32;
            }
            direction
        };
        self.turns.iter().map(rotated).collect()
    }
}

/// A random orthonormal basis of `size` dimensions.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
