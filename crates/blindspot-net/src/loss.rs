//! What is minimised, as a function of the logits.

use crate::ops::softmax_rows;
use crate::real::Real;

/// The cross entropy of each row of `logits` with its label: -log p(label), in nats.
/// Writes the gradient with respect to the logits into `gradient` and gives each row's loss to
/// `each(row, loss)`.
///
/// # Panics
/// Where the lengths disagree or a label is not below `classes`.
pub fn cross_entropy<T: Real>(
    logits: &[T],
    classes: usize,
    labels: &[usize],
    gradient: &mut [T],
    mut each: impl FnMut(usize, f64),
) {
    assert_eq!(
        logits.len(),
        labels.len() * classes,
        "a row of logits for each label"
    );
    softmax_rows(logits, gradient, classes);
    let rows = logits
        .chunks_exact(classes)
        .zip(gradient.chunks_exact_mut(classes));
    for (i, ((row, p), &label)) in rows.zip(labels).enumerate() {
        // -log p loses all its digits where p rounds to 1, and is infinite where it rounds to 0:
        // log(sum of the others' exponentials relative to the label's) is exact in both.
        let own = row[label].f64();
        let rest: f64 = row
            .iter()
            .enumerate()
            .filter(|&(class, _)| class != label)
            .map(|(_, logit)| (logit.f64() - own).exp())
            .sum();
        let loss = if rest.is_finite() {
            rest.ln_1p()
        } else {
            let max = row
                .iter()
                .map(|logit| logit.f64())
                .fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|logit| (logit.f64() - max).exp()).sum();
            max - own + sum.ln()
        };
        p[label] -= T::one();
        each(i, loss);
    }
}

/// The position of the largest value: the first where several are equal, 0 where all are NaN.
pub fn argmax<T: Real>(row: &[T]) -> usize {
    let mut best = 0;
    for (i, &value) in row.iter().enumerate() {
        if value > row[best] || (row[best].is_nan() && !value.is_nan()) {
            best = i;
        }
    }
    best
}
