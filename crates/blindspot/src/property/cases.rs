//! From nested conditions to boxes of inputs with unsafe outputs: the disjunctive normal form.

use std::collections::HashMap;

use super::syntax::{Condition, End, OutputBound, Script};
use super::{Case, Inequality, Region};

/// The most cases that nested conditions may come to.
const MAX_CASES: usize = 1 << 16;
/// The most numbers of all boxes together.
const MAX_NUMBERS: usize = 1 << 26;
/// The most factors of the inequalities of all cases together.
const MAX_FACTORS: usize = 1 << 22;
/// The most inequalities that are copied on the way to the cases.
const MAX_COPIES: usize = 1 << 24;

/// A conjunction of what the conditions that stand alone don't say already.
#[derive(Clone, Default)]
struct Conjunction<'s> {
    inputs: Vec<(u32, End, f64)>,
    outputs: Vec<&'s OutputBound>,
}

impl<'s> Conjunction<'s> {
    fn and(mut self, other: &Conjunction<'s>) -> Conjunction<'s> {
        self.inputs.extend(&other.inputs);
        self.outputs.extend(&other.outputs);
        self
    }

    fn length(&self) -> usize {
        self.inputs.len() + self.outputs.len()
    }
}

/// The boxes of a script, each with its cases, in the order of the file; boxes without an input are left out.
///
/// # Errors
/// In words: there are too many cases, or an input has no bound.
pub(super) fn regions(script: &Script) -> Result<Vec<Region>, String> {
    let mut expansion = Expansion { copies: 0 };
    let mut all = vec![Conjunction::default()];
    // What stands alone comes into each case in the end.
    let mut common = Conjunction::default();
    for condition in &script.conditions {
        let cases = expansion.cases(condition)?;
        match &cases[..] {
            [only] => common = common.and(only),
            _ => all = expansion.product(&all, &cases)?,
        }
    }
    let own_boxes = all.iter().filter(|case| !case.inputs.is_empty()).count();
    if own_boxes.saturating_mul(script.inputs) > MAX_NUMBERS {
        return Err(too_much());
    }
    let mut shared = Bounds::new(script.inputs);
    shared.add(&common.inputs);
    let mut regions: Vec<Region> = Vec::new();
    let mut places: HashMap<Vec<u64>, usize> = HashMap::new();
    // Where the cases without a box of their own stand.
    let mut shared_place = None;
    let (mut numbers, mut factors) = (0, 0);
    for case in all {
        let own = || common.outputs.iter().chain(&case.outputs);
        factors += own().map(|bound| bound.factors.len()).sum::<usize>();
        if factors > MAX_FACTORS {
            return Err(too_much());
        }
        let outputs: Case = own().map(inequality).collect();
        let is_shared = case.inputs.is_empty();
        if let (true, Some(place)) = (is_shared, shared_place) {
            let region: &mut Region = &mut regions[place];
            region.cases.push(outputs);
            continue;
        }
        let mut bounds = shared.clone();
        bounds.add(&case.inputs);
        if bounds.is_empty() {
            if is_shared {
                return Ok(Vec::new());
            }
            continue;
        }
        bounds.check()?;
        let place = *places.entry(bounds.bits()).or_insert_with(|| {
            numbers += script.inputs;
            regions.push(Region {
                lower: bounds.lower,
                upper: bounds.upper,
                cases: Vec::new(),
            });
            regions.len() - 1
        });
        if numbers > MAX_NUMBERS {
            return Err(too_much());
        }
        shared_place = shared_place.or(is_shared.then_some(place));
        regions[place].cases.push(outputs);
    }
    Ok(regions)
}

fn inequality(bound: &&OutputBound) -> Inequality {
    Inequality {
        factors: bound.factors.clone(),
        bound: bound.bound,
    }
}

/// The expansion of nested conditions, which copies no more than allowed.
struct Expansion {
    copies: usize,
}

impl Expansion {
    /// The cases of a condition; none where it can't hold.
    fn cases<'s>(&mut self, condition: &'s Condition) -> Result<Vec<Conjunction<'s>>, String> {
        match condition {
            Condition::Known(true) => Ok(vec![Conjunction::default()]),
            Condition::Known(false) => Ok(Vec::new()),
            Condition::Input { input, end, bound } => Ok(vec![Conjunction {
                inputs: vec![(*input, *end, *bound)],
                outputs: Vec::new(),
            }]),
            Condition::Outputs(bound) => Ok(vec![Conjunction {
                inputs: Vec::new(),
                outputs: vec![bound],
            }]),
            Condition::Or(conditions) => {
                let mut all = Vec::new();
                for condition in conditions {
                    let cases = self.cases(condition)?;
                    if all.len() + cases.len() > MAX_CASES {
                        return Err(too_many());
                    }
                    all.extend(cases);
                }
                Ok(all)
            }
            Condition::And(conditions) => {
                let mut all = vec![Conjunction::default()];
                let mut alone = Conjunction::default();
                for condition in conditions {
                    let cases = self.cases(condition)?;
                    match &cases[..] {
                        [only] => alone = alone.and(only),
                        _ => all = self.product(&all, &cases)?,
                    }
                }
                self.product(&all, &[alone])
            }
        }
    }

    /// All cases of both conditions.
    fn product<'s>(
        &mut self,
        all: &[Conjunction<'s>],
        others: &[Conjunction<'s>],
    ) -> Result<Vec<Conjunction<'s>>, String> {
        let length = |cases: &[Conjunction<'_>]| {
            let lengths = cases.iter().map(Conjunction::length);
            lengths.sum::<usize>() + cases.len()
        };
        let copied = length(all).saturating_mul(others.len());
        let copied = copied.saturating_add(length(others).saturating_mul(all.len()));
        self.copies = self.copies.saturating_add(copied);
        if all.len().saturating_mul(others.len()) > MAX_CASES {
            return Err(too_many());
        }
        if self.copies > MAX_COPIES {
            return Err(too_much());
        }
        let pairs = all.iter().flat_map(|a| others.iter().map(move |b| (a, b)));
        Ok(pairs.map(|(a, b)| a.clone().and(b)).collect())
    }
}

