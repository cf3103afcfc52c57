//! How well scores tell a class from the rest.

/// Average precision: over the images of the class, from the highest score down, the mean of the part
/// of the class among the images down to there. Images of equal score count as they stand.
pub(crate) fn average_precision(scores: &[f64], positive: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut found, mut sum) = (0usize, 0.0);
    for (rank, &i) in order.iter().enumerate() {
        if positive[i] {
            found += 1;
            sum += found as f64 / (rank + 1) as f64;
        }
    }
    sum / found.max(1) as f64
}

/// A score above which an image is taken for one of the class, and how often that is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) above: f64,
    pub(crate) accuracy: f64,
}

/// The threshold with the highest accuracy; with `balanced`, with the highest mean of the class's and
/// the others' accuracy. It lies halfway between two scores.
pub(crate) fn best_threshold(scores: &[f64], positive: &[bool], balanced: bool) -> Threshold {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let count = positive.iter().filter(|&&positive| positive).count();
    let [of_class, of_others] = parts(count, scores.len() - count, balanced);
    // All above: the class is right, no other is.
    let mut accuracy = count as f64 * of_class;
    let first = order.first().map_or(0.0, |&i| scores[i]);
    let mut best = Threshold {
        above: first - 1.0,
        accuracy,
    };
    for (rank, &i) in order.iter().enumerate() {
        accuracy += if positive[i] { -of_class } else { of_others };
        let next = order
            .get(rank + 1)
            .map_or(scores[i] + 1.0, |&next| scores[next]);
        if next > scores[i] && accuracy > best.accuracy {
            best = Threshold {
                above: scores[i] + (next - scores[i]) / 2.0,
                accuracy,
            };
        }
    }
    best
}

/// How often it is right that an image with a score above `above` is of the class, and no other is.
pub(crate) fn accuracy(scores: &[f64], positive: &[bool], above: f64, balanced: bool) -> f64 {
    let count = positive.iter().filter(|&&positive| positive).count();
    let [of_class, of_others] = parts(count, scores.len() - count, balanced);
    let each =
        scores
            .iter()
            .zip(positive)
            .map(|(&score, &positive)| match (score > above, positive) {
                (true, true) => of_class,
                (false, false) => of_others,
                _ => 0.0,
            });
    each.sum()
}

/// What one image of the class, and one other, adds to the accuracy.
fn parts(of_class: usize, others: usize, balanced: bool) -> [f64; 2] {
    if balanced {
        [of_class, others].map(|count| 0.5 / count.max(1) as f64)
    } else {
        [1.0 / (of_class + others).max(1) as f64; 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 6] = [0.9, 0.8, 0.7, 0.4, 0.3, 0.1];
    const POSITIVE: [bool; 6] = [true, false, true, false, false, false];

    #[test]
    fn they_are_what_they_are_by_hand() {
        // The first of 1, then two of three.
        let expected = (1.0 + 2.0 / 3.0) / 2.0;
        assert!((average_precision(&SCORES, &POSITIVE) - expected).abs() < 1e-12);
        let balanced = best_threshold(&SCORES, &POSITIVE, true);
        assert!((balanced.above - 0.55).abs() < 1e-12);
        assert!((balanced.accuracy - (1.0 + 0.75) / 2.0).abs() < 1e-12);
        let plain = best_threshold(&SCORES, &POSITIVE, false);
        assert!((plain.accuracy - 5.0 / 6.0).abs() < 1e-12);
        for (found, is_balanced) in [(balanced, true), (plain, false)] {
            let again = accuracy(&SCORES, &POSITIVE, found.above, is_balanced);
            assert!((again - found.accuracy).abs() < 1e-12);
        }
    }

    #[test]
    fn no_threshold_of_any_kind_is_better() {
        let mut state = 7u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % 8
        };
        for _ in 0..200 {
            let scores: Vec<f64> = (0..9).map(|_| next() as f64).collect();
            let positive: Vec<bool> = (0..9).map(|i| i == 0 || next() < 3).collect();
            for balanced in [false, true] {
                let found = best_threshold(&scores, &positive, balanced);
                let tried = (-1..9).map(|at| f64::from(at) + 0.5);
                let best = tried
                    .map(|above| accuracy(&scores, &positive, above, balanced))
                    .fold(0.0, f64::max);
                assert!((found.accuracy - best).abs() < 1e-12, "{found:?} {best}");
            }
        }
    }
}
