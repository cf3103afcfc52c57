//! Parts of the ball where ReLUs are open or closed, and the numbers by which a function is bounded there:
//! what is chosen, and improved, in [`splits`](super::splits).

use super::relax::Line;

/// What a unit's lines must be off by, as a part of the bound, for a cut to be worth while.
const LEAST_GAP: f64 = 1e-9;
/// How often a part that no cut helps is improved by further steps.
const PATIENCE: u32 = 20;

/// A ReLU whose input has both signs.
pub(super) struct Unit {
    /// Which activation it is in, and where.
    pub(super) layer: usize,
    pub(super) at: usize,
    /// The chord above it.
    pub(super) above: Line,
}

/// What is known of a unit in a part of the ball.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Open,
    Closed,
}

impl Side {
    /// A unit's number is from 0 to this.
    fn most(self) -> f64 {
        match self {
            Side::Both => 1.0,
            // Multipliers need not be large; their squares must be numbers.
            Side::Open | Side::Closed => 1e100,
        }
    }
}

/// A unit as it is bounded in a part of the ball.
#[derive(Clone, Copy)]
pub(super) struct Bounded {
    side: Side,
    /// The slope below it where it has both sides, else the multiplier of its side.
    number: f64,
    above: Line,
}

impl Bounded {
    /// The coefficient of its input in a function that has the coefficient `s` of its output, and what is
    /// added besides.
    pub(super) fn carry(&self, s: f64) -> (f64, f64) {
        match self.side {
            Side::Both if s > 0.0 => (s * self.number, 0.0),
            Side::Both => (s * self.above.slope, s * self.above.intercept),
            Side::Open => (s - self.number, 0.0),
            Side::Closed => (self.number, 0.0),
        }
    }

    /// What stands for its output where its input is z.
    pub(super) fn output(&self, s: f64, z: f64) -> f64 {
        match self.side {
            Side::Both if s > 0.0 => self.number * z,
            Side::Both => self.above.slope * z + self.above.intercept,
            Side::Open => z,
            Side::Closed => 0.0,
        }
    }
}

/// A unit where a bound is taken on.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// The function's coefficient of its output.
    pub(super) s: f64,
    /// Its input, and what stands for its output.
    pub(super) z: f64,
    pub(super) output: f64,
}

impl Seen {
    /// How the bound changes with the unit's number, by the envelope theorem.
    fn slope(&self, side: Side) -> f64 {
        match side {
            Side::Both => self.s.max(0.0) * self.z,
            Side::Open => -self.z,
            Side::Closed => self.z,
        }
    }

    /// By how much the function is lower than it would be with the unit itself.
    fn gap(&self) -> f64 {
        self.s * (self.z.max(0.0) - self.output)
    }

    /// Whether its input is not on the side that it should be.
    fn is_beyond(&self, side: Side) -> bool {
        side != Side::Both && self.slope(side) > 0.0
    }
}

/// A linear function of the network's output over a part of the ball, and the choice that it is bounded by.
#[derive(Clone)]
pub(super) struct Part {
    /// Which function.
    pub(super) function: usize,
    /// Of each unit.
    pub(super) sides: Vec<Side>,
    /// See [`Bounded`].
    pub(super) numbers: Vec<f64>,
    pub(super) bound: f64,
    /// The change of the image where the bound is taken on.
    pub(super) point: Vec<f64>,
    pub(super) next: Next,
    /// How often more steps are still tried where no cut helps.
    patience: u32,
}

/// How a part's bound is raised further.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// By a cut at this unit, with the function's coefficient of its output.
    Cut(usize, f64),
    /// By better multipliers: where the bound is taken on a unit is not on the part's side.
    Steps,
    /// Not at all.
    Nothing,
}

impl Part {
    pub(super) fn new(function: usize, numbers: Vec<f64>) -> Part {
        Part {
            function,
            sides: vec![Side::Both; numbers.len()],
            numbers,
            bound: f64::NEG_INFINITY,
            point: Vec::new(),
            next: Next::Nothing,
            patience: PATIENCE,
        }
    }

    /// Goes on with further steps.
    pub(super) fn wait(&mut self) {
        self.patience = self.patience.saturating_sub(1);
    }

    /// Puts a unit on a side, with the multiplier that changes its coefficient the least.
    pub(super) fn put(&mut self, unit: usize, s: f64, side: Side) {
        let below = s.max(0.0) * self.numbers[unit];
        self.sides[unit] = side;
        self.numbers[unit] = match side {
            Side::Open => s.max(0.0) - below,
            _ => below,
        };
    }
}

/// The lowest bound first.
impl Ord for Part {
    fn cmp(&self, other: &Part) -> std::cmp::Ordering {
        other.bound.total_cmp(&self.bound)
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Part) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Part) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Part {}

/// A part whose bound is being improved.
pub(super) struct Trial<'p> {
    pub(super) part: &'p mut Part,
    /// The numbers under trial.
    numbers: Vec<f64>,
    /// The first bound.
    pub(super) first: f64,
}

impl<'p> Trial<'p> {
    pub(super) fn new(part: &'p mut Part) -> Trial<'p> {
        Trial {
            numbers: part.numbers.clone(),
            part,
            first: f64::NEG_INFINITY,
        }
    }

    /// A unit as it is bounded.
    pub(super) fn unit(&self, u: usize, units: &[Unit]) -> Bounded {
        Bounded {
            side: self.part.sides[u],
            number: self.numbers[u],
            above: units[u].above,
        }
    }

    /// Takes the numbers under trial for the part's own, with what they gave.
    pub(super) fn keep(&mut self, bound: f64, point: &[f64], seen: &[Seen]) {
        let part = &mut *self.part;
        // NaN is no bound.
        part.bound = bound.max(f64::NEG_INFINITY);
        part.numbers.copy_from_slice(&self.numbers);
        part.point = point.to_vec();
        let worst = (0..seen.len())
            .filter(|&u| part.sides[u] == Side::Both)
            .map(|u| (u, seen[u].gap()))
            .filter(|(_, gap)| *gap > LEAST_GAP * part.bound.abs())
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let mut sides = part.sides.iter().zip(seen);
        part.next = match worst {
            Some((u, _)) => Next::Cut(u, seen[u].s),
            None if sides.any(|(side, seen)| seen.is_beyond(*side)) && part.patience > 0 => {
                Next::Steps
            }
            None => Next::Nothing,
        };
    }

    /// Changes the numbers to raise the bound by so much, if it were linear (Polyak's step); false where none
    /// of them does.
    pub(super) fn step(&mut self, seen: &[Seen], wanted: f64) -> bool {
        // A multiplier is measured in the coefficients that it is added to.
        let squares: f64 = seen.iter().map(|seen| seen.s * seen.s).sum();
        let mean = squares / seen.len() as f64;
        let mut square = 0.0;
        let sides = self.part.sides.iter().zip(&self.numbers);
        let ascent: Vec<f64> = sides
            .zip(seen)
            .map(|((&side, &number), seen)| {
                let slope = seen.slope(side);
                let blocked = number <= 0.0 && slope < 0.0 || number >= side.most() && slope > 0.0;
                if blocked {
                    return 0.0;
                }
                let scale = if side == Side::Both { 1.0 } else { mean };
                square += scale * slope * slope;
                scale * slope
            })
            .collect();
        let length = wanted / square;
        if !(square > 0.0 && length.is_finite()) {
            return false;
        }
        let numbers = self.numbers.iter_mut().zip(&self.part.sides);
        for ((number, side), ascent) in numbers.zip(ascent) {
            *number = (*number + length * ascent).clamp(0.0, side.most());
        }
        true
    }
}
