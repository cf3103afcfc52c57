//! The smallest value of a linear function over the inputs within a distance of an image, inside
//! the box.
//!
//! Minimise a d over |d| <= r with each x + d in its range. For any multiplier lambda >= 0 of the
//! ball the value
//!
//! ```text
//! sum_i min over t in [0, m_i] of (lambda t^2 / 2 - |a_i| t)  -  lambda r^2 / 2
//! ```
//!
//! is a lower bound (weak duality), m_i the room in the direction that lowers a_i d_i. So the
//! multiplier need not be exact for the bound to hold; it is improved until it hardly changes.

use blindspot_net::vectorised;

/// The room around an image: how far each value can go down and up. Never negative.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) image: Vec<f64>,
    pub(super) down: Vec<f64>,
    pub(super) up: Vec<f64>,
}

impl Room {
    pub(super) fn new(image: &[f32], lower: f32, upper: f32) -> Room {
        let wide = |value: f32| f64::from(value);
        Room {
            image: image.iter().map(|&x| wide(x)).collect(),
            // Differences of f32 numbers in f64 are rounded: a little more is never wrong.
            down: image
                .iter()
                .map(|&x| outward(wide(x) - wide(lower)))
                .collect(),
            up: image
                .iter()
                .map(|&x| outward(wide(upper) - wide(x)))
                .collect(),
        }
    }

    /// The room around a point of the box that is so far from this one's image.
    pub(super) fn moved(&self, change: &[f64]) -> Room {
        // As above; where both nearly cancel, more than the rounding of either.
        let side = |(room, d): (&f64, f64)| {
            outward(room + d) + 4.0 * f64::EPSILON * (room.abs() + d.abs())
        };
        let back = change.iter().map(|d| -d);
        Room {
            image: self.image.iter().zip(change).map(|(x, d)| x + d).collect(),
            down: self
                .down
                .iter()
                .zip(change.iter().copied())
                .map(side)
                .collect(),
            up: self.up.iter().zip(back).map(side).collect(),
        }
    }

    /// The distance of the farthest corner.
    pub(super) fn reach(&self) -> f64 {
        let sides = self.down.iter().zip(&self.up);
        sides
            .map(|(down, up)| down.max(*up).powi(2))
            .sum::<f64>()
            .sqrt()
    }
}

fn outward(side: f64) -> f64 {
    (side * (1.0 + 4.0 * f64::EPSILON)).max(0.0)
}

/// The sums of one pass: over values that the range stops, and over those that it does not.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    /// Of m^2, stopped.
    stopped: f64,
    /// Of |a| m, stopped.
    gain: f64,
    /// Of a^2, free.
    free: f64,
}

const LANES: usize = 16;

/// One pass with the multiplier's inverse: a value is stopped where |a| / lambda > m.
#[inline(always)]
fn pass(weights: &[f64], rooms: &[f64], inverse: f64) -> Sums {
    let mut lanes = [[0.0f64; LANES]; 3];
    let mut add = |lane: usize, w: f64, m: f64| {
        let stopped = w * inverse > m;
        let (part, rest) = if stopped { (m, 0.0) } else { (0.0, w) };
        lanes[0][lane] += part * part;
        lanes[1][lane] += w * part;
        lanes[2][lane] += rest * rest;
    };
    let (mut w, mut m) = (weights.chunks_exact(LANES), rooms.chunks_exact(LANES));
    for (w, m) in w.by_ref().zip(m.by_ref()) {
        for lane in 0..LANES {
            add(lane, w[lane], m[lane]);
        }
    }
    for (lane, (&w, &m)) in w.remainder().iter().zip(m.remainder()).enumerate() {
        add(lane, w, m);
    }
    let [stopped, gain, free] = lanes.map(|lanes| lanes.iter().sum());
    Sums {
        stopped,
        gain,
        free,
    }
}

/// Memory for one linear function.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    weights: Vec<f64>,
    rooms: Vec<f64>,
}

/// What is subtracted for the rounding of a sum of `count` products whose absolute values sum to
/// `size`: each is rounded once, and so is each partial sum (Higham 2002, section 3.1), in any
/// order of the additions.
pub(super) fn rounding(count: usize, size: f64) -> f64 {
    (count + 32) as f64 * f64::EPSILON * size
}

/// Lower bounds of a (x + d) over the ball and the box, and of -a (x + d), rounding taken off.
/// `support` names the places of the coefficients, where they are not one for each value.
pub(super) fn both(
    coefficients: &[f64],
    support: Option<&[u32]>,
    room: &Room,
    radius: f64,
    scratch: &mut Scratch,
) -> [f64; 2] {
    [1.0, -1.0].map(|sign| lower(coefficients, sign, support, room, radius, scratch))
}

