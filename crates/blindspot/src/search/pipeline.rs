//! From tasks to what was found: the stages of each method, over the jobs that a stage is for.

use blindspot_model::classifier::{Classifier, ClassifierError};
use blindspot_run::monitor::Silenced;

use super::SearchOptions;
use super::attacks::{self, AttackMethod, Ddn, DeepFool, Fgsm, MethodSearch, Pgd};
use super::batch::{self, Search};
use super::iterate::Iterate;
use super::method::Method;
use super::objective::Objective;
use super::penalty::Penalty;
use super::perturbation::norm;
use super::sqp::Sqp;
use super::task::{Found, StopCondition, Task};

/// One task and what has been found for it so far; `None` where its search was not begun, or was
/// cancelled.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) task: Task<'a>,
    pub(super) found: Option<Found>,
}

impl<'a> Job<'a> {
    pub(super) fn new(task: Task<'a>) -> Self {
        Job { task, found: None }
    }

    /// Evaluations that are left.
    fn evaluations_left(&self) -> u64 {
        let made = self.found.as_ref();
        let made = made.map_or(0, |found| found.effort.evaluations);
        self.task.max_evaluations.saturating_sub(made)
    }

    /// What was found, if anything reaches the objective.
    fn adversarial(&self) -> Option<&[f32]> {
        self.found.as_ref()?.adversarial.as_deref()
    }

    /// The task with the evaluations that are left.
    fn rest(&self) -> Task<'a> {
        Task {
            max_evaluations: self.evaluations_left(),
            ..self.task.clone()
        }
    }

    /// True where a search has ended without success and with evaluations left.
    fn is_unsolved(&self) -> bool {
        self.found.is_some() && self.adversarial().is_none() && self.evaluations_left() > 0
    }

    /// Adds what another search has found; the smaller perturbation counts.
    fn add(&mut self, other: Found) {
        let Some(found) = &mut self.found else {
            return;
        };
        found.effort += other.effort;
        let size = |image: &[f32]| norm(self.task.original, image);
        if let Some(image) = other.adversarial
            && found
                .adversarial
                .as_deref()
                .is_none_or(|old| size(&image) < size(old))
        {
            found.adversarial = Some(image);
        }
    }
}

/// How attacks of a user's own are begun: one for each search.
pub(super) type MakeMethod = dyn Fn() -> Box<dyn AttackMethod> + Send + Sync;

/// Runs the search of each job by the method of the options, or by a method of the user's own.
///
/// # Errors
/// [`ClassifierError`] where the classifier fails.
pub(super) fn run(
    classifier: &dyn Classifier,
    jobs: &mut [Job<'_>],
    options: &SearchOptions,
    own_method: Option<&MakeMethod>,
    stop: StopCondition<'_>,
) -> Result<(), ClassifierError> {
    if let Some(make) = own_method.or_else(|| attacks::baseline(options.method)) {
        let begin = |job: &Job<'_>, _| MethodSearch::new(&job.task, make());
        return first_stage(classifier, jobs, begin, stop);
    }
    let penalty = |job: &Job<'_>, recycled| Penalty::new(&job.rest(), options, recycled);
    if options.method == Method::Lbfgs {
        return first_stage(classifier, jobs, penalty, stop);
    }
    let sqp = |job: &Job<'_>, recycled| Sqp::new(&job.rest(), options, recycled);
    first_stage(classifier, jobs, sqp, stop)?;

    // Where the decision boundary wasn't met, other searches take over, one after the other.
    let silenced = Silenced(stop.monitor);
    let stop = StopCondition {
        monitor: &silenced,
        ..stop
    };
    let others: [&MakeMethod; 4] = [
        &|| Box::new(AlongMargin(Fgsm::default())),
        &|| Box::new(AlongMargin(Ddn::default())),
        &|| Box::<DeepFool>::default(),
        &|| Box::new(AlongMargin(Pgd::default())),
    ];
    for make in others {
        let begin = |job: &Job<'_>, _| MethodSearch::new(&job.rest(), make());
        fall_back(classifier, jobs, options, begin, stop)?;
    }
    fall_back(classifier, jobs, options, penalty, stop)
}

/// A method that follows the margin of all near classes together in place of the loss: so it does
/// not depend on the scale of the outputs.
struct AlongMargin<M>(M);

impl<M: AttackMethod> AttackMethod for AlongMargin<M> {
    fn output_gradient(&mut self, objective: Objective, outputs: &[f32], gradient: &mut [f32]) {
        objective.descent(outputs, gradient);
    }

    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
        self.0.step(iterate, point)
    }
}

/// Runs another search for the jobs without success, and goes on from what it finds to the nearest
/// points of the boundary.
fn fall_back<S: Search>(
    classifier: &dyn Classifier,
    jobs: &mut [Job<'_>],
    options: &SearchOptions,
    begin: impl Fn(&Job<'_>, Option<S>) -> S + Sync,
    stop: StopCondition<'_>,
) -> Result<(), ClassifierError> {
    let mut unsolved: Vec<&mut Job<'_>> = jobs.iter_mut().filter(|job| job.is_unsolved()).collect();
    if unsolved.is_empty() || stop.timed_out() {
        return Ok(());
    }
    let found = stage(classifier, &unsolved, begin, stop)?;
    add(&mut unsolved, found, stop);

    unsolved.retain(|job| job.adversarial().is_some() && job.evaluations_left() > 0);
    let polish = |job: &Job<'_>, recycled| {
        let end = job.adversarial().expect("jobs without one were left out");
        Sqp::from(end, &job.rest(), options, recycled)
    };
    let found = stage(classifier, &unsolved, polish, stop)?;
    add(&mut unsolved, found, stop);
    Ok(())
}

/// Adds what another search has found for each of some jobs. A job whose search was cancelled is not
/// known to its end, whatever was found before.
fn add(jobs: &mut [&mut Job<'_>], found: Vec<Option<Found>>, stop: StopCondition<'_>) {
    let cancelled = stop.monitor.cancelled();
    for (job, found) in jobs.iter_mut().zip(found) {
        match found {
            Some(found) => job.add(found),
            None if cancelled => job.found = None,
            None => {}
        }
    }
}

/// Runs a search for each of all jobs.
fn first_stage<S: Search>(
    classifier: &dyn Classifier,
    jobs: &mut [Job<'_>],
    begin: impl Fn(&Job<'_>, Option<S>) -> S + Sync,
    stop: StopCondition<'_>,
) -> Result<(), ClassifierError> {
    let chosen: Vec<&mut Job<'_>> = jobs.iter_mut().collect();
    let found = stage(classifier, &chosen, begin, stop)?;
    for (job, found) in chosen.into_iter().zip(found) {
        job.found = found;
    }
    Ok(())
}

/// Runs a search for each of some jobs; gives what each has found.
fn stage<S: Search>(
    classifier: &dyn Classifier,
    jobs: &[&mut Job<'_>],
    begin: impl Fn(&Job<'_>, Option<S>) -> S + Sync,
    stop: StopCondition<'_>,
) -> Result<Vec<Option<Found>>, ClassifierError> {
    let start = |index: usize, recycled| begin(jobs[index], recycled);
    batch::run(classifier, jobs.len(), start, stop)
        .map_err(|error| error.of_input(|index| jobs[index].task.index))
}
