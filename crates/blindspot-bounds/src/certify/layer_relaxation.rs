//! The linear relaxation of a whole activation layer, and how it carries linear functions across.

use super::affine::AffineLayers;
use super::ball;
use super::products::ProductBounds;
use super::relaxation::LinearBounds;

/// The relaxation of an activation layer.
pub(super) enum Relaxation {
    /// Lines for each number.
    Elementwise(Vec<LinearBounds>),
    /// Linear bounds of each window's maximum.
    MaxPool(Vec<MaxBounds>),
    /// Linear bounds of each sum of products.
    Products(Vec<ProductBounds>),
}

/// Linear bounds of the maximum of a window.
pub(super) struct MaxBounds {
    /// The lower bound is this one input, the one whose own lower bound is the largest.
    lower: u32,
    /// The upper bound's coefficients, each with its input's position.
    upper: Vec<(u32, f64)>,
    /// The upper bound's constant.
    intercept: f64,
}

/// The constant of a linear function, and a bound of the rounding error of the whole function so
/// far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Constant {
    value: f64,
    rounding: f64,
}

impl Constant {
    /// Adds a sum of `terms` numbers whose absolute values sum to `size`.
    pub(super) fn add(&mut self, sum: f64, size: f64, terms: usize) {
        self.value += sum;
        self.rounding += ball::rounding(terms, size + self.value.abs());
    }

    /// Takes off what rounding in a runtime can change the function by.
    pub(super) fn allow(&mut self, error: f64) {
        // More than the rounding of this sum.
        self.rounding += error * (1.0 + 1e-9);
    }

    /// The function's value where the rest of it is `least`, with the rounding subtracted.
    pub(super) fn below(self, least: f64) -> f64 {
        let Constant { value, rounding } = self;
        least + value - rounding - 4.0 * f64::EPSILON * (least.abs() + value.abs())
    }
}

impl MaxBounds {
    /// Bounds of the maximum of a window, given bounds of the inputs.
    ///
    /// With L the largest lower bound, that of the input `best`, the maximum is at most x_best +
    /// sum over the others of max(0, x_i - L), and that is at most the chord (u_i - L) / (u_i -
    /// l_i) (x_i - l_i). If the largest upper bound is lower in the middle of all intervals, this
    /// constant is the upper bound instead.
    pub(super) fn new(window: &[u32], lower: &[f64], upper: &[f64]) -> MaxBounds {
        let by = |a: &&u32, b: &&u32| lower[**a as usize].total_cmp(&lower[**b as usize]);
        let best = window.iter().max_by(by).copied().unwrap_or(0);
        let floor = lower[best as usize];
        let mut coefficients = vec![(best, 1.0)];
        let (mut intercept, mut size) = (0.0, 0.0);
        let mut middle = 0.5 * (floor + upper[best as usize]);
        let mut top = upper[best as usize];
        for &i in window
            .iter()
            .filter(|&&i| i != best && upper[i as usize] > floor)
        {
            let (l, u) = (lower[i as usize], upper[i as usize]);
            // Rounded up: what it is multiplied by is never negative.
            let slope = (u - floor) / (u - l) * (1.0 + 4.0 * f64::EPSILON);
            coefficients.push((i, slope));
            intercept -= slope * l;
            size += (slope * l).abs();
            middle += 0.5 * slope * (u - l);
            top = top.max(u);
        }
        intercept += ball::rounding(coefficients.len(), size);
        if coefficients.len() > 1 && top < middle {
            (coefficients, intercept) = (Vec::new(), top);
        }
        MaxBounds {
            lower: best,
            upper: coefficients,
            intercept,
        }
    }
}

