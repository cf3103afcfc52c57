//! Units and directions of a layer, and random choices of them.

use blindspot_run::random::Stream;

use super::vectors::normalised;

/// The units and directions that images are projected on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Directions {
    /// Units of the layer, from 0: the natural basis, e_i in the paper.
    pub units: Vec<usize>,
    /// Vectors over the layer's units, each with one value a unit: v in the paper.
    pub vectors: Vec<Vec<f32>>,
}

impl Directions {
    /// Number of units and vectors. Results list the units first.
    pub fn len(&self) -> usize {
        self.units.len() + self.vectors.len()
    }

    /// Whether there are neither units nor vectors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A random choice of `count` of a layer's units, in ascending order; all of them if there are no
/// more.
pub fn random_units(count: usize, units: usize, seed: u64) -> Vec<usize> {
    let mut chosen = Stream::new(seed, "units chosen", 0).order(units);
    chosen.truncate(count);
    chosen.sort_unstable();
    chosen
}

/// `count` random vectors of length 1 in `units` dimensions, uniform on the sphere. A larger count
/// begins with the same vectors.
pub fn random_directions(count: usize, units: usize, seed: u64) -> Vec<Vec<f32>> {
    let direction = |index| {
        let mut stream = Stream::new(seed, "directions", index);
        let values: Vec<f64> = (0..units).map(|_| stream.normal()).collect();
        normalised(&values)
    };
    (0..count).map(direction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_uniform_on_the_sphere() {
        let (count, units) = (4000, 3);
        let directions = random_directions(count, units, 5);
        for direction in &directions {
            let square: f32 = direction.iter().map(|x| x * x).sum();
            assert!((square - 1.0).abs() < 1e-6);
        }
        // Archimedes: each coordinate of the sphere in 3 dimensions is uniform in [-1, 1].
        for axis in 0..units {
            let mut values: Vec<f32> = directions.iter().map(|d| d[axis]).collect();
            values.sort_by(f32::total_cmp);
            let farthest = values
                .iter()
                .enumerate()
                .map(|(i, &x)| ((i as f32 + 0.5) / count as f32 - (x + 1.0) / 2.0).abs())
                .fold(0.0, f32::max);
            // The Kolmogorov-Smirnov distance at a level of 1e-3.
            assert!(farthest < 1.95 / (count as f32).sqrt(), "{farthest}");
        }
        assert_eq!(random_directions(2, units, 5), directions[..2]);
        assert_ne!(random_directions(1, units, 6), directions[..1]);
    }

    #[test]
    fn units_are_chosen_once_each() {
        let chosen = random_units(5, 20, 1);
        assert!(chosen.len() == 5 && chosen.is_sorted_by(|a, b| a < b) && chosen[4] < 20);
        assert_eq!(random_units(30, 4, 1), [0, 1, 2, 3]);
    }
}
