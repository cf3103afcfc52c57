//! The front door to the search.

use std::sync::Arc;

use blindspot_data::{Columns, ImageSet};
use blindspot_model::InputBox;
use blindspot_model::classifier::Classifier;
use blindspot_model::inputs::Inputs;
use blindspot_run::monitor::{Monitor, Unwatched};

use super::attacks::AttackMethod;
use super::bounds::Bounds;
use super::pipeline::MakeMethod;
use crate::goals::OutputGoal;

use super::{Block, Example, Grouping, Method, Norm, SearchError, SearchOptions, Target, searcher};

/// An attack to be run on a classifier and images, built step by step.
///
/// The constructor chooses the method, the other functions what is searched for; [`run`](Attack::run)
/// gives an [`Example`] for each image. By default, targets are random classes, values lie in the
/// classifier's input box, and a search takes as long as it takes.
///
/// ```no_run
/// use blindspot::search::Attack;
/// # fn run(network: blindspot_net::Network<f32>, images: blindspot_data::ImageSet)
/// #     -> Result<(), blindspot::search::SearchError> {
/// for adv in Attack::sqp().untargeted().run(&network, &images)? {
///     println!("{} -> {}: {:.4}", adv.label, adv.prediction, adv.l2);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "an attack does nothing until it is run"]
pub struct Attack {
    options: SearchOptions,
    /// The input box asked for, in place of the classifier's.
    input_box: Option<InputBox>,
    own_method: Option<Arc<MakeMethod>>,
}

impl Attack {
    /// An attack by one of the methods that come with the tool.
    pub fn by(method: Method) -> Attack {
        Attack {
            options: SearchOptions::default().method(method),
            input_box: None,
            own_method: None,
        }
    }

    /// Sequential quadratic programming on the decision boundary, the tool's own search.
    pub fn sqp() -> Attack {
        Attack::by(Method::Sqp)
    }

    /// The paper's search (section 4.1): box-constrained L-BFGS on a penalised loss.
    pub fn lbfgs() -> Attack {
        Attack::by(Method::Lbfgs)
    }

    /// The fast gradient sign method with the smallest step that succeeds.
    pub fn fgsm() -> Attack {
        Attack::by(Method::Fgsm)
    }

    /// Projected gradient descent in the smallest L2 ball in which it succeeds.
    pub fn pgd() -> Attack {
        Attack::by(Method::Pgd)
    }

    /// DeepFool.
    pub fn deepfool() -> Attack {
        Attack::by(Method::DeepFool)
    }

    /// The L2 attack of Carlini and Wagner.
    pub fn carlini_wagner() -> Attack {
        Attack::by(Method::CarliniWagner)
    }

    /// Decoupled direction and norm.
    pub fn ddn() -> Attack {
        Attack::by(Method::Ddn)
    }

