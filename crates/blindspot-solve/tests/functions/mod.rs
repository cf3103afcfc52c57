//! The test functions: each writes its gradient and returns its value.
#![allow(dead_code)]

pub(crate) type Function = fn(&[f64], &mut [f64]) -> f64;

/// The extended Rosenbrock function in any number of dimensions from 2: minimum 0 at (1, ..., 1).
pub(crate) fn rosenbrock(x: &[f64], g: &mut [f64]) -> f64 {
    g.fill(0.0);
    let mut value = 0.0;
    for i in 0..x.len() - 1 {
        let (a, b) = (1.0 - x[i], x[i + 1] - x[i] * x[i]);
        value += a * a + 100.0 * b * b;
        g[i] += -2.0 * a - 400.0 * x[i] * b;
        g[i + 1] += 200.0 * b;
    }
    value
}

/// sum_i w_i (x_i - c_i)^2 / 2, with w from 1 to 1e6 and c from -1 to 1.
pub(crate) fn quadratic(x: &[f64], g: &mut [f64]) -> f64 {
    let n = x.len();
    let mut value = 0.0;
    for i in 0..n {
        let t = i as f64 / (n - 1) as f64;
        let (w, c) = (10f64.powf(6.0 * t), 1.0 - 2.0 * t);
        value += 0.5 * w * (x[i] - c) * (x[i] - c);
        g[i] = w * (x[i] - c);
    }
    value
}

/// sum_i w_i (x_i - c_i)^2 / 2, with small weights: its minimum in a box is the centre moved into
/// the box.
pub(crate) fn separable(x: &[f64], g: &mut [f64]) -> f64 {
    let mut value = 0.0;
    for i in 0..x.len() {
        let (w, c) = ((1 + i % 7) as f64, separable_centre(i));
        value += 0.5 * w * (x[i] - c) * (x[i] - c);
        g[i] = w * (x[i] - c);
    }
    value
}

/// The centre of [`separable`].
pub(crate) fn separable_centre(i: usize) -> f64 {
    1.5 * (i as f64).sin() + 0.5
}

/// sum_i w_i (x_i - ln x_i), no number outside of its domain x > 0: the minimum is at 1.
pub(crate) fn logarithmic(x: &[f64], g: &mut [f64]) -> f64 {
    let mut value = 0.0;
    for i in 0..x.len() {
        let w = (1 + i % 7) as f64;
        value += w * (x[i] - x[i].ln());
        g[i] = if x[i] > 0.0 {
            w * (1.0 - 1.0 / x[i])
        } else {
            f64::NAN
        };
    }
    value
}