impl Relaxation {
    /// Replaces functions of the output of activation `at` by functions of its input that are never
    /// larger. Values that pass through the activation keep their coefficients. `magnitude` has the sizes
    /// of that input's terms.
    pub(super) fn pull_back(
        &self,
        mut rows: Vec<f64>,
        layers: &AffineLayers,
        (at, magnitude): (usize, &[f64]),
        constants: &mut [Constant],
    ) -> Vec<f64> {
        let (before, activated) = (&layers.affine[at], layers.activated[at]);
        match self {
            Relaxation::Elementwise(units) => {
                for (row, constant) in rows.chunks_exact_mut(before.outputs).zip(constants) {
                    let (mut sum, mut size) = (0.0, 0.0);
                    for (s, unit) in row.iter_mut().zip(units) {
                        let line = unit.for_coefficient(*s);
                        let part = *s * line.intercept;
                        sum += part;
                        size += part.abs();
                        *s *= line.slope;
                    }
                    constant.add(sum, size, before.outputs);
                }
                rows
            }
            Relaxation::MaxPool(windows) => {
                let mut wide = vec![0.0; before.outputs * constants.len()];
                let passing = before.outputs - activated;
                let functions = rows.chunks_exact(windows.len() + passing);
                let functions = functions.zip(wide.chunks_exact_mut(before.outputs));
                for ((row, out), constant) in functions.zip(constants) {
                    out[activated..].copy_from_slice(&row[windows.len()..]);
                    let (mut sum, mut size) = (0.0, 0.0);
                    for (&s, maximum) in row.iter().zip(windows) {
                        let mut add = |at: u32, slope: f64| {
                            out[at as usize] += s * slope;
                            // Overlapping windows add to one position: that sum is rounded, too.
                            size += s.abs() * slope * magnitude[at as usize];
                        };
                        if s > 0.0 {
                            add(maximum.lower, 1.0);
                        } else {
                            maximum.upper.iter().for_each(|&(at, slope)| add(at, slope));
                            sum += s * maximum.intercept;
                            size += (s * maximum.intercept).abs();
                        }
                    }
                    constant.add(sum, size, windows.len());
                }
                wide
            }
            Relaxation::Products(sums) => {
                let mut wide = vec![0.0; before.outputs * constants.len()];
                let passing = before.outputs - activated;
                let functions = rows.chunks_exact(sums.len() + passing);
                let functions = functions.zip(wide.chunks_exact_mut(before.outputs));
                for ((row, out), constant) in functions.zip(constants) {
                    out[activated..].copy_from_slice(&row[sums.len()..]);
                    let (mut sum, mut size, mut terms) = (0.0, 0.0, sums.len());
                    for (&s, products) in row.iter().zip(sums) {
                        for &(at, slope) in &products.coefficients {
                            out[at as usize] += s * slope;
                            // A factor of many products: that sum is rounded, too.
                            size += (s * slope).abs() * magnitude[at as usize];
                        }
                        terms += products.coefficients.len();
                        let part = s * products.intercept(s);
                        sum += part;
                        size += part.abs();
                    }
                    constant.add(sum, size, terms);
                }
                wide
            }
        }
    }

    /// Appends the relaxation's outputs for `inputs` to `out`: of each number the line that its
    /// coefficient in a function of the output chooses. Inputs beyond the first `activated` pass
    /// through.
    pub(super) fn apply(
        &self,
        inputs: &[f64],
        coefficients: &[f64],
        activated: usize,
        out: &mut Vec<f64>,
    ) {
        match self {
            Relaxation::Elementwise(units) => {
                let numbers = inputs.iter().zip(coefficients).zip(units);
                out.extend(numbers.map(|((x, s), unit)| {
                    let line = unit.for_coefficient(*s);
                    line.slope * x + line.intercept
                }));
            }
            Relaxation::MaxPool(windows) => {
                let numbers = windows.iter().zip(coefficients);
                out.extend(numbers.map(|(maximum, s)| {
                    if *s > 0.0 {
                        inputs[maximum.lower as usize]
                    } else {
                        let parts = maximum.upper.iter();
                        let parts = parts.map(|&(at, slope)| slope * inputs[at as usize]);
                        parts.sum::<f64>() + maximum.intercept
                    }
                }));
            }
            Relaxation::Products(sums) => {
                let numbers = sums.iter().zip(coefficients);
                out.extend(numbers.map(|(products, s)| {
                    let parts = products.coefficients.iter();
                    let parts = parts.map(|&(at, slope)| slope * inputs[at as usize]);
                    parts.sum::<f64>() + products.intercept(*s)
                }));
            }
        }
        out.extend_from_slice(&inputs[activated..]);
    }
}
