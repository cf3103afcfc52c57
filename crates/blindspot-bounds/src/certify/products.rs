//! Sums of products of two numbers that both depend on the image: gates, attention, squares.
//!
//! With any a0 and b0, a b = b0 a + a0 b - a0 b0 + (a - a0) (b - b0). With the middles of both
//! intervals for a0 and b0 the last term is at most the product of the half widths, either way; in a
//! square it is not negative. So the lines below and above a product are parallel.

use blindspot_net::ops::Binary;
use blindspot_net::{Graph, Node, Op, ValueId};

use super::arithmetic::Rounding;
use super::ball;
use super::interval::{Intervals, Middles};

/// For each sum of products the positions of its factors.
pub(super) type Pairs = Vec<Vec<[u32; 2]>>;

/// The most products of a layer.
const MAX_PRODUCTS: usize = 1 << 23;

/// Linear bounds of a sum of products.
pub(super) struct ProductBounds {
    /// Each with its input's position; the same below and above.
    pub(super) coefficients: Vec<(u32, f64)>,
    /// The constants below and above.
    pub(super) intercepts: [f64; 2],
}

impl ProductBounds {
    /// Bounds of the sum of products of these pairs of inputs.
    pub(super) fn new(pairs: &[[u32; 2]], inputs: &Middles) -> ProductBounds {
        let mut coefficients = Vec::with_capacity(2 * pairs.len());
        let (mut middle, mut below, mut above, mut size) = (0.0, 0.0, 0.0, 0.0);
        for &[a, b] in pairs {
            let [a0, b0] = [a, b].map(|i| inputs.middles[i as usize]);
            let [a_far, b_far] = [a, b].map(|i| inputs.widths[i as usize]);
            if a == b {
                // The factor is exact.
                coefficients.push((a, 2.0 * a0));
            } else {
                coefficients.extend([(a, b0), (b, a0)]);
                below += a_far * b_far;
            }
            middle -= a0 * b0;
            above += a_far * b_far;
            size += (a0 * b0).abs() + 2.0 * a_far * b_far;
        }
        let rounding = ball::rounding(4 * pairs.len(), size);
        ProductBounds {
            coefficients,
            intercepts: [middle - below - rounding, middle + above + rounding],
        }
    }

    /// The constant that makes coefficient times the sum no larger.
    pub(super) fn intercept(&self, coefficient: f64) -> f64 {
        self.intercepts[usize::from(coefficient <= 0.0)]
    }
}

/// Bounds of a sum of products, rounded outward.
pub(super) fn range(pairs: &[[u32; 2]], inputs: &Intervals) -> [f64; 2] {
    let (mut lower, mut upper, mut size) = (0.0, 0.0, 0.0);
    for &[a, b] in pairs {
        let ends = |i: u32| [inputs.lower[i as usize], inputs.upper[i as usize]];
        let products = ends(a).map(|x| ends(b).map(|y| x * y));
        let all = products.as_flattened();
        let mut least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if a == b {
            let [low, high] = ends(a);
            let nearest = low.max(-high).max(0.0);
            least = nearest * nearest;
        }
        lower += least;
        upper += most;
        size += least.abs().max(most.abs());
    }
    let rounding = ball::rounding(2 * pairs.len(), size);
    [lower - rounding, upper + rounding]
}

/// How far a runtime's sum of products can be from that of its factors.
pub(super) fn error(pairs: &[[u32; 2]], inputs: &Intervals, rounding: &Rounding) -> f64 {
    let largest = |i: u32| {
        inputs.lower[i as usize]
            .abs()
            .max(inputs.upper[i as usize].abs())
    };
    let terms = pairs.iter().map(|&[a, b]| largest(a) * largest(b));
    rounding.of_products(pairs.len(), terms.sum())
}

