//! Tests and confidence intervals: the Mann-Whitney test with its effect size, and Wilson's interval.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Mann-Whitney test of whether a first sample tends to be larger than a second one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MannWhitney {
    /// Number of pairs in which the first sample's member is larger; ties count a half.
    pub u: f64,
    /// The two-sided p-value of the hypothesis that neither sample tends to be larger, by the normal
    /// approximation with corrections for ties and continuity. It assumes independent members. None if
    /// all members are equal.
    pub p: Option<f64>,
    /// The common-language effect size: the probability that a member of the first sample is larger
    /// than a member of the second, with ties counting a half. 0.5 is no effect.
    pub probability: f64,
    /// The 95% confidence interval of the effect size (Newcombe 2006, method 5).
    pub interval: [f64; 2],
    /// The rank-biserial correlation, 2 probability - 1.
    pub rank_biserial: f64,
}

/// Half the width of a 95% interval of the normal distribution, in standard deviations.
const Z: f64 = 1.959_963_984_540_054;

impl MannWhitney {
    /// Compares two samples of finite numbers; None if one is empty.
    pub fn test(first: &[f64], second: &[f64]) -> Option<MannWhitney> {
        if first.is_empty() || second.is_empty() {
            return None;
        }
        let (n, m) = (first.len() as f64, second.len() as f64);
        let mut all: Vec<(f64, bool)> = first.iter().map(|&x| (x, true)).collect();
        all.extend(second.iter().map(|&x| (x, false)));
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0usize);
        for equal in all.chunk_by(|a, b| a.0 == b.0) {
            let count = equal.len() as f64;
            let rank = before as f64 + (count + 1.0) / 2.0;
            rank_sum += rank * equal.iter().filter(|(_, first)| *first).count() as f64;
            ties += count.powi(3) - count;
            before += equal.len();
        }
        let u = rank_sum - n * (n + 1.0) / 2.0;
        let total = n + m;
        let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
        let z = (u.max(n * m - u) - n * m / 2.0 - 0.5) / variance.sqrt();
        let probability = u / (n * m);
        Some(MannWhitney {
            u,
            p: (variance > 0.0).then(|| normal_tails(z).min(1.0)),
            probability,
            interval: newcombe(probability, n, m),
            rank_biserial: 2.0 * probability - 1.0,
        })
    }
}

/// The 95% confidence interval of an effect size between samples of `n` and `m` members: the effect sizes
/// that lie within Z of their own standard deviations from the observed one (Newcombe 2006, method 5,
/// on the variance of Hanley and McNeil 1982). It stays within [0, 1], and has a width even if the samples
/// don't overlap.
fn newcombe(probability: f64, n: f64, m: f64) -> [f64; 2] {
    let extra = (n + m) / 2.0 - 1.0;
    let variance = |theta: f64| {
        let spread = 1.0 + extra * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta));
        theta * (1.0 - theta) * spread / (n * m)
    };
    let outside = |theta: f64| (probability - theta).abs() > Z * variance(theta).sqrt();
    // Bisection between a point outside the interval, or an end of [0, 1], and one inside.
    let end = |mut far: f64| {
        let mut near = probability;
        for _ in 0..60 {
            let middle = (far + near) / 2.0;
            *(if outside(middle) { &mut far } else { &mut near }) = middle;
        }
        near
    };
    [end(0.0), end(1.0)]
}

/// 2 (1 - Phi(z)): for z of at least 0, the probability of a standard normal number outside [-z, z].
fn normal_tails(z: f64) -> f64 {
    libm::erfc(z / std::f64::consts::SQRT_2)
}

/// Wilson's 95% confidence interval of a fraction, `successes` out of `count` (Wilson 1927). It stays
/// within [0, 1], and has a width for fractions of 0 and 1.
///
/// # Panics
/// If `count` is 0: a fraction of nothing is no number.
pub(crate) fn wilson(successes: u64, count: u64) -> [f64; 2] {
    assert!(count > 0, "a fraction of nothing");
    let count = count as f64;
    let fraction = successes as f64 / count;
    let middle = fraction + Z * Z / (2.0 * count);
    let spread = Z * (fraction * (1.0 - fraction) / count + Z * Z / (4.0 * count * count)).sqrt();
    let scale = 1.0 + Z * Z / count;
    [
        ((middle - spread) / scale).max(0.0),
        ((middle + spread) / scale).min(1.0),
    ]
}