/// A lower bound of sign a (x + d) over the ball and the box, rounding taken off.
pub(super) fn lower(
    coefficients: &[f64],
    sign: f64,
    support: Option<&[u32]>,
    room: &Room,
    radius: f64,
    scratch: &mut Scratch,
) -> f64 {
    let count = coefficients.len();
    let Scratch { weights, rooms } = scratch;
    weights.resize(count, 0.0);
    rooms.resize(count, 0.0);
    let (center, size) = match support {
        None => vectorised(
            #[inline(always)]
            || {
                gather(
                    coefficients,
                    sign,
                    &room.image,
                    &room.down,
                    &room.up,
                    weights,
                    rooms,
                )
            },
        ),
        Some(support) => {
            let mut sums = (0.0, 0.0);
            for (i, (&a, &at)) in coefficients.iter().zip(support).enumerate() {
                let (a, at) = (sign * a, at as usize);
                let part = a * room.image[at];
                sums = (sums.0 + part, sums.1 + part.abs());
                weights[i] = a.abs();
                rooms[i] = if a > 0.0 { room.down[at] } else { room.up[at] };
            }
            sums
        }
    };
    let Fall { lowered, moved, .. } = vectorised(
        #[inline(always)]
        || dual(weights, rooms, radius),
    );
    center - lowered - rounding(count, size + moved)
}

/// A lower bound of a (x + d) over the ball and the box, rounding taken off; `point` becomes as below.
pub(super) fn lower_at(
    coefficients: &[f64],
    room: &Room,
    radius: f64,
    scratch: &mut Scratch,
    point: &mut [f64],
) -> f64 {
    let (mut centre, mut size) = (0.0, 0.0);
    for (a, x) in coefficients.iter().zip(&room.image) {
        centre += a * x;
        size += (a * x).abs();
    }
    let (least, _) = least(coefficients, room, radius, scratch, point);
    centre + least - rounding(coefficients.len(), size + least.abs())
}

/// A lower bound of a d over the ball and the box, rounding taken off. `point` becomes a d of the box
/// that has about this value and is about inside the ball; given too is how far a value that nothing
/// stops moves for each unit of its coefficient, 0 where none moves freely.
pub(super) fn least(
    coefficients: &[f64],
    room: &Room,
    radius: f64,
    scratch: &mut Scratch,
    point: &mut [f64],
) -> (f64, f64) {
    let count = coefficients.len();
    let Scratch { weights, rooms } = scratch;
    weights.resize(count, 0.0);
    rooms.resize(count, 0.0);
    let (down, up) = (&room.down[..count], &room.up[..count]);
    vectorised(
        #[inline(always)]
        || {
            for (i, &a) in coefficients.iter().enumerate() {
                weights[i] = a.abs();
                rooms[i] = if a > 0.0 { down[i] } else { up[i] };
            }
            let Fall {
                lowered,
                moved,
                inverse,
                stopped,
            } = dual(weights, rooms, radius);
            for (i, point) in point.iter_mut().enumerate() {
                let free = match stopped && weights[i] > 0.0 {
                    true => f64::INFINITY,
                    false => weights[i] * inverse,
                };
                let far = free.min(rooms[i]);
                *point = -far.copysign(coefficients[i]);
            }
            (-lowered - rounding(count, moved), inverse)
        },
    )
}

/// The value at the image, the sum of the absolute values of its parts, and weights and rooms.
#[inline(always)]
fn gather(
    coefficients: &[f64],
    sign: f64,
    image: &[f64],
    down: &[f64],
    up: &[f64],
    weights: &mut [f64],
    rooms: &mut [f64],
) -> (f64, f64) {
    let count = coefficients.len();
    let (image, down, up) = (&image[..count], &down[..count], &up[..count]);
    let (weights, rooms) = (&mut weights[..count], &mut rooms[..count]);
    let mut sums = [[0.0f64; LANES]; 2];
    for i in 0..count {
        let a = sign * coefficients[i];
        weights[i] = a.abs();
        rooms[i] = if a > 0.0 { down[i] } else { up[i] };
    }
    let (mut a, mut x) = (coefficients.chunks_exact(LANES), image.chunks_exact(LANES));
    for (a, x) in a.by_ref().zip(x.by_ref()) {
        for lane in 0..LANES {
            let part = sign * a[lane] * x[lane];
            sums[0][lane] += part;
            sums[1][lane] += part.abs();
        }
    }
    for (lane, (&a, &x)) in a.remainder().iter().zip(x.remainder()).enumerate() {
        let part = sign * a * x;
        sums[0][lane] += part;
        sums[1][lane] += part.abs();
    }
    let [center, size] = sums.map(|lanes| lanes.iter().sum());
    (center, size)
}

/// How far a function can fall.
struct Fall {
    /// At most.
    lowered: f64,
    /// The sum of the absolute values that this was computed from.
    moved: f64,
    /// The inverse of the ball's multiplier.
    inverse: f64,
    /// The range stops all values, the ball none.
    stopped: bool,
}

