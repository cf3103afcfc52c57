//! The geometry of a norm: how large a perturbation is, the way up, and the way back into the ball.

use blindspot_model::Norm;

/// The norm of a perturbation.
pub(super) fn norm(norm: Norm, delta: &[f32]) -> f64 {
    match norm {
        Norm::Linf => delta
            .iter()
            .fold(0.0, |most, d| most.max(f64::from(d.abs()))),
        _ => {
            let squares = delta.iter().map(|&d| f64::from(d).powi(2));
            squares.sum::<f64>().sqrt()
        }
    }
}

/// The perturbation of this norm along which a function with this gradient rises most; 0 where the gradient is.
pub(super) fn steepest(norm: Norm, gradient: &[f64], size: f64) -> Vec<f32> {
    match norm {
        Norm::Linf => {
            let sign = |&g: &f64| {
                if g == 0.0 {
                    0.0
                } else {
                    size.copysign(g) as f32
                }
            };
            gradient.iter().map(sign).collect()
        }
        _ => {
            let length = l2(gradient);
            let scale = if length > 0.0 { size / length } else { 0.0 };
            gradient.iter().map(|g| (g * scale) as f32).collect()
        }
    }
}

/// The L2 norm.
pub(super) fn l2(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// Moves a perturbation to the nearest one whose norm is at most `radius`, rounding included.
pub(super) fn project(norm: Norm, delta: &mut [f32], radius: f64) {
    match norm {
        Norm::Linf => {
            let most = at_most(radius);
            delta.iter_mut().for_each(|d| *d = d.clamp(-most, most));
        }
        _ => {
            // Once is enough, but for numbers too small to be scaled.
            for _ in 0..4 {
                let size = self::norm(norm, delta);
                if size <= radius {
                    return;
                }
                scale(delta, radius / size * (1.0 - f64::from(f32::EPSILON)));
            }
            delta.fill(0.0);
        }
    }
}

/// Multiplies a perturbation.
pub(super) fn scale(delta: &mut [f32], factor: f64) {
    let scaled = |d: &mut f32| *d = (f64::from(*d) * factor) as f32;
    delta.iter_mut().for_each(scaled);
}

/// The largest number in single precision that is no larger than a positive one.
fn at_most(number: f64) -> f32 {
    let near = number.min(f64::from(f32::MAX)) as f32;
    if f64::from(near) > number {
        near.next_down()
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projected_perturbations_lie_in_the_ball_and_others_stay() {
        let delta: Vec<f32> = (0..100).map(|i| (i as f32 * 0.37).sin()).collect();
        for kind in [Norm::L2, Norm::Linf] {
            for radius in [0.1, 1.0 / 3.0, 0.7] {
                let mut moved = delta.clone();
                project(kind, &mut moved, radius);
                let size = norm(kind, &moved);
                assert!(
                    size <= radius && size > radius * (1.0 - 1e-6),
                    "{kind}: {size}"
                );
                let mut again = moved.clone();
                project(kind, &mut again, radius);
                assert_eq!(moved, again);
            }
        }
    }

    #[test]
    fn nothing_of_the_same_norm_rises_more_than_the_steepest() {
        let gradient = [3.0, -4.0, 0.0];
        assert_eq!(steepest(Norm::L2, &gradient, 2.0), [1.2, -1.6, 0.0]);
        assert_eq!(steepest(Norm::Linf, &gradient, 2.0), [2.0, -2.0, 0.0]);
        assert_eq!(steepest(Norm::L2, &[0.0; 2], 2.0), [0.0; 2]);
    }
}