    /// An attack by a method of one's own, or by a [baseline](super::attacks) with options of
    /// one's own. `method` is called once for each search, of one image and one objective.
    pub fn custom<M: AttackMethod + 'static>(
        method: impl Fn() -> M + Send + Sync + 'static,
    ) -> Attack {
        Attack {
            own_method: Some(Arc::new(move || Box::new(method()))),
            ..Attack::sqp()
        }
    }

    /// Asks for any class but the label.
    pub fn untargeted(self) -> Attack {
        self.target(Target::Untargeted)
    }

    /// Asks for one class for every image; images of that class are left out.
    pub fn class(self, class: usize) -> Attack {
        self.target(Target::Class(class))
    }

    /// Sets how the target class of each image is chosen.
    pub fn target(mut self, target: Target) -> Attack {
        self.options.target = target;
        self
    }

    /// Asks for what the outputs are to do, of a model that is no classifier ([`goals`](crate::goals)). Labels of
    /// images don't count then.
    pub fn goal(mut self, goal: OutputGoal) -> Attack {
        self.options = self.options.goal(goal);
        self
    }

    /// Sets the seed of random targets; 0 by default.
    pub fn seed(mut self, seed: u64) -> Attack {
        self.options.seed = seed;
        self
    }

    /// Asks for at least `top_k` other classes before the label; 1 by default. More than 1
    /// needs an untargeted attack.
    pub fn top_k(mut self, top_k: usize) -> Attack {
        self.options.criterion.top_k = top_k;
        self
    }

    /// Sets the margin, in units of the outputs (logits), that an answer must exceed; 0 by
    /// default.
    pub fn confidence(mut self, confidence: f64) -> Attack {
        self.options.criterion.confidence = confidence;
        self
    }

    /// Sets the norm in which perturbations are to be small; L2 by default.
    pub fn norm(mut self, norm: Norm) -> Attack {
        self.options.norm = norm;
        self
    }

    /// Sets what [`Norm::L0`] counts; input values by default.
    pub fn grouping(mut self, grouping: Grouping) -> Attack {
        self.options.grouping = grouping;
        self
    }

    /// Sets the valid range of every input value, in place of the classifier's own.
    pub fn input_box(mut self, lower: f32, upper: f32) -> Attack {
        self.input_box = Some(InputBox { lower, upper });
        self
    }

    /// Sets the columns of a table whose rows are attacked: how each may change, and in which scale
    /// ([`SearchOptions::columns`]).
    pub fn columns(mut self, columns: Columns) -> Attack {
        self.options = self.options.columns(columns);
        self.input_box = Some(self.options.input_box);
        self
    }

    /// Sets the limits of each input value, in place of an input box.
    pub fn bounds(mut self, bounds: Bounds) -> Attack {
        self.options.bounds = Some(Arc::new(bounds));
        self
    }

    /// Sets the evaluations of the classifier for each search at most.
    pub fn max_evaluations(mut self, max_evaluations: u64) -> Attack {
        self.options.max_evaluations = Some(max_evaluations);
        self
    }

    /// Sets the seconds for the whole attack at most; images not begun by then are left out.
    pub fn time_limit(mut self, seconds: f64) -> Attack {
        self.options.time_limit = Some(seconds);
        self
    }

    /// What the attack searches for, and where, on a classifier.
    pub fn options(&self, classifier: &impl Classifier) -> SearchOptions {
        let input_box = self.input_box.unwrap_or_else(|| classifier.input_box());
        self.options.clone().input_box(input_box)
    }

    /// Runs the attack on all images of a labelled set; gives an example for each, in their order.
    ///
    /// Images of a fixed target class are left out; images that are misclassified already need no
    /// perturbation. The search is spread over rayon's threads, and the same bits come out for any
    /// number of them.
    ///
    /// # Errors
    /// [`SearchError::NoLabels`] where the set has no labels; [`SearchError`] where images,
    /// labels, target and classifier don't fit each other, or the classifier fails.
    pub fn run(
        &self,
        classifier: &impl Classifier,
        images: &ImageSet,
    ) -> Result<Vec<Example>, SearchError> {
        let none = vec![0; images.len()];
        let labels = match (&self.options.goal, images.labels()) {
            (Some(_), _) => &none,
            (None, labels) => labels.ok_or(SearchError::NoLabels)?,
        };
        self.run_on(classifier, images, labels)
    }

    /// Runs the attack on all of some inputs with their true classes; gives an example for each, in
    /// their order.
    ///
    /// # Errors
    /// [`SearchError`] where inputs, labels, target and classifier don't fit each other, or the
    /// classifier fails.
    pub fn run_on(
        &self,
        classifier: &impl Classifier,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
    ) -> Result<Vec<Example>, SearchError> {
        self.run_watched(classifier, inputs, labels, &Unwatched)
    }

    /// Runs the attack as [`run_on`](Attack::run_on) does, with a monitor that is told how far it
    /// is and can cancel it: the examples whose searches had ended are given then.
    ///
    /// # Errors
    /// [`SearchError`] where inputs, labels, target and classifier don't fit each other, or the
    /// classifier fails.
    pub fn run_watched(
        &self,
        classifier: &impl Classifier,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Example>, SearchError> {
        let indices: Vec<usize> = (0..inputs.len()).collect();
        let options = self.options(classifier);
        let searcher = searcher(classifier, &options, self.own_method.as_deref())?;
        let mut examples = Vec::with_capacity(indices.len());
        searcher.search_in_blocks(inputs, (labels, &indices), monitor, |block: Block| {
            examples.extend(block.examples);
            Ok::<(), SearchError>(())
        })?;
        super::sort(&mut examples, &indices);
        Ok(examples)
    }
}
