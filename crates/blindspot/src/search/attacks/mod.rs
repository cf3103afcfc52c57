//! Published attacks to compare with, under the same goals, bounds, counts and checks as the tool's
//! own search, and the trait by which a method of one's own joins them.
//!
//! Each is an [`AttackMethod`]: it says where to go from a point and its gradient. The smallest
//! perturbation that succeeds at any point on the way is kept. `default()` gives an attack as it
//! was published; its options give others:
//!
//! ```
//! use blindspot::search::Attack;
//! use blindspot::search::attacks::{Ddn, DdnOptions};
//!
//! let long = || Ddn::new(DdnOptions::default().steps(1_000));
//! let attack = Attack::custom(long).untargeted();
//! ```

mod carlini_wagner;
mod ddn;
mod deepfool;
mod fgsm;
mod pgd;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use carlini_wagner::{CarliniWagner, CarliniWagnerOptions};
pub use ddn::{Ddn, DdnOptions};
pub use deepfool::{DeepFool, DeepFoolOptions};
pub use fgsm::{Fgsm, FgsmOptions};
pub use pgd::{Pgd, PgdOptions};

use super::batch::Search;
use super::bounds::FeasibleBox;
use super::iterate::Iterate;
use super::method::Method;
use super::objective::Objective;
use super::perturbation::Best;
use super::pipeline::MakeMethod;
use super::task::{Effort, Task};

/// An attack that goes from point to point along gradients: the search for one image and one
/// objective.
///
/// At each point the classifier is evaluated;
/// [`output_gradient`](AttackMethod::output_gradient) then says which gradient is wanted, and
/// [`step`](AttackMethod::step) moves the point. The first point is the original. Points need not
/// reach the objective: the successful one that is nearest to the original is the attack's answer.
///
/// ```
/// use blindspot::search::{Attack, AttackMethod, Iterate};
///
/// /// Fifty short steps against the gradient of the loss.
/// struct GradientDescent {
///     steps_left: u32,
/// }
///
/// impl AttackMethod for GradientDescent {
///     fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
///         for (point, gradient) in point.iter_mut().zip(iterate.gradient) {
///             *point -= 0.1 * gradient;
///         }
///         iterate.clip(point);
///         self.steps_left -= 1;
///         self.steps_left > 0 && !iterate.success
///     }
/// }
///
/// let attack = Attack::custom(|| GradientDescent { steps_left: 50 });
/// ```
pub trait AttackMethod: Send {
    /// Writes the gradient, with respect to the classifier's outputs for one image, of what the
    /// next step needs; the [loss of the objective](Objective::loss) unless the attack follows
    /// something else.
    fn output_gradient(&mut self, objective: Objective, outputs: &[f32], gradient: &mut [f32]) {
        objective.loss(outputs, gradient);
    }

    /// Moves `point`, which is where `iterate` was evaluated, to the next point to evaluate; false
    /// at the end. A point outside of the image's bounds is moved to the nearest inside.
    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool;
}

/// How the search by a baseline begins; `None` for the methods that are none.
pub(super) fn baseline(method: Method) -> Option<&'static MakeMethod> {
    Some(match method {
        Method::Sqp | Method::Lbfgs => return None,
        Method::Fgsm => &|| Box::<Fgsm>::default(),
        Method::Pgd => &|| Box::<Pgd>::default(),
        Method::DeepFool => &|| Box::<DeepFool>::default(),
        Method::CarliniWagner => &|| Box::<CarliniWagner>::default(),
        Method::Ddn => &|| Box::<Ddn>::default(),
    })
}

/// The search for one image and one objective by an [`AttackMethod`].
pub(super) struct MethodSearch {
    original: Vec<f32>,
    point: Vec<f32>,
    objective: Objective,
    lead: f64,
    feasible_box: Arc<FeasibleBox>,
    max_evaluations: u64,
    method: Box<dyn AttackMethod>,
    margin: f64,
    success: bool,
    best: Best,
    effort: Effort,
}

impl MethodSearch {
    pub(super) fn new(task: &Task<'_>, method: Box<dyn AttackMethod>) -> Self {
        MethodSearch {
            original: task.original.to_vec(),
            point: task.original.to_vec(),
            objective: task.objective,
            lead: task.lead,
            feasible_box: Arc::clone(&task.feasible_box),
            max_evaluations: task.max_evaluations,
            method,
            margin: 0.0,
            success: false,
            best: Best::by(task.measure),
            effort: Effort::default(),
        }
    }
}

impl Search for MethodSearch {
    fn point(&self) -> &[f32] {
        &self.point
    }

    fn take_outputs(&mut self, outputs: &[f32], gradient: &mut [f32]) {
        self.effort.evaluations += 1;
        self.margin = self.objective.margin(outputs);
        self.success = self.margin > self.lead;
        if self.success {
            self.best.offer(&self.original, &self.point, self.margin);
        }
        self.method
            .output_gradient(self.objective, outputs, gradient);
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        self.effort.gradients += 1;
        // An original that reaches the objective needs no perturbation.
        let done = self.success && self.effort.evaluations == 1;
        if done || self.effort.evaluations >= self.max_evaluations {
            return false;
        }
        let iterate = Iterate {
            original: &self.original,
            gradient,
            margin: self.margin,
            success: self.success,
            feasible_box: &self.feasible_box,
        };
        let goes_on = self.method.step(&iterate, &mut self.point);
        iterate.clip(&mut self.point);
        goes_on
    }

    fn best(&self) -> Option<&[f32]> {
        self.best.image()
    }

    fn effort(&self) -> Effort {
        self.effort
    }
}

/// A search for the smallest size that succeeds: from `first` it is doubled until one does, then
/// halved between the largest that fails and the smallest that succeeds.
#[derive(Debug, Clone, Copy)]
struct Bracket {
    size: f64,
    fails: f64,
    succeeds: Option<f64>,
    rounds_left: usize,
}

impl Bracket {
    fn new(first: f64, rounds: usize) -> Bracket {
        Bracket {
            size: first,
            fails: 0.0,
            succeeds: None,
            rounds_left: rounds,
        }
    }

    /// Goes on to the next size; false after the last one.
    fn next(&mut self, succeeded: bool) -> bool {
        if succeeded {
            self.succeeds = Some(self.size);
        } else {
            self.fails = self.size;
        }
        self.size = match self.succeeds {
            Some(succeeds) => 0.5 * (self.fails + succeeds),
            None => 2.0 * self.size,
        };
        self.rounds_left = self.rounds_left.saturating_sub(1);
        self.rounds_left > 0
    }
}
