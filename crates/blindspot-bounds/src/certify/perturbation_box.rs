//! The perturbations of an image that are considered: those in the input box, measured in a norm.

use blindspot_model::Norm;

/// An image, and how far the input box lets each of its values move down and up: the perturbations
/// that are considered around it. Both distances are at least 0.
#[derive(Debug, Clone)]
pub(super) struct PerturbationBox {
    pub(super) image: Vec<f64>,
    pub(super) down: Vec<f64>,
    pub(super) up: Vec<f64>,
    /// The norm of every radius around the image.
    pub(super) norm: Norm,
}

impl PerturbationBox {
    /// Perturbations of `image` that stay between `lower` and `upper`, in the L2 norm.
    pub(super) fn new(image: &[f32], lower: f32, upper: f32) -> PerturbationBox {
        let all = |end: f32| vec![f64::from(end); image.len()];
        PerturbationBox::within(image, &all(lower), &all(upper))
    }

    /// Perturbations of `image` whose values stay each within its own range, in the L2 norm.
    pub(super) fn within(image: &[f32], lower: &[f64], upper: &[f64]) -> PerturbationBox {
        let image: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
        // The difference of two numbers is rounded: a larger box stays sound.
        let down = image.iter().zip(lower).map(|(x, lower)| outward(x - lower));
        let up = image.iter().zip(upper).map(|(x, upper)| outward(upper - x));
        PerturbationBox {
            down: down.collect(),
            up: up.collect(),
            norm: Norm::L2,
            image,
        }
    }

    /// The inputs between `lower` and `upper`, as perturbations of their middle in the Linf norm.
    pub(super) fn between(lower: &[f64], upper: &[f64]) -> PerturbationBox {
        let pairs = || lower.iter().zip(upper);
        let image: Vec<f64> = pairs().map(|(l, u)| 0.5 * l + 0.5 * u).collect();
        // Where an end and the middle nearly cancel, more than the rounding of both is added.
        let side = |far: f64, near: f64| {
            outward(far - near) + 4.0 * f64::EPSILON * (far.abs() + near.abs())
        };
        PerturbationBox {
            down: lower
                .iter()
                .zip(&image)
                .map(|(l, x)| side(*x, *l))
                .collect(),
            up: upper
                .iter()
                .zip(&image)
                .map(|(u, x)| side(*u, *x))
                .collect(),
            image,
            norm: Norm::Linf,
        }
    }

    /// These perturbations, measured in another norm.
    pub(super) fn in_norm(self, norm: Norm) -> PerturbationBox {
        PerturbationBox { norm, ..self }
    }

    /// Perturbations in this input box of the image plus `perturbation`, which lies in the box.
    pub(super) fn moved(&self, perturbation: &[f64]) -> PerturbationBox {
        // Where both terms nearly cancel, more than the rounding of either is added.
        let side = |(distance, d): (&f64, f64)| {
            outward(distance + d) + 4.0 * f64::EPSILON * (distance.abs() + d.abs())
        };
        let back = perturbation.iter().map(|d| -d);
        PerturbationBox {
            image: self
                .image
                .iter()
                .zip(perturbation)
                .map(|(x, d)| x + d)
                .collect(),
            down: self
                .down
                .iter()
                .zip(perturbation.iter().copied())
                .map(side)
                .collect(),
            up: self.up.iter().zip(back).map(side).collect(),
            norm: self.norm,
        }
    }

    /// The norm of the largest perturbation: the distance of the farthest corner.
    pub(super) fn max_norm(&self) -> f64 {
        let sides = self.down.iter().zip(&self.up);
        let sides = sides.map(|(down, up)| down.max(*up));
        match self.norm {
            Norm::L2 => sides.map(|side| side.powi(2)).sum::<f64>().sqrt(),
            Norm::Linf => sides.fold(0.0, f64::max),
            Norm::L1 => sides.sum(),
            Norm::L0 => sides.filter(|&side| side > 0.0).count() as f64,
        }
    }

    /// How far a value may move for a unit of the norm.
    pub(super) fn unit(&self) -> f64 {
        match self.norm {
            Norm::L2 | Norm::Linf | Norm::L1 => 1.0,
            Norm::L0 => {
                let sides = self.down.iter().chain(&self.up);
                sides.copied().fold(0.0, f64::max)
            }
        }
    }

    /// How far each value may be from 0 within `radius`: not all of them at once.
    pub(super) fn largest_within(&self, radius: f64) -> Vec<f64> {
        let values = self.image.iter().zip(self.down.iter().zip(&self.up));
        values
            .map(|(x, (down, up))| {
                x.abs()
                    + match self.norm {
                        Norm::L2 | Norm::Linf | Norm::L1 => radius,
                        Norm::L0 => down.max(*up),
                    }
            })
            .collect()
    }
}

fn outward(side: f64) -> f64 {
    (side * (1.0 + 4.0 * f64::EPSILON)).max(0.0)
}