#[cfg(test)]
mod tests {
    use blindspot_testing::{Noise, python, run_python, skip};

    use super::*;

    #[test]
    fn probabilities_of_the_normal_distribution() {
        // 2 (1 - Phi(z)), from tables.
        let table = [
            (0.0, 1.0),
            (1.0, 0.317_310_507_862_914),
            (1.959_963_984_540_054, 0.05),
            (3.0, 2.699_796_063_260_207e-3),
            (5.0, 5.733_031_437_583_892e-7),
            (10.0, 1.523_970_604_832_094e-23),
            (-1.0, 1.682_689_492_137_086),
        ];
        for (z, tails) in table {
            assert!(
                (normal_tails(z) / tails - 1.0).abs() < 1e-9,
                "{z}: {}",
                normal_tails(z)
            );
        }
    }

    #[test]
    fn samples_apart_alike_and_empty() {
        let apart = MannWhitney::test(&[3.0, 4.0, 5.0], &[1.0, 2.0]).unwrap();
        assert_eq!(
            (apart.u, apart.probability, apart.rank_biserial),
            (6.0, 1.0, 1.0)
        );
        assert!(apart.interval[0] < 0.9 && apart.interval[1] == 1.0);
        let equal = MannWhitney::test(&[1.0; 4], &[1.0; 9]).unwrap();
        assert_eq!((equal.p, equal.probability), (None, 0.5));
        assert_eq!(MannWhitney::test(&[], &[1.0]), None);
    }

    /// U and p of SciPy; the interval's ends by a root finder.
    const SCRIPT: &str = r"
import json, sys
from scipy.optimize import brentq
from scipy.stats import mannwhitneyu, norm
answers = []
for x, y in json.load(sys.stdin):
    u, p = mannwhitneyu(x, y, alternative='two-sided', method='asymptotic')
    n, m, z = len(x), len(y), norm.ppf(0.975)
    a = u / (n * m)
    def gap(t):
        v = t * (1 - t) * (1 + ((n + m) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t))) / (n * m)
        return (t - a) ** 2 - z * z * v
    low = brentq(gap, 1e-12, a, xtol=1e-14) if a > 0 else 0
    high = brentq(gap, a, 1 - 1e-12, xtol=1e-14) if a < 1 else 1
    answers.append([u, p, low, high])
json.dump(answers, sys.stdout)
";

    #[test]
    fn statistics_are_scipys() {
        if let Err(why) = python() {
            skip!("{why}");
        }
        let mut noise = Noise::new(1);
        let mut next = || f64::from(noise.unit());
        // Without ties, with few and with many, of several sizes and shifts.
        let mut cases = Vec::new();
        for (n, m) in [(5, 9), (40, 40), (128, 100)] {
            for (levels, shift) in [(1e9, 0.0), (1e9, 0.3), (50.0, 0.1), (4.0, 0.05)] {
                let mut sample = |count: usize, shift: f64| -> Vec<f64> {
                    (0..count)
                        .map(|_| ((next() + shift) * levels).floor() / levels)
                        .collect()
                };
                cases.push((sample(n, shift), sample(m, 0.0)));
            }
        }
        let input = serde_json::to_vec(&cases).unwrap();
        let output = run_python(SCRIPT, [""; 0], input).unwrap();
        let answers: Vec<[f64; 4]> = serde_json::from_str(&output).unwrap();
        assert_eq!(answers.len(), cases.len());
        for ((first, second), [u, p, low, high]) in cases.iter().zip(answers) {
            let ours = MannWhitney::test(first, second).unwrap();
            assert_eq!(ours.u, u);
            assert!((ours.p.unwrap() / p - 1.0).abs() < 1e-9, "{ours:?} {p}");
            let [our_low, our_high] = ours.interval;
            assert!((our_low - low).abs() < 1e-9 && (our_high - high).abs() < 1e-9);
        }
    }
}
