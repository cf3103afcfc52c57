//! The principal components of a layer: the directions in which its activations vary the most.

use blindspot_run::monitor::Monitor;
use blindspot_run::random::Stream;
use rayon::prelude::*;

use super::projector::Projector;
use super::vectors::{add, dot, make_perpendicular, normalised};
use super::{Context, Directions, Reduction, UnitsError};

/// Largest number of units of a layer whose covariance matrix is held in memory.
pub(super) const MAX_COVARIANCE_UNITS: usize = 4096;
/// Directions that are iterated beyond the ones wanted, so that the iteration converges faster.
const EXTRA_DIRECTIONS: usize = 16;
/// Number of subspace iterations.
const ITERATIONS: usize = 60;
/// Fraction of the total variance below which a direction has none.
const MIN_VARIANCE_FRACTION: f64 = 1e-9;

/// A principal component.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    /// A vector of length 1 over the units; its value of largest magnitude is positive.
    pub(super) direction: Vec<f32>,
    /// Fraction of the units' total variance along the direction, in [0, 1].
    pub(super) variance: f64,
}

/// The first `count` principal components of a layer's units over a set of images, in descending order
/// of variance; fewer if the rest has no variance. A convolutional layer's units are its channels,
/// reduced over their positions. Components of nearly equal variance may be mixed, as subspace
/// iteration finds them.
pub(super) fn principal(
    context: &Context<'_>,
    reduce: Reduction,
    count: usize,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<Vec<Component>, UnitsError> {
    let covariance = covariance(context, reduce, monitor)?;
    Ok(largest(&covariance, count, seed))
}

/// The rows of the units' covariance matrix.
fn covariance(
    context: &Context<'_>,
    reduce: Reduction,
    monitor: &dyn Monitor,
) -> Result<Vec<Vec<f64>>, UnitsError> {
    let Context { layer, inputs, .. } = *context;
    let units = layer.units;
    let all = Directions {
        units: (0..units).collect(),
        vectors: Vec::new(),
    };
    let projector = Projector::new(context.network, layer, reduce, &all)?;
    let mut products = vec![vec![0.0; units]; units];
    let mut sums = vec![0.0; units];
    // Relative to the first image, so that a large common offset does not cost precision.
    let mut origin: Vec<f64> = Vec::new();
    monitor.begin(
        &format!("covariance of {}", layer.name),
        inputs.len() as u64,
    );
    let done = projector.run(inputs, monitor, |_, scores, _| {
        if origin.is_empty() {
            origin = scores[..units].iter().map(|&x| f64::from(x)).collect();
        }
        let shifted: Vec<f64> = scores
            .iter()
            .zip(origin.iter().cycle())
            .map(|(&x, origin)| f64::from(x) - origin)
            .collect();
        for row in shifted.chunks_exact(units) {
            add(&mut sums, row, 1.0);
        }
        products
            .par_iter_mut()
            .enumerate()
            .for_each(|(unit, products)| {
                for row in shifted.chunks_exact(units) {
                    add(products, row, row[unit]);
                }
            });
    });
    monitor.end();
    done?;
    let images = inputs.len() as f64;
    for (unit, row) in products.iter_mut().enumerate() {
        for (value, sum) in row.iter_mut().zip(&sums) {
            *value = *value / images - sums[unit] * sum / (images * images);
        }
    }
    Ok(products)
}

/// The eigenvectors of the `count` largest eigenvalues, by subspace iteration.
fn largest(covariance: &[Vec<f64>], count: usize, seed: u64) -> Vec<Component> {
    let units = covariance.len();
    let total: f64 = (0..units).map(|i| covariance[i][i]).sum();
    if total.is_nan() || total <= 0.0 {
        return Vec::new();
    }
    let mut stream = Stream::new(seed, "components", 0);
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for _ in 0..(count + EXTRA_DIRECTIONS).min(units) {
        let mut vector: Vec<f64> = (0..units).map(|_| stream.normal()).collect();
        make_perpendicular(&mut vector, &basis);
        basis.push(vector);
    }
    // A small shift, so that no vector becomes 0.
    let shift = 1e-12 * total / units as f64;
    let multiply = |vector: &Vec<f64>| -> Vec<f64> {
        let rows = covariance.iter().zip(vector);
        rows.map(|(row, x)| dot(row, vector) + shift * x).collect()
    };
    for _ in 0..ITERATIONS {
        let images: Vec<Vec<f64>> = basis.par_iter().map(multiply).collect();
        basis.clear();
        for mut vector in images {
            make_perpendicular(&mut vector, &basis);
            basis.push(vector);
        }
    }
    let images: Vec<Vec<f64>> = basis.par_iter().map(multiply).collect();
    let projected: Vec<Vec<f64>> = basis
        .iter()
        .map(|a| images.iter().map(|b| dot(a, b)).collect())
        .collect();
    let mut pairs = eigenpairs(projected);
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs.truncate(count);
    pairs.retain(|(value, _)| *value > MIN_VARIANCE_FRACTION * total);
    let component = |(value, mix): (f64, Vec<f64>)| {
        let mut vector = vec![0.0; units];
        for (part, axis) in mix.iter().zip(&basis) {
            add(&mut vector, axis, *part);
        }
        let largest = vector
            .iter()
            .copied()
            .max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let sign = largest.unwrap_or(1.0).signum();
        vector.iter_mut().for_each(|x| *x *= sign);
        Component {
            direction: normalised(&vector),
            variance: value / total,
        }
    };
    pairs.into_iter().map(component).collect()
}

/// Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi rotations.
fn eigenpairs(mut a: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let n = a.len();
    // Rows, so that a rotation works on whole rows.
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for _ in 0..30 {
        let off: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| a[i][j].powi(2))
            .sum();
        let on: f64 = (0..n).map(|i| a[i][i].powi(2)).sum();
        if off <= 1e-30 * on {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let half = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let tangent = half.signum() / (half.abs() + (half * half + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for k in 0..n {
                    let (x, y) = (a[p][k], a[q][k]);
                    (a[p][k], a[q][k]) = (cosine * x - sine * y, sine * x + cosine * y);
                    let (x, y) = (vectors[p][k], vectors[q][k]);
                    (vectors[p][k], vectors[q][k]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
                for row in &mut a {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
            }
        }
    }
    vectors
        .into_iter()
        .enumerate()
        .map(|(i, vector)| (a[i][i], vector))
        .collect()
}

#[cfg(test)]
mod tests {
    use blindspot_testing::{python, run_python, skip};

    use super::*;
    use crate::units::Layer;
    use blindspot_model::classify::outputs;
    use blindspot_model::inputs::InMemory;
    use blindspot_paper::train::Recipe;
    use blindspot_run::monitor::Unwatched;

    #[test]
    fn components_are_numpys_eigenvectors() {
        if let Err(why) = python() {
            skip!("{why}");
        }
        let (images, length) = (300, 12);
        let values = (0..images * length).map(|i| ((i * 7919 + i / 12 * 31) % 1009) as f32 / 500.0);
        let inputs = InMemory::new(values.collect(), length);
        let network = Recipe::named("FC100-100-10").unwrap().start(length, 10, 1);
        let layer = Layer::find(&network, "hidden1").unwrap();
        let context = Context::new(&network, &layer, &inputs);
        let ours = principal(&context, Reduction::Max, 5, 0, &Unwatched).unwrap();
        let hidden = outputs(&network.up_to(layer.id), &inputs).unwrap();
        let rows: Vec<&[f32]> = hidden.values().chunks_exact(100).collect();
        let script = "import json, sys, numpy
x = numpy.array(json.load(sys.stdin))
values, vectors = numpy.linalg.eigh(numpy.cov(x.T, bias=True))
json.dump([(values[::-1] / values.sum())[:5].tolist(), vectors.T[::-1][:5].tolist()], sys.stdout)";
        let answer = run_python(script, [""; 0], serde_json::to_vec(&rows).unwrap()).unwrap();
        let (variances, vectors): (Vec<f64>, Vec<Vec<f64>>) =
            serde_json::from_str(&answer).unwrap();
        assert_eq!(ours.len(), 5);
        for ((ours, variance), vector) in ours.iter().zip(variances).zip(vectors) {
            assert!(
                (ours.variance / variance - 1.0).abs() < 1e-6,
                "{} {variance}",
                ours.variance
            );
            let own: Vec<f64> = ours.direction.iter().map(|&x| f64::from(x)).collect();
            assert!(
                dot(&own, &vector).abs() > 1.0 - 1e-5,
                "{}",
                dot(&own, &vector)
            );
        }
        // Images that are all the same vary in no direction.
        let same = InMemory::new(vec![0.5; 20 * length], length);
        let context = Context::new(&network, &layer, &same);
        let none = principal(&context, Reduction::Max, 5, 0, &Unwatched).unwrap();
        assert_eq!(none, []);
    }
}
