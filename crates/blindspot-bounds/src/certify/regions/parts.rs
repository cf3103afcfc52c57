//! Parts of a box of inputs, and what bounds say of them.

use blindspot_net::Evaluator;

use super::super::affine::MAX_FUNCTIONS;
use super::super::ball;
use super::super::layer_relaxation::Constant;
use super::super::outcome::Outcome;
use super::super::perturbation_box::PerturbationBox;
use super::super::propagation::{AttainedBounds, BoundPropagation, Relaxed};
use super::super::relu_branching::{self, ReluBranching};
use super::Claim;

/// Subproblems of a part and a clause in which some ReLUs are active or inactive, at most.
const BRANCHES: usize = 24;

/// How many times longer a side may be than the one that is cut, both by what is left of the claim's.
const MAX_ELONGATION: f64 = 4.0;

/// The memory of one thread.
pub(super) struct Worker<'c> {
    pub(super) evaluator: Evaluator<'c, f64>,
    pub(super) propagation: BoundPropagation<'c>,
}

/// A part of a box, with the clauses that are still to be proved of it.
pub(super) struct Part {
    pub(super) lower: Vec<f64>,
    pub(super) upper: Vec<f64>,
    pub(super) clauses: Vec<u32>,
}

/// What bounds say of a part.
pub(super) struct Examined {
    /// The clauses that they leave.
    pub(super) clauses: Vec<u32>,
    /// For each of these the number whose bound is the highest.
    pub(super) best: Vec<usize>,
    /// For each input how far the bounds of these numbers fall along the side of the part.
    pub(super) falls: Vec<f64>,
    /// An input of the part, for each clause that is left the largest of its numbers there.
    pub(super) point: Vec<f64>,
    pub(super) largest: Vec<f64>,
}

impl Part {
    /// All of a claim's box, no smaller than its ends as decimals.
    pub(super) fn whole(claim: &Claim<'_>) -> Part {
        let beyond = |end: f64, next: fn(f64) -> f64| if end == 0.0 { end } else { next(end) };
        let lower = claim.lower.iter().map(|&end| beyond(end, f64::next_down));
        let upper = claim.upper.iter().map(|&end| beyond(end, f64::next_up));
        Part {
            lower: lower.collect(),
            upper: upper.collect(),
            clauses: (0..claim.clauses.len() as u32).collect(),
        }
    }

    /// Both halves, cut across the side along which bounds fall the most, of those that are not much shorter than the
    /// longest, by what is left of the claim's; None if no side has two numbers of single precision.
    ///
    /// The lines that bound a network may be level along a side that their distance from it comes from.
    pub(super) fn cut(self, found: &Examined, claim: &Claim<'_>) -> Option<[Part; 2]> {
        let (lower, upper) = (&self.lower, &self.upper);
        let can_be_cut = |&i: &usize| upper[i] as f32 > (lower[i] as f32).next_up();
        let sides = || (0..lower.len()).filter(can_be_cut);
        let left = |i: usize| (upper[i] - lower[i]) / (claim.upper[i] - claim.lower[i]);
        let longest = sides().map(left).fold(0.0, f64::max);
        let by_fall = |a: &usize, b: &usize| {
            let falls = &found.falls;
            let by_length = left(*a).total_cmp(&left(*b));
            falls[*a].total_cmp(&falls[*b]).then(by_length)
        };
        let long = sides().filter(|&i| left(i) * MAX_ELONGATION >= longest);
        let side = long.max_by(by_fall)?;
        let middle = 0.5 * lower[side] + 0.5 * upper[side];
        let Part { lower, upper, .. } = self;
        let clauses = &found.clauses;
        let mut below = Part {
            lower: lower.clone(),
            upper: upper.clone(),
            clauses: clauses.clone(),
        };
        below.upper[side] = middle;
        let mut above = Part {
            lower,
            upper,
            clauses: clauses.clone(),
        };
        above.lower[side] = middle;
        Some([above, below])
    }
}

