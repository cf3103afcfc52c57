//! The directions in which a layer's projections vary the most.

use blindspot_net::Network;
use rayon::prelude::*;

use super::bases::{add, dot, make_perpendicular};
use super::projector::Projector;
use super::{Layer, Probes, Reduction, UnitsError};
use crate::inputs::Inputs;
use crate::run::monitor::Monitor;
use crate::run::random::Stream;

/// The widest layer whose covariance is held.
pub(super) const WIDEST: usize = 4096;
/// Directions iterated beyond those asked for, and iterations.
const BEYOND: usize = 16;
const ITERATIONS: usize = 60;
/// A part of the variance below this is none.
const NONE: f64 = 1e-9;

/// A direction of large variance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    /// Of length 1; its largest value is positive.
    pub(super) direction: Vec<f32>,
    /// The part of the units' total variance that lies along it, in [0, 1].
    pub(super) variance: f64,
}

/// The `count` principal components of a layer's units over a set of images, that of largest variance
/// first; fewer where the rest has no variance. Of a convolutional layer, those of its channels as the
/// reduction gives them. By subspace iteration, so components of nearly the same variance may be mixed.
pub(super) fn principal(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    layer: &Layer,
    reduce: Reduction,
    count: usize,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<Vec<Component>, UnitsError> {
    let covariance = covariance(network, inputs, layer, reduce, monitor)?;
    Ok(largest(&covariance, count, seed))
}

/// The covariance of the units: rows.
fn covariance(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    layer: &Layer,
    reduce: Reduction,
    monitor: &dyn Monitor,
) -> Result<Vec<Vec<f64>>, UnitsError> {
    let units = layer.units;
    let probes = Probes {
        units: (0..units).collect(),
        directions: Vec::new(),
    };
    let projector = Projector::new(network, layer, reduce, &probes)?;
    let mut products = vec![vec![0.0; units]; units];
    let mut sums = vec![0.0; units];
    // Around the first image's values, so that a large common part does not drown the rest.
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

/// The eigenvectors of the largest eigenvalues.
fn largest(covariance: &[Vec<f64>], count: usize, seed: u64) -> Vec<Component> {
    let units = covariance.len();
    let total: f64 = (0..units).map(|i| covariance[i][i]).sum();
    if total.is_nan() || total <= 0.0 {
        return Vec::new();
    }
    let mut stream = Stream::new(seed, "components", 0);
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for _ in 0..(count + BEYOND).min(units) {
        let mut vector: Vec<f64> = (0..units).map(|_| stream.normal()).collect();
        make_perpendicular(&mut vector, &basis);
        basis.push(vector);
    }
    // A little of the vector itself, so that nothing becomes 0.
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
    pairs.retain(|(value, _)| *value > NONE * total);
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
            direction: super::directions::to_unit(&vector),
            variance: value / total,
        }
    };
    pairs.into_iter().map(component).collect()
}

/// Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations.
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
    use crate::classify::outputs;
    use crate::inputs::InMemory;
    use crate::run::monitor::Unwatched;
    use blindspot_paper::train::Recipe;

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
        let ours = principal(&network, &inputs, &layer, Reduction::Max, 5, 0, &Unwatched).unwrap();
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
        let none = principal(&network, &same, &layer, Reduction::Max, 5, 0, &Unwatched).unwrap();
        assert_eq!(none, []);
    }
}
