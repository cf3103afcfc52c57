//! Directions to project on, and units to choose: each from a stream of random numbers of its own.

use crate::run::random::Stream;

/// `count` of the numbers below `units` at random, in rising order; all of them where there are no
/// more.
pub fn random_units(count: usize, units: usize, seed: u64) -> Vec<usize> {
    let mut chosen = Stream::new(seed, "units chosen", 0).order(units);
    chosen.truncate(count);
    chosen.sort_unstable();
    chosen
}

/// `count` vectors of length 1 in `units` dimensions, uniform on the sphere. The first ones are the
/// same whatever the count.
pub fn random_directions(count: usize, units: usize, seed: u64) -> Vec<Vec<f32>> {
    let direction = |index| {
        let mut stream = Stream::new(seed, "directions", index);
        let values: Vec<f64> = (0..units).map(|_| stream.normal()).collect();
        to_unit(&values)
    };
    (0..count).map(direction).collect()
}

/// The vector of length 1 in the direction of `values`.
pub(super) fn to_unit(values: &[f64]) -> Vec<f32> {
    let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    values.iter().map(|x| (x / norm) as f32).collect()
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