/// The products that a node on values takes, these values side by side; None if it is no such node,
/// or one of too many.
pub(super) fn of_node(graph: &Graph, node: &Node, values: &[ValueId]) -> Option<Pairs> {
    let shape = |id: &ValueId| &graph.value(*id).shape;
    let [first, second] = values else {
        return None;
    };
    let output = shape(&node.output);
    let before = graph.value(*first).len();
    match &node.op {
        Op::Binary(Binary::Mul) => {
            let [a, b] = [first, second].map(|id| super::activation::repeated(shape(id), output));
            let pairs = a.into_iter().zip(b);
            Some(
                pairs
                    .map(|(a, b)| vec![[a as u32, (before + b) as u32]])
                    .collect(),
            )
        }
        Op::MatMul(_) => {
            let (&[p, k], a) = split(shape(first))?;
            let (&[_, m], b) = split(shape(second))?;
            let repeats = output[..output.len() - 2].to_vec();
            if output.iter().product::<usize>().saturating_mul(k) > MAX_PRODUCTS {
                return None;
            }
            let [a, b] = [a, b].map(|axes| super::activation::repeated(axes, &repeats));
            let sums = a.into_iter().zip(b).flat_map(|(a, b)| {
                let places = (0..p).flat_map(move |i| (0..m).map(move |j| [i, j]));
                places.map(move |[i, j]| {
                    let pair = |x: usize| {
                        let left = (a * p + i) * k + x;
                        let right = before + (b * k + x) * m + j;
                        [left as u32, right as u32]
                    };
                    (0..k).map(pair).collect()
                })
            });
            Some(sums.collect())
        }
        _ => None,
    }
}

/// A shape's last two axes, and those before.
fn split(shape: &[usize]) -> Option<(&[usize; 2], &[usize])> {
    let (before, matrix) = shape.split_last_chunk::<2>()?;
    Some((matrix, before))
}

#[cfg(test)]
mod tests {
    use blindspot_run::random::Stream;

    use super::*;

    /// Sums over factors that occur twice, squares, intervals of one number and huge ones.
    #[test]
    fn sums_of_products_stay_between_their_bounds() {
        let pairs = [[0, 1], [1, 2], [3, 3], [0, 3]];
        let mut nearest = f64::INFINITY;
        for seed in 0..2_000 {
            let mut stream = Stream::new(35, "intervals of a test", seed);
            let scale = [0.0, 1e-6, 1.0, 1e6][seed % 4];
            let mut intervals = Intervals::default();
            for _ in 0..4 {
                let middle = 3.0 * stream.normal();
                let [a, b] = [0; 2].map(|_| middle + scale * stream.normal());
                intervals.lower.push(a.min(b));
                intervals.upper.push(a.max(b));
            }
            let of = seed / 4 % 5;
            let pairs = if of == 4 { &pairs[..] } else { &pairs[of..=of] };
            let bounds = ProductBounds::new(pairs, &Middles::of(&intervals));
            let [least, most] = range(pairs, &intervals);
            for point in 0..200 {
                let place = |i: usize| {
                    let (low, high) = (intervals.lower[i], intervals.upper[i]);
                    match (point >> (2 * i)) % 4 {
                        0 => low,
                        1 => high,
                        2 => 0.5 * low + 0.5 * high,
                        _ => low + (high - low) * (point % 13) as f64 / 12.0,
                    }
                };
                let values = [0, 1, 2, 3].map(place);
                let products = pairs
                    .iter()
                    .map(|&[a, b]| values[a as usize] * values[b as usize]);
                let sum: f64 = products.sum();
                let line = bounds.coefficients.iter();
                let line: f64 = line.map(|&(at, slope)| slope * values[at as usize]).sum();
                let [below, above] = bounds.intercepts.map(|intercept| line + intercept);
                // The rounding of the test's own sums is less than what bounds are moved by.
                assert!(
                    below <= sum && sum <= above,
                    "{seed}: {below} {sum} {above}"
                );
                assert!(least <= sum && sum <= most, "{seed}: {least} {sum} {most}");
                nearest = nearest.min((sum - below) / (above - below));
            }
        }
        assert!(nearest < 1e-6, "{nearest}");
    }
}
