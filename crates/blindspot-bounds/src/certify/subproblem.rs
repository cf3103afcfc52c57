//! Subproblems of ReLU branch and bound: parts of the ball where some units are active or inactive,
//! with the parameters that bound a function there. [`relu_branching`](super::relu_branching)
//! chooses and improves them.

use super::relaxation::Line;

/// The smallest gap between a unit and its relaxation, relative to the bound, for which branching
/// pays.
const MIN_GAP: f64 = 1e-9;
/// How often a subproblem that no branching helps gets further steps of improvement.
const PATIENCE: u32 = 20;

/// An unstable ReLU: its input can have both signs in the ball.
pub(super) struct UnstableUnit {
    /// The index of its activation layer.
    pub(super) layer: usize,
    /// Its position in the layer.
    pub(super) at: usize,
    /// The chord above it.
    pub(super) upper: Line,
}

/// What a subproblem knows about the sign of a unit's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Either sign.
    Unstable,
    /// Not negative: the unit is the identity.
    Active,
    /// Not positive: the unit is 0.
    Inactive,
}

impl Phase {
    /// The largest value of a unit's parameter; the smallest is 0.
    fn max_parameter(self) -> f64 {
        match self {
            Phase::Unstable => 1.0,
            // Useful multipliers are small; this keeps their squares finite.
            Phase::Active | Phase::Inactive => 1e100,
        }
    }
}

/// How a unit is bounded in a subproblem.
#[derive(Clone, Copy)]
pub(super) struct UnitBound {
    phase: Phase,
    /// alpha, the slope of the line below an unstable unit; otherwise beta, the multiplier of the
    /// phase's constraint.
    parameter: f64,
    upper: Line,
}

/// A linear function of a unit's input.
pub(super) struct UnitTerm {
    pub(super) coefficient: f64,
    pub(super) constant: f64,
}

impl UnitBound {
    /// The term that replaces the unit's output in a function where that has the coefficient `s`.
    pub(super) fn pull_back(&self, s: f64) -> UnitTerm {
        let (coefficient, constant) = match self.phase {
            Phase::Unstable if s > 0.0 => (s * self.parameter, 0.0),
            Phase::Unstable => (s * self.upper.slope, s * self.upper.intercept),
            Phase::Active => (s - self.parameter, 0.0),
            Phase::Inactive => (self.parameter, 0.0),
        };
        UnitTerm {
            coefficient,
            constant,
        }
    }

    /// The relaxed output for the input `z`.
    pub(super) fn output(&self, s: f64, z: f64) -> f64 {
        match self.phase {
            Phase::Unstable if s > 0.0 => self.parameter * z,
            Phase::Unstable => self.upper.slope * z + self.upper.intercept,
            Phase::Active => z,
            Phase::Inactive => 0.0,
        }
    }
}

/// A unit's values at the perturbation where a bound is attained.
#[derive(Clone, Copy)]
pub(super) struct UnitValues {
    /// The coefficient of the unit's output in the function.
    pub(super) s: f64,
    /// The unit's input.
    pub(super) z: f64,
    /// The unit's relaxed output.
    pub(super) output: f64,
}

impl UnitValues {
    /// The derivative of the bound with respect to the unit's parameter, by the envelope theorem.
    fn slope(&self, phase: Phase) -> f64 {
        match phase {
            Phase::Unstable => self.s.max(0.0) * self.z,
            Phase::Active => -self.z,
            Phase::Inactive => self.z,
        }
    }

    /// By how much the relaxation of this unit lowers the function.
    fn gap(&self) -> f64 {
        self.s * (self.z.max(0.0) - self.output)
    }

    /// Whether the unit's input violates its phase.
    fn violates(&self, phase: Phase) -> bool {
        phase != Phase::Unstable && self.slope(phase) > 0.0
    }
}

/// A linear function of the network's output over a part of the ball, and what it is bounded by.
#[derive(Clone)]
pub(super) struct Subproblem {
    /// The index of the function.
    pub(super) function: usize,
    /// Each unit's phase.
    pub(super) phases: Vec<Phase>,
    /// Each unit's parameter, alpha or beta; see [`UnitBound`].
    pub(super) alpha_beta: Vec<f64>,
    /// A lower bound of the function.
    pub(super) bound: f64,
    /// The perturbation at which the bound is attained.
    pub(super) point: Vec<f64>,
    pub(super) next: Next,
    /// How many more steps are tried if branching does not help.
    patience: u32,
}

/// What can raise a subproblem's bound.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// Branching on this unit; `s` is the coefficient of its output in the function.
    Branch { unit: usize, s: f64 },
    /// Better multipliers: where the bound is attained, a unit violates its phase.
    Improve,
    /// Nothing.
    GiveUp,
}

