//! What is searched for, and where.

use std::sync::Arc;

use blindspot_data::Columns;
use blindspot_model::InputBox;
use blindspot_run::random::Stream;
use serde::{Deserialize, Serialize};

use super::SearchError;
use super::bounds::Bounds;
use super::method::Method;
use super::norms::{Grouping, Measure, Norm};
use super::objective::{Goal, Objective};
use super::target::{Criterion, Target};
use crate::goals::{GoalError, OutputGoal};

/// Classes at most: more make each step take seconds, and no classifier has so many.
pub(crate) const MAX_CLASSES: usize = 1 << 20;

/// What is searched for, and where; [`Attack`](super::Attack) is the front door to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SearchOptions {
    /// How the target class of each image is chosen.
    pub target: Target,
    /// Seed of random targets.
    pub seed: u64,
    /// The valid range of every input value.
    #[serde(rename = "bounds")]
    pub input_box: InputBox,
    /// How the smallest perturbation is searched for.
    pub method: Method,
    /// The norm in which it is to be small.
    #[serde(default)]
    pub norm: Norm,
    /// What [`Norm::L0`] counts.
    #[serde(default)]
    pub grouping: Grouping,
    /// Whether the perturbation that [`Method::Lbfgs`] finds is shrunk along its ray to the
    /// decision boundary. The paper's search ends at the minimiser of the penalised loss, somewhat
    /// behind it; [`Method::Sqp`] ends on the boundary by itself.
    pub shrink: bool,
    /// Which answers count as adversarial.
    pub criterion: Criterion,
    /// Evaluations of the classifier for each search at most; the best so far is kept.
    pub max_evaluations: Option<u64>,
    /// Seconds for the whole search at most: the best so far is kept, images not begun are left
    /// out. How far a search comes depends on the machine then.
    pub time_limit: Option<f64>,
    /// The norm of a perturbation that [`Method::Sqp`] does not make smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<f64>,
    /// What the outputs are to do, of a model that is no classifier; then there are no targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<OutputGoal>,
    /// What the columns of a table are, whose rows are searched from: how each may change, and the scales in which
    /// perturbations are measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// Limits of each input value, in place of `input_box`.
    #[serde(skip)]
    pub bounds: Option<Arc<Bounds>>,
}

impl Default for SearchOptions {
    /// Random targets with seed 0, in [0, 1], by [`Method::Sqp`] in L2, as long as it takes.
    fn default() -> Self {
        SearchOptions {
            target: Target::Random,
            seed: 0,
            input_box: InputBox::default(),
            method: Method::Sqp,
            norm: Norm::L2,
            grouping: Grouping::Value,
            shrink: true,
            criterion: Criterion::default(),
            max_evaluations: None,
            time_limit: None,
            enough: None,
            goal: None,
            columns: None,
            bounds: None,
        }
    }
}

impl SearchOptions {
    /// Sets how the target class of each image is chosen.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Sets the seed of random targets.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the valid range of every input value.
    #[must_use]
    pub fn input_box(mut self, input_box: InputBox) -> Self {
        self.input_box = input_box;
        self
    }

    /// Sets how the smallest perturbation is searched for.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets the norm in which the perturbation is to be small.
    #[must_use]
    pub fn norm(mut self, norm: Norm) -> Self {
        self.norm = norm;
        self
    }

    /// Sets what [`Norm::L0`] counts.
    #[must_use]
    pub fn grouping(mut self, grouping: Grouping) -> Self {
        self.grouping = grouping;
        self
    }

    /// Sets whether the perturbation that [`Method::Lbfgs`] finds is shrunk to the boundary.
    #[must_use]
    pub fn shrink(mut self, shrink: bool) -> Self {
        self.shrink = shrink;
        self
    }

    /// Sets which answers count as adversarial.
    #[must_use]
    pub fn criterion(mut self, criterion: Criterion) -> Self {
        self.criterion = criterion;
        self
    }

    /// Sets the evaluations of the classifier for each search at most; `None` for any number.
    #[must_use]
    pub fn max_evaluations(mut self, max_evaluations: impl Into<Option<u64>>) -> Self {
        self.max_evaluations = max_evaluations.into();
        self
    }

    /// Sets the seconds for the whole search at most; `None` for as long as it takes.
    #[must_use]
    pub fn time_limit(mut self, seconds: impl Into<Option<f64>>) -> Self {
        self.time_limit = seconds.into();
        self
    }