fn too_many() -> String {
    format!(
        "its nested conditions come to more than {MAX_CASES} cases; split it into several files"
    )
}

fn too_much() -> String {
    "its cases take too much memory; split it into several files".into()
}

/// The ranges of all inputs.
#[derive(Clone)]
struct Bounds {
    lower: Vec<f64>,
    upper: Vec<f64>,
}

impl Bounds {
    fn new(inputs: usize) -> Bounds {
        Bounds {
            lower: vec![f64::NEG_INFINITY; inputs],
            upper: vec![f64::INFINITY; inputs],
        }
    }

    fn add(&mut self, bounds: &[(u32, End, f64)]) {
        for &(input, end, bound) in bounds {
            let input = input as usize;
            // A zero has no sign: equal boxes are to have the same bits.
            let bound = bound + 0.0;
            match end {
                End::Lower => self.lower[input] = self.lower[input].max(bound),
                End::Upper => self.upper[input] = self.upper[input].min(bound),
            }
        }
    }

    fn is_empty(&self) -> bool {
        let mut ranges = self.lower.iter().zip(&self.upper);
        ranges.any(|(lower, upper)| lower > upper)
    }

    /// Whether all ranges have both ends.
    fn check(&self) -> Result<(), String> {
        for (what, ends) in [("smallest", &self.lower), ("largest", &self.upper)] {
            if let Some(open) = ends.iter().position(|end| end.is_infinite()) {
                return Err(format!(
                    "input X_{open} has no {what} value in one of its cases; a property needs boxes of \
                     inputs, with both ends"
                ));
            }
        }
        Ok(())
    }

    fn bits(&self) -> Vec<u64> {
        let ends = self.lower.iter().chain(&self.upper);
        ends.map(|end| end.to_bits()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::syntax::parse;
    use super::*;

    fn of(text: &str) -> Result<Vec<Region>, String> {
        let declared = "(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)";
        regions(&parse(&format!("{declared} {text}")).unwrap())
    }

    const UNIT: &str =
        "(assert (>= X_0 0)) (assert (<= X_0 1)) (assert (>= X_1 0)) (assert (<= X_1 1))";

    #[test]
    fn cases_of_one_box_stand_together() {
        let found = of(&format!(
            "{UNIT} (assert (or (<= Y_0 1) (and (>= Y_0 2) (<= Y_0 3)))) (assert (>= Y_0 -9))"
        ))
        .unwrap();
        let [region] = &found[..] else { panic!() };
        assert_eq!(
            (&region.lower[..], &region.upper[..]),
            (&[0.0; 2][..], &[1.0; 2][..])
        );
        let bounds: Vec<Vec<(f64, f64)>> = region
            .cases
            .iter()
            .map(|case| case.iter().map(|i| (i.factors[0].1, i.bound)).collect())
            .collect();
        assert_eq!(
            bounds,
            [
                vec![(-1.0, 9.0), (1.0, 1.0)],
                vec![(-1.0, 9.0), (-1.0, -2.0), (1.0, 3.0)]
            ]
        );
    }

    #[test]
    fn boxes_are_cut_by_each_case_and_empty_ones_are_left_out() {
        let text = "(assert (or (and (<= X_0 0.5) (>= X_0 -2) (<= Y_0 1)) (and (>= X_0 0.75) (<= Y_0 2))
            (and (<= X_0 -0.5) (<= Y_0 3)) (and (<= X_0 0.5) (>= 1 2)) (and (<= X_0 0.5) (<= Y_0 4))))";
        let found = of(&format!("{UNIT} {text}")).unwrap();
        let boxes: Vec<(f64, f64, usize)> = found
            .iter()
            .map(|r| (r.lower[0], r.upper[0], r.cases.len()))
            .collect();
        assert_eq!(boxes, [(0.0, 0.5, 2), (0.75, 1.0, 1)]);
        assert!(
            of(&format!("{UNIT} (assert (<= X_0 -1))"))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_takes_too_much_is_refused() {
        let pair = "(assert (or (<= Y_0 1) (<= Y_0 2)))";
        let many = of(&format!("{UNIT} {}", pair.repeat(40))).unwrap_err();
        assert!(many.contains("more than 65536 cases"), "{many}");
        let open = of("(assert (>= X_0 0)) (assert (<= X_0 1)) (assert (>= X_1 0))").unwrap_err();
        assert!(open.contains("X_1 has no largest value"), "{open}");
    }
}