#[inline(always)]
fn dual(weights: &[f64], rooms: &[f64], radius: f64) -> Fall {
    // Beginning with the smallest inverse, ever more values are stopped: a finite process, monotone.
    let mut inverse = 0.0;
    let mut sums = pass(weights, rooms, inverse);
    for _ in 0..24 {
        let left = radius * radius - sums.stopped;
        // Where nothing is free the corner that lowers most is within the ball.
        if sums.free <= 0.0 || left <= 0.0 {
            break;
        }
        let next = (left / sums.free).sqrt();
        if next <= inverse * (1.0 + 1e-9) {
            break;
        }
        inverse = next;
        let before = sums.free;
        sums = pass(weights, rooms, inverse);
        if sums.free == before {
            break;
        }
    }
    if sums.free <= 0.0 {
        // All are stopped, or nothing moves it, or what moves it is too small for its square: the box alone
        // bounds that, too.
        let gain = weights.iter().zip(rooms).map(|(w, m)| w * m).sum();
        return Fall {
            lowered: gain,
            moved: 3.0 * gain,
            inverse: 0.0,
            stopped: true,
        };
    }
    if inverse <= 0.0 {
        // Nothing moves in a ball of radius 0. Otherwise a square was too large or too small.
        return Fall {
            lowered: if radius > 0.0 { f64::INFINITY } else { 0.0 },
            moved: 0.0,
            inverse,
            stopped: false,
        };
    }
    // -(sum over free of -a^2 / (2 lambda), over stopped of lambda m^2 / 2 - |a| m, - lambda r^2 / 2)
    let lambda = 1.0 / inverse;
    let held = 0.5 * lambda * (radius * radius - sums.stopped);
    let free = 0.5 * inverse * sums.free;
    let size = 3.0 * (free + sums.gain + lambda * (radius * radius + sums.stopped));
    Fall {
        lowered: free + sums.gain + held,
        moved: size,
        inverse,
        stopped: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::random::Stream;

    fn problem(seed: usize) -> (Vec<f64>, Vec<f32>, f64) {
        let mut stream = Stream::new(1, "ball of a test", seed);
        let count = 1 + stream.below(60);
        let mut a: Vec<f64> = (0..count).map(|_| stream.normal()).collect();
        a[stream.below(count)] = 0.0;
        let image = (0..count)
            .map(|_| (stream.uniform() * 2.0 - 0.5).clamp(0.0, 1.0) as f32)
            .collect();
        (a, image, stream.uniform() * 3.0)
    }

    #[test]
    fn squares_that_are_no_numbers_certify_nothing() {
        let room = Room::new(&[0.5, 0.5], 0.0, 1.0);
        let least = |a: [f64; 2]| lower(&a, 1.0, None, &room, 0.1, &mut Scratch::default());
        assert!(least([1e160, 0.0]) <= 0.4e160);
        assert!(least([1e-170, 0.0]) <= 0.4e-170);
    }

    /// The exact value by bisection on the multiplier, a point that has it, and the bound.
    #[test]
    fn the_bound_is_the_exact_minimum() {
        for seed in 0..500 {
            let (a, image, radius) = problem(seed);
            let room = Room::new(&image, 0.0, 1.0);
            let point = |lambda: f64| -> Vec<f64> {
                let d = a.iter().zip(&image).map(|(&a, &x)| {
                    let x = f64::from(x);
                    let wanted = if lambda > 0.0 {
                        -a / lambda
                    } else {
                        -a * f64::INFINITY
                    };
                    if a == 0.0 {
                        0.0
                    } else {
                        wanted.clamp(-x, 1.0 - x)
                    }
                });
                d.collect()
            };
            let norm = |d: &[f64]| d.iter().map(|d| d * d).sum::<f64>().sqrt();
            let (mut low, mut high) = (0.0, 1e9);
            for _ in 0..200 {
                let middle = 0.5 * (low + high);
                match norm(&point(middle)) > radius {
                    true => low = middle,
                    false => high = middle,
                }
            }
            let d = if norm(&point(0.0)) <= radius {
                point(0.0)
            } else {
                point(high)
            };
            let values = a.iter().zip(&image).zip(&d);
            let exact: f64 = values.map(|((a, &x), d)| a * (f64::from(x) + d)).sum();
            let found = lower(&a, 1.0, None, &room, radius, &mut Scratch::default());
            let (error, size) = (exact - found, 1.0 + exact.abs());
            assert!(
                (0.0..1e-6 * size).contains(&error),
                "{seed}: {found} {exact}"
            );
            let support: Vec<u32> = (0..a.len() as u32).collect();
            let same = both(&a, Some(&support), &room, radius, &mut Scratch::default());
            assert!((same[0] - found).abs() < 1e-12 * size);
        }
    }
}