impl Worker<'_> {
    /// Bounds a part's numbers.
    pub(super) fn examine(&mut self, part: &Part, claim: &Claim<'_>) -> Examined {
        let domain = PerturbationBox::between(&part.lower, &part.upper);
        let radius = domain.max_norm();
        let inputs = domain.image.len();
        let clauses = || {
            part.clauses
                .iter()
                .map(|&clause| &claim.clauses[clause as usize])
        };
        let mut numbers: Vec<usize> = clauses().flatten().copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let relaxed = self.propagation.relax(&domain, radius);
        let found = match &relaxed {
            Some(relaxed) => self.bounds((&numbers, 1.0), relaxed, &domain, radius),
            None => AttainedBounds {
                bounds: vec![f64::NEG_INFINITY; numbers.len()],
                rows: vec![0.0; numbers.len() * inputs],
                points: vec![0.0; numbers.len() * inputs],
            },
        };
        let mut examined = Examined {
            clauses: Vec::new(),
            best: Vec::new(),
            falls: vec![0.0; inputs],
            point: domain.image.clone(),
            largest: Vec::new(),
        };
        let (mut lowest, mut at) = (f64::INFINITY, None);
        let mut bounds = Vec::new();
        for (&clause, members) in part.clauses.iter().zip(clauses()) {
            let places = members
                .iter()
                .filter_map(|number| numbers.binary_search(number).ok());
            let best = places.max_by(|a, b| found.bounds[*a].total_cmp(&found.bounds[*b]));
            let bound = best.map_or(f64::NEG_INFINITY, |best| found.bounds[best]);
            if bound > 0.0 {
                continue;
            }
            examined.clauses.push(clause);
            let Some(best) = best else {
                continue;
            };
            examined.best.push(numbers[best]);
            bounds.push(bound);
            let row = &found.rows[best * inputs..][..inputs];
            let sides = part.upper.iter().zip(&part.lower);
            for (fall, (slope, (upper, lower))) in
                examined.falls.iter_mut().zip(row.iter().zip(sides))
            {
                *fall += slope.abs() * (upper - lower);
            }
            if bound < lowest {
                (lowest, at) = (bound, Some(best));
            }
        }
        if examined.clauses.is_empty() {
            return examined;
        }
        if let Some(best) = at {
            let moved = found.points[best * inputs..][..inputs].iter();
            let ends = part.lower.iter().zip(&part.upper);
            for ((place, d), (lower, upper)) in examined.point.iter_mut().zip(moved).zip(ends) {
                *place = (*place + d).clamp(*lower, *upper);
            }
        }
        let left: Vec<Vec<usize>> = examined
            .clauses
            .iter()
            .map(|&clause| claim.clauses[clause as usize].clone())
            .collect();
        examined.largest = self.largest_at(&examined.point, &left);
        let has_relus = relu_branching::has_relus(self.propagation.layers());
        // Where bounds are far off, branching does not bring them above 0.
        let mut pairs = examined.largest.iter().zip(&bounds);
        let is_near = pairs.all(|(largest, bound)| *largest > 0.0 && largest + bound > 0.0);
        if has_relus
            && is_near
            && examined.best.len() == left.len()
            && let Some(relaxed) = relaxed
        {
            self.branch_a_little(&domain, radius, relaxed, &mut examined);
        }
        examined
    }

    /// Takes the clauses off whose best numbers are proved above 0 by branching on some ReLUs, which takes little beside
    /// the bounds of the units.
    fn branch_a_little(
        &mut self,
        domain: &PerturbationBox,
        radius: f64,
        relaxed: Relaxed,
        examined: &mut Examined,
    ) {
        let outputs = self.propagation.layers().classes();
        let mut branching =
            ReluBranching::of_relaxed(&mut self.propagation, domain, radius, relaxed);
        let is_proved = examined.best.iter().map(|&number| {
            let rows = unit_rows(&[number], outputs, 1.0);
            branching.verify(&rows, BRANCHES, |_| false, &|| false) == Outcome::Verified
        });
        let is_proved: Vec<bool> = is_proved.collect();
        let open = |place: &usize| !is_proved[*place];
        let left: Vec<usize> = (0..is_proved.len()).filter(open).collect();
        examined.clauses = left.iter().map(|&i| examined.clauses[i]).collect();
        examined.best = left.iter().map(|&i| examined.best[i]).collect();
        examined.largest = left.iter().map(|&i| examined.largest[i]).collect();
    }

    /// Lower bounds of the network's outputs at these positions, each times `sign`, by the lines of a relaxation.
    fn bounds(
        &mut self,
        (numbers, sign): (&[usize], f64),
        relaxed: &Relaxed,
        domain: &PerturbationBox,
        radius: f64,
    ) -> AttainedBounds {
        let layers = self.propagation.layers();
        let mut all = AttainedBounds {
            bounds: Vec::new(),
            rows: Vec::new(),
            points: Vec::new(),
        };
        for numbers in numbers.chunks(MAX_FUNCTIONS) {
            let through = |at: usize, rows: Vec<f64>, constants: &mut [Constant]| {
                let before = (at, relaxed.errors.magnitude(layers, at));
                relaxed.relaxations[at].pull_back(rows, layers, before, constants)
            };
            let rows = unit_rows(numbers, layers.classes(), sign);
            let found =
                self.propagation
                    .lower_bounds_by(rows, &relaxed.errors, through, domain, radius);
            let bounds = found.bounds.into_iter();
            all.bounds.extend(bounds.map(ball::known_margin));
            all.rows.extend(found.rows);
            all.points.extend(found.points);
        }
        all
    }

    /// The largest number of each clause at an input, in exact arithmetic but for the rounding of double precision;
    /// -infinity of a clause without numbers.
    pub(super) fn largest_at(&mut self, point: &[f64], clauses: &[Vec<usize>]) -> Vec<f64> {
        self.evaluator.input(1).copy_from_slice(point);
        let outputs = self.evaluator.forward();
        let largest = |clause: &Vec<usize>| {
            let numbers = clause.iter().map(|&number| outputs[number]);
            numbers.fold(f64::NEG_INFINITY, f64::max)
        };
        clauses.iter().map(largest).collect()
    }

    /// Whether bounds prove that one of these numbers is above 0 at a single input.
    pub(super) fn is_provable_at(&mut self, point: &[f64], numbers: &[usize]) -> bool {
        let bounds = self.bounds_at(point, (numbers, 1.0));
        bounds.is_some_and(|bounds| bounds.iter().any(|bound| *bound > 0.0))
    }

    /// Whether bounds prove that all these numbers are at most 0 at a single input.
    pub(super) fn are_never_positive(&mut self, point: &[f64], numbers: &[usize]) -> bool {
        let bounds = self.bounds_at(point, (numbers, -1.0));
        bounds.is_some_and(|bounds| bounds.iter().all(|bound| *bound >= 0.0))
    }

    fn bounds_at(&mut self, point: &[f64], functions: (&[usize], f64)) -> Option<Vec<f64>> {
        let domain = PerturbationBox::between(point, point);
        let radius = domain.max_norm();
        let relaxed = self.propagation.relax(&domain, radius)?;
        Some(self.bounds(functions, &relaxed, &domain, radius).bounds)
    }

    /// Branches on ReLUs until each of these numbers is above 0 in the claim's box, in as many subproblems as the budget
    /// says for each.
    pub(super) fn branch(
        &mut self,
        claim: &Claim<'_>,
        numbers: &[usize],
        budget: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Branched {
        let Worker {
            evaluator,
            propagation,
        } = self;
        let mut branched = Branched::default();
        let Part { lower, upper, .. } = Part::whole(claim);
        let domain = PerturbationBox::between(&lower, &upper);
        let radius = domain.max_norm();
        let outputs = propagation.layers().classes();
        let Some(mut branching) = ReluBranching::new(propagation, &domain, radius) else {
            branched.is_cut_short = true;
            return branched;
        };
        for number in numbers {
            let falsifies = |perturbation: &[f64]| {
                let moved = domain.image.iter().zip(perturbation);
                let ends = lower.iter().zip(&upper);
                let point: Vec<f64> = moved
                    .zip(ends)
                    .map(|((x, d), (lower, upper))| (x + d).clamp(*lower, *upper))
                    .collect();
                evaluator.input(1).copy_from_slice(&point);
                let found = evaluator.forward();
                let fails = |clause: &Vec<usize>| clause.iter().all(|&number| found[number] <= 0.0);
                let is_met = claim.clauses.iter().any(fails);
                branched.met = is_met.then_some(point);
                is_met
            };
            let rows = unit_rows(&[*number], outputs, 1.0);
            match branching.verify(&rows, budget, falsifies, stop) {
                Outcome::Verified => {}
                Outcome::Falsified => branched.is_given_up = true,
                Outcome::Unknown => branched.is_cut_short = true,
            }
            if branched.met.is_some() || stop() {
                break;
            }
        }
        branched
    }
}

/// How branching on ReLUs ended.
#[derive(Debug, Default)]
pub(super) struct Branched {
    /// Whether a number could not be proved for want of subproblems or time.
    pub(super) is_cut_short: bool,
    /// Whether further branching would not have proved one.
    pub(super) is_given_up: bool,
    /// An input at which no number of a clause is above 0.
    pub(super) met: Option<Vec<f64>>,
}

/// The functions that are outputs themselves, each times `sign`, one row each.
fn unit_rows(numbers: &[usize], outputs: usize, sign: f64) -> Vec<f64> {
    let mut rows = vec![0.0; numbers.len() * outputs];
    for (row, &number) in rows.chunks_exact_mut(outputs).zip(numbers) {
        row[number] = sign;
    }
    rows
}
