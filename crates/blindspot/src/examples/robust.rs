//! Robust accuracy at given norms: what share of the images stay right under every perturbation up to
//! a norm.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stats::wilson;

/// A share of all images, with its 95% confidence interval (Wilson 1927).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// The images that it is of.
    pub images: usize,
    /// Their share of all images, from 0 to 1.
    pub share: f64,
    /// Lower end of the interval: of the same share of all images that these could have been.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Share {
    /// The share of `images` in `all`; None of no images.
    fn of(images: usize, all: usize) -> Option<Share> {
        if all == 0 {
            return None;
        }
        let [low, high] = wilson(images as u64, all as u64);
        Some(Share {
            images,
            share: images as f64 / all as f64,
            low,
            high,
        })
    }
}

/// The share of all images that stay right under every perturbation up to a norm: it lies between two
/// shares that are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RobustAccuracy {
    /// The norm.
    pub epsilon: f64,
    /// Images that are right as they are, and of which the search found no perturbation up to the norm
    /// that reaches its goal: an upper bound.
    pub at_most: Share,
    /// Images with a larger certificate: a lower bound. None without certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Share>,
}

impl RobustAccuracy {
    /// The bounds at each of some norms, by what is known of each image; none of no images.
    pub fn of(epsilons: &[f64], images: &[Distance]) -> Vec<RobustAccuracy> {
        let all = images.len();
        let bounds = epsilons.iter().filter_map(|&epsilon| {
            let not_fooled = images.iter().filter(|image| image.at_most > epsilon);
            let proven = images.iter().map(|image| image.at_least);
            let proven = proven.map(|least| least.map(|least| usize::from(least > epsilon)));
            Some(RobustAccuracy {
                epsilon,
                at_most: Share::of(not_fooled.count(), all)?,
                at_least: proven
                    .sum::<Option<usize>>()
                    .and_then(|count| Share::of(count, all)),
            })
        });
        bounds.collect()
    }
}

/// What is known of the distance at which the answer to an image is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// The norm of the smallest perturbation found: 0 where the image is wrong as it is, infinite where
    /// none was found.
    pub at_most: f64,
    /// The certificate; None where there is none.
    pub at_least: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_where_its_perturbation_is_larger_or_its_certificate_is() {
        let distance = |at_most, at_least| Distance {
            at_most,
            at_least: Some(at_least),
        };
        let images = [
            distance(0.0, 0.0),
            distance(0.5, 0.25),
            distance(2.0, 1.0),
            distance(f64::INFINITY, 0.5),
        ];
        let counts = |epsilon: f64| {
            let found = RobustAccuracy::of(&[epsilon], &images)[0];
            (found.at_most.images, found.at_least.unwrap().images)
        };
        assert_eq!(counts(0.0), (3, 3));
        assert_eq!(counts(0.25), (3, 2));
        assert_eq!(counts(0.5), (2, 1));
        assert_eq!(counts(9.0), (1, 0));
        // Wilson's interval of 3 of 4 (Newcombe 1998's calculator).
        let share = RobustAccuracy::of(&[0.0], &images)[0].at_most;
        assert_eq!(share.share, 0.75);
        assert!((share.low - 0.300_6).abs() < 1e-4 && (share.high - 0.954_4).abs() < 1e-4);
        let unproven = [Distance {
            at_least: None,
            ..images[1]
        }];
        assert_eq!(RobustAccuracy::of(&[0.1], &unproven)[0].at_least, None);
        assert_eq!(RobustAccuracy::of(&[0.1], &[]), []);
    }
}
