//! The largest radius at which a decreasing margin is still positive.

/// A search for the largest radius with a positive margin. The margin's bound decreases with the
/// radius.
pub(super) struct RadiusSearch {
    /// The margin at the image itself, above 0.
    pub(super) margin_at_zero: f64,
    /// The radius that is tried first.
    pub(super) first: f64,
    /// The radius at which the margin would reach 0 if it decreased linearly.
    pub(super) linear_root: f64,
    /// The largest radius that is of use.
    pub(super) max: f64,
    /// The relative tolerance: the search ends once a larger radius would gain no more, as far as
    /// the margins seen so far predict.
    pub(super) tolerance: f64,
}

impl RadiusSearch {
    /// The largest radius up to `max` with `margin(radius) > 0`, to the relative tolerance.
    /// `margin` is decreasing; the radius returned has itself been verified, or is 0.
    pub(super) fn run(&self, mut margin: impl FnMut(f64) -> f64) -> f64 {
        let (at_zero, tolerance) = (self.margin_at_zero, self.tolerance);
        let max = self.max * (1.0 + 1e-9);
        let (mut low, mut high) = (0.0, max);
        // The last three points, each a radius and its margin.
        let mut tried = vec![(0.0, at_zero)];
        let mut next = if self.first < max {
            self.first
        } else {
            0.1 * max
        };
        for step in 0..60 {
            let value = margin(next);
            if value > 0.0 {
                low = next;
            } else {
                high = next;
            }
            if low >= max || high - low <= tolerance * high || high <= f64::MIN_POSITIVE {
                break;
            }
            tried.push((next, value));
            let even = at_zero / self.linear_root;
            let predicted = match tried.len() {
                // A parabola with the gradient's slope at 0 through the first point.
                2 => {
                    let bend = (at_zero - value - even * next) / (next * next);
                    2.0 * at_zero / (even + (even * even + 4.0 * bend * at_zero).sqrt())
                }
                _ => interpolated_root(&tried),
            };
            tried.drain(..tried.len().saturating_sub(3));
            let middle = 0.5 * (low + high);
            let inside = predicted > low && predicted < high && step % 8 != 7;
            if low > 0.0 && predicted >= low && predicted <= low * (1.0 + tolerance) {
                break;
            }
            // A little inside, so that most steps raise what is certified.
            let aim = if inside {
                predicted * (1.0 - 0.5 * tolerance)
            } else {
                middle
            };
            let gap = 0.1 * tolerance * high;
            next = aim.max(low + gap).min((high - gap).max(low));
        }
        low
    }
}

/// The root of the parabola through the last three points, radius as a function of margin (inverse
/// quadratic interpolation); NaN if two margins are equal or one is not finite.
fn interpolated_root(tried: &[(f64, f64)]) -> f64 {
    let last = &tried[tried.len().saturating_sub(3)..];
    last.iter()
        .enumerate()
        .map(|(i, &(radius, margin))| {
            let others = last.iter().enumerate().filter(|&(j, _)| j != i);
            others.fold(radius, |part, (_, &(_, other))| {
                part * other / (other - margin)
            })
        })
        .sum()
}