    /// Sets a norm that is enough: an image's search ends once a perturbation is no larger, before it is
    /// the smallest. `None` for the smallest.
    #[must_use]
    pub fn enough(mut self, norm: impl Into<Option<f64>>) -> Self {
        self.enough = norm.into();
        self
    }

    /// Sets what the outputs of a model that is no classifier are to do, in place of a target; `None` for classes.
    #[must_use]
    pub fn goal(mut self, goal: impl Into<Option<OutputGoal>>) -> Self {
        self.goal = goal.into();
        if self.goal.is_some() {
            self.target = Target::Untargeted;
        }
        self
    }

    /// Sets the columns of a table, whose ranges take the place of the input box: perturbations keep to what a column
    /// may be, and norms are those of the columns' changes, each in its scale. `None` for inputs of values that are
    /// all alike.
    #[must_use]
    pub fn columns(mut self, columns: impl Into<Option<Columns>>) -> Self {
        self.columns = columns.into();
        if let Some(columns) = &self.columns {
            let [lower, upper] = columns.reach();
            // A table of one constant has no width.
            let upper = if upper > lower { upper } else { lower + 1.0 };
            self.input_box = InputBox { lower, upper };
            let [lower, upper] = columns.ranges();
            let max_perturbation = vec![f32::INFINITY; lower.len()];
            self.bounds = Some(Arc::new(Bounds {
                lower,
                upper,
                max_perturbation,
            }));
        }
        self
    }

    /// Sets the limits of each input value, in place of the input box; `None` for the box.
    #[must_use]
    pub fn bounds(mut self, bounds: impl Into<Option<Arc<Bounds>>>) -> Self {
        self.bounds = bounds.into();
        self
    }

    /// What is to be small, on inputs of these axes.
    pub(super) fn measure(&self, shape: &[usize]) -> Measure {
        Measure::new(self.norm, self.grouping, shape)
    }

    /// The objective for an image with a label and, where there is one, a target.
    pub(super) fn objective(&self, label: usize, target: usize) -> Objective {
        let Criterion { top_k, confidence } = self.criterion;
        let goal = match self.target {
            Target::All | Target::Untargeted => Goal::Untargeted { label, top_k },
            Target::Random | Target::Nearest | Target::Class(_) => Goal::Targeted(target),
        };
        Objective { goal, confidence }
    }

    /// Whether outputs, of any runtime and unit, reach what is searched for: the objective but for
    /// its confidence.
    pub fn reached(&self, label: usize, target: usize, outputs: &[f64]) -> bool {
        let objective = Objective {
            confidence: 0.0,
            ..self.objective(label, target)
        };
        objective.margin(outputs) > 0.0
    }

    /// The objectives of one image with these outputs.
    pub(super) fn objectives(
        &self,
        label: usize,
        position: usize,
        outputs: &[f32],
    ) -> Vec<Objective> {
        let classes = outputs.len();
        let wrong = (0..classes).filter(|&class| class != label);
        let targets: Vec<usize> = match self.target {
            Target::Random => {
                let draw = Stream::new(self.seed, "target", position).below(classes - 1);
                vec![draw + usize::from(draw >= label)]
            }
            Target::Nearest => {
                let nearest = wrong.reduce(|best, class| {
                    if outputs[class] > outputs[best] {
                        class
                    } else {
                        best
                    }
                });
                nearest.into_iter().collect()
            }
            Target::All if self.method != Method::Sqp && self.criterion.top_k == 1 => {
                wrong.collect()
            }
            Target::Class(class) => vec![class],
            // On the boundary to a runner-up, that one leads: one search compares them all.
            Target::All | Target::Untargeted => return vec![self.objective(label, label)],
        };
        let confidence = self.criterion.confidence;
        let objective = |target| Objective {
            goal: Goal::Targeted(target),
            confidence,
        };
        targets.into_iter().map(objective).collect()
    }

    /// What a classifier reaches that misclassifies an original of this label already, as far as the
    /// criterion asks.
    pub(super) fn misclassified(&self, label: usize) -> Objective {
        match self.target {
            Target::All | Target::Untargeted => self.objective(label, label),
            Target::Random | Target::Nearest | Target::Class(_) => Objective {
                goal: Goal::Untargeted { label, top_k: 1 },
                confidence: 0.0,
            },
        }
    }