impl Subproblem {
    /// A function over the whole ball, with a slope for the line below each unit.
    pub(super) fn new(function: usize, alpha: Vec<f64>) -> Subproblem {
        Subproblem {
            function,
            phases: vec![Phase::Unstable; alpha.len()],
            alpha_beta: alpha,
            bound: f64::NEG_INFINITY,
            point: Vec::new(),
            next: Next::GiveUp,
            patience: PATIENCE,
        }
    }

    /// Counts another round of steps without branching.
    pub(super) fn use_patience(&mut self) {
        self.patience = self.patience.saturating_sub(1);
    }

    /// Fixes a unit's phase, with the multiplier that changes the coefficient of its input the
    /// least. `s` is the coefficient of its output.
    pub(super) fn fix(&mut self, unit: usize, s: f64, phase: Phase) {
        let below = s.max(0.0) * self.alpha_beta[unit];
        self.phases[unit] = phase;
        self.alpha_beta[unit] = match phase {
            Phase::Active => s.max(0.0) - below,
            _ => below,
        };
    }
}

/// The subproblem with the lowest bound is the greatest: a heap yields it first.
impl Ord for Subproblem {
    fn cmp(&self, other: &Subproblem) -> std::cmp::Ordering {
        other.bound.total_cmp(&self.bound)
    }
}

impl PartialOrd for Subproblem {
    fn partial_cmp(&self, other: &Subproblem) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Subproblem {
    fn eq(&self, other: &Subproblem) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Subproblem {}

/// A subproblem whose bound is being improved.
pub(super) struct Trial<'p> {
    pub(super) subproblem: &'p mut Subproblem,
    /// The parameters under trial.
    alpha_beta: Vec<f64>,
    /// The bound before the first step.
    pub(super) first: f64,
}

impl<'p> Trial<'p> {
    pub(super) fn new(subproblem: &'p mut Subproblem) -> Trial<'p> {
        Trial {
            alpha_beta: subproblem.alpha_beta.clone(),
            subproblem,
            first: f64::NEG_INFINITY,
        }
    }

    /// How a unit is bounded.
    pub(super) fn unit_bound(&self, u: usize, units: &[UnstableUnit]) -> UnitBound {
        UnitBound {
            phase: self.subproblem.phases[u],
            parameter: self.alpha_beta[u],
            upper: units[u].upper,
        }
    }

    /// Stores the parameters under trial in the subproblem, with the bound that they gave, where it
    /// is attained, and the units' values there.
    pub(super) fn keep(&mut self, bound: f64, point: &[f64], values: &[UnitValues]) {
        let kept = &mut *self.subproblem;
        // NaN is no bound.
        kept.bound = bound.max(f64::NEG_INFINITY);
        kept.alpha_beta.copy_from_slice(&self.alpha_beta);
        kept.point = point.to_vec();
        let worst = (0..values.len())
            .filter(|&u| kept.phases[u] == Phase::Unstable)
            .map(|u| (u, values[u].gap()))
            .filter(|(_, gap)| *gap > MIN_GAP * kept.bound.abs())
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let mut phases = kept.phases.iter().zip(values);
        kept.next = match worst {
            Some((unit, _)) => Next::Branch {
                unit,
                s: values[unit].s,
            },
            None if phases.any(|(phase, unit)| unit.violates(*phase)) && kept.patience > 0 => {
                Next::Improve
            }
            None => Next::GiveUp,
        };
    }

    /// Moves the parameters along the bound's gradient, as far as would raise the bound by `wanted`
    /// if it were linear (Polyak's step). Returns whether any parameter can raise it.
    pub(super) fn step(&mut self, values: &[UnitValues], wanted: f64) -> bool {
        // Multipliers are scaled like the coefficients that they are added to.
        let squares: f64 = values.iter().map(|unit| unit.s * unit.s).sum();
        let mean = squares / values.len() as f64;
        let mut square = 0.0;
        let phases = self.subproblem.phases.iter().zip(&self.alpha_beta);
        let ascent: Vec<f64> = phases
            .zip(values)
            .map(|((&phase, &parameter), unit)| {
                let slope = unit.slope(phase);
                let blocked = parameter <= 0.0 && slope < 0.0
                    || parameter >= phase.max_parameter() && slope > 0.0;
                if blocked {
                    return 0.0;
                }
                let scale = if phase == Phase::Unstable { 1.0 } else { mean };
                square += scale * slope * slope;
                scale * slope
            })
            .collect();
        let length = wanted / square;
        if !(square > 0.0 && length.is_finite()) {
            return false;
        }
        let parameters = self.alpha_beta.iter_mut().zip(&self.subproblem.phases);
        for ((parameter, phase), ascent) in parameters.zip(ascent) {
            *parameter = (*parameter + length * ascent).clamp(0.0, phase.max_parameter());
        }
        true
    }
}