    /// The limits of each of `length` input values.
    pub(super) fn bounds_for(&self, length: usize) -> Arc<Bounds> {
        match &self.bounds {
            Some(bounds) => Arc::clone(bounds),
            None => Arc::new(Bounds::within(self.input_box, length)),
        }
    }

    /// A box that every input may move in: the input box, or one around the limits of all values.
    pub fn reach(&self) -> InputBox {
        let Some(bounds) = &self.bounds else {
            return self.input_box;
        };
        let (lower, upper) = (bounds.lower.iter().copied(), bounds.upper.iter().copied());
        InputBox {
            lower: lower.fold(f32::INFINITY, f32::min),
            upper: upper.fold(f32::NEG_INFINITY, f32::max),
        }
    }

    /// Checks the options against a classifier's number of classes and the true classes of the images,
    /// before long work.
    ///
    /// # Errors
    /// [`SearchError`] where they don't fit each other, or no image is left to search from.
    pub fn check_labels(&self, classes: usize, labels: &[usize]) -> Result<(), SearchError> {
        self.check(classes)?;
        if self.goal.is_some() {
            return Ok(());
        }
        for &label in labels {
            check_class("label", label, classes)?;
        }
        let Target::Class(class) = self.target else {
            return Ok(());
        };
        if labels.iter().all(|&label| label == class) && !labels.is_empty() {
            Err(SearchError::AllOfTarget(class))
        } else {
            Ok(())
        }
    }

    /// Checks the options against a classifier's number of classes.
    ///
    /// # Errors
    /// [`SearchError`] where they don't fit it or each other.
    pub(super) fn check(&self, classes: usize) -> Result<(), SearchError> {
        let InputBox { lower, upper } = self.input_box;
        if !(lower < upper && lower.is_finite() && upper.is_finite()) {
            return Err(SearchError::InputBox(self.input_box));
        }
        match &self.goal {
            Some(goal) => self.check_goal(goal, classes)?,
            None => self.check_classes(classes)?,
        }
        let confidence = self.criterion.confidence;
        if !(confidence >= 0.0 && confidence.is_finite()) {
            return Err(SearchError::Confidence(confidence));
        }
        if !self.method.norms().contains(&self.norm) {
            let (method, norm) = (self.method, self.norm);
            return Err(SearchError::Norm { method, norm });
        }
        let are_discrete = self.columns.as_ref().is_some_and(Columns::are_discrete);
        if are_discrete && self.method != Method::Sqp {
            return Err(SearchError::Discrete(self.method));
        }
        match self.time_limit {
            Some(limit) if limit.is_nan() || limit <= 0.0 => Err(SearchError::TimeLimit(limit)),
            _ => Ok(()),
        }
    }

    /// Checks target and criterion against a classifier's number of classes.
    pub(crate) fn check_classes(&self, classes: usize) -> Result<(), SearchError> {
        if !(2..=MAX_CLASSES).contains(&classes) {
            return Err(SearchError::Classes(classes));
        }
        if let Target::Class(target) = self.target {
            check_class("target", target, classes)?;
        }
        let top_k = self.criterion.top_k;
        if !(1..classes).contains(&top_k) {
            return Err(SearchError::TopK { top_k, classes });
        }
        if top_k > 1 && !matches!(self.target, Target::All | Target::Untargeted) {
            return Err(SearchError::TopKOfTarget(top_k));
        }
        Ok(())
    }

    /// Checks a goal against the number of a model's outputs, and what was asked for beside it.
    fn check_goal(&self, goal: &OutputGoal, outputs: usize) -> Result<(), GoalError> {
        goal.check(outputs)?;
        if self.target != Target::Untargeted {
            Err(GoalError::Beside("target class"))
        } else if self.criterion.top_k != 1 {
            Err(GoalError::Beside("top-k"))
        } else if self.method != Method::Sqp {
            Err(GoalError::Beside("other method than sqp"))
        } else {
            Ok(())
        }
    }
}

/// Checks that a `label` or `target` is a class.
pub(crate) fn check_class(
    what: &'static str,
    class: usize,
    classes: usize,
) -> Result<(), SearchError> {
    if class < classes {
        Ok(())
    } else {
        Err(SearchError::Class {
            what,
            class,
            classes,
        })
    }
}
